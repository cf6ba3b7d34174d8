"""HTTP exchanges with one server: bounded in time and size, with errors named by their cause.

Owns every use of httpx. An exchange is one request and its complete answer: no redirects, no cookies, no retries.
This module does not interpret answers, and never logs, because URLs contain secrets.

The exceptions of the layers below were determined by experiment (httpx 0.28, httpx-aiohttp 0.2, aiohttp 3.14):
most failures surface as `httpx.ConnectTimeout`, whatever happened, so errors are named by `__cause__`.
"""

import asyncio
import base64
import ipaddress
import socket
import ssl
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from daemon.late import no_public_cas

# When it is imported, aiohttp makes two contexts with all public CAs, 1.4 MiB. Each session here has its own.
with no_public_cas():
    import aiohttp
from aiohttp.http_exceptions import LineTooLong
from httpx_aiohttp import AiohttpTransport

from daemon.addresses import Connect, Reach, Timeouts, connecting, host_of, may_reach
from daemon.domain.text import clean
from daemon.errors import ConfigFault
from daemon.masks import MASKS

MAX_BYTES = 4 * 1024 * 1024
"""Maximum size of an answer in bytes, before and after inflating. A task with ten scripts takes about 10 KiB."""
_MAX_HEADER = 32 * 1024
"""Maximum header line in bytes. IAM tokens with many permissions approach 16 KiB (aiohttp's default is 8)."""
_TIMEOUTS = Timeouts()
_SHOWN = 200
"""Maximum characters of another program's text in a message."""
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_RAW_DEFLATE = -zlib.MAX_WBITS


class Cause(StrEnum):
    """Why a request was certainly not delivered."""

    DNS = "dns"  # the host name cannot be resolved
    CONNECT = "connect"  # refused, unreachable, or no response to the connection attempt in time
    TLS = "tls"  # the server's certificate is not trusted, or the TLS handshake failed
    PROXY = "proxy"  # the proxy cannot be reached or refuses to forward


class TransportError(Exception):
    """There is no complete answer. `str()` says what happened, without any URL query."""


class NotSent(TransportError):
    """The request was certainly not delivered; `cause` says why."""

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class Broken(TransportError):
    """The connection broke, or the answer is not complete HTTP. The request may have been delivered."""


class TimedOut(TransportError):
    """No complete answer in time. The request may have been delivered."""


class TooLarge(TransportError):
    """The answer, or one of its header lines, exceeds the limit; the rest was not read."""


class Headers(Mapping[str, str]):
    """An answer's headers, by case-insensitive name. Of a repeated header the last one counts."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(slots=True, kw_only=True)
class Request:
    """A request: `target` is the encoded path with its query; `headers` are sent unchanged and in this order."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""


@dataclass(slots=True, kw_only=True)
class Answer:
    """A complete answer of any status, its `body` decompressed."""

    status: int
    headers: Headers
    body: bytes


class Transport:
    """Exchanges with one server over kept-alive connections.

    `base_url` is scheme, host and port. `proxy` is an http(s) URL, with user and password if needed (None:
    direct). With `ca_file` (PEM), only certificates under that CA are trusted; otherwise those under the usual
    public CAs (or SSL_CERT_FILE, SSL_CERT_DIR). A `context` overrides both. Exchanges beyond `max_in_flight` wait
    for their turn. `connect` creates the sockets and may refuse an address. Use one instance in one event loop.
    Raises ConfigFault for a `ca_file` that cannot be read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: Timeouts = _TIMEOUTS,
        max_bytes: int = MAX_BYTES,
        proxy: str | None = None,
        ca_file: str | None = None,
        max_in_flight: int = 256,
        context: ssl.SSLContext | None = None,
        connect: Connect | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._total = timeouts.total
        self._max_bytes = max_bytes
        self._slots = asyncio.Semaphore(max_in_flight)
        self._extensions = {
            "timeout": {"connect": timeouts.connect, "pool": timeouts.connect, "read": timeouts.read}
        }
        context = context or _trust(self.base_url, proxy, ca_file)
        through, self._added = (None, []) if proxy is None else _proxy(proxy, self.base_url)
        self._inner = AiohttpTransport(verify=context, proxy=through, client=lambda: _session(context, connect))

    async def exchange(self, request: Request) -> Answer:
        """Send `request` and read its complete answer. Raises NotSent, Broken, TimedOut or TooLarge."""
        path, _, query = request.target.partition("?")
        url = _url(self.base_url + path)
        sent = httpx.Request(
            request.method,
            url,
            headers=[*request.headers, *self._added],
            content=request.body or None,
            extensions=self._extensions,
        )
        if query:
            sent.url = _WithQuery(url, query)
        async with self._slots:
            try:
                async with asyncio.timeout(self._total):
                    response = await self._inner.handle_async_request(sent)
                    return await self._read(response)
            except TimeoutError:
                raise TimedOut(f"no whole answer within {self._total:g} s ({host_of(self.base_url)})") from None
            except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
                raise _translated(error, host_of(self.base_url)) from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def _read(self, response: httpx.Response) -> Answer:
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        headers = Headers(response.headers.raw)
        chunks = []
        size = 0
        try:
            async for chunk in stream:
                size += len(chunk)
                if size > self._max_bytes:
                    raise TooLarge(f"the answer is over {self._max_bytes} bytes")
                chunks.append(chunk)
        finally:
            await stream.aclose()  # drops the connection unless the body was read to its end
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        coding = headers.get("content-encoding")
        if coding is not None and body:
            body = _decoded(body, coding, self._max_bytes)
        return Answer(status=response.status_code, headers=headers, body=body)


_MOST_REDIRECTS = 3
_FILE_HEADERS = (("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", "wrapd"))


async def fetch(
    url: str,
    *,
    timeouts: Timeouts,
    max_bytes: int,
    proxy: str | None = None,
    ca_file: str | None = None,
    reach: Reach = Reach.ANY,
) -> Answer:
    """Fetch an http(s) `url`; returns the answer whatever its status. `timeouts` apply to all requests together.

    Follows at most three redirects, only within the same scheme, host and port. Trusts the public CAs and those of
    `ca_file`. Never connects to an address beyond `reach`. A proxy looks names up and connects by itself: then the
    addresses that this machine finds for the name are checked, and nothing is checked if it finds none. Raises
    TransportError; NotSent for an unusable URL, proxy or CA file, and for an address beyond `reach`.
    """
    try:
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        tls = parts.scheme == "https" or (proxy or "").startswith("https:")
        context = _wide_trust(ca_file) if tls else None
        connect = connecting(reach) if proxy is None else None
        server = Transport(
            base, timeouts=timeouts, max_bytes=max_bytes, proxy=proxy, context=context, connect=connect
        )
    except (ValueError, OSError, httpx.InvalidURL) as error:
        raise NotSent(f"the URL or its surroundings cannot be used: {type(error).__name__}", Cause.DNS) from None
    try:
        async with asyncio.timeout(timeouts.total):
            if proxy is not None:
                await _check_name(parts.hostname or "", reach, patience=timeouts.connect)
            return await _following_redirects(server, url)
    except TimeoutError:
        raise TimedOut(f"no whole answer within {timeouts.total:g} s ({host_of(url)})") from None
    except (httpx.InvalidURL, ValueError):
        raise NotSent("the URL cannot be used", Cause.DNS) from None
    finally:
        await server.aclose()


async def _check_name(host: str, reach: Reach, *, patience: float) -> None:
    """Raise NotSent if a name resolves to an address beyond `reach`, as far as this machine can resolve it."""
    if reach is Reach.ANY:
        return
    try:
        async with asyncio.timeout(patience):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return  # external names are often known to the proxy only
    if not all(may_reach(str(address[0]), reach) for *_, address in found):
        raise NotSent("no connection: it leads to this machine or its network", Cause.CONNECT)


async def _following_redirects(server: Transport, url: str) -> Answer:
    for _ in range(_MOST_REDIRECTS + 1):
        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        request = Request(method="GET", target=target, headers=[("Host", parts.netloc), *_FILE_HEADERS])
        answer = await server.exchange(request)
        where = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or where is None:
            return answer
        url = urljoin(url, where)
        if not url.startswith(f"{server.base_url}/"):
            raise Broken("it redirects to another server")
    raise Broken(f"it redirects more than {_MOST_REDIRECTS} times")


@lru_cache(maxsize=8)
def _wide_trust(ca_file: str | None) -> ssl.SSLContext:
    """The public CAs and those of a file. Shared by all transports: loading them takes 10 ms and 0.8 MiB."""
    context = httpx.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


_url = lru_cache(maxsize=2048)(httpx.URL)
"""Parsing a URL costs as much as signing and decoding together, and each job is polled many times."""


class _WithQuery(httpx.URL):
    """A parsed URL with an encoded query. httpx would check the query character by character: 240 µs for 100 job
    ids. The layers below only convert the URL to text."""

    def __init__(self, url: httpx.URL, query: str) -> None:
        super().__init__(url)
        self._encoded = query

    def __str__(self) -> str:
        return f"{super().__str__()}?{self._encoded}"


def environment_proxy(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for `url` in the environment: HTTPS_PROXY or HTTP_PROXY; lower-case names take precedence.

    None if no proxy is set, `url` is in NO_PROXY, or its host is loopback. Raises ConfigFault for other than
    http(s).
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    name = f"{parts.scheme}_proxy"
    value = environ.get(name) or environ.get(name.upper())
    if not value or is_loopback(host) or _in_no_proxy(host, parts.port, environ):
        return None
    proxy = value if "://" in value else f"http://{value}"
    scheme = proxy.partition("://")[0]
    if scheme.lower() not in ("http", "https"):
        raise ConfigFault(
            f"the environment variable {name.upper()} names a {clean(scheme)[:20]} proxy, which wrapd cannot "
            "use. Name an http:// or https:// proxy, there or as `proxy` of the project."
        )
    if not is_proxy(proxy):
        raise ConfigFault(f"the environment variable {name.upper()} names no proxy. Write http://HOST:PORT.")
    return proxy


def is_proxy(url: str) -> bool:
    """Whether exchanges can use this http(s) proxy, as far as its URL shows."""
    try:
        return bool(urlsplit(url).hostname) and _proxy(url, "https:") is not None
    except (ValueError, httpx.InvalidURL):
        return False


def check_ca_file(ca_file: str) -> None:
    """Raise ConfigFault if no certificates can be read from the file."""
    _trust("", None, ca_file)


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_no_proxy(host: str, port: int | None, environ: Mapping[str, str]) -> bool:
    """Whether NO_PROXY lists the host: as `*`, a name (also of a parent domain), an address or a network."""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return any(_covers(entry.strip().lower(), host, port) for entry in listed.split(",") if entry.strip())


def _covers(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    name, _, its_port = entry.partition(":")
    if its_port and its_port != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return host == name or host.endswith(f".{name}")


def _trust(base_url: str, proxy: str | None, ca_file: str | None) -> ssl.SSLContext:
    if ca_file is not None:
        try:
            return ssl.create_default_context(cafile=ca_file)
        except OSError as error:  # includes ssl.SSLError
            raise ConfigFault(
                f"ca_file {ca_file!r} cannot be used: {error}. Name a readable file of CA certificates in PEM."
            ) from None
    if base_url.startswith("https:") or (proxy or "").startswith("https:"):
        return _wide_trust(None)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no CA: plain HTTP needs none, and loading them is slow


def _session(context: ssl.SSLContext, connect: Connect | None) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        # `Transport` limits concurrency itself.
        connector=aiohttp.TCPConnector(limit=0, ssl=context, socket_factory=connect),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_field_size=_MAX_HEADER,
    )
    # Otherwise a GET that fails on a kept connection is silently resent: a request that no budget counts.
    session._retry_connection = False
    return session


def _proxy(url: str, base_url: str) -> tuple[httpx.Proxy, list[tuple[str, str]]]:
    """Return the proxy without user and password, and the headers that each request to it needs.

    The header is built here because httpx-aiohttp passes credentials in a way that aiohttp deprecates.
    """
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if parts.username is None:
        return httpx.Proxy(bare), []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    headers = [("Proxy-Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}")]
    if base_url.startswith("https:"):
        return httpx.Proxy(bare, headers=headers), []  # for the CONNECT only: the server must not receive it
    return httpx.Proxy(bare), headers


_NOT_SENT: tuple[tuple[type[Exception], str, Cause], ...] = (
    (aiohttp.ClientSSLError, "no trusted TLS connection", Cause.TLS),
    (aiohttp.ClientHttpProxyError, "the proxy refuses", Cause.PROXY),
    (aiohttp.ClientProxyConnectionError, "the proxy cannot be reached", Cause.PROXY),
    (aiohttp.ClientConnectorDNSError, "the host name cannot be resolved", Cause.DNS),
    (aiohttp.ClientConnectorError, "no connection", Cause.CONNECT),
    (aiohttp.InvalidURL, "the URL cannot be used", Cause.DNS),
)
"""Subclasses come before their base classes: the first match decides."""


def _translated(error: Exception, host: str) -> TransportError:
    """Map an exception to ours by its cause, which says more than the exception itself. What the layers below say
    of a connection that was not made names the host, and in one case the whole URL."""
    root = error.__cause__ if isinstance(error, httpx.HTTPError) and error.__cause__ else error
    shown = MASKS.cut(str(root), _SHOWN) or type(root).__name__
    if isinstance(root, aiohttp.ConnectionTimeoutError):
        return NotSent(f"no connection in time ({host})", Cause.CONNECT)
    for kind, text, cause in _NOT_SENT:
        if isinstance(root, kind):
            return NotSent(f"{text}: {shown}", cause)
    if isinstance(root, TimeoutError):
        return TimedOut(f"the server went silent: {shown} ({host})")
    if isinstance(root, aiohttp.ClientResponseError):
        if any(isinstance(deeper, LineTooLong) for deeper in _causes(root)):
            return TooLarge(f"a header line of the answer is over {_MAX_HEADER} bytes")
        return Broken(f"not an HTTP answer ({host}): {MASKS.cut(root.message, _SHOWN)}")
    return Broken(f"the connection broke: {shown} ({host})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    below = error.__cause__
    while below is not None:
        yield below
        below = below.__cause__


def _decoded(body: bytes, coding: str, cap: int) -> bytes:
    """Decode `body`, since some servers compress unasked. Never allocates more than `cap` + 1 bytes."""
    for name in reversed([part.strip().lower() for part in coding.split(",")]):
        if name in ("", "identity"):
            continue
        if name not in ("gzip", "x-gzip", "deflate"):
            raise Broken(f"the answer has the content coding {name[:40]!r}, which was not asked for")
        body = _decompressed(body, cap)
    return body


def _decompressed(body: bytes, cap: int) -> bytes:
    try:
        return _members(body, cap, _GZIP_OR_ZLIB)
    except zlib.error:
        pass
    try:
        return _members(body, cap, _RAW_DEFLATE)  # some servers send raw deflate as "deflate"
    except zlib.error as error:
        raise Broken(f"the compressed answer is damaged: {error}") from None


def _members(body: bytes, cap: int, window: int) -> bytes:
    whole = b""
    while body:
        inflater = zlib.decompressobj(window)
        whole += inflater.decompress(body, cap + 1 - len(whole))
        if len(whole) > cap:
            raise TooLarge(f"the answer inflates to over {cap} bytes")
        if not inflater.eof:
            raise Broken("the compressed answer is cut short")
        body = inflater.unused_data
    return whole
