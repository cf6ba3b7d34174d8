"""The one thread that writes: it takes all that waits, does it in one transaction, and answers after the COMMIT.

Owns the queue of works and their order. Must never let a work's failure touch another's, and never die: a
transaction that fails is answered to those who asked, and the next one begins.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import StatementError

from daemon.clock import Clock
from daemon.logs import LogEvent, logger
from daemon.store.engine import changes_so_far, in_transaction
from daemon.store.errors import StoreBusy, StoreClosed, StoreFailed, from_sqlalchemy, mapped
from daemon.store.rows import WriterHealth

T = TypeVar("T")

GROUP = 256
"""Works in one transaction at most: it bounds how long the first of them waits."""
MOST_WAITING = 20_000
"""Works that may wait; the next one is refused with StoreBusy."""
_FORGET = 120.0
"""Seconds after the last failure from which on a transaction without changes will do: nobody tried any more."""

_QUIET = 10.0
"""Seconds between two lines of the log while transactions go on failing."""

log = logger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Work(Generic[T]):
    do: Callable[[Connection], T]
    future: "asyncio.Future[T]"
    loop: asyncio.AbstractEventLoop
    since: float
    result: T | None = None
    error: BaseException | None = None


class Writer:
    """Runs works in a thread of its own. Works are called with a connection inside a transaction."""

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
        self._thread = threading.Thread(target=self._run, name="wrapd-writer", daemon=True)
        self._thread.start()

    def submit(self, do: Callable[[Connection], T]) -> "asyncio.Future[T]":
        """Queue a work; the future ends after its COMMIT. Cancelling the future does not cancel the work.
        Raises StoreBusy where too many wait, and StoreClosed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        work = _Work(do=do, future=future, loop=loop, since=self._clock.monotonic())
        with self._changed:
            if self._closing:
                raise StoreClosed(f"{self._path}: the database is closed; nothing can be stored any more")
            if len(self._waiting) >= MOST_WAITING:
                raise StoreBusy(f"{self._path}: {MOST_WAITING} changes wait to be stored; try again in a moment")
            self._waiting.append(work)
            self._changed.notify()
        return future

    def health(self) -> WriterHealth:
        """How the writer does, from any thread."""
        with self._changed:
            oldest = self._running[0] if self._running else self._waiting[0] if self._waiting else None
            return WriterHealth(
                last_commit_at=self._last_commit,
                waiting=len(self._waiting) + len(self._running),
                oldest_wait=0.0 if oldest is None else max(0.0, self._clock.monotonic() - oldest.since),
                failing_since=self._failing_since,
            )

    def close(self) -> None:
        """Do all that waits, then end the thread. Works that come now are refused."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while works := self._take():
            self._do(works)
            with self._changed:
                self._running = ()
            _answer(works)

    def _take(self) -> tuple[_Work[Any], ...]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._running = tuple(self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting))))
            return self._running

    def _do(self, works: tuple[_Work[Any], ...]) -> None:
        changes = 0
        try:
            with mapped(self._path), self._engine.connect() as connection:
                try:
                    changes = self._transaction(connection, works)
                except BaseException:
                    # Its state is not known: the next transaction gets a new one.
                    connection.invalidate()
                    raise
        except BaseException as error:  # noqa: BLE001 - the thread must live; those who asked are told
            for work in works:
                work.error = _copy(error, self._path)
            self._complain(error, works)
        self._note(works, changes)

    def _complain(self, error: BaseException, works: tuple[_Work[Any], ...]) -> None:
        """Log a failure: the first, then one now and then, since each job tries again and again."""
        now = self._clock.monotonic()
        if self._failing_since is not None and now - self._complained_at < _QUIET:
            return
        self._complained_at = now
        failing = 0.0 if self._failing_since is None else now - self._failing_since
        with contextlib.suppress(Exception):  # a log that cannot be written must not end the thread
            log.error(LogEvent.DATABASE_FAILED, error=error, works=len(works), failing_for=round(failing, 1))

    def _note(self, works: tuple[_Work[Any], ...], changes: int) -> None:
        """Keep how it went: a transaction without changes succeeds on a full disk too, and proves nothing."""
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

    def _transaction(self, connection: Connection, works: tuple[_Work[Any], ...]) -> int:
        """Do the works and commit; how many rows they changed."""
        before = changes_so_far(connection)
        with connection.begin():
            for work in works:
                self._step(connection, work)
        return changes_so_far(connection) - before

    def _step(self, connection: Connection, work: _Work[Any]) -> None:
        connection.exec_driver_sql("SAVEPOINT work")
        try:
            work.result = work.do(connection)
        except BaseException as error:  # it belongs to the one who asked, not to this thread
            if not in_transaction(connection):
                raise  # a full disk, for one, ends the whole transaction: then all are told
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
            work.error = from_sqlalchemy(error, self._path) if isinstance(error, StatementError) else error
        connection.exec_driver_sql("RELEASE SAVEPOINT work")


def _copy(error: BaseException, path: Path) -> BaseException:
    """An error of its own for each who asked: a raised exception collects the traces of its catchers."""
    if isinstance(error, StoreBusy | StoreFailed):
        return type(error)(*error.args)
    return StoreFailed(f"{path}: nothing was stored: {type(error).__name__}: {error}")


def _answer(works: Iterable[_Work[Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Work[Any]]] = {}
    for work in works:
        by_loop.setdefault(work.loop, []).append(work)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, group)
        except RuntimeError:
            continue  # the loop is closed: nobody waits for the answer


def _settle(works: list[_Work[Any]]) -> None:
    for work in works:
        if work.future.done():
            continue
        if work.error is None:
            work.future.set_result(work.result)
        else:
            work.future.set_exception(work.error)
