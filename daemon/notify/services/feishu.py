"""The card of a Feishu or Lark group bot.

What is sent is `{"msg_type": "interactive", "card": …}` in the structure of cards "JSON 1.0", which every client
shows. Sources: open.feishu.cn, "Custom bot usage guide" (a request is at most 20 KB) and the pages of card
components: header templates, `div`, `action` with buttons, `note`. A picture needs an image_key, which only an app
with credentials can make; a group bot cannot, so the cover is a button. Pure.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.notify.message.model import Link, Message, Severity
from daemon.notify.services.common import json_size
from daemon.notify.services.lines import bare, filled, row_line
from daemon.notify.text.escape import is_link, look_alike, no_tags
from daemon.notify.text.shrink import Parts, fitted

if TYPE_CHECKING:
    from daemon.notify.services.registry import Form

LIMIT = 19_000
"""Bytes of the card; the service takes 20 KB, timestamp and signature included."""
_ROWS_IN_A_BLOCK = 20
_COLOURS = {
    Severity.GOOD: "green",
    Severity.BAD: "red",
    Severity.WARNING: "orange",
    Severity.INFO: "blue",
}


def card(message: Message, _form: "Form") -> Mapping[str, Any]:
    """The payload of a message, without timestamp and signature."""
    return fitted(
        message,
        lambda parts: _payload(parts, _COLOURS[message.severity]),
        lambda payload: json_size(payload) <= LIMIT,
    )


def _payload(parts: Parts, colour: str) -> dict[str, Any]:
    return {
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": True},
            "header": {"template": colour, "title": _plain(no_tags(parts.title))},
            "elements": list(_elements(parts)),
        },
    }


def _elements(parts: Parts) -> list[dict[str, Any]]:
    opened = [link for link in parts.links if is_link(link.url)]
    others = [link for link in parts.links if not is_link(link.url)]
    blocks: list[dict[str, Any] | None] = [
        _text(no_tags(parts.headline)),
        *_rows(parts),
        _fields(parts),
        *(_text(_shown(link, parts)) for link in others),
        _buttons(opened),
        _notes(parts, opened),
    ]
    return [block for block in blocks if block is not None]


def _rows(parts: Parts) -> list[dict[str, Any]]:
    lines = [row_line(row, parts) for row in parts.rows]
    blocks = [lines[start : start + _ROWS_IN_A_BLOCK] for start in range(0, len(lines), _ROWS_IN_A_BLOCK)]
    return [{"tag": "div", "text": {"tag": "lark_md", "content": "\n".join(block)}} for block in blocks]


def _fields(parts: Parts) -> dict[str, Any] | None:
    if not parts.fields:
        return None
    cells = (f"**{look_alike(field.name)}**\n{look_alike(field.value)}" for field in parts.fields)
    fields = [{"is_short": len(cell) < 60, "text": {"tag": "lark_md", "content": cell}} for cell in cells]
    return {"tag": "div", "fields": fields}


def _buttons(links: list[Link]) -> dict[str, Any] | None:
    if not links:
        return None
    buttons = [
        {
            "tag": "button",
            "text": _plain(no_tags(link.name)),
            "type": "default" if index else "primary",
            "url": link.url,
        }
        for index, link in enumerate(links)
    ]
    return {"tag": "action", "actions": buttons}


def _notes(parts: Parts, opened: list[Link]) -> dict[str, Any] | None:
    """Small and grey: how long the buttons work, what was left out, what else to know."""
    validity = [parts.pair(link.name, link.note) for link in opened if link.note]
    text = filled([no_tags(line) for line in (*validity, *parts.missing, *parts.notes)], "\n")
    return {"tag": "note", "elements": [_plain(text)]} if text else None


def _shown(link: Link, parts: Parts) -> str:
    """A link that no button could open, as it came."""
    return f"{no_tags(link.name + parts.aside(link.note))}{parts.words.colon.strip()}\n{bare(link.url)}"


def _plain(text: str) -> dict[str, Any]:
    return {"tag": "plain_text", "content": text}


def _text(text: str) -> dict[str, Any] | None:
    return {"tag": "div", "text": _plain(text)} if text else None
