"""DingTalk group robots.

    dingtalk://SECRET@TOKEN          dingtalk://TOKEN/13800138000 mentions the owner of that number each time

The card is an `actionCard` with a button for each link, or `markdown` if there is no link for a button.
Sources: open.dingtalk.com, "Custom robot access" (address, signature), "Message types of custom robots" (title,
text, btns with title and actionURL; pictures by address; a body of at most 20,000 bytes), "Custom robots: error
codes" (20 messages a minute, else nothing for 10 minutes). Lines end in two spaces, as in Markdown. Logs
nothing.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from daemon.notify.message import Link, Message
from daemon.notify.message.escape import chat, is_link, look_alike, no_tags
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import Exchange, Verdict, answer_of, by_code, number, refused, said, too_fast
from daemon.notify.services.base import MINUTE, Given, Limit, Own, Picture, Service, Tested, Unit, base_of, written
from daemon.notify.services.cards import (
    COLOURS,
    anchor,
    field_line,
    filled,
    json_size,
    link_line,
    note_line,
    picture,
    remarks,
    row_line,
)

LIMIT = 19_000
"""Bytes of the body; the service accepts 20,000."""
_BUTTON_URL = 1000
"""Characters of a button's URL; a longer one becomes a link in the text."""
_MOST_BUTTONS = 5
_LINE = "  \n"
_PARAGRAPH = "\n\n"


def card(message: Message) -> Mapping[str, Any]:
    """The payload of a message. The plugin adds whom to mention, if the operator named anyone."""
    return fitted(message, lambda parts: _payload(parts, message), lambda payload: json_size(payload) <= LIMIT)


def without_buttons(payload: Mapping[str, Any], *, last: str) -> dict[str, Any]:
    """The same as `markdown`, which can mention people: buttons become links, and `last` is appended."""
    if payload["msgtype"] == "markdown":
        title, text, links = payload["markdown"]["title"], payload["markdown"]["text"], ""
    else:
        body = payload["actionCard"]
        title, text = body["title"], body["text"]
        links = _LINE.join(anchor(button["title"], button["actionURL"]) for button in body["btns"])
    text = filled([text, links, last], _PARAGRAPH)
    return {"msgtype": "markdown", "markdown": {"title": title, "text": text}}


def _payload(parts: Parts, message: Message) -> dict[str, Any]:
    as_buttons = [link for link in parts.links if is_link(link.url) and len(link.url) <= _BUTTON_URL]
    as_buttons = as_buttons[:_MOST_BUTTONS]
    text = _text(parts, message, as_buttons)
    title = no_tags(parts.title)
    if not as_buttons:
        return {"msgtype": "markdown", "markdown": {"title": title, "text": text}}
    buttons = [{"title": chat(link.name), "actionURL": link.url} for link in as_buttons]
    return {
        "msgtype": "actionCard",
        "actionCard": {
            "title": title,
            "text": text,
            "btnOrientation": "1" if len(buttons) == 2 else "0",
            "btns": buttons,
        },
    }


def _text(parts: Parts, message: Message, as_buttons: list[Link]) -> str:
    cover = picture(message)
    inline = [link for link in parts.links if link not in as_buttons]
    notes = (*(note_line(link, parts) for link in as_buttons), *remarks(parts))
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


def signature(timestamp: str, secret: str) -> str:
    """The signature of a request, before URL encoding. `timestamp` is in milliseconds since 1970, at most an
    hour off."""
    text = f"{timestamp}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


class DingTalk(Own):
    """A DingTalk group robot."""

    service_name = "DingTalk"
    secure_protocol = "dingtalk"
    body_maxlen = 19985

    def __init__(self, *, token: str, secret: str, phones: list[str], base: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address = f"{base}/robot/send"
        self.token = self.part(token, r"[A-Za-z0-9]+")
        self.secret = secret
        self.phones = phones

    def send(self, body: str, title: str = "", notify_type: object = None, **_kwargs: Any) -> bool:
        """Post the card, or the text if there is none."""
        text = f"{title}\n{body}" if title else body
        payload = dict(self.card or {"msgtype": "text", "text": {"content": text}})
        if self.phones:
            if self.card is not None:
                payload = without_buttons(payload, last=" ".join(f"@{phone}" for phone in self.phones))
            payload["at"] = {"atMobiles": self.phones, "isAtAll": False}
        params = {"access_token": self.token}
        if self.secret:
            timestamp = str(int(self.clock.now().timestamp() * 1000))
            params |= {"timestamp": timestamp, "sign": signature(timestamp, self.secret)}
        return self.post(self.address, payload, params=params)

    @property
    def url_identifier(self) -> tuple[str, ...]:
        return (self.address, self.token)

    @classmethod
    def read(cls, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """The token, the signing secret, the numbers to mention, and the service's base address."""
        options = parsed["qsd"]
        named = [*unquote(parsed["fullpath"] or "").split("/"), *re.split(r"[,\s]+", options.get("to", ""))]
        return {
            "token": options.get("token") or unquote(parsed["host"]),
            "secret": options.get("secret") or unquote(parsed.get("user") or ""),
            "phones": [phone for text in named if (phone := re.sub(r"\D", "", text))],
            "base": base_of(_HOST, options),
        }


_SHUT_OUT = 600.0
"""Seconds for which DingTalk refuses a robot that was too fast."""
_TENANT_SHUT_OUT = 300.0
"""Seconds for which DingTalk refuses an address or an organisation that was too fast."""
_RATES = {130101: _SHUT_OUT, 410100: _SHUT_OUT, 90018: _TENANT_SHUT_OUT, 90030: _TENANT_SHUT_OUT}
_BY_CODE = by_code(
    ("errcode",),
    rate=_RATES,
    hold=frozenset(
        {
            *(300001, 300005, 400101),  # no such token
            310000,  # keyword, signature, clock or IP
            *(400013, 400102, 400106),  # group deleted, robot disabled, robot deleted
        }
    ),
    links=frozenset({430101, 430102, 430103, 430104}),  # unsafe link; unsuitable text, picture or content
)


def _rule(last: Exchange) -> Verdict | None:
    """DingTalk's gateway has its own answers: a block by its guard, and code 88, which wraps another code."""
    answer = answer_of(last.body) or {}
    if answer.get("punish") == "deny" or number(answer.get("status")) == _GUARD:
        return too_fast(last, refused(last, "shut out for a while"), _TENANT_SHUT_OUT)
    wrapped = re.search(r"sub_?code\W{0,4}(\d+)", f"subcode={answer.get('sub_code')} {said(last.body)}")
    code = int(wrapped[1][:9]) if wrapped is not None else 0
    if number(answer.get("errcode")) == _WRAPPED and code in _RATES:
        reason = f"HTTP {last.status}, code {_WRAPPED}/{code}: {said(last.body)}"
        return too_fast(last, reason, _RATES[code])
    return _BY_CODE(last)


_GUARD, _WRAPPED = 1111, 88


_HOST = "oapi.dingtalk.com"


def _pasted(host: str, path: str, given: Given) -> str | None:
    known = host == _HOST or re.fullmatch(r"[a-z0-9.-]+\.dingtalk\.(?:io|com)", host)
    token = given.get("access_token")
    if not known or path != "/robot/send" or token is None:
        return None
    elsewhere = {} if host == _HOST else {"host": host}
    return written(f"dingtalk://{token.raw}", given, ("access_token",), **elsewhere)


SERVICE = Service(
    examples={"dingtalk": ("DingTalk, group robot", "dingtalk://SECRET@TOKEN")},
    schemes=("dingtalk",),
    theirs="base:NotifyBase",
    ours=DingTalk,
    options=("host", "insecure"),
    hosts={"dingtalk": _HOST},
    pasted=_pasted,
    escape=chat,
    limit=18000,
    unit=Unit.UTF8_BYTES,
    card=card,
    picture=Picture.URL,
    shows="coloured title, cover, fields, buttons",
    limits=(Limit(20, MINUTE),),
    rule=_rule,
    tested=Tested.CONFORMANCE,
)
