"""The card of a DingTalk group robot.

An `actionCard` with a button for each link, or `markdown` where there is none to press. Sources:
open.dingtalk.com, "Custom robot access" and "Message types of custom robots" (title, text, btns with title and
actionURL; pictures by
their address; a body is at most 20,000 bytes). Lines end in two spaces, as Markdown has it. Pure.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.notify.message.model import Link, Message
from daemon.notify.services.common import COLOURS, json_size, picture
from daemon.notify.services.lines import anchor, field_line, filled, link_line, note_line, remarks, row_line
from daemon.notify.text.escape import chat, is_link, look_alike, no_tags
from daemon.notify.text.shrink import Parts, fitted

if TYPE_CHECKING:
    from daemon.notify.services.registry import Form

LIMIT = 19_000
"""Bytes of the body; the service takes 20,000."""
_BUTTON_URL = 1000
"""Characters of a button's URL; a longer one is a link in the text."""
_MOST_BUTTONS = 5
_LINE = "  \n"
_PARAGRAPH = "\n\n"


def card(message: Message, _form: "Form") -> Mapping[str, Any]:
    """The payload of a message. The plugin adds whom to call, where the operator names somebody."""
    return fitted(message, lambda parts: _payload(parts, message), lambda payload: json_size(payload) <= LIMIT)


def without_buttons(payload: Mapping[str, Any], *, last: str) -> dict[str, Any]:
    """The same as `markdown`, which can call people: buttons become links, and `last` stands at the end."""
    if payload["msgtype"] == "markdown":
        title, text, links = payload["markdown"]["title"], payload["markdown"]["text"], ""
    else:
        body = payload["actionCard"]
        title, text = body["title"], body["text"]
        links = _LINE.join(anchor(button["title"], button["actionURL"]) for button in body["btns"])
    whole = filled([text, links, last], _PARAGRAPH)
    return {"msgtype": "markdown", "markdown": {"title": title, "text": whole}}


def _payload(parts: Parts, message: Message) -> dict[str, Any]:
    pressed = [link for link in parts.links if is_link(link.url) and len(link.url) <= _BUTTON_URL][:_MOST_BUTTONS]
    text = _text(parts, message, pressed)
    title = no_tags(parts.title)
    if not pressed:
        return {"msgtype": "markdown", "markdown": {"title": title, "text": text}}
    buttons = [{"title": chat(link.name), "actionURL": link.url} for link in pressed]
    return {
        "msgtype": "actionCard",
        "actionCard": {
            "title": title,
            "text": text,
            "btnOrientation": "1" if len(buttons) == 2 else "0",
            "btns": buttons,
        },
    }


def _text(parts: Parts, message: Message, pressed: list[Link]) -> str:
    cover = picture(message)
    inline = [link for link in parts.links if link not in pressed]
    notes = (*(note_line(link, parts) for link in pressed), *remarks(parts))
    paragraphs = [
        f'### <font color="{COLOURS[message.severity]}">{look_alike(parts.title)}</font>',
        f"![]({cover})" if cover is not None and not set("()") & set(cover) else "",
        look_alike(parts.headline),
        filled([row_line(row, parts) for row in parts.rows], _LINE),
        filled([link_line(link, parts) for link in inline], _LINE),
        filled([field_line(field, parts) for field in parts.fields], _LINE),
        filled([f"> {line}" for line in notes if line], _PARAGRAPH),
    ]
    return filled(paragraphs, _PARAGRAPH)
