"""Loopback stand-ins for the chat services, which refuse what the real ones refuse and answer as they do.

`with Stand(SERVICES["slack"]) as stand: stand.url("case-1")` gives an Apprise URL of the service whose token
contains the key `case-1`; `stand.program("case-1", Answer(status=429))` sets the next answers to that channel
alone, and `stand.of("case-1")` are the requests that came from it. Own plugins are directed here by their `host=`.
For all others `pointed` redirects connections to the services' own hosts, so that every byte on the wire is the
one that the service would get, including the TLS handshake.

The rules of success, the limits and the error texts come from the services' own documentation. `complaints` holds
the requests that a real service would not have accepted.
"""

import hashlib
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import urllib3.util.connection

from daemon.notify.services import BY_SCHEME, base
from tests.support import eyes, refusing
from tests.support.outcomes import Row, dead, held, retry, sent, unknown
from tests.support.refusing import SECRET
from tests.support.webhook import Answer, Received, Webhook, ok_json

TLS = Path(__file__).parents[1] / "data/tls"
Meaning: TypeAlias = tuple[dict[str, object] | Answer, Row]
"""The answer (a body with status 200, or a complete answer) and its expected outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A chat service. `form` is its Apprise URL with `{key}` and `{address}`; `host` is the one that the stand-in
    replaces (None: the URL names the stand-in itself). `accepts` is its success answer; it refuses what `check`
    rejects; `read` returns what people see of a request. `means` are its specific answers, in addition to those
    common to all services."""

    name: str
    form: str
    accepts: Answer
    check: refusing.Check
    read: eyes.Reader
    means: Mapping[str, Meaning]
    host: str | None = None

    @property
    def known(self) -> base.Service:
        """Its row in wrapd's own table."""
        return BY_SCHEME[self.form.partition("://")[0]]


class Stand(Webhook):
    """The stand-in of a service; every channel to it has its own key."""

    def __init__(self, service: Service, *, default: Answer | None = None, port: int = 0) -> None:
        tls = server_tls() if service.host else None
        super().__init__(default=default or service.accepts, port=port, tls=tls)
        self.service = service
        self.complaints: list[str] = []
        self._programs: defaultdict[str, deque[Answer]] = defaultdict(deque)

    def url(self, path: str = "key", *, scheme: str = "") -> str:
        """Return the Apprise URL of the channel with the key `path`."""
        return self.service.form.format(key=_long(path), address=self.address)

    def program(self, key: str | Answer, *answers: Answer) -> None:
        """Set the answers to the next requests of the channel `key`, one each."""
        assert isinstance(key, str)
        self._programs[_long(key)].extend(answers)

    def forget(self) -> None:
        """Answer all channels normally from now on."""
        self._programs.clear()

    def of(self, key: str) -> list[Received]:
        """Return the requests of the channel `key`."""
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
    """Where a service identifies the recipient of a request: in the path, or in a field of the body."""
    return f"{received.path} {received.body.decode('utf-8', 'replace')}"


def _long(key: str) -> str:
    """Return a unique token that contains `key` and is as long as the services' own."""
    return (key.replace("-", "") + hashlib.sha256(key.encode()).hexdigest())[:24]


def server_tls() -> ssl.SSLContext:
    """Return the certificate for all hosts of the services."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "services.pem", TLS / "services.key")
    return context


@contextmanager
def pointed(stands: Iterable[Stand]) -> Iterator[None]:
    """Redirect connections to the services' own hosts to the stand-ins, and trust their certificates."""
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


_NOT_ITS_ANSWER = unknown("HTTP 200: this does not look like the service's answer")


def _refusal(status: int, **body: object) -> Answer:
    return ok_json(body, status=status)


_LARK: Mapping[str, Meaning] = {
    "too-fast": ({"code": 11232, "msg": "frequency limited"}, retry("in 60 s", "code 11232: frequency limited")),
    "signature": ({"code": 19021, "msg": "sign match fail"}, held("code 19021: sign match fail")),
    "keyword": ({"code": 19024, "msg": "Key Words Not Found"}, held("code 19024: Key Words Not Found")),
    "refused": ({"code": 9499, "msg": "Bad Request"}, dead("code 9499: Bad Request")),
    "busy": ({"code": -1, "msg": "system busy"}, retry("soon", "code -1: system busy")),
    "gateway": (
        Answer(
            status=400,
            body=b'{"code": 99991400, "msg": "request trigger frequency limit"}',
            headers={"x-ogw-ratelimit-reset": "7"},
        ),
        retry("in 7 s", "code 99991400"),
    ),
}

_VENDOR_OK = ok_json({"code": 0, "msg": "success", "data": {}})
_OWN = "?host={address}&insecure=yes"
SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        Service(
            name="feishu",
            form=f"feishu://{{key}}{_OWN}&secret={SECRET}",
            accepts=_VENDOR_OK,
            check=refusing.lark,
            read=eyes.lark,
            means=_LARK,
        ),
        Service(
            name="lark",
            form=f"lark://{{key}}{_OWN}&secret={SECRET}",
            accepts=_VENDOR_OK,
            check=refusing.lark,
            read=eyes.lark,
            means=_LARK,
        ),
        Service(
            name="dingtalk",
            form=f"dingtalk://{SECRET}@{{key}}/{_OWN}",
            accepts=ok_json({"errcode": 0, "errmsg": "ok"}),
            check=refusing.dingtalk,
            read=eyes.dingtalk,
            means={
                "too-fast": ({"errcode": 130101, "errmsg": "send too fast"}, retry("in 10 min", "code 130101")),
                "guard": (
                    {"status": 1111, "wait": 5, "punish": "deny"},
                    retry("in 5 min", "shut out for a while"),
                ),
                "wrapped": (
                    {"errcode": 88, "sub_code": "90018", "errmsg": "limit"},
                    retry("in 5 min", "code 88/90018"),
                ),
                "links": ({"errcode": 430101, "errmsg": "unsafe link"}, sent(requests=3)),
                "token": (
                    {"errcode": 300001, "errmsg": "token is not exist"},
                    held("code 300001: token is not exist"),
                ),
                "keyword": (
                    {"errcode": 310000, "errmsg": "keywords not in content"},
                    held("code 310000: keywords"),
                ),
                "refused": ({"errcode": 40035, "errmsg": "param error"}, dead("code 40035: param error")),
                "busy": ({"errcode": -1, "errmsg": "busy"}, retry("soon", "code -1: busy")),
            },
        ),
        Service(
            name="wecombot",
            form=f"wecombot://{{key}}{_OWN}",
            accepts=ok_json({"errcode": 0, "errmsg": "ok"}),
            check=refusing.wecom,
            read=eyes.wecom,
            means={
                "too-fast": ({"errcode": 45009, "errmsg": "freq out of limit"}, retry("in 60 s", "code 45009")),
                "key": (
                    {"errcode": 93000, "errmsg": "invalid webhook url"},
                    held("code 93000: invalid webhook url"),
                ),
                "refused": (
                    {"errcode": 40058, "errmsg": "invalid Parameter"},
                    dead("code 40058: invalid Parameter"),
                ),
                "busy": ({"errcode": -1, "errmsg": "system busy"}, retry("soon", "code -1: system busy")),
            },
        ),
        Service(
            name="slack",
            form="slack://T1JJ3T3L2/A1BRTD4JD/{key}",
            accepts=Answer(body=b"ok"),
            check=refusing.slack,
            host="hooks.slack.com",
            read=eyes.slack,
            means={
                "token": ({"ok": False, "error": "token_revoked"}, held("refused (token_revoked)")),
                "too-fast": ({"ok": False, "error": "ratelimited"}, retry("in 60 s", "refused (ratelimited)")),
                "refused": ({"ok": False, "error": "msg_too_long"}, dead("refused (msg_too_long)")),
                "policy": ({"ok": False, "error": "ekm_access_denied"}, held("refused (ekm_access_denied)")),
            },
        ),
        Service(
            name="teams",
            form="workflows://prod-00.westus.logic.azure.com:443/{key}/SIGN1234signature",
            accepts=Answer(status=202),
            check=refusing.teams,
            host="prod-00.westus.logic.azure.com",
            read=eyes.teams,
            means={
                "refused": ({"error": {"code": "BadRequest", "message": "x"}}, _NOT_ITS_ANSWER),
                "off": (
                    _refusal(400, error={"code": "WorkflowTriggerIsNotEnabled"}),
                    held("WorkflowTriggerIsNotEnabled"),
                ),
            },
        ),
        Service(
            name="discord",
            form="discord://417421629841831629/{key}",
            accepts=ok_json({"id": "1340245781234567890", "type": 0}),
            check=refusing.discord,
            host="discord.com",
            read=eyes.discord,
            means={
                "refused": ({"code": 50006, "message": "Cannot send an empty message"}, _NOT_ITS_ANSWER),
                "silent": (
                    Answer(status=204),
                    unknown("HTTP 204: this does not look like the service's answer"),
                ),
                "thread": (
                    _refusal(400, code=220001, message="needs a thread"),
                    held("HTTP 400: refused (needs a thread)"),
                ),
                "form": (_refusal(400, code=50035, message="Invalid Form Body"), dead("Invalid Form Body")),
                "harmful": (_refusal(400, code=240000, message="harmful link"), sent(requests=3)),
            },
        ),
        Service(
            name="telegram",
            form="tgram://123456789:{key}/12315544",
            accepts=ok_json({"ok": True, "result": {"message_id": 1}}),
            check=refusing.telegram,
            host="api.telegram.org",
            read=eyes.telegram,
            means={
                "refused": (
                    {"ok": False, "description": "Bad Request: something"},
                    dead("refused (Bad Request: some"),
                ),
                "chat": (
                    {"ok": False, "description": "Bad Request: chat not found"},
                    held("refused (Bad Request: chat"),
                ),
                "topic": (
                    _refusal(400, ok=False, description="Bad Request: TOPIC_DELETED"),
                    held("TOPIC_DELETED"),
                ),
                "moved": (
                    _refusal(
                        400, ok=False, description="Bad Request: upgraded", parameters={"migrate_to_chat_id": -100}
                    ),
                    held("its number is -100 now"),
                ),
            },
        ),
        Service(
            name="mattermost",
            form="mmosts://chat.example.com/{key}",
            accepts=Answer(body=b"ok"),
            check=refusing.mattermost,
            host="chat.example.com",
            read=eyes.mattermost,
            means={
                "refused": ({"id": "web.incoming_webhook.x.app_error", "status_code": 400}, _NOT_ITS_ANSWER),
                "lookup": (
                    _refusal(500, id="web.incoming_webhook.channel.app_error", message="x"),
                    retry("soon", "refused"),
                ),
                "locked": (
                    _refusal(400, id="web.incoming_webhook.channel_locked.app_error", message="x"),
                    held("refused"),
                ),
            },
        ),
        Service(
            name="rocketchat",
            form="rockets://aBcDeFgHiJkLmNoPq/{key}@rocket.example.com",
            accepts=ok_json({"success": True}),
            check=refusing.rocketchat,
            host="rocket.example.com",
            read=eyes.markdown_in(
                *("text", "pretext", "title", "value", "footer", "description"),
                addresses=("title_link", "image_url", "thumb_url", "author_link", "author_icon", "avatar"),
            ),
            means={
                "refused": ({"success": False, "error": "error-message-size-exceeded"}, dead("size-exceeded")),
                "room": ({"success": False, "error": "invalid-channel"}, held("refused (invalid-channel)")),
                "closed": (_refusal(400, success=False, error="error-room-archived"), held("room-archived")),
                "too-fast": ({"success": False, "error": "error-too-many-requests"}, retry("in 60 s", "too-many")),
                "hook": (
                    _refusal(400, success=False, error="Invalid integration id or token provided."),
                    held("Invalid integration id"),
                ),
                "silent": ({}, _NOT_ITS_ANSWER),
            },
        ),
        Service(
            name="ntfy",
            form="ntfys://{key}",
            accepts=ok_json({"id": "hwQ2YpKdmg", "event": "message"}),
            check=refusing.ntfy,
            host="ntfy.sh",
            read=eyes.ntfy,
            means={
                "refused": ({"code": 40301, "http": 403, "error": "forbidden"}, _NOT_ITS_ANSWER),
                "day": (_refusal(429, code=42908, http=429, error="daily quota"), retry("in 1 h", "HTTP 429")),
            },
        ),
        Service(
            name="json",
            form="jsons://hooks.example.com/{key}",
            accepts=Answer(),
            check=refusing.machine,
            host="hooks.example.com",
            read=eyes.machine,
            means={"refused": ({"ok": False}, sent())},
        ),
    )
}
"""All services that use HTTP; mail has its own server (tests/support/smtp_server.py)."""
