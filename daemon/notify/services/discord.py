"""Discord: one embed with a coloured bar, and the cover as its image.

The picture goes in the same request ("attachment://…"): a link to it would die, and Discord fetches such links
late. `allowed_mentions` is empty, so that nothing in the text calls anybody but whom the channel's URL names;
embeds call nobody anyway. With `wait=true` in the query Discord answers with the message that it made; without it,
it says nothing. Sources: docs.discord.com, "Message", Embed Limits (title 256, description 4096, 25 fields of 256
and 1024, footer 2048, 6000 characters in all) and "Webhooks"; discord/discord-api-docs#367 (30 messages a minute
for the webhooks of a channel). Must never leave a foreign value unescaped, since Discord reads Markdown in all
texts, and never send twice: how long to wait after "too many requests" is for the channel's lane to keep.
"""

import re
from collections.abc import Mapping
from typing import Any

from daemon.notify.message import Cover, Field, Message, Row
from daemon.notify.message.escape import chat, markdown
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import RATE_WAIT, by_key
from daemon.notify.services.base import (
    MINUTE,
    Carded,
    Given,
    Limit,
    Markup,
    Picture,
    Service,
    Tested,
    encoded,
    written,
)
from daemon.notify.services.cards import COLOURS, cut, in_markdown, limited, usable, utf16

TITLE, DESCRIPTION, FIELDS, NAME, VALUE, FOOTER, ALL = 256, 4096, 25, 256, 1024, 2048, 6000
NO_MENTIONS: Mapping[str, Any] = {"parse": []}
_NOTHING = "-"
"""For a name or a value of nothing that can be shown: Discord refuses an empty one."""
_SHORT = 40
"""Characters of a field that can stand beside another."""


def card(message: Message) -> Mapping[str, Any]:
    """The body of a webhook's message, but for the name and the thread."""
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


_REPLACED = frozenset({"content", "embeds", "allow_mentions"})
_APPRISES = frozenset({"allow_mentions", "wait"})
"""Fields that Discord does not know, or not in a body."""


class Discord(Carded):
    """A webhook of a channel or thread."""

    def _send(  # the picture is ours, and nothing is tried again here
        self, payload: dict[str, Any], *_args: Any, params: dict[str, str] | None = None, **_kwargs: Any
    ) -> bool:
        """Post in place of Apprise's own, which trusts what a header says about time."""
        pings = self.ping_payload(" ".join(self.ping)) if self.ping else {}
        wanted = pings.get("allow_mentions", NO_MENTIONS)
        rich = self.card is not None and not self.template
        if rich and self.card is not None:
            kept = {name: value for name, value in payload.items() if name not in _REPLACED}
            payload = {**kept, **self.card}
            if pings:
                payload["content"] = pings["content"]
        payload = {name: value for name, value in payload.items() if name not in _APPRISES}
        payload["allowed_mentions"] = dict(wanted)
        address = f"{self.notify_url}/{self.webhook_id}/{self.webhook_token}"
        query = {**(params or {}), "wait": "true"}
        if not rich or self.cover is None:
            return self.post(address, payload, params=query)
        name = picture_name(self.cover)
        picture = {"files[0]": (name, self.cover.data, self.cover.content_type)}
        return self.post(address, params=query, data={"payload_json": encoded(payload)}, files=picture)


_RULE = by_key(
    "id",
    rate=dict.fromkeys((20016, 20028, 20029, 40062, 130000), RATE_WAIT),
    hold=frozenset(
        {
            *(10003, 10004, 10015, 40001, 40002),  # channel, server or webhook is gone; account
            *(50001, 50008, 50013, 50024, 50027),  # access, sort of channel, rights, token
            *(50083, 160005),  # the thread is archived, or locked
            *(220001, 220002, 220003, 220004, 40067),  # a forum wants a thread, or a tag; no forum takes one
        }
    ),
    links=frozenset({200000, 240000}),  # kept back by the server's rules, or for a harmful link
)


def _pasted(host: str, path: str, given: Given) -> str | None:
    hook = re.fullmatch(r"/api(?:/v\d+)?/webhooks/(\d+)/([\w-]+)", path, re.ASCII)
    if hook is None or re.fullmatch(r"(?:(?:ptb|canary)\.)?discord(?:app)?\.com", host) is None:
        return None
    thread = {"thread": given["thread_id"].value} if "thread_id" in given else {}
    return written(f"discord://{hook[1]}/{hook[2]}", given, ("thread_id", "wait"), **thread)


SERVICE = Service(
    examples={"discord": ("Discord, webhook", "discord://WEBHOOK_ID/WEBHOOK_TOKEN")},
    schemes=("discord",),
    theirs="discord:NotifyDiscord",
    ours=Discord,
    pasted=_pasted,
    markup=Markup.MARKDOWN,
    escape=markdown,
    limit=2000,
    card=card,
    picture=Picture.UPLOAD,
    shows="coloured bar, title, links, fields, the cover",
    limits=(Limit(30, MINUTE),),
    rule=_RULE,
    tested=Tested.CONFORMANCE,
)
