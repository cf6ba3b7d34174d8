"""Exchanges with real servers that answer well, badly, slowly, with too much, or not at all."""

import asyncio
import base64
import gzip
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from daemon.errors import ConfigFault
from daemon.transport import (
    Answer,
    Broken,
    Cause,
    NotSent,
    Request,
    TimedOut,
    Timeouts,
    TooLarge,
    Transport,
    environment_proxy,
)
from tests.support.rawhttp import (
    Handler,
    answer,
    header,
    raw_server,
    reset,
    saying,
    saying_then_closing,
)

TLS = Path(__file__).parent.parent / "data" / "tls"
"""A CA made for these tests and a certificate for localhost; the CA's key was thrown away. Protects nothing."""
BRIEF = Timeouts(connect=2.0, read=2.0, total=0.25)
GET = Request(method="GET", target="/v1/p/jobs/j?show_script=true", headers=[("Accept", "*/*"), ("X-One", "1")])


async def ask(url: str, request: Request = GET, **options: object) -> Answer:
    transport = Transport(url, **options)  # type: ignore[arg-type]
    try:
        return await transport.exchange(request)
    finally:
        await transport.aclose()


async def asked(handler: Handler, **options: object) -> Answer:
    async with raw_server(handler) as server:
        return await ask(server.url, **options)


async def test_a_whole_answer_of_any_status() -> None:
    async with raw_server(saying(answer(404, b'{"error_code":"X"}', X_Request_Id="r1"))) as server:
        got = await ask(server.url)
    assert (got.status, got.body) == (404, b'{"error_code":"X"}')
    assert got.headers["x-request-id"] == got.headers["X-Request-Id"] == "r1"
    assert "content-length" in got.headers
    (head,) = server.heads
    assert head.startswith("GET /v1/p/jobs/j?show_script=true HTTP/1.1\r\n")
    assert header(head, "x-one") == "1"
    assert header(head, "host") == f"127.0.0.1:{server.port}"


async def test_a_body_is_sent() -> None:
    async with raw_server(saying(answer())) as server:
        await ask(server.url, Request(method="POST", target="/t", headers=[("Content-Type", "a/b")], body=b"abc"))
    assert server.heads[0].startswith("POST /t ")
    assert server.bodies == [b"abc"]


async def test_connections_are_kept_and_cookies_are_not() -> None:
    async with raw_server(saying(answer(Set_Cookie="a=b; Path=/")), host="localhost") as server:
        transport = Transport(server.url)
        for _ in range(3):
            await transport.exchange(GET)
        await transport.aclose()
    assert server.connections == 1
    assert [header(head, "cookie") for head in server.heads] == [None] * 3


async def test_a_redirect_is_an_answer() -> None:
    async with raw_server(saying(answer(302, b"", Location="/elsewhere"))) as server:
        got = await ask(server.url)
    assert (got.status, got.headers["location"]) == (302, "/elsewhere")
    assert len(server.heads) == 1


async def test_a_chunked_answer() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{ }\r\n0\r\n\r\n"
    assert (await asked(saying(raw))).body == b"{ }"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 what\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_broken(raw: bytes) -> None:
    with pytest.raises(Broken):
        await asked(saying_then_closing(raw))


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_a_reset_is_broken(begun: bytes) -> None:
    async def handler(_head: str, writer: asyncio.StreamWriter) -> None:
        if begun:
            writer.write(begun)
            await writer.drain()
        reset(writer)

    with pytest.raises(Broken):
        await asked(handler)


async def test_a_reset_on_a_kept_connection_is_not_sent_again() -> None:
    """The library would repeat a GET by itself, outside of every budget."""

    async def handler(_head: str, writer: asyncio.StreamWriter) -> None:
        if len(server.heads) == 1:
            writer.write(answer())
        else:
            reset(writer)

    async with raw_server(handler) as server:
        transport = Transport(server.url)
        await transport.exchange(GET)
        with pytest.raises(Broken):
            await transport.exchange(GET)
        await transport.aclose()
    assert len(server.heads) == 2
    assert server.connections == 1


async def test_a_silent_server_times_out() -> None:
    async with raw_server(saying(b"")) as server:
        host = re.escape(f"({server.url.removeprefix('http://')})")
        with pytest.raises(TimedOut, match=rf"0\.2 s {host}"):
            await ask(server.url, timeouts=Timeouts(connect=2, read=2, total=0.2))
        with pytest.raises(TimedOut, match=f"silent.*{host}"):
            await ask(server.url, timeouts=Timeouts(connect=2, read=0.2, total=5))


async def test_a_dripping_body_ends_with_the_total() -> None:
    stop = asyncio.Event()

    async def handler(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.is_set() and not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.02)

    async with raw_server(handler) as server:
        with pytest.raises(TimedOut):
            await ask(server.url, timeouts=BRIEF)
        stop.set()


async def test_the_caller_can_give_up() -> None:
    async with raw_server(saying(b"")) as server:
        transport = Transport(server.url)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await transport.exchange(GET)
        await transport.aclose()


async def test_a_huge_body_is_not_read() -> None:
    written = 0

    async def handler(_head: str, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" " * 1_000_000)
            await writer.drain()
            written += 1_000_000

    with pytest.raises(TooLarge):
        await asked(handler, max_bytes=100_000)
    assert written < 100_000_000  # what the socket buffers took


async def test_huge_headers_are_too_large() -> None:
    with pytest.raises(TooLarge, match="header"):
        await asked(saying_then_closing(answer(X_Long="x" * 100_000)))


async def test_a_long_token_fits_into_a_header() -> None:
    token = "M" * 20_000
    assert (await asked(saying(answer(201, X_Subject_Token=token)))).headers["X-Subject-Token"] == token


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
        ("identity", bytes),
        ("gzip", lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:])),
    ],
)
async def test_what_comes_compressed_is_inflated(coding: str, pack: Callable[[bytes], bytes]) -> None:
    data = b'{"state":"WAITING"}'
    assert (await asked(saying(answer(200, pack(data), Content_Encoding=coding)))).body == data


async def test_a_gzip_bomb_is_too_large() -> None:
    bomb = gzip.compress(b" " * 64 * 1024 * 1024)
    with pytest.raises(TooLarge, match="inflates"):
        await asked(saying(answer(200, bomb, Content_Encoding="gzip")), max_bytes=1_000_000)


@pytest.mark.parametrize(
    ("coding", "data", "why"),
    [
        ("gzip", b"not gzip", "damaged"),
        ("gzip", gzip.compress(b"x" * 1000, mtime=0)[:-9], "cut short"),
        ("br", b"\x0b\x02\x80", "not asked for"),
    ],
)
async def test_a_compressed_answer_that_cannot_be_read(coding: str, data: bytes, why: str) -> None:
    with pytest.raises(Broken, match=why):
        await asked(saying(answer(200, data, Content_Encoding=coding)))


async def test_a_refused_connection_is_not_sent() -> None:
    with socket.socket() as bound:  # bound, not listening
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent) as caught:
            await ask(f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert caught.value.cause is Cause.CONNECT


async def test_an_unknown_host_is_not_sent() -> None:
    with pytest.raises(NotSent) as caught:
        await ask("http://wrapd.invalid")
    assert caught.value.cause is Cause.DNS


async def test_a_connection_that_is_not_taken_is_not_sent() -> None:
    """A listener whose queue is full drops further attempts: they hang, as behind a firewall."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    crowd = []
    try:
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            crowd.append(one)
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(NotSent) as caught:
            await ask(f"http://{host}", timeouts=Timeouts(connect=0.2, read=5, total=5))
        assert str(caught.value) == f"no connection in time ({host})", "the path may be a secret"
        assert caught.value.cause is Cause.CONNECT
    finally:
        for one in [*crowd, listener]:
            one.close()


async def test_more_exchanges_than_slots_wait_for_their_turn() -> None:
    under_way = 0
    most = 0
    go = asyncio.Event()

    async def handler(_head: str, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 4:
            go.set()
        await go.wait()
        under_way -= 1
        writer.write(answer())

    async with raw_server(handler) as server:
        transport = Transport(server.url, max_in_flight=4)
        got = await asyncio.gather(*(transport.exchange(GET) for _ in range(40)))
        await transport.aclose()
    assert [one.status for one in got] == [200] * 40
    assert most == 4


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "loopback.pem", TLS / "loopback.key")
    return context


async def test_tls_under_an_own_ca() -> None:
    async with raw_server(saying(answer()), tls=server_tls(), host="localhost") as server:
        assert (await ask(server.url, ca_file=str(TLS / "ca.pem"))).status == 200


async def test_an_untrusted_certificate_is_told_as_such() -> None:
    async with raw_server(saying(answer()), tls=server_tls(), host="localhost") as server:
        with pytest.raises(NotSent) as caught:
            await ask(server.url)
    assert caught.value.cause is Cause.TLS
    assert server.heads == []


async def test_tls_spoken_to_a_plain_server() -> None:
    async with raw_server(saying(answer())) as server:
        with pytest.raises(NotSent) as caught:
            await ask(f"https://127.0.0.1:{server.port}", timeouts=Timeouts(connect=1, read=1, total=2))
    assert caught.value.cause in (Cause.TLS, Cause.CONNECT)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bad_ca_file_is_a_config_fault(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigFault, match="ca_file"):
        Transport("https://localhost", ca_file=str(path))


class Proxy:
    """A proxy that forwards plain requests and tunnels CONNECT, with or without a password."""

    def __init__(self, wanted: str | None = None) -> None:
        self.wanted = wanted
        self.seen: list[str] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.seen.append(head)
            if self.wanted is not None and header(head, "proxy-authorization") != self.wanted:
                writer.write(answer(407, b"", Proxy_Authenticate="Basic"))
                await writer.drain()
                return
            method, target, _ = head.split(" ", 2)
            place = target if method == "CONNECT" else target.split("/")[2]
            host, _, port = place.partition(":")
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                up_writer.write(head.encode("latin-1"))
            await asyncio.gather(pipe(reader, up_writer), pipe(up_reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def stop(self, server: asyncio.Server) -> None:
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    one = Proxy()
    server = await one.serve()
    yield one
    await one.stop(server)


BASIC = "Basic " + base64.b64encode(b"us er:p@ss").decode()


@pytest.mark.parametrize("tls", [False, True])
async def test_through_a_proxy_with_a_password(proxy: Proxy, tls: bool) -> None:
    proxy.wanted = BASIC
    async with raw_server(saying(answer()), tls=server_tls() if tls else None, host="localhost") as server:
        transport = Transport(
            server.url, proxy=f"http://us%20er:p%40ss@127.0.0.1:{proxy.port}", ca_file=str(TLS / "ca.pem")
        )
        for _ in range(2):
            assert (await transport.exchange(GET)).status == 200
        await transport.aclose()
    assert proxy.seen[0].startswith(f"CONNECT localhost:{server.port}" if tls else "GET http://localhost:")
    if tls:
        assert [header(head, "proxy-authorization") for head in server.heads] == [None, None]
        assert len(proxy.seen) == 1  # the tunnel is kept


@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_that_wants_a_password(proxy: Proxy, tls: bool) -> None:
    proxy.wanted = BASIC
    scheme = "https" if tls else "http"
    url = f"{scheme}://localhost:1"
    if tls:
        with pytest.raises(NotSent, match="407") as caught:
            await ask(url, proxy=f"http://127.0.0.1:{proxy.port}")
        assert caught.value.cause is Cause.PROXY
    else:
        assert (await ask(url, proxy=f"http://127.0.0.1:{proxy.port}")).status == 407


async def test_a_proxy_that_is_not_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent) as caught:
            await ask("https://localhost:1", proxy=f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert caught.value.cause is Cause.PROXY


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://api.example.com", {}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://api.example.com", {"HTTPS_PROXY": "p:3128"}, "http://p:3128"),
        ("https://api.example.com", {"https_proxy": "http://low", "HTTPS_PROXY": "http://up"}, "http://low"),
        ("https://api.example.com", {"HTTP_PROXY": "http://p:3128"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p", "NO_PROXY": "x.org, .example.com"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p", "no_proxy": "example.com"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p", "no_proxy": "*.example.com"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p", "NO_PROXY": "ample.com"}, "http://p"),
        ("https://api.example.com:8443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com:8443"}, None),
        ("https://api.example.com:8443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com:1"}, "http://p"),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8,::1"}, "http://p"),
        ("https://localhost:1", {"HTTPS_PROXY": "http://p"}, None),
        ("http://127.0.0.1:1", {"HTTP_PROXY": "http://p"}, None),
        ("http://[::1]:1", {"HTTP_PROXY": "http://p"}, None),
        ("http://sim.localhost:1", {"HTTP_PROXY": "http://p"}, None),
    ],
)
def test_the_environments_proxy(url: str, environ: dict[str, str], proxy: str | None) -> None:
    assert environment_proxy(url, environ) == proxy


def test_a_socks_proxy_in_the_environment_is_a_config_fault() -> None:
    with pytest.raises(ConfigFault, match="HTTPS_PROXY names a socks5 proxy"):
        environment_proxy("https://api.example.com", {"HTTPS_PROXY": "socks5://p:1080"})
