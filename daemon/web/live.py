"""Live events: what changed, for pages and tools that watch, as server-sent events.

Owns the streams: how many there may be, what each still has to get, and when it ends. Events carry ids and
versions only, never labels or links, and are encoded once for all streams. An event is about one job, delivery,
channel or project as it is when it is sent, so several changes of it within a moment are one event. If there are
more than can be sent, a client gets `resync` in their place: it reads again what it shows.

    job {project, job_id, version, state, ended}   version: how many transitions it has; ended: it is not tracked
    delivery {id, status}    mute {id}    channel {name}    project {name}    needs {count}    resync {}
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from weakref import WeakSet

from daemon.errors import WrapdError
from daemon.store import ChangeRow, Store, StoreError, Transaction
from daemon.tasks import Tasks

MOST = 64
"""Streams in all."""
MOST_EACH = 8
"""Streams for each token or session."""
REPLAYED = 1000
"""Changes that a client may have missed. One that missed more gets `resync`."""
MOST_A_SECOND = 12
"""Events sent in any second."""
_BACKLOG = 2 * MOST_A_SECOND
"""Events that may wait for their turn. If there are more, all clients get one `resync` in their place."""
_GATHER = 0.05
"""Seconds for which changes are gathered before they are sent."""
_KEPT = 256
"""Sent chunks that are kept for clients that read slowly. One that is further behind is cut off."""
_BEAT = 15.0
"""Seconds between two comments, by which proxies and clients see that a stream is alive."""
_NEEDS_EVERY = 5.0
"""Seconds between two counts of what needs a person."""
_RETRY = (3000, 4000)
"""Milliseconds after which a client connects again; by chance, so that a thousand do not do it at once."""
_BEAT_CHUNK = b":\n\n"

_EVENTS = {"pause": "project", **{each: each for each in ("job", "delivery", "channel", "project", "mute")}}
"""The event for each kind of change; other kinds are not shown."""
Subject = tuple[str, int | str]
"""An event, and the row id or name of what it is about."""
Pending = dict[Subject, int]
"""What is to be sent, with the cursor of its last change."""


class TooManyStreams(WrapdError):
    """No further stream can be opened. `own`: because of those of the same token or session."""

    def __init__(self, *, own: bool) -> None:
        super().__init__(
            "too many event streams" + (" for this token" if own else "") + "; close one, or try later"
        )
        self.own = own


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class LiveStream:
    """One client's stream: iterate over it once. `key` names its token or session."""

    key: str
    live: "Live"
    expires_in: float | None = None
    """Seconds until its token expires."""
    first: bytes = b""
    place: int = 0
    """How many chunks were sent to all when it began, or had its last one."""
    ended: bool = False
    waiter: "asyncio.Future[None] | None" = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.live.chunks(self)

    def end(self) -> None:
        """End it now."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Let it see what is new."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Live:
    """All streams. `hear` gets the changes; `needs` counts what needs a person (None: that is not told)."""

    def __init__(
        self,
        store: Store,
        *,
        tasks: Tasks,
        needs: Callable[[], Awaitable[int]] | None = None,
        rng: random.Random,
        most: int = MOST,
        most_each: int = MOST_EACH,
    ) -> None:
        self._store, self._tasks, self._needs, self._rng = store, tasks, needs, rng
        self._most, self._most_each = most, most_each
        self._streams: WeakSet[LiveStream] = WeakSet()
        self._chunks: deque[bytes] = deque(maxlen=_KEPT)
        self._sent = 0
        """How many chunks were sent to all; the last of them are kept."""
        self._turn = asyncio.Lock()
        """Held while what follows is read and written."""
        self._cursor = 0
        """All changes up to here were read."""
        self._told = 0
        """All changes up to here were sent to all, or are not shown."""
        self._pending: Pending = {}
        self._begun = False
        """Whether these are kept up: only while there are streams."""
        self._pace = _Pace()
        self._pumping = self._again = self._closed = False
        self._in_doubt = False
        """Whether a token may have been revoked without a word."""
        self._beating: asyncio.TimerHandle | None = None
        self._count: int | None = None
        self._counted_at = float("-inf")
        self._counting: asyncio.TimerHandle | None = None

    @property
    def watched(self) -> bool:
        """Whether there are streams. Callable from any thread."""
        return len(self._streams) > 0

    def hear(self, rows: Sequence[ChangeRow], *, missed: bool) -> None:
        """Have changes sent that were just committed; `missed`: there were more."""
        if not self._streams:
            return
        for row in rows:
            if row.kind == "token":
                self.end(row.name)
        self._in_doubt |= missed
        if missed or any(row.kind in _EVENTS for row in rows):
            self._pump_soon()

    async def open(
        self, key: str, last_event_id: str | None = None, *, expires_in: float | None = None
    ) -> LiveStream:
        """Open a stream for a token or session, which resumes behind the last event that the client got. Raises
        TooManyStreams and StoreError."""
        if self._closed or len(self._streams) >= self._most:
            raise TooManyStreams(own=False)
        if sum(each.key == key for each in self._streams) >= self._most_each:
            raise TooManyStreams(own=True)
        stream = LiveStream(key=key, live=self, expires_in=expires_in)
        self._streams.add(stream)
        async with self._turn:
            last = _cursor_of(last_event_id)
            missed = partial(_missed, last=last, told=self._told if self._begun else None)
            (told, frames), revoked = await self._store.read_async(lambda tx: (missed(tx), _revoked(tx, {key})))
            if revoked:  # between the look at it and now
                stream.end()
            if not self._begun:
                self._cursor = self._told = told
                self._pending, self._begun, self._count = {}, True, None
            stream.first = b"retry: %d\n%b\n" % (self._rng.randint(*_RETRY), b"" if frames else b"id: %d\n" % told)
            stream.first += b"".join(frames)
            if self._count is not None:  # it has no id, so it is not resumed
                stream.first += _frame(None, "needs", {"count": self._count})
            stream.place = self._sent
        self._pump_soon()  # something may have changed between the read and now
        if self._beating is None:
            self._beating = asyncio.get_running_loop().call_later(_BEAT, self._beat)
        return stream

    def end(self, key: str | None = None) -> None:
        """End the streams of a token or session; None: all."""
        for stream in list(self._streams):
            if key in (None, stream.key):
                stream.end()

    def stop(self) -> None:
        """End all streams; none can be opened any more. Call it before the server waits for its answers to end."""
        self._closed = True
        self.end()
        for timer in (self._beating, self._counting):
            if timer is not None:
                timer.cancel()

    async def chunks(self, stream: LiveStream) -> AsyncIterator[bytes]:
        """Yield what a client gets, one or several events at a time."""
        loop = asyncio.get_running_loop()
        timer = None if stream.expires_in is None else loop.call_later(max(0.0, stream.expires_in), stream.end)
        try:
            yield stream.first
            while not stream.ended:
                behind = self._sent - stream.place
                if behind > len(self._chunks):
                    yield _frame(self._told, "resync", {})
                    return
                if behind:
                    stream.place = self._sent
                    kept = len(self._chunks)
                    yield self._chunks[-1] if behind == 1 else b"".join(islice(self._chunks, kept - behind, kept))
                    continue
                stream.waiter = loop.create_future()
                await stream.waiter
        finally:
            if timer is not None:
                timer.cancel()
            self._streams.discard(stream)
            if not self._streams:
                self._begun = False

    def _send(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._sent += 1
        for stream in self._streams:
            stream.wake()

    def _beat(self) -> None:
        self._beating = None
        if self._streams:
            self._send(_BEAT_CHUNK)
            if self._needs is not None:  # by time alone a job is overdue, or a link dies
                self._pump_soon()
            self._beating = asyncio.get_running_loop().call_later(_BEAT, self._beat)

    def _pump_soon(self) -> None:
        self._again = True
        if not self._pumping and not self._closed:
            self._pumping = True
            self._tasks.spawn("live", self._pump())

    async def _pump(self) -> None:
        """Send changes until there are none."""
        loop = asyncio.get_running_loop()
        try:
            while self._streams and (self._again or self._pending) and not self._closed:
                await asyncio.sleep(max(_GATHER, self._pace.wait(loop.time())))
                self._again = False
                async with self._turn:
                    await self._send_news(loop.time())
                await self._send_needs(loop.time())
        finally:
            self._pumping = False

    async def _send_news(self, now: float) -> None:
        if not self._begun:  # the last client left
            return
        free = self._pace.free(now)
        work = partial(_news, cursor=self._cursor, pending=self._pending, most=free)
        try:
            if self._in_doubt:
                keys = {each.key for each in self._streams}
                for key in await self._store.read_async(lambda tx: _revoked(tx, keys)):
                    self.end(key)
                self._in_doubt = False
            self._cursor, self._pending, self._told, frames = await self._store.read_async(work)
        except StoreError:  # logged where it arose
            self._pace.rest(now)
            self._again = True
            return
        if frames is None:
            self._pace.rest(now)
            frames = [_frame(self._told, "resync", {})]
        self._pace.note(now, len(frames))
        if frames:
            self._send(b"".join(frames))

    async def _send_needs(self, now: float) -> None:
        if self._needs is None or not self._streams:
            return
        if now - self._counted_at < _NEEDS_EVERY:
            if self._counting is None:
                at = self._counted_at + _NEEDS_EVERY
                self._counting = asyncio.get_running_loop().call_at(at, self._pump_soon)
            return
        self._counted_at, self._counting = now, None
        try:
            count = await self._needs()
        except StoreError:
            return
        if count != self._count:
            self._count = count
            self._pace.note(now, 1)
            self._send(_frame(None, "needs", {"count": count}))


HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The headers of a stream, next to its type."""


@dataclass(slots=True)
class _Pace:
    """Keeps the events of any second below the limit. Times are the loop's."""

    _times: deque[float] = field(default_factory=deque)
    _rests_until: float = 0.0

    def free(self, now: float) -> int:
        """How many events may be sent now."""
        while self._times and self._times[0] + 1.0 <= now:
            self._times.popleft()
        return 0 if now < self._rests_until else max(0, MOST_A_SECOND - len(self._times))

    def wait(self, now: float) -> float:
        """Seconds until one may be sent."""
        if self.free(now):
            return 0.0
        first = self._times[-MOST_A_SECOND] + 1.0 if len(self._times) >= MOST_A_SECOND else now
        return max(first, self._rests_until) - now

    def note(self, now: float, events: int) -> None:
        """Count events that are sent now."""
        self._times.extend([now] * events)

    def rest(self, now: float) -> None:
        """Send nothing for a second."""
        self._rests_until = now + 1.0


def _news(
    tx: Transaction, *, cursor: int, pending: Pending, most: int
) -> tuple[int, Pending, int, list[bytes] | None]:
    """Read the changes beyond the cursor. Returns the next cursor, what is still to be sent, the cursor up to
    which all is sent, and at most `most` frames to send; None: `resync`."""
    rows = tx.changes.since(cursor, limit=REPLAYED + 1)
    todo = _coalesced(rows, pending)
    if most and (len(todo) > _BACKLOG or len(rows) > REPLAYED):
        latest = tx.changes.latest()
        return latest, {}, latest, None
    cursor = rows[-1].id if rows else cursor
    now = dict(list(todo.items())[:most])
    rest = dict(list(todo.items())[most:])
    told = min(rest.values()) - 1 if rest else cursor
    return cursor, rest, told, _frames(tx, now)


def _missed(tx: Transaction, *, last: int | None, told: int | None) -> tuple[int, list[bytes]]:
    """Return the cursor up to which all is sent to the others (`told`; now if there are none), and the frames with
    which a client that got all up to `last` gets there, too."""
    told = tx.changes.latest() if told is None else told
    if last is None or last == told:
        return told, []
    rows = tx.changes.since(last, limit=REPLAYED + 1)
    if len(rows) > REPLAYED or not tx.changes.reaches(last):
        return told, [_frame(told, "resync", {})]
    # What has changed since then comes with the next events.
    return told, _frames(tx, {subject: at for subject, at in _coalesced(rows, {}).items() if at <= told})


def _revoked(tx: Transaction, keys: Collection[str]) -> set[str]:
    """Those of the keys that are ids of revoked tokens or ended sessions."""
    tokens = {key: tx.tokens.get(key) for key in keys}
    revoked = {key for key, token in tokens.items() if token is not None and token.revoked_at is not None}
    return revoked | tx.sessions.ended(list(keys))


def _coalesced(rows: Iterable[ChangeRow], pending: Pending) -> Pending:
    """Return what is to be sent with the last change of each, in the order of these."""
    todo = dict(pending)
    for row in rows:
        if (event := _EVENTS.get(row.kind)) is None:
            continue
        subject = (event, row.row if row.row is not None else row.name or "")
        todo.pop(subject, None)
        todo[subject] = row.id
    return todo


def _frames(tx: Transaction, todo: Pending) -> list[bytes]:
    """Return the frame of each, as the database has it now. What was deleted is left out."""
    jobs = tx.changes.jobs(row for event, row in todo if event == "job" and isinstance(row, int))
    statuses = tx.changes.statuses(row for event, row in todo if event == "delivery" and isinstance(row, int))
    frames = []
    for (event, subject), at in todo.items():
        if event == "job":
            data = jobs[subject]._asdict() if isinstance(subject, int) and subject in jobs else None
        elif event == "delivery":
            data = (
                {"id": subject, "status": statuses[subject]}
                if isinstance(subject, int) and subject in statuses
                else None
            )
        else:
            data = {"id" if event == "mute" else "name": subject}
        if data is not None:
            frames.append(_frame(at, event, data))
    return frames


def _frame(at: int | None, event: str, data: dict[str, object]) -> bytes:
    place = b"" if at is None else b"id: %d\n" % at
    return place + f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _cursor_of(last_event_id: str | None) -> int | None:
    """The cursor that a client sends back; -1, which leads to `resync`, if it is none of ours."""
    if not last_event_id:
        return None
    return (
        int(last_event_id)
        if last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 19
        else -1
    )
