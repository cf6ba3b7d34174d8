"""Strangers: requests that anyone without a key may send to the web server. A separate program, so that its own
cost is not part of the measurement:

    python -m tests.support.strangers PORT closed 4000
"""

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Awaitable, Callable

HOST = b"Host: localhost\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
HELD = {
    "silent": b"",
    "slow head": b"GET /healthz HTTP/1.1\r\nX-Slow: ",
    "unread body": b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\nx",
    "awaited body": b"POST /api/v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nx",
    "chunks": b"POST /nope HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    "idle": PROBE,
    "pipelined": PROBE * 50,
    "no HTTP": bytes(range(1, 9)) + b"\x16\x03\x01",
    "headers": b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)),
}
"""The start of a held connection, by kind; more bytes trickle in after it."""
_SEEDS = (
    PROBE,
    b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST /api/v1/jobs HTTP/1.1\r\n" + HOST + b"Authorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /callbacks/main/secret HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"GET /v/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n" + HOST + b"Range: bytes=0-\r\n\r\n",
    b"HEAD /v/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/cover HTTP/1.0\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET http://evil.example/metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n\r\n",
)
_ODD = (
    b"\r\n",
    b"\0",
    b"\xff",
    b": ",
    b" ",
    b"%00",
    b"?",
    b"#",
    b"@",
    b"9" * 30,
    b"Host: a\r\n",
    b"chunked",
    b"-1",
)


async def closed(port: int, count: int) -> None:
    """Send bodies of 250 kB over connections that are closed, one after another."""
    head = b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 250000\r\n\r\n"

    async def one(_: int) -> None:
        writer = (await asyncio.open_connection("127.0.0.1", port))[1]
        try:
            writer.write(head + b"x" * 250_000)
            await writer.drain()
        finally:
            writer.close()

    await _many(one, count, at_once=8)


async def held(port: int, count: int, kind: str, seconds: float) -> None:
    """Hold connections of one kind open for the given time."""
    writers = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            writers.append((await asyncio.open_connection("127.0.0.1", port))[1])
            writers[-1].write(HELD[kind])
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(0.5)
        writers = [writer for writer in writers if not writer.is_closing()]
        for writer in writers:
            writer.write(b"x")
    for writer in writers:
        writer.transport.abort()


async def tokens(port: int, each_second: int, seconds: float) -> None:
    """Request links with made-up tokens at this rate."""
    rng = random.Random(1)
    begun, sent = time.monotonic(), 0
    tasks: set[asyncio.Task[bytes]] = set()
    while sent < each_second * seconds:
        due = int((time.monotonic() - begun) * each_second) - sent
        for _ in range(due):
            path = f"/v/{rng.randbytes(16).hex()}".encode()
            request = b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
            tasks.add(asyncio.create_task(_say(port, request)))
        sent += due
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks, return_exceptions=True)


async def fuzzed(port: int, count: int) -> None:
    """Send randomly modified requests."""
    rng = random.Random(1)

    async def one(_: int) -> None:
        data = bytearray(rng.choice(_SEEDS))
        for _ in range(rng.randint(0, 4)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(4):
                case 0:
                    data[at:at] = rng.choice(_ODD)
                case 1:
                    del data[at : at + rng.randint(1, 9)]
                case 2:
                    data[at : at + 1] = rng.randbytes(1)
                case _:
                    data[at:at] = data[: rng.randrange(len(data) + 1)]
            data = data or bytearray(b"\n")
        await _say(port, bytes(data))

    await _many(one, count, at_once=16)


async def callbacks(port: int, count: int, path: str) -> None:
    """Send callbacks about jobs that do not exist."""

    async def one(number: int) -> None:
        body = b'{"job_id": "made-up-%06d", "state": "SUCCEED"}' % number
        head = f"POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n".encode()
        await _say(port, head + HOST + b"\r\n" + body)

    await _many(one, count, at_once=8)


async def _say(port: int, data: bytes) -> bytes:
    """Send, read the first part of the answer, close."""
    with contextlib.suppress(OSError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            async with asyncio.timeout(0.3):
                return await reader.read(65536)
        finally:
            writer.transport.abort()
    return b""


async def _many(one: Callable[[int], Awaitable[None]], count: int, *, at_once: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            with contextlib.suppress(OSError):
                await one(number)

    await asyncio.gather(*(work() for _ in range(at_once)))


if __name__ == "__main__":
    where, what, *more = sys.argv[1:]
    match what, more:
        case "closed", [many]:
            asyncio.run(closed(int(where), int(many)))
        case "held", [many, sort, long]:
            asyncio.run(held(int(where), int(many), sort, float(long)))
        case "tokens", [pace, long]:
            asyncio.run(tokens(int(where), int(pace), float(long)))
        case "fuzzed", [many]:
            asyncio.run(fuzzed(int(where), int(many)))
        case "callbacks", [many, url]:
            asyncio.run(callbacks(int(where), int(many), url))
        case _:
            sys.exit(f"no such strangers: {sys.argv[1:]}")
