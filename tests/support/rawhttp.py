"""A test server that answers with given bytes: complete, truncated, slow, or none. Real sockets on loopback."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Head = str
"""A request's first line and headers, as received."""
Handler = Callable[[Head, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """The server's address, and the head and body of each request received."""

    host: str
    port: int
    tls: bool
    heads: list[Head] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def raw_server(
    handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[RawServer]:
    """Serve each request on each connection with `handler` until the block ends."""
    tasks: set[asyncio.Task[None]] = set()
    server: RawServer

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                server.heads.append(head)
                size = header(head, "content-length")
                server.bodies.append(await reader.readexactly(int(size)) if size else b"")
                await handler(head, writer)
                if writer.is_closing():
                    return
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side closed, or the block has ended
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server = RawServer(host=host, port=listener.sockets[0].getsockname()[1], tls=tls is not None)
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def header(head: Head, name: str) -> str | None:
    """Return the value of a header in `head`, or None."""
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return None


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """Return a complete HTTP answer; `_` in a header's name stands for `-`."""
    lines = [f"HTTP/1.1 {status} Said So", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def saying(data: bytes) -> Handler:
    """Return a handler that writes `data` and keeps the connection open."""

    async def handler(_head: Head, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return handler


def saying_then_closing(data: bytes) -> Handler:
    """Return a handler that writes `data` and closes the connection normally."""

    async def handler(_head: Head, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    return handler


def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
