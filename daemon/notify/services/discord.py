"""Discord: one embed with a coloured bar and the cover as its image.

The picture is uploaded in the same request ("attachment://…"): a link to it would expire, and Discord fetches
links late. `allowed_mentions` is empty, so that the text mentions nobody except those named in the channel's
URL; embeds never mention anyone. With `wait=true` in the query Discord answers with the created message,
otherwise with nothing. Sources: docs.discord.com, "Message", Embed Limits (title 256, description 4096, 25
fields of 256 and 1024, footer 2048, 6000 characters in all) and "Webhooks"; discord/discord-api-docs#367 (30
messages a minute for the webhooks of a channel). Discord reads Markdown in all texts, so every foreign value is
escaped. A message is sent once: the channel's lane handles waits after "too many requests".
"""

import re
from collections.abc import Mapping
from typing import Any

from daemon.notify.message import Cover, Field, Message
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
from daemon.notify.services.cards import COLOURS, cut, in_markdown, limited, paragraphs, row_in_markdown, utf16

TITLE, DESCRIPTION, FIELDS, NAME, VALUE, FOOTER, ALL = 256, 4096, 25, 256, 1024, 2048, 6000
NO_MENTIONS: Mapping[str, Any] = {"parse": []}
_NOTHING = "-"
"""Replaces a name or value without visible characters: Discord refuses empty ones."""
_SHORT = 40
"""Characters of a field that fits next to another."""


def card(message: Message) -> Mapping[str, Any]:
    """The body of a webhook message, without the name and the thread."""
    return fitted(message, lambda parts: _payload(message, parts), _fits)


def picture_name(cover: Cover) -> str:
    """The file name under which the picture is uploaded."""
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
    return paragraphs(
        [markdown(parts.headline)],
        [in_markdown(link, parts) for link in parts.links],
        [row_in_markdown(row, parts) for row in parts.rows],
    )


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
"""Fields that Discord does not know, or does not take in a body."""


class Discord(Carded):
    """A webhook of a channel or thread."""

    def _send(
        self, payload: dict[str, Any], *_args: Any, params: dict[str, str] | None = None, **_kwargs: Any
    ) -> bool:
        """Post instead of Apprise's own method, which trusts a rate-limit header."""
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
            *(50001, 50008, 50013, 50024, 50027),  # access, type of channel, permissions, token
            *(50083, 160005),  # the thread is archived, or locked
            *(220001, 220002, 220003, 220004, 40067),  # a forum needs a thread or a tag; other channels take none
        }
    ),
    links=frozenset({200000, 240000}),  # blocked by the server's AutoMod rules, or for a harmful link
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
