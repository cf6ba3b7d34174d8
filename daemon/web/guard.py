"""Wraps the application: checks the Host header, limits concurrent requests, and turns exceptions into answers.

By DNS rebinding, a page in a browser can reach a server under a name of its own. Everything but links and
callbacks, which have secrets of their own, and the static files of the pages of links, which are no secret, is
therefore answered only under names that belong to this server.
"""

import json
from collections.abc import Callable, Collection
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import unquote

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from daemon.domain.hosts import is_loopback
from daemon.folding import Folding
from daemon.logs import LogEvent, logger
from daemon.tasks import Defects
from daemon.web.bodies import PROBLEM, HttpError
from daemon.web.connections import FAILED, HEAD, LAST, Connections

log = logger(__name__)

PROBES = ("/healthz", "/readyz", "/metrics")
"""Paths that are answered even when the server is crowded."""
_LINKS = "/v/"
_ANY_HOST = (_LINKS, "/callbacks/", "/static/")
SLASH = "\x1f"
"""Stands in a decoded path for a slash that is part of a name (`%2F`). No name has this character."""
_MOST_PATH = 1024
"""Maximum length of a path in characters. Litestar remembers which paths it served."""
OWN_ERROR = "an error in wrapd itself; see its log"
_NOT_OURS = (
    "this is not answered under the Host of the request, but under 127.0.0.1, localhost, and the hosts of "
    "web.public_url and web.hosts; add it to web.hosts, or have the proxy send one of these as Host"
)


class Guard:
    """An ASGI middleware. `hosts` returns the names besides loopback under which a path is answered, None for any
    name."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Callable[[str], Collection[str] | None],
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
        http = cast("HTTPScope", {**scope})  # uvicorn runs without lifespan and websockets
        http["path"] = _path_of(http)
        answer = _Answer(http, send)
        try:
            await self._admit(http, receive, answer)
        except Exception as error:  # noqa: BLE001 - a bug in one request must not print a traceback each time
            if self._defects is None:
                log.error(LogEvent.WEB_FAILED, error=error)
            else:
                self._defects.note("web", error)
            if not answer.begun:
                await answer.refuse(HttpError(500, OWN_ERROR))

    async def _admit(self, scope: HTTPScope, receive: Receive, answer: "_Answer") -> None:
        path = scope["path"]
        if path not in PROBES and self._connections.crowded:
            self._strangers.note(LogEvent.WEB_REFUSED, reason="too many requests at once")
            refused = HttpError(503, "too many requests at once; try again", headers={"Retry-After": "2"})
        elif not path.startswith(_ANY_HOST) and not self._is_ours(scope):
            self._strangers.note(LogEvent.WEB_REFUSED, reason="not answered under this Host")
            refused = HttpError(421, _NOT_OURS)
        elif len(path) > _MOST_PATH:
            refused = HttpError(414, f"the path is over {_MOST_PATH} characters")
        elif "//" in path or (path.endswith("/") and path != "/"):  # Litestar would serve what is without them
            refused = HttpError(404, "there is nothing at this path")
        else:
            await self._pass(scope, receive, answer)
            return
        await answer.refuse(refused)

    async def _pass(self, scope: HTTPScope, receive: Receive, answer: "_Answer") -> None:
        method, forwarded = scope["method"], {**scope}
        if method == "HEAD" and not scope["path"].startswith(_LINKS):  # links handle HEAD themselves
            forwarded["method"] = "GET"  # uvicorn leaves out the body
            scope["state"][HEAD] = True
        elif method == "OPTIONS":
            forwarded["method"] = "TRACE"  # no route takes it; Litestar would answer OPTIONS itself
        await self._app(cast("Any", forwarded), receive, answer.send)
        if FAILED in scope["state"]:
            raise scope["state"][FAILED]

    def _is_ours(self, scope: HTTPScope) -> bool:
        names = self._hosts(scope["path"])
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if names is None or not given:  # a browser always sends one
            return True
        name = host_of(given[0])
        return is_loopback(name) or name in names


class _Answer:
    """The answer to one request in progress."""

    def __init__(self, scope: HTTPScope, send: Send) -> None:
        self._state = scope["state"]
        self._send = send
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = [*message.get("headers", []), (b"date", formatdate(usegmt=True).encode())]
            if message["status"] == 405:
                headers = [(name, _allowed(value) if name == b"allow" else value) for name, value in headers]
            if self._state.get(LAST, False):
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, error: HttpError) -> None:
        body = json.dumps(error.problem()).encode()
        named = {"Content-Type": PROBLEM, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        pairs: list[Any] = [(k.lower().encode(), v.encode()) for k, v in {**named, **error.headers}.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


def _path_of(scope: HTTPScope) -> str:
    """The decoded path, whose slashes are only those between its parts."""
    sent = scope["raw_path"].decode("latin-1")
    if "%2f" not in sent.lower():
        return scope["path"]
    return "/".join(unquote(part).replace("/", SLASH) for part in sent.split("/"))


def _allowed(methods: bytes) -> bytes:
    """The value of Allow: with HEAD wherever GET is allowed, and without OPTIONS, which is not."""
    names = {each.strip() for each in methods.split(b",")} - {b"OPTIONS"}
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
