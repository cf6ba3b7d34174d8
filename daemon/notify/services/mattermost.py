"""Mattermost: one message attachment with a coloured bar, fields, and the cover by its address.

Texts and fields of an attachment are Markdown and can call people, so foreign values are escaped and no `@` stands
beside a word. Limits: developers.mattermost.com, "Use message attachments"; an attachment is kept in a post's
properties, of which servers took 8000 characters once and take 800,000 today (`PostPropsMaxRunes`). Must never set
`username` or `channel`: the channel's URL says them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.notify.message.model import Field, Message, Row
from daemon.notify.services.common import COLOURS, cut, in_markdown, json_characters, limited, picture, usable
from daemon.notify.text.escape import markdown
from daemon.notify.text.shrink import Parts, fitted

if TYPE_CHECKING:
    from daemon.notify.services.registry import Form

SIZE = 7600
"""Characters of the attachment as JSON."""
_SHORT = 40


def card(message: Message, form: "Form") -> Mapping[str, Any]:
    """`attachments` of a post, for the webhook's body or a bot's `props`."""
    del form  # an attachment has its own limits
    return fitted(
        message, lambda parts: _payload(message, parts), lambda payload: json_characters(payload) <= SIZE
    )


def _payload(message: Message, parts: Parts) -> dict[str, Any]:
    parts = limited(parts, most_link=SIZE // 2)
    paragraphs = [
        markdown(parts.headline),
        "\n".join(in_markdown(link, parts) for link in parts.links),
        "\n".join(_row(row, parts) for row in parts.rows),
        "\n".join(markdown(note) for note in (*parts.notes, *parts.missing)),
    ]
    attachment: dict[str, Any] = {
        "color": COLOURS[message.severity],
        "fallback": cut(parts.title, 200, escape=markdown) or message.event,
        "title": markdown(parts.title) or message.event,
        "text": "\n\n".join(part for part in paragraphs if part),
        "fields": [_field(field) for field in parts.fields],
    }
    image = picture(message)
    if image is not None:
        attachment["image_url"] = image
    return {"attachments": [attachment]}


def _row(row: Row, parts: Parts) -> str:
    link = f" {in_markdown(row.link, parts)}" if row.link is not None and usable(row.link.url) else ""
    return f"- {row.emoji} **{markdown(row.name or '?')}** {markdown(row.text)}{link}"


def _field(field: Field) -> dict[str, Any]:
    short = len(field.value) <= _SHORT
    return {"short": short, "title": markdown(field.name), "value": markdown(field.value)}
