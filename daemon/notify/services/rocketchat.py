"""Rocket.Chat: one attachment with a coloured bar, fields, and the cover by its address; by webhook or login.

Texts of an attachment are Markdown without reliable escapes and can mention people, so foreign values get
look-alikes and every `@` is separated from the word after it. Sources: docs.rocket.chat, "Incoming webhook" and
"Post message" (`attachments`: `color`, `title`, `text`, `fields`, `image_url`); the server's
`Message_MaxAllowedSize`, 5000 characters unless an administrator changed it; its `processWebhookMessage` for
the words of refusals, which are in the body, where Apprise does not look. The card sets neither `channel` nor
`alias`: both come from the channel's URL.
"""

import re
from collections.abc import Mapping
from typing import Any

from daemon.notify.message import Field, Message
from daemon.notify.message.escape import html_chat, look_alike
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import Exchange, Verdict, answer_of, by_flag, is_success, sent
from daemon.notify.services.base import Carded, Given, Markup, Picture, Service, Tested, written
from daemon.notify.services.cards import (
    COLOURS,
    json_characters,
    limited,
    link_line,
    paragraphs,
    picture,
    remarks,
    row_line,
)

SIZE = 4900
"""Characters of the attachment as JSON: below the limit of a message, however much of it the server counts."""
_SHORT = 40


def card(message: Message) -> Mapping[str, Any]:
    """`attachments` of a message."""
    return fitted(
        message, lambda parts: _payload(message, parts), lambda payload: json_characters(payload) <= SIZE
    )


def _payload(message: Message, parts: Parts) -> dict[str, Any]:
    parts = limited(parts, most_link=SIZE // 3)
    text = paragraphs(
        [look_alike(parts.headline)],
        [link_line(link, parts) for link in parts.links],
        [row_line(row, parts) for row in parts.rows],
        remarks(parts),
    )
    attachment: dict[str, Any] = {
        "color": COLOURS[message.severity],
        "title": look_alike(parts.title) or message.event,
        "text": text,
        "fields": [_field(field) for field in parts.fields],
    }
    image = picture(message, most=SIZE // 4)
    if image is not None:
        attachment["image_url"] = image
    return {"attachments": [attachment]}


def _field(field: Field) -> dict[str, Any]:
    short = len(field.value) <= _SHORT
    return {"short": short, "title": look_alike(field.name), "value": look_alike(field.value) or "-"}


class RocketChat(Carded):
    """A webhook, or a user in one room: both take the same message."""

    def _payload(self, *args: Any, **kwargs: Any) -> Any:
        """The card instead of Apprise's text. Apprise calls this for each message."""
        theirs: Any = super()
        payload = theirs._payload(*args, **kwargs)
        if self.card is not None:
            del payload["text"]
            payload |= self.card
        return payload


_BY_FLAG = by_flag(
    "success",
    rate=frozenset({"error-too-many-requests"}),
    hold=re.compile(
        r"(?i)(?:invalid|no-such)-(?:room|channel|user)|invalid integration (?:id|token)|room-not-found"
        r"|not-allowed|not-authorized|unauthorized|archived|read-?only|does not match any (?:group|channel|room)"
        r"|not-in-room|muted"
    ),
)


def _rule(last: Exchange) -> Verdict | None:
    """Logins and logouts are answered with another word than messages."""
    done = is_success(last.status) and (answer_of(last.body) or {}).get("status") == "success"
    return sent(last) if done else _BY_FLAG(last)


def _pasted(host: str, path: str, given: Given) -> str | None:
    hook = re.fullmatch(r"/hooks/([A-Za-z0-9]{17,24})/([A-Za-z0-9]{24,64})", path)
    return None if hook is None else written(f"rockets://{hook[1]}/{hook[2]}@{host}", given)


SERVICE = Service(
    examples={"rocket": ("Rocket.Chat", "rockets://user:password@chat.example.com/#channel")},
    schemes=("rocket", "rockets"),
    theirs="rocketchat:NotifyRocketChat",
    ours=RocketChat,
    pasted=_pasted,
    markup=Markup.HTML,
    escape=html_chat,
    limit=1000,
    card=card,
    picture=Picture.URL,
    shows="coloured bar, title, links, fields, the cover",
    rule=_rule,
    tested=Tested.CONFORMANCE,
)
