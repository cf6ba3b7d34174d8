"""Group bots of Feishu, and of Lark, its international version.

    feishu://TOKEN?secret=SECRET          the secret if the bot requires signatures

The card is `{"msg_type": "interactive", "card": …}` in the structure of cards "JSON 1.0", which every client
shows. A picture needs an image_key, which only an app with credentials can create, not a group bot, so the
cover is a button. Sources: open.feishu.cn, "Custom bot usage guide" (address, signature, codes; a request of at
most 20 KB; 100 messages a minute and 5 a second) and the pages of card components: header templates, `div`,
`action` with buttons, `note`. Logs nothing.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from daemon.notify.message import Link, Message, Severity
from daemon.notify.message.escape import is_link, look_alike, no_tags
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import RATE_WAIT, by_code
from daemon.notify.services.base import MINUTE, SECOND, Given, Limit, Own, Service, Tested, Unit, base_of, written
from daemon.notify.services.cards import bare, filled, json_size, row_line

LIMIT = 19_000
"""Bytes of the card; the service accepts 20 KB including timestamp and signature."""
_ROWS_IN_A_BLOCK = 20
_COLOURS = {
    Severity.GOOD: "green",
    Severity.BAD: "red",
    Severity.WARNING: "orange",
    Severity.INFO: "blue",
}


def card(message: Message) -> Mapping[str, Any]:
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
    """In small grey type: how long the buttons work, what was left out, other remarks."""
    validity = [parts.pair(link.name, link.note) for link in opened if link.note]
    text = filled([no_tags(line) for line in (*validity, *parts.missing, *parts.notes)], "\n")
    return {"tag": "note", "elements": [_plain(text)]} if text else None


def _shown(link: Link, parts: Parts) -> str:
    """A link that no button could open, as it was received."""
    return f"{no_tags(link.name + parts.aside(link.note))}{parts.words.colon.strip()}\n{bare(link.url)}"


def _plain(text: str) -> dict[str, Any]:
    return {"tag": "plain_text", "content": text}


def _text(text: str) -> dict[str, Any] | None:
    return {"tag": "div", "text": _plain(text)} if text else None


def signature(timestamp: str, secret: str) -> str:
    """The signature of a request. `timestamp` is in seconds since 1970, at most an hour old. The string to sign
    is used as the key, over an empty message.

    >>> signature("1599360473", "demo")
    'l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8='
    """
    return base64.b64encode(hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


class Feishu(Own):
    """A group bot of Feishu or Lark."""

    service_name = "Feishu"
    secure_protocol = ("feishu", "lark")
    body_maxlen = 19985

    def __init__(self, *, token: str, secret: str, base: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address = f"{base}/open-apis/bot/v2/hook/{self.part(token, r'[A-Za-z0-9_-]+')}"
        self.secret = secret

    def send(self, body: str, title: str = "", notify_type: object = None, **_kwargs: Any) -> bool:
        """Post the card, or the text if there is none."""
        text = f"{title}\n{body}" if title else body
        payload = dict(self.card or {"msg_type": "text", "content": {"text": text}})
        if self.secret:
            timestamp = str(int(self.clock.now().timestamp()))
            payload = {"timestamp": timestamp, "sign": signature(timestamp, self.secret), **payload}
        return self.post(self.address, payload)

    @property
    def url_identifier(self) -> tuple[str, ...]:
        return (self.address,)

    @classmethod
    def read(cls, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """The token, the signing secret, and the service's base address."""
        options = parsed["qsd"]
        return {
            "token": options.get("token") or unquote(parsed["host"]),
            "secret": options.get("secret", ""),
            "base": base_of(_HOSTS[parsed["schema"]], options),
        }


_RULE = by_code(
    ("code", "StatusCode"),
    rate={11232: RATE_WAIT, 99991400: RATE_WAIT},
    hold=frozenset({19001, 19021, 19022, 19024}),  # token, signature or clock, IP not allowed, keyword
    rate_words=("too many request", "frequency limit"),  # sent with 9499, which also means "bad request"
)

_HOSTS = {"feishu": "open.feishu.cn", "lark": "open.larksuite.com"}
_SHOWN = {"open.feishu.cn": "feishu", "open.larksuite.com": "lark", "open.larkoffice.com": "lark"}


def _pasted(host: str, path: str, given: Given) -> str | None:
    scheme, hook = _SHOWN.get(host), re.fullmatch(r"/open-apis/bot/v2/hook/([\w-]+)", path, re.ASCII)
    if scheme is None or hook is None:
        return None
    return written(f"{scheme}://{hook[1]}", given, (), **({} if host == _HOSTS[scheme] else {"host": host}))


_OLD_BOT = re.compile(r"https://open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/hook/", re.IGNORECASE)
_ENDED = "is the address of an old bot, which takes other messages; add a new custom bot and paste its address"

SERVICE = Service(
    examples={
        "feishu": ("Feishu, group bot", "feishu://TOKEN?secret=SECRET"),
        "lark": ("Lark, group bot", "lark://TOKEN?secret=SECRET"),
    },
    schemes=("feishu", "lark"),
    theirs="base:NotifyBase",
    ours=Feishu,
    options=("host", "insecure"),
    hosts=_HOSTS,
    pasted=_pasted,
    ended={_OLD_BOT: _ENDED},
    escape=no_tags,
    limit=18000,
    unit=Unit.UTF8_BYTES,
    card=card,
    shows="coloured title, fields, buttons; the cover as a button",
    limits=(Limit(100, MINUTE), Limit(5, SECOND)),
    rule=_RULE,
    tested=Tested.CONFORMANCE,
)
