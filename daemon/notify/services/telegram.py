"""Telegram: a photo with a caption if there is a picture and everything fits, else a text; always a single
message.

Sources: core.telegram.org/bots/api, sendPhoto (caption of 1024 characters, photo of 10 MB, its sides 10,000
together and at most 20 to 1) and sendMessage (4096), both counted after the HTML is parsed, in UTF-16 units,
and "Making requests"; core.telegram.org/bots/faq (20 messages a minute in a group, one a second in any chat, 30
a second in all). Beyond 100 links and bold pieces Telegram shows plain text, so the number of rows is limited.
Telegram refuses the entire message for an unknown tag. A photo is never followed by a separate text: if
Telegram refuses the photo (its format, its size), the channel sends the message again without it.
"""

import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from daemon.notify.message import Cover, Field, Link, Message, Row, picture_size
from daemon.notify.message.escape import ZERO_WIDTH_SPACE, html_chat, html_text
from daemon.notify.message.shrink import Parts, fitted, parts_of
from daemon.notify.services.answers import by_flag
from daemon.notify.services.base import (
    MINUTE,
    SECOND,
    Carded,
    Given,
    Limit,
    Markup,
    Picture,
    Service,
    Tested,
    sender,
    written,
)
from daemon.notify.services.cards import limited, paragraphs, shown_url, usable, utf16

CAPTION, TEXT = 1024, 4096
URL_LIMIT = 2048
MOST_ROWS = 40
_SIDES, _RATIO = 10_000, 20
_TAG = re.compile(r"<[^>]*>")
_TAPPABLE = re.compile(r"(?<=(?<!\w)[/#$])(?=\w)")


def _foreign(text: str) -> str:
    """Foreign text in HTML without links, mentions, commands or hashtags (`/start`, `#film`)."""
    return html_chat(_TAPPABLE.sub(ZERO_WIDTH_SPACE, text))


def card(message: Message) -> Mapping[str, Any]:
    """`text` for sendMessage and, if everything fits under a picture, `caption` for sendPhoto; both HTML."""
    text = fitted(message, _html, lambda text: shown_length(text) <= TEXT)
    full = _html(parts_of(message)) if message.cover is not None and _is_photo(message.cover) else ""
    caption = {"caption": full} if 0 < shown_length(full) <= CAPTION else {}
    return {"text": text, "parse_mode": "HTML", **caption}


def _is_photo(cover: Cover) -> bool:
    """Whether Telegram accepts the picture's dimensions."""
    short, long = sorted(picture_size(cover.data) or (1, 1))
    return short + long <= _SIDES and long <= _RATIO * short


def shown_length(text: str) -> int:
    """The length of an HTML text as Telegram counts it.

    >>> shown_length('<a href="https://example.com/">a &amp; b</a>')
    5
    """
    return utf16(html.unescape(_TAG.sub("", text)))


def _html(parts: Parts) -> str:
    parts = limited(parts, most_rows=MOST_ROWS, most_link=URL_LIMIT)
    colon = parts.words.colon
    return paragraphs(
        [f"<b>{_foreign(parts.title)}</b>", _foreign(parts.headline)],
        [_link(link, parts) for link in parts.links],
        [_row(row, parts) for row in parts.rows],
        [_field(field, colon) for field in parts.fields],
        [f"<i>{_foreign(note)}</i>" for note in (*parts.notes, *parts.missing)],
    )


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


class Telegram(Carded):
    """A bot in one chat."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Post the card, or the text if there is none."""
        if self.card is None or self.template:
            return self.send_plain(*args, **kwargs)
        if not self.targets and self.detect_owner:
            detect: Any = self.detect_bot_owner
            owner = self.store.get("bot_owner") or detect()
            self.targets: list[Any] = [(str(owner), self.topic)] if owner else []
        sent = [self._post_card(chat, topic) for chat, topic in self.targets]
        return bool(sent) and all(sent)

    def _post_card(self, chat: object, topic: int | None) -> bool:
        assert self.card is not None
        base = f"{self.notify_url}{self.bot_token}"
        address: dict[str, Any] = {
            "chat_id": chat,
            "disable_notification": bool(self.silent),
            "parse_mode": self.card["parse_mode"],
            **({"message_thread_id": topic} if topic else {}),
        }
        if self.cover is not None and "caption" in self.card:
            return self._post_photo(f"{base}/sendPhoto", {**address, "caption": self.card["caption"]})
        text = {"text": self.card["text"], "disable_web_page_preview": not self.preview}
        return self.post(f"{base}/sendMessage", {**address, **text})

    def _post_photo(self, url: str, values: dict[str, Any]) -> bool:
        assert self.cover is not None
        kind = self.cover.content_type
        fields = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
        name = f"cover.{kind.rpartition('/')[2]}"
        return self.post(url, data=fields, files={"photo": (name, self.cover.data, kind)})


_RULE = by_flag(
    "ok",
    # Words in capitals name its internal faults. Faults about a photo concern the message.
    hold=re.compile(
        r"\b(?:CHAT|CHANNEL|TOPIC|PEER|USER|BOT|INPUT_USER)_[A-Z_]+"
        r"|(?i:chat not found|chat_id is empty|upgraded|migrated|kicked|blocked|deactivated|not a member|rights"
        r"|thread not found|topic|chat_write_forbidden|peer_id_invalid|to bots|initiate conversation)"
    ),
    message=re.compile(r"(?i)photo|media|wrong file"),
)


def _pasted(host: str, path: str, given: Given) -> str | None:
    bot = re.fullmatch(r"/bot(\d+:[\w-]+)(?:/sendMessage)?", path, re.ASCII)
    if bot is None or host != "api.telegram.org" or "chat_id" not in given:
        return None
    topic = {"topic": given["message_thread_id"].value} if "message_thread_id" in given else {}
    chat = quote(given["chat_id"].value, safe="@-")
    return written(f"tgram://{bot[1]}/{chat}", given, ("chat_id", "message_thread_id"), **topic)


def _chat(plugin: Any) -> str:
    """A bot in one chat, as Telegram counts it."""
    return f"{sender(plugin)} {[str(chat) for chat, _ in plugin.targets]}"


SERVICE = Service(
    examples={"tgram": ("Telegram, bot", "tgram://123456789:BOT_TOKEN/CHAT_ID")},
    schemes=("tgram",),
    theirs="telegram:NotifyTelegram",
    ours=Telegram,
    pasted=_pasted,
    markup=Markup.HTML,
    escape=html_chat,
    limit=4096,
    gap=f"<p>{ZERO_WIDTH_SPACE}</p>",
    card=card,
    picture=Picture.UPLOAD,
    shows="the cover with a caption of at most 1024 characters, else text; links, fields",
    limits=(Limit(20, MINUTE, _chat), Limit(1, SECOND, _chat), Limit(30, SECOND)),
    rule=_RULE,
    tested=Tested.CONFORMANCE,
)
