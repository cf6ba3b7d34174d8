"""The queue of writes: everything queued is done in one transaction and answered after the COMMIT.

A transaction is run by the writer thread, or by a calling thread that can wait for it, which saves waking another.
Only one of them writes at a time. Owns the queue of works and their order. The failure of one work does not affect
the others, and a failed transaction is reported to its callers and does not end the thread.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import StatementError

from daemon.clock import Clock
from daemon.logs import LogEvent, logger
from daemon.store.engine import changes_so_far, in_transaction
from daemon.store.errors import StoreBusy, StoreClosed, StoreFailed, from_sqlalchemy, mapped
from daemon.store.rows import WriterHealth

T = TypeVar("T")
Look = Callable[[Connection], Callable[[], None] | None]
"""Called in each transaction that changed something, before its COMMIT; what it returns is called after it."""

GROUP = 256
"""Works in one transaction at most, which bounds how long the first of them waits."""
MOST_WAITING = 20_000
"""Works that may be queued; the next one is refused with StoreBusy."""
_FORGET = 120.0
"""Seconds after the last failure when a transaction without changes counts as recovery: by then no caller is
retrying."""

_QUIET = 10.0
"""Seconds between two log lines while transactions keep failing."""

log = logger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Work(Generic[T]):
    do: Callable[[Connection], T]
    future: "asyncio.Future[T] | None"
    """Who waits; None: a thread that runs the work itself, or sees that it is done."""
    loop: asyncio.AbstractEventLoop | None
    since: float
    result: T | None = None
    error: BaseException | None = None
    done: bool = False


class Writer:
    """Runs works in its own thread. A work is called with a connection inside a transaction."""

    def __init__(self, engine: Engine, path: Path, *, clock: Clock) -> None:
        self._engine = engine
        self._path = path
        self._clock = clock
        self._waiting: deque[_Work[Any]] = deque()
        self._running: tuple[_Work[Any], ...] = ()
        self._last_commit: float | None = None
        self._failing_since: float | None = None
        self._failed_at = 0.0
        self._complained_at = 0.0
        self._closing = False
        self._changed = threading.Condition()
        self.look: Look | None = None
        self._turn = threading.Lock()
        """Held by the thread that is writing."""
        self._thread = threading.Thread(target=self._run, name="wrapd-writer", daemon=True)
        self._thread.start()

    def submit(self, do: Callable[[Connection], T]) -> "asyncio.Future[T]":
        """Queue a work; the future completes after its COMMIT. Cancelling the future does not cancel the work.
        Raises StoreBusy if too many are queued, and StoreClosed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue(_Work(do=do, future=future, loop=loop, since=self._clock.monotonic()), notify=True)
        return future

    def perform(self, do: Callable[[Connection], T]) -> T:
        """Run a work in the calling thread, together with all that is queued; returns after the COMMIT. Never call
        it in the thread of an event loop. Raises errors of the work, StoreError, StoreBusy and StoreClosed."""
        work: _Work[T] = _Work(do=do, future=None, loop=None, since=self._clock.monotonic())
        self._queue(work, notify=False)
        while not work.done:
            with self._turn:
                if not work.done:  # else another thread has done it meanwhile
                    self._once()
        if work.error is not None:
            raise work.error
        return cast("T", work.result)

    def _queue(self, work: _Work[Any], *, notify: bool) -> None:
        with self._changed:
            if self._closing:
                raise StoreClosed(f"{self._path}: the database is closed")
            if len(self._waiting) >= MOST_WAITING:
                raise StoreBusy(f"{self._path}: {MOST_WAITING} changes are queued already; try again in a moment")
            self._waiting.append(work)
            if notify:
                self._changed.notify()

    def others_version(self) -> object:
        """Return a token that equals an earlier one only if nothing but this writer has committed since. Cheap: no
        transaction, no lock of the database. While a transaction is being written, the token equals no other."""
        if self._closing or not self._turn.acquire(blocking=False):
            return object()
        try:
            with mapped(self._path), closing(self._engine.raw_connection()) as connection:
                # Counts commits of other connections only, and only for this connection: hence both in the token.
                [version] = connection.driver_connection.execute("PRAGMA data_version").fetchone()  # type: ignore[union-attr]
                return connection.driver_connection, version
        finally:
            self._turn.release()

    def health(self) -> WriterHealth:
        """Return the state of the writer. Callable from any thread."""
        with self._changed:
            oldest = self._running[0] if self._running else self._waiting[0] if self._waiting else None
            return WriterHealth(
                last_commit_at=self._last_commit,
                waiting=len(self._waiting) + len(self._running),
                oldest_wait=0.0 if oldest is None else max(0.0, self._clock.monotonic() - oldest.since),
                failing_since=self._failing_since,
            )

    def close(self) -> None:
        """Do everything queued, then end the thread. Further works are refused."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        with self._turn:  # wait for a calling thread that still runs its own work
            pass

    def _run(self) -> None:
        while self._is_wanted():
            with self._turn:
                self._once()

    def _is_wanted(self) -> bool:
        """Wait until there is something to do. False: the writer is closing and nothing is queued."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return bool(self._waiting)

    def _once(self) -> None:
        """Run one transaction for everything queued, in the thread whose turn it is."""
        with self._changed:
            works = tuple(self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting))))
            self._running = works
        if not works:  # another thread was faster
            return
        self._do(works)
        with self._changed:
            self._running = ()
        for work in works:
            work.done = True
        _answer(works)

    def _do(self, works: tuple[_Work[Any], ...]) -> None:
        changes, tell = 0, None
        try:
            with mapped(self._path), self._engine.connect() as connection:
                try:
                    changes, tell = self._transaction(connection, works)
                except BaseException:
                    # Its state is unknown, so the next transaction gets a new one.
                    connection.invalidate()
                    raise
        except BaseException as error:  # noqa: BLE001 - the thread must live; the callers get the error
            for work in works:
                work.error = _copy(error, self._path)
            self._complain(error, works)
        self._note(works, changes)
        if tell is not None:
            tell()

    def _complain(self, error: BaseException, works: tuple[_Work[Any], ...]) -> None:
        """Log a failure: the first, then one now and then, since every job retries."""
        now = self._clock.monotonic()
        if self._failing_since is not None and now - self._complained_at < _QUIET:
            return
        self._complained_at = now
        failing = 0.0 if self._failing_since is None else now - self._failing_since
        with contextlib.suppress(Exception):  # a log that cannot be written must not end the thread
            log.error(LogEvent.DATABASE_FAILED, error=error, works=len(works), failing_for=round(failing, 1))

    def _note(self, works: tuple[_Work[Any], ...], changes: int) -> None:
        """Record the result. A transaction without changes succeeds on a full disk too, so it proves nothing."""
        now = self._clock.monotonic()
        failed = any(isinstance(work.error, StoreBusy | StoreFailed) for work in works)
        with self._changed:
            if failed:
                self._failing_since = now if self._failing_since is None else self._failing_since
                self._failed_at = now
                return
            self._last_commit = now
            if changes or now - self._failed_at > _FORGET:
                self._failing_since = None

    def _transaction(
        self, connection: Connection, works: tuple[_Work[Any], ...]
    ) -> tuple[int, Callable[[], None] | None]:
        """Run the works and commit. Returns how many rows they changed, and what to call now."""
        before, tell = changes_so_far(connection), None
        with connection.begin() as transaction:
            if len(works) == 1:  # a rollback undoes just this work: no savepoint needed
                self._alone(connection, transaction, works[0])
            else:
                for work in works:
                    self._step(connection, work)
            changes = changes_so_far(connection) - before
            if changes and self.look is not None and in_transaction(connection):
                tell = self.look(connection)
        return changes, tell

    def _alone(self, connection: Connection, transaction: RootTransaction, work: _Work[Any]) -> None:
        try:
            work.result = work.do(connection)
        except BaseException as error:  # as in `_step`
            if not in_transaction(connection):
                raise
            transaction.rollback()
            work.error = from_sqlalchemy(error, self._path) if isinstance(error, StatementError) else error

    def _step(self, connection: Connection, work: _Work[Any]) -> None:
        connection.exec_driver_sql("SAVEPOINT work")
        try:
            work.result = work.do(connection)
        except BaseException as error:  # the error belongs to the caller of the work, not to this thread
            if not in_transaction(connection):
                raise  # a full disk, for example, ends the entire transaction: it fails for all
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
            work.error = from_sqlalchemy(error, self._path) if isinstance(error, StatementError) else error
        connection.exec_driver_sql("RELEASE SAVEPOINT work")


def _copy(error: BaseException, path: Path) -> BaseException:
    """Return a separate exception for each caller, since a raised one collects the tracebacks of its catchers."""
    if isinstance(error, StoreBusy | StoreFailed):
        return type(error)(*error.args)
    return StoreFailed(f"{path}: nothing was stored: {type(error).__name__}: {error}")


def _answer(works: Iterable[_Work[Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Work[Any]]] = {}
    for work in works:
        if work.loop is not None:
            by_loop.setdefault(work.loop, []).append(work)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, group)
        except RuntimeError:
            continue  # the loop is closed, so no caller waits


def _settle(works: list[_Work[Any]]) -> None:
    for work in works:
        if work.future is None or work.future.done():
            continue
        if work.error is None:
            work.future.set_result(work.result)
        else:
            work.future.set_exception(work.error)
