"""Connections of strangers: however many and slow, others get answers, and no connection remains."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.folding import Folding
from daemon.logs import LogEvent
from daemon.metrics import Metrics
from daemon.tasks import Defects
from daemon.web import Health, Probes, connections, listen
from daemon.web import server as serving
from daemon.web.guard import host_of
from daemon.web.server import WebServer, build_app
from tests.support.recorder import Lines
from tests.support.strangers import HELD, HOST, PROBE
from tests.support.web import NOW, desk


async def _no_metrics() -> bytes:
    return b""


@contextlib.asynccontextmanager
async def server(host: str = "127.0.0.1") -> AsyncIterator[tuple[WebServer, int]]:
    probes = Probes(alive=lambda: Health(stalled={}), ready=lambda: Health(stalled={}))
    web = WebServer(build_app(probes, _no_metrics, metrics_type="text/plain"), listen(host, 0))
    web.start()
    try:
        yield web, int(web.address.rpartition(":")[2])
    finally:
        await web.stop()


async def say(port: int, data: bytes, *, most: int = 4096) -> bytes:
    """Return what arrives until the server closes, or its first `most` bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read(most)
    finally:
        writer.close()


def alive() -> Iterator[connections.Connection]:
    gc.collect()
    return (each for each in gc.get_objects() if type(each) is connections.Connection)


@pytest.mark.parametrize("kind", HELD)
async def test_probes_are_answered_beside_any_number_of_held_connections(kind: str) -> None:
    async with server() as (_, port):
        held = []
        for _ in range(connections.MOST + 60):
            held.append((await asyncio.open_connection("127.0.0.1", port))[1])
            held[-1].write(HELD[kind])
        for _ in range(5):
            for each in held:
                each.write(b"x")
            assert (await say(port, PROBE)).startswith(b"HTTP/1.1 200")
        for each in held:
            each.close()


@pytest.mark.parametrize("kind", HELD)
async def test_probes_in_a_queue_of_strangers_are_answered(kind: str) -> None:
    """While the loop is busy, the kernel queues connections: a probe among them has kept nobody waiting."""
    async with server() as (_, port), contextlib.AsyncExitStack() as stack:
        await say(port, PROBE, most=99)
        probes = []
        for number in range(2 * connections.MOST):
            probing = number % 40 == 0
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))  # the loop stands still
            one.sendall(PROBE if probing else HELD[kind])
            one.setblocking(False)
            probes += [one] if probing else []
        async with asyncio.timeout(20):
            for each in probes:
                assert (await asyncio.get_running_loop().sock_recv(each, 99)).startswith(b"HTTP/1.1 200")


async def test_whoever_kept_waiting_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
    async with server() as (_, port):
        open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        reader, writer = open_ones[0]
        writer.write(PROBE)
        assert b"200 OK" in await reader.read(4096)  # now the second one has waited longest
        await say(port, PROBE)
        assert await open_ones[1][0].read() == b""
        writer.write(PROBE)
        assert b"200 OK" in await reader.read(4096)
        for _, each in open_ones:
            each.close()


@pytest.mark.parametrize(
    "kind",
    [
        "unread body",
        "reset",
        *(pytest.param(kind, marks=pytest.mark.long) for kind in HELD if kind != "unread body"),
    ],
)
async def test_what_is_held_is_closed_when_its_time_is_over(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"PATIENCE": 0.3, "LINGER": 0.1, "LIFE": 0.5, "_SWEEP": 0.05}.items():
        monkeypatch.setattr(connections, name, seconds)
    async with server() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELD.get(kind, HELD["unread body"]))
        if kind == "reset":
            await writer.drain()
            writer.transport.abort()
        trickle = asyncio.create_task(_trickle(writer))
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
        trickle.cancel()
        writer.close()
        async with asyncio.timeout(10):
            while any(alive()):
                await asyncio.sleep(0.02)


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def test_a_stop_waits_for_no_stranger(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    lines = Lines(monkeypatch, "daemon.web.server")
    async with server() as (web, port):
        writers = []
        for data in [
            *HELD.values(),
            PROBE + b"\0\0",
            HELD["chunks"] + b"zz\r\n",
            HELD["unread body"] + b"x" * 9999,
        ]:
            writers.append((await asyncio.open_connection("127.0.0.1", port))[1])
            writers[-1].write(data)
        assert (await say(port, PROBE)).startswith(b"HTTP/1.1 200")
        began = asyncio.get_running_loop().time()
        await web.stop()
        assert asyncio.get_running_loop().time() - began < 10
        for each in writers:
            each.close()
    assert not lines.of(LogEvent.WEB_FAILED)
    assert not [record for record in caplog.records if record.exc_info]


async def test_requests_one_after_another_do_not_keep_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_REQUESTS", 3)
    async with server() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        told = b""
        for _ in range(3):
            writer.write(PROBE)
            told += await reader.readuntil(b"}}")
        assert await reader.read() == b""
        assert told.count(b"HTTP/1.1 200") == 3
        assert told.count(b"connection: close") == 1
        writer.close()


async def test_who_does_not_wait_for_an_answer_gets_one() -> None:
    """Pipelined requests would otherwise be answered before everyone else's."""
    async with server() as (_, port):
        told = await say(port, PROBE * 5, most=-1)
        assert told.count(b"HTTP/1.1 200") == 1
        assert told.count(b"connection: close") == 1


async def test_a_closed_connection_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SWEEP", 3600.0)  # so that it does not clean up here
    async with server() as (_, port):
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 250000\r\n\r\n" + b"x" * 200_000)
            await writer.drain()
            writer.transport.abort()
        async with asyncio.timeout(10):
            while any(alive()):
                await asyncio.sleep(0.02)


async def test_only_so_much_of_an_unwanted_body_is_kept() -> None:
    async with server() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 9000000\r\n\r\n")
        assert (await reader.read(4096)).startswith(b"HTTP/1.1 404")
        writer.write(b"x" * 8_000_000)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        [one] = alive()
        assert len(one.cycle.body) <= 65536 + connections._READ_AT_ONCE
        writer.close()


async def test_at_work_everywhere_probes_have_a_reserve(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(connections, "MOST", 2)
    monkeypatch.setattr(connections, "RESERVE", 2)
    async with desk(tmp_path) as it:
        gate, waiting = asyncio.Event(), asyncio.Event()
        count = 0

        async def held(_work: Callable[..., object]) -> None:
            nonlocal count
            count += 1
            if count == 2:
                waiting.set()
            await gate.wait()

        monkeypatch.setattr(it.store, "read_async", held)
        port = int(it.web.address.rpartition(":")[2])
        link = b"GET /v/%s HTTP/1.1\r\n" % (b"a" * 32) + HOST + b"\r\n"
        busy = [asyncio.create_task(say(port, link)) for _ in range(2)]
        async with asyncio.timeout(10):
            await waiting.wait()
        assert (await say(port, link)).startswith(b"HTTP/1.1 503")
        for probed in await asyncio.gather(say(port, PROBE), say(port, PROBE)):
            assert probed.startswith(b"HTTP/1.1 200")
        gate.set()
        assert all(each.startswith(b"HTTP/1.1 404") for each in await asyncio.gather(*busy))


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/v1/jobs/main/j-1"])
async def test_head_is_answered_as_get_without_its_body(tmp_path: Any, path: str) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        get, head = [await it.ask(method, path, token="a-token-of-24-characters") for method in ("GET", "HEAD")]
        assert (get.status, head.status, head.body) == (200, 200, b"")
        assert head.headers["content-length"] == str(len(get.body))
        allowed = "DELETE, GET, HEAD, PATCH" if path.startswith("/api/") else "GET, HEAD"
        for method in ("OPTIONS", "PUT"):
            told = await it.ask(method, path)
            assert (told.status, told.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:8787", True),
        ("127.8.9.1", True),
        ("localhost:1", True),
        ("[::1]:8787", True),
        ("wrapd.example.com", True),
        ("WRAPD.example.com.:443", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("wrapd.example.com.evil.example", False),
        ("2130706433", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
async def test_on_loopback_a_page_with_a_name_of_its_own_reads_nothing(
    tmp_path: Any, host: str, answered: bool
) -> None:
    async with desk(tmp_path) as it:
        for path in ("/metrics", "/healthz", "/readyz"):
            told = await it.ask("GET", path, headers={"Host": host})
            assert told.status == (200 if answered else 421), path
        assert (await it.ask("GET", "/v/" + "a" * 32, headers={"Host": host})).status == 404, (
            "its token protects it"
        )
        port = int(it.web.address.rpartition(":")[2])
        assert (await say(port, b"GET /metrics HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_an_address_that_others_reach_is_read_under_any_name() -> None:
    async with server("0.0.0.0") as (_, port):
        told = await say(port, b"GET /metrics HTTP/1.1\r\nHost: wrapd:8080\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200")


def test_hosts_are_read_without_their_ports() -> None:
    assert [host_of(each) for each in ("a.b:1:2", "[::1", " A ", "")] == ["a.b:1:2", "::1", "a", ""]


async def test_ten_thousand_strangers_make_few_lines(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    lines = Lines(monkeypatch, "daemon.web.server")
    bad = (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"POST /nope HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n",
        PROBE + b"\x00\x00\r\n\r\n",
    )
    async with server() as (_, port):
        for _ in range(50):
            await asyncio.gather(*(say(port, each) for each in bad))
    assert 1 <= len(lines.of(LogEvent.WEB_REFUSED)) <= 4
    assert not caplog.records


def test_the_last_count_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, clock = Lines(monkeypatch, "daemon.web.server"), ManualClock(NOW)
    folding = Folding(lines, clock)
    for _ in range(7):
        folding.note(LogEvent.WEB_REFUSED, reason="a", host="x")
    folding.flush()
    clock.advance(10)
    folding.flush()
    folding.flush()
    assert [each["times"] for each in lines.of(LogEvent.WEB_REFUSED)] == [1, 6]


async def test_a_bug_in_a_request_has_an_owner_and_one_line(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    told = Lines(monkeypatch, "daemon.tasks")

    def broken() -> Health:
        raise RuntimeError("a bug")

    probes = Probes(alive=broken, ready=broken)
    defects = Defects(clock=ManualClock(NOW), metrics=Metrics())
    app = build_app(probes, _no_metrics, metrics_type="text/plain")
    web = WebServer(app, listen("127.0.0.1", 0), defects=defects)
    web.start()
    port = int(web.address.rpartition(":")[2])
    try:
        for _ in range(5):
            assert (await say(port, PROBE)).startswith(b"HTTP/1.1 500")
    finally:
        await web.stop()
    assert len(told.of(LogEvent.DEFECT)) == 1
    assert not caplog.records


@pytest.mark.parametrize("when", ["startup", "main_loop"])
async def test_a_server_that_breaks_is_there_again(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    told = Lines(monkeypatch, "daemon.tasks")
    whole, broken = getattr(serving._Server, when), 0

    async def breaks(self: Any, **options: Any) -> None:
        nonlocal broken
        broken += 1
        if broken == 1:
            raise RuntimeError("a bug")
        await whole(self, **options)

    monkeypatch.setattr(serving._Server, when, breaks)
    monkeypatch.setattr(serving, "_AGAIN", 0.01)
    probes = Probes(alive=lambda: Health(stalled={}), ready=lambda: Health(stalled={}))
    defects = Defects(clock=ManualClock(NOW), metrics=Metrics())
    web = WebServer(
        build_app(probes, _no_metrics, metrics_type="text/plain"), listen("127.0.0.1", 0), defects=defects
    )
    web.start()
    try:
        while broken < 2:
            await asyncio.sleep(0.01)
        assert (await say(int(web.address.rpartition(":")[2]), PROBE)).startswith(b"HTTP/1.1 200")
    finally:
        await web.stop()
    assert len(told.of(LogEvent.DEFECT)) == 1


async def test_without_connections_nothing_wakes_up_and_each_answer_has_the_date() -> None:
    async with server() as (web, port):
        await asyncio.sleep(0)
        assert web._connections._timer is None
        answer = await say(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.lower().count(b"\r\ndate: ") == 1
        assert web._connections._timer is not None
