"""Live events over real sockets: a server of the streams of a store, and clients of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from daemon.commands.tokens import create_token
from daemon.domain.tokens import RANDOM_BYTES, ApiScope
from tests.support.store import WHO
from tests.support.web import TOKEN, Desk, desk

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
    address: str, *, token: str = TOKEN, last: int | None = None, limit: int = 2**16, path: str = PATH
) -> Client:
    """Open a stream, up to the end of the answer's head."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
    client = Client(reader, writer)
    head = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n"
    try:
        writer.write((head + ("" if last is None else f"Last-Event-ID: {last}\r\n") + "\r\n").encode())
        client.status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
    except BaseException:
        client.close()
        raise
    return client


@dataclass
class Stage:
    """The server, the streams and their store."""

    desk: Desk
    clients: list[Client] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    """Those created, by name."""

    def __post_init__(self) -> None:
        self.store, self.hub, self.live, self.web = self.desk.store, self.desk.hub, self.desk.live, self.desk.web

    async def client(self, *, key: str | None = None, expires: float | None = None, **options: Any) -> Client:
        """Connect with the token of the config, or one named `key`, which expires that many seconds from now."""
        if key is not None:
            options["token"] = self.tokens.get(key) or self.token(key, expires=expires)
        client = await connect(self.web.address, **options)
        self.clients.append(client)
        return client

    def token(self, name: str, *, expires: float | None = None) -> str:
        """Create a token."""
        at = self.desk.clock.now()
        until = None if expires is None else at + timedelta(seconds=expires)
        random = sha256(name.encode()).digest()[:RANDOM_BYTES]
        made = self.store.write_now(
            lambda tx: create_token(tx, name, ApiScope.READ, random=random, who=WHO, at=at, expires_at=until)
        )
        self.tokens[name] = made.text
        return made.text


@contextlib.asynccontextmanager
async def stage(folder: Path, **streams: Any) -> AsyncIterator[Stage]:
    """Run a server with the database `web.db` in `folder`; `streams` are options of `Live`."""
    async with desk(folder, streams=streams) as made:
        it = Stage(made)
        try:
            yield it
        finally:
            for client in it.clients:
                client.close()
