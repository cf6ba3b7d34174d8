"""Live events over real sockets: a server of the streams of a store, and clients of it."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from daemon.app.hub import Hub
from daemon.clock import ManualClock, SystemClock
from daemon.metrics import Metrics
from daemon.store import Store
from daemon.tasks import Defects, Tasks
from daemon.web import Health, Probes, listen
from daemon.web.live import Live, TooManyStreams, stream_response
from daemon.web.server import WebServer, build_app
from tests.support.store import NOW

PATIENCE = 30.0
PATH = "/api/v1/events"


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a client got it."""

    name: str
    data: dict[str, Any]
    id: int | None


@dataclass
class Client:
    """A client of the stream, which reads one event at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int = 0
    last: int | None = None
    """The last event id, as a browser keeps it."""
    comments: int = 0
    retry: int | None = None
    _lines: bytes = b""

    async def next(self) -> Event | None:
        """The next event; None: the stream has ended."""
        while True:
            block = await self._block()
            if block is None:
                return None
            name, data = "message", None
            for line in block.decode().splitlines():
                key, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif key == "id":
                    self.last = int(value)
                elif key == "retry":
                    self.retry = int(value)
                elif key == "event":
                    name = value
                elif key == "data":
                    data = json.loads(value)
            if data is not None:
                return Event(name, data, self.last)

    async def until(self, name: str) -> list[Event]:
        """All events up to the first of that name."""
        found: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            while not found or found[-1].name != name:
                event = await self.next()
                assert event is not None, f"the stream ended after {found}"
                found.append(event)
        return found

    async def begun(self) -> int | None:
        """Read the beginning of the stream; return its event id. None: the stream has ended."""
        while self.last is None:
            if (block := await self._block()) is None:
                return None
            for line in block.decode().splitlines():
                key, _, value = line.partition(": ")
                self.last = int(value) if key == "id" else self.last
                self.retry = int(value) if key == "retry" else self.retry
        return self.last

    async def ended(self) -> list[Event]:
        """All events until the stream ends."""
        found = []
        async with asyncio.timeout(PATIENCE):
            while (event := await self.next()) is not None:
                found.append(event)
        return found

    def close(self) -> None:
        self.writer.transport.abort()

    async def _block(self) -> bytes | None:
        while b"\n\n" not in self._lines:
            try:
                size = int(await self.reader.readline() or b"0", 16)
                if not size:
                    return None
                self._lines += await self.reader.readexactly(size)
                await self.reader.readline()
            except (OSError, asyncio.IncompleteReadError, ValueError):
                return None
        block, _, self._lines = self._lines.partition(b"\n\n")
        return block


async def connect(
    address: str, *, key: str = "t", last: int | None = None, limit: int = 2**16, path: str = PATH
) -> Client:
    """Open a stream, up to the end of the answer's head."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
    head = f"GET {path}?key={key} HTTP/1.1\r\nHost: {address}\r\n"
    writer.write((head + ("" if last is None else f"Last-Event-ID: {last}\r\n") + "\r\n").encode())
    status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
    return Client(reader, writer, status)


@dataclass
class Stage:
    """The server, the streams and their store."""

    store: Store
    hub: Hub
    live: Live
    web: WebServer
    clients: list[Client] = field(default_factory=list)

    async def client(self, **options: Any) -> Client:
        client = await connect(self.web.address, **options)
        self.clients.append(client)
        return client


class _App:
    """The daemon's application, with the events in front of it."""

    def __init__(self, inner: Any, live: Live) -> None:
        self.state, self._inner, self._live = inner.state, inner, live

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != PATH:
            await self._inner(scope, receive, send)
            return
        headers = dict(scope["headers"])
        query = dict(each.split("=") for each in unquote(scope["query_string"].decode()).split("&"))
        last = headers.get(b"last-event-id")
        expires = query.get("expires")
        try:
            stream = await self._live.open(
                query["key"],
                None if last is None else last.decode(),
                expires_in=None if expires is None else float(expires),
            )
        except TooManyStreams as error:
            await send({"type": "http.response.start", "status": 429 if error.own else 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await stream_response(stream, scope, receive, send)


@contextlib.asynccontextmanager
async def stage(folder: Path, **options: Any) -> AsyncIterator[Stage]:
    """Run a server with the streams of a store in `folder`; `options` are those of `Live`."""
    store = Store.open(f"sqlite:///{folder / 'wrapd.db'}", clock=ManualClock(NOW), daemon=True)
    defects = Defects(clock=SystemClock(), metrics=Metrics())
    tasks, hub = Tasks("web", defects), Hub(store, defects=defects)
    live = Live(store, tasks=tasks, rng=random.Random(1), **options)
    hub.listen(lambda news: live.hear(news.rows, missed=news.missed), wants_all=lambda: live.watched)
    hub.start()
    healthy = Probes(alive=lambda: Health(stalled={}), ready=lambda: Health(stalled={}))

    async def metrics() -> bytes:
        return b""

    inner = build_app(healthy, metrics, metrics_type="text/plain")
    app: Any = _App(inner, live)
    web = WebServer(app, listen("127.0.0.1", 0), tasks=tasks, defects=defects, live=live)
    web.start()
    it = Stage(store, hub, live, web)
    try:
        yield it
    finally:
        for client in it.clients:
            client.close()
        await web.stop()
        store.close()
