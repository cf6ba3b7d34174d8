"""Mattermost: one message attachment with a coloured bar, fields, and the cover by its address.

By an incoming webhook, or by a bot in one channel. Texts and fields of an attachment are Markdown and can
mention people, so foreign values are escaped and every `@` is separated from the word after it. Sources:
developers.mattermost.com, "Use message attachments"; the size of a post's properties, which hold the
attachment: 8000 characters on older servers, 800,000 today (`PostPropsMaxRunes`); the server's own error ids.
The card sets neither `username` nor `channel`, which come from the channel's URL. An alert is always one post.
"""

import re
from collections.abc import Mapping
from typing import Any

from daemon.notify.message import Field, Message
from daemon.notify.message.escape import markdown
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import Exchange, Hold, Retry, Verdict, answer_of, by_key, refused, said
from daemon.notify.services.base import Carded, Given, Markup, Picture, Service, Tested, written
from daemon.notify.services.cards import (
    COLOURS,
    cut,
    in_markdown,
    json_characters,
    limited,
    paragraphs,
    picture,
    row_in_markdown,
)

SIZE = 7600
"""Characters of the attachment as JSON."""
_SHORT = 40


def card(message: Message) -> Mapping[str, Any]:
    """`attachments` of a post, for the webhook's body or a bot's `props`."""
    return fitted(
        message, lambda parts: _payload(message, parts), lambda payload: json_characters(payload) <= SIZE
    )


def _payload(message: Message, parts: Parts) -> dict[str, Any]:
    parts = limited(parts, most_link=SIZE // 2)
    text = paragraphs(
        [markdown(parts.headline)],
        [in_markdown(link, parts) for link in parts.links],
        [f"- {row_in_markdown(row, parts)}" for row in parts.rows],
        [markdown(note) for note in (*parts.notes, *parts.missing)],
    )
    attachment: dict[str, Any] = {
        "color": COLOURS[message.severity],
        "fallback": cut(parts.title, 200, escape=markdown) or message.event,
        "title": markdown(parts.title) or message.event,
        "text": text,
        "fields": [_field(field) for field in parts.fields],
    }
    image = picture(message)
    if image is not None:
        attachment["image_url"] = image
    return {"attachments": [attachment]}


def _field(field: Field) -> dict[str, Any]:
    short = len(field.value) <= _SHORT
    return {"short": short, "title": markdown(field.name), "value": markdown(field.value)}


class Mattermost(Carded):
    """An incoming webhook, or a bot in one channel."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Post the card, or the text if there is none."""
        if self.card is None:
            return self.send_plain(*args, **kwargs)
        port = "" if self.port is None else f":{self.port}"
        base = f"{self.schema}://{self.host}{port}{self.fullpath.rstrip('/')}"
        kind, name = self.targets[0] if self.targets else (None, None)
        from apprise.plugins.mattermost import MattermostMode  # noqa: PLC0415 - cards need no Apprise

        if self.mode == MattermostMode.BOT:
            return self._post_as_bot(base, kind, name)
        payload: dict[str, Any] = {"username": self.user or self.app_id, **self.card}
        payload |= {key: value for key, value in (("channel", name), ("icon_url", self.icon_url)) if value}
        return self.post(f"{base}/hooks/{self.token}", payload)

    def _post_as_bot(self, base: str, kind: str | None, name: str | None) -> bool:
        channel = self._channel_lookup(name) if kind == "#" and name else name
        if not channel:
            return False
        payload = {"channel_id": channel, "message": "", "props": self.card}
        return self.post(f"{base}/api/v4/posts", payload, headers={"Authorization": f"Bearer {self.token}"})


_BY_KEY = by_key(
    "id",  # of a bot's post
    word="ok",
    name="id",
    hold=frozenset(
        {
            *(
                f"web.incoming_webhook.{fault}.app_error"
                for fault in ("channel", "channel_locked", "disabled", "invalid", "permissions", "user")
            ),
            "api.post.create_post.can_not_post_to_deleted.error",
            "api.post.create_post.town_square_read_only",
            "api.context.permissions.app_error",
            "api.context.session_expired.app_error",
        }
    ),
)


def _rule(last: Exchange) -> Verdict | None:
    """If the channel lookup fails, the status tells whether the channel is gone or the server's database is
    down."""
    fault = (answer_of(last.body) or {}).get("id")
    if last.status == 500 and fault == _CHANNEL_LOOKUP:
        return Retry(reason=refused(last, said(last.body)), status=last.status)
    if last.status == 501:
        return Hold(reason=refused(last, said(last.body)), status=last.status)
    return _BY_KEY(last)


_CHANNEL_LOOKUP = "web.incoming_webhook.channel.app_error"


def _pasted(host: str, path: str, given: Given) -> str | None:
    hook = re.fullmatch(r"((?:/[\w-]+)*)/hooks/([a-z0-9]{26})", path, re.ASCII)
    return None if hook is None else written(f"mmosts://{host}{hook[1]}/{hook[2]}", given)


SERVICE = Service(
    examples={"mmost": ("Mattermost, incoming webhook", "mmosts://chat.example.com/TOKEN")},
    schemes=("mmost", "mmosts"),
    theirs="mattermost:NotifyMattermost",
    ours=Mattermost,
    pasted=_pasted,
    markup=Markup.MARKDOWN,
    escape=markdown,
    limit=4000,
    card=card,
    picture=Picture.URL,
    shows="coloured bar, title, links, fields, the cover",
    rule=_rule,
    tested=Tested.CONFORMANCE,
)
