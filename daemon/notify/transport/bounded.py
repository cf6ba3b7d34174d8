"""Limits and records what a plugin sends over HTTP. Its `Watch` also serves `smtp`.

Owns the only patches of requests: installed once, without effect outside of `watching`. Within, a send has a
deadline that also ends a dripping answer (one thread serves all channels), answers are cut at a cap, redirects are
not followed, and each exchange is recorded. It also checks the environment's proxies and certificates. Other
transports (MQTT, XMPP, IRC, local programs) are neither seen nor bounded here. It logs nothing, keeps no URL and
no header except those that ask to wait, and shows no variable's value: it may hold a password.
"""

import contextlib
import errno
import functools
import heapq
import importlib.util
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from daemon.clock import Clock, SystemClock
from daemon.notify.transport.verdicts import Exchange, Failure, Step

PROXY_NAMES = tuple(
    cased for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for cased in (name, name.upper())
)
"""The variables that requests reads, lower case first."""
_CA_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PLAIN = frozenset({"http", "https"})
_SOCKS = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NO_SOCKS = "a SOCKS proxy needs the Python package `PySocks`, which is not installed"
_NO_PROXY = "the proxy variable does not hold an address"
_NO_CA = "the certificate file does not exist"
_NO_URL = "the URL cannot be used"


def why_impossible(causes: Iterable[BaseException]) -> str:
    """What a person must fix before any request can go out; '' if nothing."""
    for cause in causes:
        if isinstance(cause, requests.exceptions.InvalidSchema) and "SOCKS" in str(cause):
            return f"{_NO_SOCKS} (ALL_PROXY, HTTPS_PROXY)"
        if isinstance(cause, requests.exceptions.InvalidProxyURL | urllib3.exceptions.ProxySchemeUnknown):
            return f"{_NO_PROXY} (HTTPS_PROXY, ALL_PROXY)"
        if isinstance(cause, OSError) and "CA certificate bundle" in str(cause):
            return f"{_NO_CA} (REQUESTS_CA_BUNDLE)"
        if isinstance(
            cause, requests.exceptions.InvalidURL | urllib3.exceptions.LocationValueError | UnicodeError
        ):
            return _NO_URL
    return ""


def doubts_of(environ: Mapping[str, str]) -> Iterator[str]:
    """Faults of the environment that keep messages from chat services; each names its variable."""
    for name in PROXY_NAMES:
        value = environ.get(name, "").strip()
        if value and not name.lower().startswith("no_"):
            fault = _fault_of(value)
            if fault:
                yield f"{name} (environment): {fault}; messages over it wait"
    for name in _CA_NAMES:
        path = environ.get(name, "")
        if path and not Path(path).exists():
            yield f"{name} (environment): {_NO_CA}; messages over HTTPS wait"


def proxy_passwords(environ: Mapping[str, str]) -> set[str]:
    """The passwords in the proxy variables."""
    found: set[str] = set()
    for name in PROXY_NAMES:
        login = environ.get(name, "").partition("://")[2].rpartition("@")[0]
        found |= {login.partition(":")[2]} - {""}
    return found


def _fault_of(value: str) -> str:
    whole = value if _SCHEME.match(value) else f"http://{value}"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        return _NO_PROXY
    scheme = parts.scheme.lower()
    if scheme in _SOCKS:
        return "" if importlib.util.find_spec("socks") is not None and parts.hostname else _NO_SOCKS
    usable = scheme in _PLAIN and parts.hostname and re.fullmatch(r"[\w.:-]+", parts.hostname) and port != 0
    return "" if usable else _NO_PROXY


_Call = Callable[[], None]


class Deadlines:
    """Makes calls at given times, unless they are canceled before."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._order = count()
        self._waiting: list[tuple[float, int, list[_Call]]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def within(self, seconds: float, call: _Call) -> Iterator[None]:
        """Make `call` (in another thread) if the block takes longer than `seconds`."""
        entry = [call]
        self._add(self._clock.monotonic() + seconds, entry)
        try:
            yield
        finally:
            entry.clear()  # it stays in the heap, empty, until its time: no search, and the thread is not woken

    def _add(self, due: float, entry: list[_Call]) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (due, next(self._order), entry))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wrapd-deadlines", daemon=True)
                self._thread.start()
            elif self._waiting[0][2] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                now = self._clock.monotonic()
                while not self._waiting or (wait := self._waiting[0][0] - now) > 0:
                    self._changed.wait(wait if self._waiting else None)
                    now = self._clock.monotonic()
                _, _, entry = heapq.heappop(self._waiting)
            with contextlib.suppress(Exception):  # canceled (empty), or failed: the other calls are still made
                entry.pop()()


ANSWER_CAP = 64 * 1024
"""Bytes kept of an answer. Services' answers to a message are far shorter."""
CONNECT_TIMEOUT = 10.0
"""Seconds for connecting, within the total deadline."""
_CHUNK = 4096
_CLOCK = SystemClock()
"""Sockets wait in real time, whatever clock the rest of the program uses."""
_DEADLINES = Deadlines(_CLOCK)
KEPT_FOR = 1.0
"""Seconds after which an idle connection is closed. Later a server may close it just as a message is sent, and
then it is unknown whether the message arrived."""


class Watch:
    """One send: the seconds left on the wire, and the exchanges so far."""

    def __init__(self, seconds: float, kept: "Kept | None" = None) -> None:
        self.kept = kept
        self.exchanges: list[Exchange] = []
        self.expired = False
        self.connected = False
        self.step = Step.CONNECT
        """The step that a conversation with a mail server has reached."""
        self.seconds = seconds
        self._left = seconds
        self._sockets: list[Callable[[], socket.socket | None]] = []

    def hold(self, find: Callable[[], socket.socket | None]) -> None:
        """Register a socket to shut when the time is over."""
        self._sockets.append(find)
        if self.expired:
            self._expire()

    @property
    def left(self) -> float:
        """Seconds left; always positive, so that it can be a timeout."""
        return max(0.001, self._left)

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self._left <= 0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Let the time run. At its end all sockets are shut, which ends any wait on them."""
        started = _CLOCK.monotonic()
        try:
            with _DEADLINES.within(self.left, self._expire):
                yield
        finally:
            self._left -= _CLOCK.monotonic() - started
            self._sockets.clear()

    def _expire(self) -> None:
        self.expired = True
        for find in list(self._sockets):
            held = find()
            if held is not None:
                with contextlib.suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)


_WATCH: ContextVar[Watch | None] = ContextVar("wrapd_watch", default=None)


def current_watch() -> Watch | None:
    """The watch of this thread's send; None outside of one."""
    return _WATCH.get()


@contextlib.contextmanager
def watching(seconds: float, kept: "Kept | None" = None) -> Iterator[Watch]:
    """Bound and record what this thread sends: at most `seconds` on the wire for all exchanges together.
    Connections are closed after each exchange, or `kept`."""
    _install()
    if kept is not None:
        kept.renew()
    watch = Watch(seconds, kept)
    token = _WATCH.set(watch)
    try:
        yield watch
    finally:
        _WATCH.reset(token)


@functools.cache
def _install() -> None:
    setattr(requests.sessions, "HTTPAdapter", _adapter)  # noqa: B010 - as below; each session makes two adapters
    setattr(requests.sessions, "get_environ_proxies", _proxies_of(requests.utils.get_environ_proxies))  # noqa: B010
    setattr(requests.Session, "send", _bounded(requests.Session.send))  # noqa: B010 - mypy forbids the assignment


# ---------------------------------------------------------------------------------------------------- HTTP


@functools.cache
def _watched(pool: Any) -> Any:
    """A subclass of a pool class (plain, TLS or SOCKS) whose sockets the watch can shut, from before the handshake
    on."""

    class WatchedConnection(pool.ConnectionCls):  # type: ignore[misc]  # the base is known at run time only
        def _new_conn(self) -> Any:
            raw = super()._new_conn()
            _hold(lambda: raw)
            return raw

        def connect(self) -> None:
            super().connect()
            held = self.sock  # the attribute is cleared after the headers, while the body may still drip in
            _connected(lambda: held)

    class Pool(pool):  # type: ignore[misc]  # as above
        ConnectionCls = WatchedConnection

        def _get_conn(self, timeout: float | None = None) -> Any:
            connection = super()._get_conn(timeout)
            kept = connection.sock
            if kept is not None:  # a reused connection is registered like a new one
                _connected(lambda: kept)
            return connection

    return Pool


def _watch_pools(manager: Any) -> None:
    kinds = manager.pool_classes_by_scheme.items()
    manager.pool_classes_by_scheme = {scheme: _watched(pool) for scheme, pool in kinds}


def _hold(find: Callable[[], socket.socket | None]) -> None:
    watch = _WATCH.get()
    if watch is not None:
        watch.hold(find)


def _connected(find: Callable[[], socket.socket | None]) -> None:
    watch = _WATCH.get()
    if watch is not None:
        watch.connected = True
        watch.hold(find)


class _Adapter(HTTPAdapter):
    """requests' own transport over connections that can be shut."""

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _watch_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        manager = super().proxy_manager_for(proxy, **kwargs)
        _watch_pools(manager)
        return manager


class _KeptAdapter(_Adapter):
    """The same, shared by many sessions, which must not close it."""

    def close(self) -> None:
        """Do nothing: each session calls this at its end."""

    def end(self) -> None:
        super().close()


class Kept:
    """Connections of one channel, kept between messages. Only one that carried a complete good answer is kept."""

    def __init__(self) -> None:
        self._adapter: _KeptAdapter | None = None
        self._used = 0.0

    def adapter(self) -> _KeptAdapter:
        """The adapter over the kept connections."""
        if self._adapter is None:
            self._adapter = _KeptAdapter()
        return self._adapter

    def renew(self) -> None:
        """Close connections that were idle for too long. Called before each send."""
        now = _CLOCK.monotonic()
        if now - self._used > KEPT_FOR:
            self.close_kept()
        self._used = now

    def close_kept(self) -> None:
        """Close all."""
        if self._adapter is not None:
            self._adapter.end()


def _adapter() -> HTTPAdapter:
    watch = _WATCH.get()
    return _Adapter() if watch is None or watch.kept is None else watch.kept.adapter()


def _proxies_of(original: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """The environment's proxies for a URL, cached until a proxy variable changes: the original walks the entire
    environment twice for each request."""

    @functools.lru_cache(maxsize=64)
    def found(server: str, no_proxy: str | None, _environment: tuple[str | None, ...]) -> dict[str, str]:
        return original(server, no_proxy=no_proxy)

    def proxies(url: str, no_proxy: str | None = None) -> dict[str, str]:
        environment = tuple(os.environ.get(name) for name in PROXY_NAMES)
        return found("/".join(url.split("/", 3)[:3]), no_proxy, environment)

    return proxies


def _bounded(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(session: Any, request: Any, **kwargs: Any) -> Any:
        watch = _WATCH.get()
        if watch is None:
            return original(session, request, **kwargs)
        if watch.over:
            watch.exchanges.append(Exchange(failure=Failure.NOT_SENT, detail="no time was left for this request"))
            raise requests.Timeout("the time for this send is over")
        if type(session.get_adapter(request.url)) is HTTPAdapter:
            session.mount("http://", _Adapter())
            session.mount("https://", _Adapter())
        session.get_redirect_target = lambda _response: None  # or a redirect's body would be read without a cap
        request.headers["Accept-Encoding"] = "identity"
        kwargs.update(stream=True, allow_redirects=False, timeout=(min(CONNECT_TIMEOUT, watch.left), watch.left))
        watch.connected = False
        with watch.counting():
            try:
                response = _exchange(watch, lambda: original(session, request, **kwargs))
            except BaseException:
                _close_kept(watch)
                raise
            if not (watch.exchanges[-1].whole and 200 <= response.status_code < 300):
                _close_kept(watch)
            return response

    return send


def _close_kept(watch: Watch) -> None:
    if watch.kept is not None:
        watch.kept.close_kept()


def _exchange(watch: Watch, call: Callable[[], Any]) -> Any:
    """Make the call, record the answer, and hand the plugin one that is read completely and capped."""
    try:
        response = call()
    except Exception as error:  # a bad variable or URL can make the libraries raise anything
        watch.exchanges.append(_failed(watch, error))
        if isinstance(error, requests.RequestException):
            raise
        raise requests.ConnectionError("the exchange failed") from error
    if watch.expired:  # the headers may be cut off, so they prove nothing
        response.close()
        watch.exchanges.append(_failed(watch, TimeoutError()))
        raise requests.ReadTimeout("the time for this send is over")
    body, whole = _read(response)
    response._content, response._content_consumed = body, True
    response.close()
    watch.exchanges.append(
        Exchange(
            status=response.status_code,
            retry_after=next((found for name in _WAITS if (found := response.headers.get(name))), None),
            body=body,
            whole=whole,
            detail="" if whole else "the answer was cut off",
        )
    )
    return response


_WAITS = ("Retry-After", "x-ogw-ratelimit-reset", "X-RateLimit-Reset-After")
"""Headers with a time for which to send nothing; the second is Feishu's, the third Discord's."""


def _read(response: Any) -> tuple[bytes, bool]:
    """The body, at most `ANSWER_CAP` bytes of it, and whether it is complete."""
    body = bytearray()
    try:
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > ANSWER_CAP:
                return bytes(body[:ANSWER_CAP]), False
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return bytes(body), False
    return bytes(body), True


def _failed(watch: Watch, error: BaseException) -> Exchange:
    causes = list(_chain(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        reason = next(cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError))
        return Exchange(failure=Failure.REFUSED, detail=f"the certificate is not trusted: {reason.verify_message}")
    if not watch.connected:
        impossible = why_impossible(causes)
        if impossible:
            return Exchange(failure=Failure.REFUSED, detail=impossible)
        return Exchange(failure=Failure.NOT_SENT, detail=_unconnected(watch, causes))
    if watch.expired or any(isinstance(cause, requests.Timeout | TimeoutError) for cause in causes):
        return Exchange(failure=Failure.TIMED_OUT, detail=f"no answer within {watch.seconds:g} s")
    return Exchange(failure=Failure.BROKEN, detail="the connection ended before the answer")


def why_unconnected(watch: Watch, error: BaseException) -> str:
    """Why no connection was made, in words."""
    return _unconnected(watch, list(_chain(error)))


def _unconnected(watch: Watch, causes: list[BaseException]) -> str:
    words = next((words for kinds, words in _UNCONNECTED if any(isinstance(each, kinds) for each in causes)), None)
    if words == _PROXY:
        refused = next((found for cause in causes if (found := _TUNNEL.search(str(cause)))), None)
        return f"the proxy refuses (HTTP {refused[1]})" if refused else _PROXY
    if words is not None:
        return words
    if watch.expired or any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
        return "no connection in time"
    if not any(isinstance(cause, OSError | urllib3.exceptions.HTTPError) for cause in causes):
        return f"the request could not be made ({type(causes[0]).__name__})"
    system = (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno in errno.errorcode)
    return f"no connection: {next(system, None) or 'the other side ended it'}"


_PROXY = "the proxy cannot be reached"
_UNCONNECTED: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((urllib3.exceptions.ProxyError,), _PROXY),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "the host's name cannot be resolved"),
    ((ConnectionRefusedError,), "the connection was refused"),
    ((ssl.SSLError,), "the TLS handshake failed"),
)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all its causes, including those that requests and urllib3 wrap in arguments."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        found = todo.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        todo += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
