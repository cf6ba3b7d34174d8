"""Loopback stand-ins for the chat services: each refuses what the real one refuses, and answers as it answers.

`with Stand(SERVICES["slack"]) as stand: stand.url("case-1")` gives an Apprise URL of the service whose token holds
the key `case-1`; `stand.program("case-1", Answer(status=429))` sets the next answers to that channel alone, and
`stand.of("case-1")` are the requests that came from it. Own plugins are pointed here by their `host=`; for all
others `pointed` lets connections to the services' own hosts come here, so that every byte on the wire is the one
that the service would get, the TLS handshake included.

The rules of success, the limits and the words of refusals are the services' own documents'; `complaints` keeps
what a real service would not have taken.
"""

import base64
import hashlib
import hmac
import json
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3.util.connection

from tests.support.webhook import Answer, Received, Webhook, ok_json

TLS = Path(__file__).parents[1] / "data/tls"
SECRET = "SECsigning0123456789secret"
"""What the stand-ins of Feishu, Lark and DingTalk want to see requests signed with."""

Check = Callable[[Received], Answer | None]
"""What the service refuses a request with; None where it takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A chat service. `form` is its Apprise URL with `{key}` and `{address}`; `host` the one that the stand-in
    takes the place of (None: the URL names the stand-in itself)."""

    name: str
    form: str
    accepts: Answer
    check: Check
    host: str | None = None


class Stand(Webhook):
    """The stand-in of a service; every channel to it has a key of its own."""

    def __init__(self, service: Service, *, default: Answer | None = None, port: int = 0) -> None:
        tls = server_tls() if service.host else None
        super().__init__(default=default or service.accepts, port=port, tls=tls)
        self.service = service
        self.complaints: list[str] = []
        self._programs: defaultdict[str, deque[Answer]] = defaultdict(deque)

    def url(self, path: str = "key", *, scheme: str = "") -> str:
        """The Apprise URL of the channel with the key `path`."""
        return self.service.form.format(key=_long(path), address=self.address)

    def program(self, key: str | Answer, *answers: Answer) -> None:
        """Answer the next requests of the channel `key` so, one each."""
        assert isinstance(key, str)
        self._programs[_long(key)].extend(answers)

    def forget(self) -> None:
        """Answer everybody as usual from now on."""
        self._programs.clear()

    def of(self, key: str) -> list[Received]:
        """The requests of the channel `key`."""
        return [each for each in list(self.requests) if _long(key) in _place(each)]

    def take(self, received: Received) -> Answer:
        with self._lock:
            self.requests.append(received)
            self._lock.notify_all()
            for key, answers in self._programs.items():
                if key in _place(received) and answers:
                    return answers.popleft()
        refusal = self.service.check(received)
        if refusal is None:
            return self.default
        self.complaints.append(f"{refusal.status} {refusal.body.decode()}")
        return refusal


def _place(received: Received) -> str:
    """Where a service finds whom a request is for: the path, or (ntfy) the topic."""
    if received.body.startswith(b"{"):
        topic = json.loads(received.body).get("topic", "")
        return f"{received.path} {topic}"
    return received.path


def _long(key: str) -> str:
    """A token that holds `key`, as long as the services' own and unlike any other."""
    return (key.replace("-", "") + hashlib.sha256(key.encode()).hexdigest())[:24]


def server_tls() -> ssl.SSLContext:
    """The certificate for all the services' hosts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "services.pem", TLS / "services.key")
    return context


@contextmanager
def pointed(stands: Iterable[Stand]) -> Iterator[None]:
    """Connections to the services' own hosts come to the stand-ins, and their certificates are trusted."""
    places = {stand.service.host: stand.port for stand in stands if stand.service.host}
    connect = urllib3.util.connection.create_connection

    def elsewhere(address: tuple[str, int], *arguments: Any, **more: Any) -> socket.socket:
        port = places.get(address[0])
        return connect(address if port is None else ("127.0.0.1", port), *arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib3.util.connection, "create_connection", elsewhere)
        patch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "services-ca.pem"))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        yield


# ------------------------------------------------------------------------------------------- what each refuses


def _json(received: Received) -> dict[str, Any] | None:
    """The body, where it is a JSON object in UTF-8 without lone surrogates."""
    try:
        found = json.loads(received.body.decode("utf-8"))
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, UnicodeError):
        return None
    return found if isinstance(found, dict) else None


def _query(received: Received) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(received.path).query).items()}


def _signature(key: str, text: str = "") -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _lark(received: Received) -> Answer | None:
    """open.feishu.cn, "Custom bot guide": at most 20 KB, the signature in the body, a known `msg_type`."""
    body = _json(received)
    if body is None or len(received.body) > 20 * 1024:
        return ok_json({"code": 9499, "msg": "Bad Request", "data": {}})
    stamp = str(body.get("timestamp", ""))
    if body.get("sign") != _signature(f"{stamp}\n{SECRET}"):
        return ok_json({"code": 19021, "msg": "sign match fail or timestamp is not within one hour", "data": {}})
    card, content = body.get("card"), body.get("content")
    if body.get("msg_type") == "interactive" and isinstance(card, dict):
        shown = card.get("elements") or card.get("body", {}).get("elements")
        return None if shown else ok_json({"code": 11246, "msg": "card has no elements", "data": {}})
    if body.get("msg_type") == "text" and isinstance(content, dict) and content.get("text"):
        return None
    return ok_json({"code": 9499, "msg": "Bad Request: msg_type", "data": {}})


def _dingtalk(received: Received) -> Answer | None:
    """open.dingtalk.com, "Custom robot access": timestamp and signature in the query, at most 20,000 bytes."""
    query, body = _query(received), _json(received)
    if query.get("sign") != _signature(SECRET, f"{query.get('timestamp')}\n{SECRET}"):
        return ok_json({"errcode": 310000, "errmsg": "sign not match"})
    if body is None or len(received.body) > 20_000:
        return ok_json({"errcode": 40035, "errmsg": "param error"})
    kind = str(body.get("msgtype"))
    part = body.get(kind, {})
    fine = {
        "text": lambda: part.get("content"),
        "markdown": lambda: part.get("title") and part.get("text"),
        "actionCard": lambda: (
            part.get("title") and part.get("text") and (part.get("singleURL") or part.get("btns"))
        ),
        "link": lambda: part.get("title") and part.get("messageUrl"),
    }
    return None if kind in fine and fine[kind]() else ok_json({"errcode": 40035, "errmsg": "param error"})


def _wecom(received: Received) -> Answer | None:
    """developer.work.weixin.qq.com, "Group robot": bytes of UTF-8, each kind of message its own limit."""
    body = _json(received)
    if body is None:
        return ok_json({"errcode": 47001, "errmsg": "data format error"})
    kind = str(body.get("msgtype"))
    part = body.get(kind, {})
    if kind == "text":
        fine = 0 < len(str(part.get("content", "")).encode()) <= 2048
    elif kind in {"markdown", "markdown_v2"}:
        fine = 0 < len(str(part.get("content", "")).encode()) <= 4096
    elif kind == "news":
        articles = part.get("articles", [])
        fine = 0 < len(articles) <= 8 and all(one.get("title") and one.get("url") for one in articles)
    else:
        fine = kind == "template_card" and bool(part.get("card_action"))
    return None if fine else ok_json({"errcode": 40058, "errmsg": "invalid Request Parameter"})


_SLACK_TEXT = {"header": 150, "section": 3000}


def _slack(received: Received) -> Answer | None:
    """docs.slack.dev, "Block Kit": the limits of blocks."""
    body = _json(received)
    if body is None:
        return Answer(status=400, body=b"invalid_payload")
    blocks = [*body.get("blocks", [])]
    for attachment in body.get("attachments", []):
        blocks += attachment.get("blocks", [])
    if not blocks and not body.get("text") and not body.get("attachments"):
        return Answer(status=400, body=b"no_text")
    fine = len(blocks) <= 50 and all(_is_block(block) for block in blocks)
    return None if fine else Answer(status=400, body=b"invalid_blocks")


def _is_block(block: Mapping[str, Any]) -> bool:
    kind = block.get("type")
    if kind == "image":
        return 0 < len(block["image_url"]) <= 3000 and 0 < len(block["alt_text"]) <= 2000
    if kind == "actions":
        buttons = block["elements"]
        return 0 < len(buttons) <= 25 and all(
            len(one["text"]["text"]) <= 75 and len(one.get("url", "")) <= 3000 for one in buttons
        )
    if kind == "context":
        return 0 < len(block["elements"]) <= 10
    if kind == "rich_text":
        pieces = [piece for part in block["elements"] for piece in _pieces(part)]
        return bool(pieces) and all(piece.get("text") or piece.get("url") for piece in pieces)
    fields = block.get("fields", [])
    texts = [block["text"]] if "text" in block else []
    return (
        (kind in _SLACK_TEXT or kind == "divider")
        and (bool(texts or fields) or kind == "divider")
        and all(0 < len(text["text"]) <= _SLACK_TEXT.get(str(kind), 3000) for text in texts)
        and len(fields) <= 10
        and all(0 < len(field["text"]) <= 2000 for field in fields)
    )


def _pieces(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The pieces of a section, or of all sections of a list."""
    if part["type"] == "rich_text_list":
        return [piece for section in part["elements"] for piece in section["elements"]]
    return list(part["elements"])


def _discord(received: Received) -> Answer | None:
    """docs.discord.com, "Embed limits"; an empty message is refused too, and what is told is known by `wait`."""
    if _query(received).get("wait") != "true":
        return Answer(status=204)
    refused = ok_json({"message": "Invalid Form Body", "code": 50035}, status=400)
    fields = form_fields(received)
    body = json.loads(fields["payload_json"]) if fields and "payload_json" in fields else fields
    if body is None:
        return ok_json({"message": "The request body contains invalid JSON.", "code": 50109}, status=400)
    embeds = body.get("embeds", [])
    if len(body.get("content") or "") > 2000 or len(embeds) > 10 or not (body.get("content") or embeds):
        return refused
    whole = 0
    for embed in embeds:
        fields = embed.get("fields", [])
        sizes = [len(embed.get("title", "")), len(embed.get("description", ""))]
        sizes += [len(embed.get("footer", {}).get("text", ""))]
        whole += sum(sizes) + sum(len(field["name"]) + len(field["value"]) for field in fields)
        fine = sizes[0] <= 256 and sizes[1] <= 4096 and sizes[2] <= 2048 and len(fields) <= 25
        if not fine or any(
            not (0 < len(field["name"]) <= 256 and 0 < len(field["value"]) <= 1024) for field in fields
        ):
            return refused
    return refused if whole > 6000 else None


class _TelegramText(HTMLParser):
    """Telegram's HTML: its own few tags, all closed; counts the text as the limits do."""

    TAGS = frozenset(
        "b strong i em u ins s strike del span tg-spoiler a code pre blockquote tg-emoji".split()  # noqa: SIM905
    )

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.size, self.fault, self._open = 0, "", list[str]()
        self.feed(text)
        self.close()
        if self._open:
            self.fault = f"can't find end tag corresponding to start tag {self._open[-1]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        if tag not in self.TAGS:
            self.fault = f"unsupported start tag {tag!r}"

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.fault = f"unexpected end tag {tag!r}"

    def handle_data(self, data: str) -> None:
        self.size += len(data.encode("utf-16-le")) // 2


def _telegram(received: Received) -> Answer | None:
    """core.telegram.org/bots/api: HTML that cannot be parsed and texts that are too long are refused."""
    fields = form_fields(received)
    if fields is None:
        return _telegram_refusal("can't parse the request")
    text, caption = str(fields.get("text", "")), str(fields.get("caption", ""))
    if not text and "photo" not in fields:
        return _telegram_refusal("message text is empty")
    for value, limit in ((text, 4096), (caption, 1024)):
        size, fault = len(value), ""
        if fields.get("parse_mode") == "HTML":
            read = _TelegramText(value)
            size, fault = read.size, read.fault
        if fault:
            return _telegram_refusal(f"can't parse entities: {fault}")
        if size > limit:
            return _telegram_refusal("message is too long")
    return None


def _telegram_refusal(why: str) -> Answer:
    return ok_json({"ok": False, "error_code": 400, "description": f"Bad Request: {why}"}, status=400)


def form_fields(received: Received) -> dict[str, Any] | None:
    """The fields of a request, in JSON, as a form, or in parts with files (whose values are bytes)."""
    kind = received.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        boundary = kind.partition("boundary=")[2].encode()
        return dict(_part(part) for part in received.body.split(b"--" + boundary)[1:-1])
    if kind.startswith("application/x-www-form-urlencoded"):
        return {name: values[0] for name, values in parse_qs(received.body.decode()).items()}
    return _json(received)


def _part(part: bytes) -> tuple[str, Any]:
    head, _, value = part.removesuffix(b"\r\n").partition(b"\r\n\r\n")
    name = head.partition(b'name="')[2].partition(b'"')[0].decode()
    return name, value if b"filename=" in head else value.decode()


def _teams(received: Received) -> Answer | None:
    """learn.microsoft.com, "Create incoming webhooks with Workflows": an adaptive card, at most 28 KB."""
    body = _json(received)
    if len(received.body) > 28 * 1024:
        return ok_json({"error": {"code": "RequestEntityTooLarge", "message": "too large"}}, status=413)
    attachments = (body or {}).get("attachments", [])
    fine = body is not None and body.get("type") == "message" and len(attachments) == 1
    card = attachments[0].get("content", {}) if fine else {}
    if card.get("type") == "AdaptiveCard" and card.get("version") and card.get("body"):
        return None
    return ok_json({"error": {"code": "InvalidRequestContent", "message": "no card"}}, status=400)


def _mattermost(received: Received) -> Answer | None:
    """developers.mattermost.com, "Incoming webhooks": a text or attachments, at most 16,383 characters."""
    body = _json(received)
    if body is not None and (body.get("text") or body.get("attachments")) and len(body.get("text", "")) <= 16383:
        return None
    return ok_json({"id": "web.incoming_webhook.text.app_error", "status_code": 400}, status=400)


def _ntfy(received: Received) -> Answer | None:
    """docs.ntfy.sh/publish: at most 4,096 bytes (more becomes a file), three actions, a topic."""
    body = _json(received)
    fine = body is not None and body.get("topic") and len(str(body.get("message", "")).encode()) <= 4096
    if fine and body is not None and len(body.get("actions", [])) <= 3:
        return None
    return ok_json({"code": 40024, "http": 400, "error": "invalid request: JSON body"}, status=400)


def _machine(received: Received) -> Answer | None:
    return None if _json(received) is not None else Answer(status=400, body=b"not JSON")


_VENDOR_OK = ok_json({"code": 0, "msg": "success", "data": {}})
_OWN = "?host={address}&insecure=yes"
SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        Service(name="feishu", form=f"feishu://{{key}}{_OWN}&secret={SECRET}", accepts=_VENDOR_OK, check=_lark),
        Service(name="lark", form=f"lark://{{key}}{_OWN}&secret={SECRET}", accepts=_VENDOR_OK, check=_lark),
        Service(
            name="dingtalk",
            form=f"dingtalk://{SECRET}@{{key}}/{_OWN}",
            accepts=ok_json({"errcode": 0, "errmsg": "ok"}),
            check=_dingtalk,
        ),
        Service(
            name="wecombot",
            form=f"wecombot://{{key}}{_OWN}",
            accepts=ok_json({"errcode": 0, "errmsg": "ok"}),
            check=_wecom,
        ),
        Service(
            name="slack",
            form="slack://T1JJ3T3L2/A1BRTD4JD/{key}",
            accepts=Answer(body=b"ok"),
            check=_slack,
            host="hooks.slack.com",
        ),
        Service(
            name="teams",
            form="workflows://prod-00.westus.logic.azure.com:443/{key}/SIGN1234signature",
            accepts=Answer(status=202),
            check=_teams,
            host="prod-00.westus.logic.azure.com",
        ),
        Service(
            name="discord",
            form="discord://417421629841831629/{key}",
            accepts=ok_json({"id": "1340245781234567890", "type": 0}),
            check=_discord,
            host="discord.com",
        ),
        Service(
            name="telegram",
            form="tgram://123456789:{key}/12315544",
            accepts=ok_json({"ok": True, "result": {"message_id": 1}}),
            check=_telegram,
            host="api.telegram.org",
        ),
        Service(
            name="mattermost",
            form="mmosts://chat.example.com/{key}",
            accepts=Answer(body=b"ok"),
            check=_mattermost,
            host="chat.example.com",
        ),
        Service(
            name="ntfy",
            form="ntfys://{key}",
            accepts=ok_json({"id": "hwQ2YpKdmg", "event": "message"}),
            check=_ntfy,
            host="ntfy.sh",
        ),
        Service(
            name="json",
            form="jsons://hooks.example.com/{key}",
            accepts=Answer(),
            check=_machine,
            host="hooks.example.com",
        ),
    )
}
"""All that speak HTTP; mail has a server of its own (tests/support/smtp_server.py)."""
