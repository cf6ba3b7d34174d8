"""ntfy: title, text, tag, click target, up to three buttons, and the cover by its address.

What the channel's URL says (click, actions, attach, tags, and also topic and priority) takes precedence over
the card. Sources: docs.ntfy.sh/publish (a message of 4096 bytes, longer ones become a file; 3 actions; ntfy.sh
lets a visitor send 60 messages at once, then one in 5 s) and the server's source (a JSON request of twice the
message's limit; its error codes). The card stays below the size from which a server turns a text into a file.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from daemon.notify.message import Link, Message, Row
from daemon.notify.message.escape import chat
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import RATE_WAIT, by_key
from daemon.notify.services.base import DAY, MINUTE, Carded, Limit, Picture, Service, Tested, Unit
from daemon.notify.services.cards import cut, json_size, limited, paragraphs, picture, shown_url, usable, utf8

MESSAGE = 4096
SIZE = 7900
"""Bytes of the request: the server accepts 8192, including the topic."""
TITLE = 250
ACTIONS = 3


def card(message: Message) -> Mapping[str, Any]:
    """The body of a request to the server's root, without the topic."""

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
    return paragraphs(
        [chat(parts.headline)],
        [_row(row) for row in parts.rows],
        [chat(parts.pair(field.name, field.value)) for field in parts.fields],
        [_link(link, parts, button=link in buttons) for link in parts.links],
        [chat(note) for note in (*parts.notes, *parts.missing)],
    )


def _link(link: Link, parts: Parts, *, button: bool) -> str:
    """How long a button's link works, or a link that is not a button."""
    if button:
        return chat(parts.pair(link.name, link.note)) if link.note else ""
    note = chat(parts.aside(link.note))
    return f"{chat(link.name)}{note}{parts.words.colon}{shown_url(link.url)}"


def _row(row: Row) -> str:
    link = f" {row.link.url}" if row.link is not None and usable(row.link.url) else ""
    return f"{row.emoji} {chat(row.name or '?')} {chat(row.text)}{link}"


class Ntfy(Carded):
    """One topic."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Post the card, or the text if there is none."""
        if self.card is None or not self.topics:
            return self.send_plain(*args, **kwargs)
        payload = {"topic": self.topics[0], **self.card}
        headers = self._headers()
        if "X-Actions" in headers:
            del payload["actions"]
        if own := self._own("tags"):
            payload["tags"] = [*own, *payload["tags"]]
        payload |= {"click": self.click} if self.click is not None else {}
        if self.attach:
            payload |= {"attach": self.attach, **({"filename": self.filename} if self.filename else {})}
        return self.post(self._base(), payload, headers=headers)

    def _own(self, name: str) -> Any:
        """A value from the channel's URL, which Apprise keeps in a private attribute."""
        return getattr(self, f"_NotifyNtfy__{name}")

    def _base(self) -> str:
        if self.mode == "cloud":
            return str(self.cloud_notify_url)
        port = f":{self.port}" if isinstance(self.port, int) else ""
        return f"{'https' if self.secure else 'http'}://{self.host}{port}"

    def _headers(self) -> dict[str, str]:
        found = {
            "X-Icon": self.avatar_url if self.include_image else None,
            "X-Priority": self.priority if self.priority != _NORMAL else None,
            "X-Delay": self.delay,
            "X-Email": self.email,
            "X-Actions": self._own("actions"),
            "Authorization": self.authorization(),
        }
        return {name: str(value) for name, value in found.items() if value}

    def authorization(self) -> str | None:
        """The Authorization header; None for an anonymous visitor."""
        if self.mode == "cloud":
            return None
        if self.auth == "token":
            return f"Bearer {self.token}"
        if not self.user:
            return None
        pair = f"{self.user}:{self.password or ''}".encode()
        return f"Basic {b64encode(pair).decode()}"


_DAY_WAIT = 3600.0
"""Seconds between two attempts while a day's limit is used up."""
_RULE = by_key(
    "id",
    rate={42901: RATE_WAIT, 42908: _DAY_WAIT},  # too fast; the day's quota is used up
    hold=frozenset({40009, 40010}),  # not a valid topic
)
_NORMAL = "default"
"""Apprise's name for the priority that needs no header."""


_PUBLIC = "ntfy.sh"


def _visited(plugin: Any) -> str:
    """The server: it counts visitors, and all channels of this machine are the same one."""
    return _PUBLIC if plugin.mode == "cloud" else str(plugin.host).lower()


def _public(plugin: Any) -> str | None:
    """The public server, for an anonymous visitor: only then is there also a limit for each day."""
    return _PUBLIC if _visited(plugin) == _PUBLIC and plugin.authorization() is None else None


SERVICE = Service(
    examples={"ntfy": ("ntfy", "ntfys://ntfy.example.com/topic")},
    schemes=("ntfy", "ntfys"),
    theirs="ntfy:NotifyNtfy",
    ours=Ntfy,
    escape=chat,
    limit=4096,
    unit=Unit.UTF8_BYTES,
    card=card,
    picture=Picture.URL,
    shows="title, tag, up to three buttons, the cover",
    limits=(Limit(12, MINUTE, _visited), Limit(250, DAY, _public)),
    rule=_RULE,
    tested=Tested.CONFORMANCE,
)
