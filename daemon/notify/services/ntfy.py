"""ntfy: title, text, tag, where a click leads, up to three buttons, and the cover by its address.

Limits: docs.ntfy.sh/publish (a message of 4096 bytes, longer ones become a file; 3 actions) and the server's
source (a JSON request of twice the message's limit). ntfy.sh lets a visitor send 60 messages at once, then one in
5 s.
Must never set a topic, a priority or what else the channel's URL says.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.notify.message.model import Link, Message, Row
from daemon.notify.services.common import cut, json_size, limited, picture, shown_url, usable, utf8
from daemon.notify.text.escape import chat
from daemon.notify.text.shrink import Parts, fitted

if TYPE_CHECKING:
    from daemon.notify.services.registry import Form

MESSAGE = 4096
SIZE = 7900
"""Bytes of the request: the server takes 8192, the topic included."""
TITLE = 250
ACTIONS = 3


def card(message: Message, form: "Form") -> Mapping[str, Any]:
    """The body of a request to the server's root, but for the topic."""
    del form  # the limits are those of the request

    def fits(payload: Mapping[str, Any]) -> bool:
        return utf8(payload["message"]) <= MESSAGE and json_size(payload) <= SIZE

    return fitted(message, lambda parts: _payload(message, parts), fits)


def _payload(message: Message, parts: Parts) -> dict[str, Any]:
    parts = limited(parts, most_link=SIZE // 3)
    buttons = [link for link in parts.links if usable(link.url)][:ACTIONS]
    payload: dict[str, Any] = {
        "title": cut(parts.title, TITLE, measure=utf8, escape=chat) or message.event,
        "message": _text(parts, buttons) or message.event,
        "tags": [message.event],
        "actions": [{"action": "view", "label": chat(link.name), "url": link.url} for link in buttons],
    }
    if buttons:
        payload["click"] = buttons[0].url
    image = picture(message, most=SIZE // 4)
    if image is not None:
        payload["attach"] = image
    return payload


def _text(parts: Parts, buttons: list[Link]) -> str:
    paragraphs = [
        [chat(parts.headline)],
        [_row(row) for row in parts.rows],
        [chat(parts.pair(field.name, field.value)) for field in parts.fields],
        [_link(link, parts, button=link in buttons) for link in parts.links],
        [chat(note) for note in (*parts.notes, *parts.missing)],
    ]
    joined = ("\n".join(line for line in lines if line) for lines in paragraphs)
    return "\n\n".join(part for part in joined if part)


def _link(link: Link, parts: Parts, *, button: bool) -> str:
    """What a button cannot say: how long its link works; or a whole link that is no button."""
    if button:
        return chat(parts.pair(link.name, link.note)) if link.note else ""
    note = chat(parts.aside(link.note))
    return f"{chat(link.name)}{note}{parts.words.colon}{shown_url(link.url)}"


def _row(row: Row) -> str:
    link = f" {row.link.url}" if row.link is not None and usable(row.link.url) else ""
    return f"{row.emoji} {chat(row.name or '?')} {chat(row.text)}{link}"
