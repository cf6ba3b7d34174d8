"""Discord: one embed with a coloured bar, and the cover as its image.

The picture goes with the message ("attachment://…"): a link to it would die, and Discord fetches such links late.
Limits: docs.discord.com, "Message", Embed Limits (title 256, description 4096, 25 fields of 256 and 1024, footer
2048, 6000 characters in all). `allowed_mentions` is empty, so that nothing in the text calls anybody; embeds call
nobody anyway. Must never leave a foreign value unescaped: Discord reads Markdown in all texts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.notify.message.model import Cover, Field, Message, Row
from daemon.notify.services.common import COLOURS, cut, in_markdown, limited, usable, utf16
from daemon.notify.text.escape import chat, markdown
from daemon.notify.text.shrink import Parts, fitted

if TYPE_CHECKING:
    from daemon.notify.services.registry import Form

TITLE, DESCRIPTION, FIELDS, NAME, VALUE, FOOTER, ALL = 256, 4096, 25, 256, 1024, 2048, 6000
NO_MENTIONS: Mapping[str, Any] = {"parse": []}
_NOTHING = "-"
"""For a name or a value of nothing that can be shown: Discord refuses an empty one."""
_SHORT = 40
"""Characters of a field that can stand beside another."""


def card(message: Message, form: "Form") -> Mapping[str, Any]:
    """The body of a webhook's message, but for the name and the thread."""
    del form  # an embed has its own limits
    return fitted(message, lambda parts: _payload(message, parts), _fits)


def picture_name(cover: Cover) -> str:
    """The name under which the picture goes with the message."""
    return f"cover.{_ENDINGS.get(cover.content_type, 'png')}"


_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}


def _payload(message: Message, parts: Parts) -> dict[str, Any]:
    parts = limited(parts, most_link=DESCRIPTION // 2)
    embed: dict[str, Any] = {
        "title": cut(parts.title, TITLE, measure=utf16, escape=markdown) or message.event,
        "description": _description(parts),
        "color": int(COLOURS[message.severity][1:], 16),
        "fields": [_field(field) for field in parts.fields[:FIELDS]],
    }
    notes = "\n".join(chat(note) for note in (*parts.notes, *parts.missing))
    if notes:
        embed["footer"] = {"text": notes}
    if message.cover is not None:
        embed["image"] = {"url": f"attachment://{picture_name(message.cover)}"}
    return {"embeds": [embed], "allowed_mentions": dict(NO_MENTIONS)}


def _description(parts: Parts) -> str:
    paragraphs = [
        markdown(parts.headline),
        "\n".join(in_markdown(link, parts) for link in parts.links),
        "\n".join(_row(row, parts) for row in parts.rows),
    ]
    return "\n\n".join(part for part in paragraphs if part)


def _row(row: Row, parts: Parts) -> str:
    link = f" {in_markdown(row.link, parts)}" if row.link is not None and usable(row.link.url) else ""
    return f"{row.emoji} **{markdown(row.name or '?')}** {markdown(row.text)}{link}"


def _field(field: Field) -> dict[str, Any]:
    return {
        "name": cut(field.name, NAME, measure=utf16, escape=markdown) or _NOTHING,
        "value": cut(field.value, VALUE, measure=utf16, escape=markdown) or _NOTHING,
        "inline": len(field.value) <= _SHORT,
    }


def _fits(payload: Mapping[str, Any]) -> bool:
    embed = payload["embeds"][0]
    footer = embed.get("footer", {}).get("text", "")
    counted = [embed["title"], embed["description"], footer]
    counted += [text for field in embed["fields"] for text in (field["name"], field["value"])]
    short = utf16(embed["description"]) <= DESCRIPTION and utf16(footer) <= FOOTER
    return short and sum(map(utf16, counted)) <= ALL
