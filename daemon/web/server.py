"""FastAPI on a socket that was bound before: /healthz, /readyz, /metrics.

It runs in the daemon's event loop and leaves the signals to the daemon. It never touches the store.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from daemon.errors import ConfigFault
from daemon.logs import LogEvent, logger
from daemon.web.health import Health, Probes

log = logger(__name__)


def build_app(probes: Probes, metrics_text: Callable[[], Awaitable[bytes]], *, metrics_type: str) -> FastAPI:
    """The application: three pages for machines, no documentation pages, no state of its own."""
    app = FastAPI(title="wrapd", docs_url=None, redoc_url=None, openapi_url=None)

    def answer(health: Health) -> JSONResponse:
        body = {"status": "ok" if health.ok else "stalled", "stalled": health.stalled}
        return JSONResponse(body, status_code=200 if health.ok else 503, headers={"Cache-Control": "no-store"})

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return answer(probes.alive())

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        return answer(probes.ready())

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await metrics_text(), media_type=metrics_type)

    return app


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigFault where the address is taken or not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
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


class WebServer:
    """Serves the application until it is stopped."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        self._listener = listener
        host, port = listener.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        """Where it listens, with the port that was really taken."""
        config = uvicorn.Config(
            app,
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
        """Finish the requests under way (2 s at most) and close the socket."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._listener])
        except Exception as error:  # noqa: BLE001 - the web is no reason to stop watching
            log.error(LogEvent.WEB_FAILED, error=error)
