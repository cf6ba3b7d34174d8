"""Wraps the application: checks the Host header, limits concurrent requests, and turns exceptions into answers.

By DNS rebinding, a page in a browser can reach a server on loopback under a name of its own. Paths without any
other protection are therefore answered only under names that belong to this server.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.domain.hosts import is_loopback
from daemon.folding import Folding
from daemon.logs import LogEvent, logger
from daemon.tasks import Defects
from daemon.web.connections import LAST, Connections

log = logger(__name__)

PROBES = ("/healthz", "/readyz", "/metrics")
"""Paths without a secret. They are answered only under this server's names, and even when it is crowded."""
_LINKS = "/v/"


class Guard:
    """An ASGI middleware. `hosts` returns the names besides loopback under which probes are answered. None: any
    name, since the server is meant to be reached by others, under names that it does not know."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Callable[[], Collection[str]] | None,
        connections: Connections,
        strangers: Folding,
        defects: Defects | None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._connections = connections
        self._strangers = strangers
        self._defects = defects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(scope, send)
        try:
            await self._admit(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - a bug in one request must not print a traceback each time
            if self._defects is None:
                log.error(LogEvent.WEB_FAILED, error=error)
            else:
                self._defects.note("web", error)
            if not answer.begun:
                await answer.refuse(500, "an error in wrapd itself; see its log")

    async def _admit(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        probe = scope["path"] in PROBES
        if not probe and self._connections.crowded:
            self._strangers.note(LogEvent.WEB_REFUSED, reason="too many requests at once")
            await answer.refuse(503, "too many requests at once; try again", {"Retry-After": "2"})
        elif probe and not self._is_ours(scope):
            self._strangers.note(LogEvent.WEB_REFUSED, reason="probes are not answered under this Host")
            await answer.refuse(
                421,
                "on a loopback address, probes are answered under the names 127.0.0.1, localhost, and the host of "
                "web.public_url; have the proxy send one of these as Host",
            )
        else:
            await self._pass(scope, receive, answer)

    async def _pass(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        forwarded = scope
        if scope["method"] == "HEAD" and not scope["path"].startswith(_LINKS):  # links handle HEAD themselves
            forwarded = {**scope, "method": "GET"}  # uvicorn leaves out the body
        await self._app(forwarded, receive, answer.send)

    def _is_ours(self, scope: Scope) -> bool:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if self._hosts is None or not given:  # a browser always sends one
            return True
        name = host_of(given[0])
        return is_loopback(name) or name in self._hosts()


class _Answer:
    """The answer to one request in progress."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._state = scope["state"]
        self._send = send
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = [*message.get("headers", [])]
            if message["status"] == 405:
                headers = [(name, _with_head(value) if name == b"allow" else value) for name, value in headers]
            if self._state.get(LAST, False):
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, status: int, text: str, more: Mapping[str, str] | None = None) -> None:
        body = json.dumps({"error": text}).encode()
        named = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        pairs: list[Any] = [(k.lower().encode(), v.encode()) for k, v in {**named, **(more or {})}.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body})


def _with_head(allowed: bytes) -> bytes:
    """Add HEAD wherever GET is allowed."""
    names = {each.strip() for each in allowed.split(b",")}
    return b", ".join(sorted(names | {b"HEAD"} if b"GET" in names else names))


def host_of(header: str) -> str:
    """The name in a Host header, without port, in lower case.

    >>> [host_of(each) for each in ("LOCALHOST:8787", "[::1]:8787", "wrapd.example.com.", "::1")]
    ['localhost', '::1', 'wrapd.example.com', '::1']
    """
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    if name.count(":") == 1:
        name = name.partition(":")[0]
    return name.removesuffix(".")
