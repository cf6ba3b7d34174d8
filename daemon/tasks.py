"""Background tasks: named, guarded, and with a defined place for unexpected errors.

Every unexpected exception becomes a defect: logged with its traceback, counted by part, and reported to the
operators. No other module calls `create_task` for work that is not awaited.
"""

import asyncio
import queue
import threading
import traceback
from collections.abc import Callable, Coroutine
from pathlib import PurePath
from typing import Any, TypeVar

from msgspec import Struct, field

from daemon.clock import Clock
from daemon.errors import WrapdError
from daemon.logs import LogEvent, logger
from daemon.metrics import Metrics

log = logger(__name__)
T = TypeVar("T")

_QUIET = 10.0
"""Seconds during which the same defect is logged once."""
_REPORT_EVERY = 3600.0
"""Seconds during which the same defect is reported to the operators once."""
_REMEMBERED = 1000
"""Defects whose last report is remembered. Each is a place in the source, so there are few."""


class Defect(Struct, frozen=True, kw_only=True):
    """An unexpected exception. `where` is its type and our innermost line that it passed, never its text, which
    may contain parts of an answer."""

    part: str
    where: str
    fields: dict[str, object] = field(default_factory=dict)


Report = Callable[[Defect], object]
"""Called with a defect."""


class Defects:
    """Collects unexpected exceptions. Thread-safe."""

    def __init__(self, *, clock: Clock, metrics: Metrics, report: Report = lambda defect: None) -> None:
        self.report = report
        self._clock = clock
        self._count = metrics.defects
        self._logged: dict[str, float] = {}
        self._reported: dict[str, float] = {}

    def note(self, part: str, error: BaseException, **fields: object) -> None:
        """Record that `part` met `error`; `fields` say what it was about (project, job, channel, task)."""
        self._count.labels(part).inc()
        where = where_of(error)
        if self._is_due(self._logged, where, _QUIET):
            log.error(LogEvent.DEFECT, part=part, where=where, error=error, **fields, exc_info=error)
        if self._is_due(self._reported, f"{part}/{where}", _REPORT_EVERY):
            self.report(Defect(part=part, where=where, fields=fields))

    def _is_due(self, last: dict[str, float], name: str, every: float) -> bool:
        now = self._clock.monotonic()
        if now - last.get(name, float("-inf")) < every:
            return False
        if len(last) >= _REMEMBERED:
            last.clear()
        last[name] = now
        return True


def where_of(error: BaseException) -> str:
    """The type of `error` and the innermost line of wrapd's code that it passed, as people would report it."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "daemon" in PurePath(frame.filename).parts and frame.name != "_guarded"
    ]
    if not own:
        return type(error).__name__
    parts = PurePath(own[-1].filename).parts
    path = "/".join(parts[len(parts) - 1 - parts[::-1].index("daemon") :])
    return f"{type(error).__name__} ({path}:{own[-1].lineno})"


class Tasks:
    """The background tasks of one part, which `part` names in logs, metrics and reports."""

    def __init__(self, part: str, defects: Defects) -> None:
        self._part = part
        self._defects = defects
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._ended = False

    def spawn(self, name: str, work: Coroutine[Any, Any, T], **fields: object) -> "asyncio.Task[T | None]":
        """Start `work`; `name` and `fields` describe it in the log. If it fails, the task's result is None: an
        expected error (WrapdError) was reported where it arose, any other is a defect."""
        task = asyncio.get_running_loop().create_task(self._guarded(name, work, fields), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def spawn_later(
        self, seconds: float, name: str, work: Callable[[], Coroutine[Any, Any, object]], **fields: object
    ) -> None:
        """Start `work()` after so many seconds, unless `end` comes first."""

        def begin() -> None:
            self._timers.discard(timer)
            self.spawn(name, work(), **fields)

        if not self._ended:
            timer = asyncio.get_running_loop().call_later(seconds, begin)
            self._timers.add(timer)

    def note(self, name: str, error: Exception, **fields: object) -> None:
        """Record an unexpected error that task `name` met and survived."""
        self._defects.note(self._part, error, task=name, **fields)

    @property
    def idle(self) -> bool:
        """Whether no task is running or scheduled."""
        return not self._tasks and not self._timers

    async def wait(self) -> None:
        """Wait until no task is running. For tests: a running daemon is rarely idle."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self, *, patience: float) -> None:
        """Wait `patience` seconds for running tasks, then cancel them. Scheduled ones never start."""
        self._ended = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _guarded(self, name: str, work: Coroutine[Any, Any, T], fields: dict[str, object]) -> T | None:
        try:
            return await work
        except WrapdError as error:
            log.debug(LogEvent.TASK_FAILED, part=self._part, task=name, error=error, **fields)
        except Exception as error:  # noqa: BLE001 - the purpose of a guard
            self.note(name, error, **fields)
        return None


_Task = Callable[[], None]


class Worker:
    """Runs calls in a thread of its own, which starts with the first call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task | None] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Make `call` in the thread and return its result, or raise its exception. Canceling the caller does not
        stop the call: a thread cannot be interrupted."""
        if self._tasks is None:
            self._tasks = queue.SimpleQueue()
            threading.Thread(target=_work, args=[self._tasks], name=self._name, daemon=True).start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._tasks.put(lambda: _resolve(loop, future, call))
        return await future

    def stop(self) -> None:
        """End the thread after the current call, without waiting. A later call starts a new thread."""
        if self._tasks is not None:
            self._tasks.put(None)
            self._tasks = None


def _work(tasks: "queue.SimpleQueue[_Task | None]") -> None:
    while (task := tasks.get()) is not None:
        task()


def _resolve(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[T]", call: Callable[[], T]) -> None:
    """Make the call and pass its outcome to the loop, which may be closed by then."""
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - raised where the call is awaited
        failure = error
        settle = lambda: None if future.done() else future.set_exception(failure)  # noqa: E731 - two short ends
    else:
        settle = lambda: None if future.done() else future.set_result(result)  # noqa: E731 - as above
    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed: no one is waiting
        return
