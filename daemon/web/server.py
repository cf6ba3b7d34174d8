"""FastAPI on a socket that was bound before: the probes, and what is built on a `WebGround`.

It runs in the daemon's event loop and leaves the signals to the daemon. The probes never touch the store.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import h11
import uvicorn
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.errors import ConfigFault
from daemon.logs import LogEvent, logger
from daemon.tasks import Tasks
from daemon.web import callbacks, links, tracking
from daemon.web.ground import WebGround
from daemon.web.health import Health, Probes

log = logger(__name__)

_HEAD_PATIENCE = 15.0
"""Seconds in which a connection must have brought the head of a request."""
_PATIENCE = 2.0
"""Seconds that requests, and what goes on after them, are given at a stop."""


def build_app(
    probes: Probes,
    metrics_text: Callable[[], Awaitable[bytes]],
    *,
    metrics_type: str,
    ground: WebGround | None = None,
) -> FastAPI:
    """The application: the probes; with a `ground` also the API, the callbacks and the links to videos. It has no
    documentation pages and no state of its own."""
    app = FastAPI(title="wrapd", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.include_router(_probe_router(probes, metrics_text, metrics_type))
    if ground is not None:
        app.include_router(tracking.router(ground))
        app.include_router(callbacks.router(ground))
        app.include_router(links.router(ground))
    return app


def _probe_router(probes: Probes, metrics_text: Callable[[], Awaitable[bytes]], metrics_type: str) -> APIRouter:
    router = APIRouter()

    def answer(health: Health) -> JSONResponse:
        body = {"status": "ok" if health.ok else "stalled", "stalled": health.stalled}
        return JSONResponse(body, status_code=200 if health.ok else 503, headers={"Cache-Control": "no-store"})

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return answer(probes.alive())

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        return answer(probes.ready())

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(await metrics_text(), media_type=metrics_type)

    return router


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigFault where the address is taken or not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named so, connections send at once (asyncio's TCP_NODELAY): else each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # who connects before the server runs waits for it
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigFault(
            f"web.listen: cannot listen on {host}:{port}: {reason}. "
            "Name a free address, port 0 for any free port, or set web.enabled = false."
        ) from error
    return listener


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the daemon handles signals itself


class _Protocol(H11Protocol):
    """Closes connections whose request does not come: idle ones would use up the places of all others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._last: object = None
        self._look_later()

    def _look_later(self) -> None:
        self.loop.call_later(_HEAD_PATIENCE, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.cycle is self._last:
            self.transport.close()
            return
        self._last = self.cycle
        self._look_later()


class WebServer:
    """Serves the application until it is stopped."""

    def __init__(self, app: FastAPI, listener: socket.socket, *, tasks: Tasks | None = None) -> None:
        self._listener = listener
        self._tasks = tasks
        host, port = listener.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        """Where it listens, with the port that was really taken."""
        config = uvicorn.Config(
            app,
            http=_Protocol,
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=15,
            limit_concurrency=256,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Serve in a task of the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="web")
        log.info(LogEvent.WEB_LISTENING, address=self.address)

    async def stop(self) -> None:
        """Finish the requests under way (2 s at most), close the socket, finish what goes on after them."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()
        if self._tasks is not None:
            await self._tasks.end(patience=_PATIENCE)

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._listener])
        except Exception as error:  # noqa: BLE001 - the web is no reason to stop watching
            log.error(LogEvent.WEB_FAILED, error=error)
