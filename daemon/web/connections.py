"""The web server's connections: how many there may be, how long each may last, and which one makes room.

Anyone can open one, and behind a proxy all come from the same address, so strangers cannot be recognized at
connection time. A new connection is therefore always accepted; at the limit, the one that has kept the server
waiting longest is dropped. One that keeps the server waiting too long, or is too old, is closed in any case.
"""

import asyncio
import logging
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.folding import Folding
from daemon.logs import LogEvent

MOST = 256
"""Maximum connections; exceeded only while each one of these is being answered."""
RESERVE = 32
"""Connections beyond MOST, on which only probes are answered."""
PATIENCE = 15.0
"""Seconds that a connection may keep the server waiting: for the next request, a complete head or body, or for the
client to read an answer. Trickling bytes do not extend it."""
LINGER = 2.0
"""The same for the rest of a body that is no longer needed, because the answer has been sent."""
LIFE = 60.0
"""Seconds after which a connection accepts no further request."""
MOST_REQUESTS = 100
"""Maximum requests per connection."""
_READ_AT_ONCE = 32 * 1024
"""Bytes read from a socket at a time. asyncio's 256 KiB would be held for each unread body."""
_SWEEP = 0.5
"""Seconds between two checks for connections whose time is over."""


class Connections:
    """All connections of one server, checked while there are any. Call `stop` at the end."""

    def __init__(self, strangers: Folding) -> None:
        self.strangers = strangers
        self._all: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def crowded(self) -> bool:
        """Whether there are so many that only probes are answered."""
        return len(self._all) > MOST

    def stop(self) -> None:
        """Stop checking."""
        if self._timer is not None:
            self._timer.cancel()

    def drop_stuck_streams(self) -> None:
        """Close the streams whose clients do not read: they cannot be told that they end."""
        for each in list(self._all):
            if each.streaming and each.flow.write_paused:
                each.drop()

    def add(self, one: "Connection") -> bool:
        """Register a connection, dropping another if needed. False if there is no room: all are being answered."""
        if len(self._all) >= MOST:
            waiting = [each for each in self._all if each.waited_since is not None]
            if waiting:
                min(waiting, key=lambda each: each.waited_since or 0.0).drop()
                self.strangers.note(
                    LogEvent.WEB_REFUSED, reason="too many connections: the slowest one was dropped"
                )
            elif len(self._all) >= MOST + RESERVE:
                self.strangers.note(LogEvent.WEB_REFUSED, reason="too many connections: the newest was closed")
                return False
        self._all.add(one)
        self._sweep_later()
        return True

    def discard(self, one: "Connection") -> None:
        """Remove a closed connection."""
        self._all.discard(one)

    def _sweep_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._timer, now = None, asyncio.get_running_loop().time()
        if self._all or self.strangers.pending:
            self._sweep_later()
        for each in list(self._all):
            each.check(now)
        self.strangers.flush()


class Connection(H11Protocol):
    """One connection: uvicorn's, with a limit on everything that it waits for."""

    def __init__(self, places: Connections, **options: Any) -> None:
        super().__init__(**options)
        self.logger = cast("logging.Logger", _FoldedLogger(places.strangers))
        self._places = places
        self._born = self._since = self.loop.time()
        self._requests = 0
        self._unread = 0
        self._heard = False

    @property
    def waited_since(self) -> float | None:
        """Since when it has kept the server waiting (the loop's time); None while a request is being answered, or
        what it may have sent already has not been read yet."""
        if not self._heard:
            return None
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering and not self.flow.write_paused and self.conn.their_state is not h11.SEND_BODY:
            return None
        return self._since

    def check(self, now: float) -> None:
        """Close it if its time is over."""
        unread = self.transport.get_write_buffer_size()
        if unread < self._unread:  # the client reads slowly, but it reads
            self._since = now
        self._unread = unread
        since = self.waited_since
        old = now - self._born > LIFE and not self.streaming
        if (since is not None and now - since > self._patience) or (old and now - self._born > LIFE + PATIENCE):
            self.drop()
        elif old and self.cycle is not None:
            if self.cycle.response_complete:
                self.transport.close()
            self.cycle.keep_alive = False

    def drop(self) -> None:
        """Close it immediately, discarding all buffered data."""
        self._places.discard(self)
        self.transport.abort()

    # Called by asyncio and uvicorn.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = _READ_AT_ONCE  # type: ignore[attr-defined]  # an internal of asyncio's selector transport
        # The transport is read from the loop's next turn on, whose end is the start of the one after it.
        self.loop.call_soon(self.loop.call_soon, self._is_heard)
        if not self._places.add(self):
            transport.abort()

    def _is_heard(self) -> None:
        self._heard, self._since = True, self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._places.discard(self)
        self._unset_keepalive_if_required()  # uvicorn leaves the timer running if the connection broke
        if self.cycle is not None:
            self.cycle.body = bytearray()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # in this state nothing can be answered any more
            self.drop()

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.conn.their_state is h11.DONE and self.conn.trailing_data[0]:
            self.cycle.scope["state"][LAST] = True  # pipelined: other connections take their turn first
        if self.cycle is before:
            return
        self._since = self.loop.time()
        self._requests += 1
        if self._requests >= MOST_REQUESTS or self._since - self._born > LIFE:
            self.cycle.scope["state"][LAST] = True

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._since = self.loop.time()
        super().pause_writing()

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # it has already ended in some way
            self.drop()

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application's answer is discarded from now on
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore the attempt: the request is answered like any other, and no log line is needed."""

    @property
    def streaming(self) -> bool:
        """Whether the answer in progress is a stream, which ends when the client or the daemon ends it."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and cycle.scope["state"].get(STREAM, False)

    @property
    def _patience(self) -> float:
        answered = self.cycle is not None and self.cycle.response_complete
        return LINGER if answered and self.conn.their_state is h11.SEND_BODY else PATIENCE


LAST = "last"
"""Key in a request's state: the connection closes after this answer."""
HEAD = "head"
"""Key in a request's state: it came with HEAD, so nobody gets the body."""
FAILED = "failed"
"""Key in a request's state: the error of wrapd's own about which its answer, a page, tells the reader."""
STREAM = "stream"
"""Key in a request's state: the answer goes on for as long as the client listens."""


class _FoldedLogger:
    """Replaces uvicorn's logger: its messages are about strangers, and are folded."""

    level = logging.WARNING

    def __init__(self, strangers: Folding) -> None:
        self._strangers = strangers

    def warning(self, message: str, *_: object, **__: object) -> None:
        self._strangers.note(LogEvent.WEB_REFUSED, reason=message.strip())

    error = warning

    def log(self, *_: object, **__: object) -> None:
        """Ignore messages below warnings."""
