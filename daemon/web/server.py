"""The web application on a previously bound socket.

It runs in the daemon's event loop and leaves signals to the daemon. The probes do not use the store.
"""

import asyncio
import contextlib
import socket
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvicorn

from daemon.clock import SystemClock
from daemon.domain.hosts import is_loopback
from daemon.folding import Folding
from daemon.logs import LogEvent, logger
from daemon.tasks import Defects, Tasks
from daemon.web.app import App, build_app
from daemon.web.connections import PATIENCE, Connection, Connections
from daemon.web.context import WebContext
from daemon.web.guard import PROBES, Guard
from daemon.web.live import Live

log = logger(__name__)

__all__ = ["WebServer", "build_app"]

_AGAIN = 5.0
"""Seconds before a server that failed is restarted."""
_STOP_PATIENCE = 2.0
"""Seconds that requests, and their background tasks, get at a stop."""


def _names(listened: str, context: WebContext | None, path: str) -> Collection[str] | None:
    """The names, besides loopback, under which a path is answered; None: any. Who lets others reach the server
    knows its names better, so there only `web.hosts` limits them, and never those of the probes."""
    settings = None if context is None else context.settings
    url, more = (None, ()) if settings is None else (settings.public_url, settings.hosts)
    if not is_loopback(listened) and (path in PROBES or not more):
        return None
    public = None if url is None else urlsplit(url).hostname
    return {listened, *more, *(() if public is None else (public,))}


_TAKEN_AT_ONCE = 16
"""Connections accepted before other events get their turn, and before any connection makes room. A higher number
could use up all file descriptors of the process, and the places of connections that have not been read yet."""
_QUEUED = 4096
"""Connections queued by the kernel until they are accepted. Rejected clients would retry only after a second."""


class _Server(uvicorn.Server):
    """uvicorn's server. Its own loop wakes up ten times a second to see whether to stop; this one sleeps until
    then."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listener.listen(_QUEUED)  # asyncio uses the same number for the queue and for each accept

    async def main_loop(self) -> None:
        await self._stopping.wait()

    def stop(self) -> None:
        """Start the shutdown."""
        self.should_exit = True
        self._stopping.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.let_go()
        for each in sockets or ():
            each.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_PATIENCE):
                while state.connections or state.tasks:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
        for task in state.tasks:
            task.cancel()

    def let_go(self) -> None:
        """Stop accepting connections, whatever state it is in."""
        for each in getattr(self, "servers", ()):
            each.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the daemon handles signals itself


class WebServer:
    """Serves the application until it is stopped."""

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        *,
        tasks: Tasks | None = None,
        defects: Defects | None = None,
        live: Live | None = None,
    ) -> None:
        self._listener = listener
        self._live = live
        self._tasks = tasks
        self._defects = defects
        host, port = listener.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        """Where it listens, with the actual port."""
        strangers = Folding(log, SystemClock() if app.context is None else app.context.clock)
        self._connections = Connections(strangers)
        guard = Guard(
            app.asgi,
            hosts=partial(_names, host, app.context),
            connections=self._connections,
            strangers=strangers,
            defects=defects,
        )
        self._config = uvicorn.Config(
            cast("Any", guard),
            http=cast("Any", partial(Connection, self._connections)),
            ws="none",
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            date_header=False,  # renewed each second; the guard adds the header instead
            timeout_keep_alive=int(PATIENCE),
            backlog=_TAKEN_AT_ONCE,
        )
        self._server = _Server(self._config, listener)
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def start(self) -> None:
        """Serve in a task of the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="web")
        log.info(LogEvent.WEB_LISTENING, address=self.address)

    async def stop(self) -> None:
        """Finish the requests in progress (2 s at most), close the socket, finish their background tasks."""
        self._ended.set()
        if self._live is not None:
            self._live.stop()
            self._connections.drop_stuck_streams()
        self._server.stop()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._connections.stop()
        self._listener.close()
        if self._tasks is not None:
            await self._tasks.end(patience=_STOP_PATIENCE)

    async def _serve(self) -> None:
        """Serve until stopped. A failing server costs its clients their connections and a few seconds."""
        while not self._ended.is_set():
            listener = self._listener.dup()  # the server closes its copy
            try:
                await self._server.serve(sockets=[listener])
            except Exception as error:  # noqa: BLE001 - a failing web server must not stop the watching
                log.error(LogEvent.WEB_FAILED, error=error)
                if self._defects is not None:
                    self._defects.note("web", error)
                self._server.let_go()
                listener.close()
            if not self._ended.is_set():
                self._server = _Server(self._config, self._listener)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _AGAIN)
