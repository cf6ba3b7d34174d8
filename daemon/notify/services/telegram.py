"""Telegram: a photo with a caption where the picture is there and all fits, else a text; one message in any case.

Limits: core.telegram.org/bots/api, sendPhoto (caption of 1024 characters, photo of 10 MB) and sendMessage (4096),
both counted after the HTML is read, in UTF-16 units; core.telegram.org/bots/faq (20 messages a minute in a group).
Beyond 100 links and bold pieces Telegram shows plain text, so a message has no more rows than that allows.
Must never use a tag that Telegram does not know: it refuses the whole message.
"""

import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.notify.message.model import Field, Link, Message, Row
from daemon.notify.services.common import limited, shown_url, usable, utf16
from daemon.notify.text.escape import ZERO_WIDTH_SPACE, html_chat, html_text
from daemon.notify.text.shrink import Parts, fitted, parts_of

if TYPE_CHECKING:
    from daemon.notify.services.registry import Form

CAPTION, TEXT = 1024, 4096
URL_LIMIT = 2048
MOST_ROWS = 40
_TAG = re.compile(r"<[^>]*>")
_PRESSED = re.compile(r"(?<=(?<!\w)[/#$])(?=\w)")


def _foreign(text: str) -> str:
    """Foreign text in HTML: neither a link nor a mention, nor a command or a tag to press (`/start`, `#film`)."""
    return html_chat(_PRESSED.sub(ZERO_WIDTH_SPACE, text))


def card(message: Message, form: "Form") -> Mapping[str, Any]:
    """`text` for sendMessage and, where all of it fits under a picture, `caption` for sendPhoto; both HTML."""
    del form  # a Telegram message has its own limits
    text = fitted(message, _html, lambda text: shown_length(text) <= TEXT)
    whole = _html(parts_of(message)) if message.cover is not None else ""
    caption = {"caption": whole} if 0 < shown_length(whole) <= CAPTION else {}
    return {"text": text, "parse_mode": "HTML", **caption}


def shown_length(text: str) -> int:
    """The length of an HTML text as Telegram counts it.

    >>> shown_length('<a href="https://example.com/">a &amp; b</a>')
    5
    """
    return utf16(html.unescape(_TAG.sub("", text)))


def _html(parts: Parts) -> str:
    parts = limited(parts, most_rows=MOST_ROWS, most_link=URL_LIMIT)
    colon = parts.words.colon
    paragraphs = [
        [f"<b>{_foreign(parts.title)}</b>", _foreign(parts.headline)],
        [_link(link, parts) for link in parts.links],
        [_row(row, parts) for row in parts.rows],
        [_field(field, colon) for field in parts.fields],
        [f"<i>{_foreign(note)}</i>" for note in (*parts.notes, *parts.missing)],
    ]
    joined = ("\n".join(line for line in lines if line) for lines in paragraphs)
    return "\n\n".join(part for part in joined if part)


def _field(field: Field, colon: str) -> str:
    return f"{_foreign(field.name)}{html_text(colon)}{_foreign(field.value)}"


def _link(link: Link, parts: Parts) -> str:
    note = _foreign(parts.aside(link.note))
    name = _foreign(link.name)
    if not usable(link.url, most=URL_LIMIT):
        return f"{name}{note}{html_text(parts.words.colon)}<code>{html_text(shown_url(link.url))}</code>"
    return f'<a href="{html_text(link.url)}">{name}</a>{note}'


def _row(row: Row, parts: Parts) -> str:
    link = f" {_link(row.link, parts)}" if row.link is not None and usable(row.link.url, most=URL_LIMIT) else ""
    return f"{html_text(row.emoji)} <b>{_foreign(row.name or '?')}</b> {_foreign(row.text)}{link}"
