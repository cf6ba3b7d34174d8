"""Limits and records what a plugin sends over HTTP. Its `Watch` also serves `smtp`.

Owns the only patches of requests: installed once, without effect outside of `watching`. Within, a send has a
deadline that also ends a dripping answer (one thread serves all channels), answers are cut at a cap, redirects are
not followed, and each exchange is recorded. Other transports (MQTT, XMPP, IRC, local programs) are neither seen
nor bounded here. It logs nothing, and keeps no header except those that ask to wait.
"""

import contextlib
import functools
import heapq
import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeAlias

import requests
import urllib3
from requests.adapters import HTTPAdapter

from daemon.addresses import host_of
from daemon.clock import Clock, SystemClock
from daemon.notify.transport.verdicts import Exchange, Failure, Step, failed

PROXY_NAMES = tuple(
    cased for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for cased in (name, name.upper())
)
"""The variables that requests reads, lower case first."""
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
        self.host = ""
        """The host and port that it talks to."""
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
    direct = _direct(requests.request)
    setattr(requests.api, "request", direct)  # noqa: B010 - as above; `requests.post` and the like call this one
    setattr(requests, "request", direct)  # noqa: B010 - as above


# ---------------------------------------------------------------------------------------------------- HTTP


class _FinalResponse(http.client.HTTPResponse):
    """The final answer to a request. `http.client` takes any interim answer but 100 (102, 103) for the answer, and
    the answer itself for that to the next request on the connection."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # not in the stubs
            if status >= 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)


@functools.cache
def _watched(pool: Any) -> Any:
    """A subclass of a pool class (plain, TLS or SOCKS) whose sockets the watch can shut, from before the handshake
    on."""

    class WatchedConnection(pool.ConnectionCls):  # type: ignore[misc]  # the base is known at run time only
        response_class = _FinalResponse

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


_Route: TypeAlias = tuple[Any, str]
"""The pool of a host, and the path with its query."""


class Kept:
    """Connections of one channel, kept between messages. Only one that carried a complete good answer is kept."""

    def __init__(self) -> None:
        self._adapter: _KeptAdapter | None = None
        self._used = 0.0
        self._routes: dict[tuple[str, Any], _Route | None] = {}

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

    def route(self, url: str, verify: Any) -> "_Route | None":
        """How `url` is reached; None if the environment has a proxy or a login for it, which is left to requests.
        Looked up once for as long as connections are kept."""
        key = (url, verify)
        if key not in self._routes:
            self._routes[key] = self._looked_up(url, verify)
        return self._routes[key]

    def _looked_up(self, url: str, verify: Any) -> "_Route | None":
        session, adapter = requests.Session(), self.adapter()
        request = session.prepare_request(requests.Request("POST", url))
        found = session.merge_environment_settings(url, {}, True, verify, None)
        if found["proxies"] or "Authorization" in request.headers:
            return None
        pool = adapter.get_connection_with_tls_context(request, found["verify"], proxies={})
        adapter.cert_verify(pool, url, found["verify"], None)
        return pool, request.path_url

    def close_kept(self) -> None:
        """Close all."""
        self._routes.clear()
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
        return _counted(watch, request.url, lambda: original(session, request, **kwargs))

    return send


_DIRECT = frozenset({"data", "headers", "verify", "timeout", "allow_redirects", "auth", "params", "files"})
_ABSENT = ("auth", "params", "files")
_NO_RETRIES = urllib3.Retry(0, read=False)


def _direct(original: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a plain request over kept connections by urllib3: what requests does around it takes two thirds of its
    CPU time. Everything else is left to requests."""

    @functools.wraps(original)
    def request(method: str, url: str, **kwargs: Any) -> Any:
        watch, body = _WATCH.get(), kwargs.get("data")
        plain = isinstance(body, str | bytes) and kwargs.keys() <= _DIRECT and not any(map(kwargs.get, _ABSENT))
        route = _route(watch, url, kwargs.get("verify")) if plain else None
        if watch is None or route is None:
            return original(method, url, **kwargs)
        headers = requests.structures.CaseInsensitiveDict({"Accept": "*/*", **(kwargs.get("headers") or {})})
        headers["Accept-Encoding"] = "identity"
        pool, path = route

        def call() -> requests.Response:
            raw = pool.urlopen(
                method.upper(),
                path,
                body=body.encode() if isinstance(body, str) else body,
                headers=headers,
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, watch.left), read=watch.left),
                preload_content=False,
                decode_content=False,
            )
            return _answer(raw, url)

        return _counted(watch, url, call)

    return request


def _route(watch: Watch | None, url: str, verify: Any) -> _Route | None:
    if watch is None or watch.kept is None or watch.over:
        return None
    try:
        return watch.kept.route(url, verify)
    except Exception:  # noqa: BLE001 - requests meets the error again, and there it is recorded
        return None


def _answer(raw: Any, url: str) -> requests.Response:
    """An answer of urllib3 as requests would have given it to the plugin."""
    response = requests.Response()
    response.status_code, response.reason, response.url, response.raw = raw.status, raw.reason, url, raw
    response.headers.update(raw.headers)
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    return response


def _counted(watch: Watch, url: str, call: Callable[[], Any]) -> Any:
    """Make an exchange within its time. The connection is kept only after a complete good answer."""
    watch.connected, watch.host = False, host_of(url)
    with watch.counting():
        try:
            response = _exchange(watch, call)
        except BaseException:
            _close_kept(watch)
            raise
        if not (watch.exchanges[-1].whole and 200 <= response.status_code < 300):
            _close_kept(watch)
        return response


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
    return failed(error, connected=watch.connected, expired=watch.expired, seconds=watch.seconds, host=watch.host)
