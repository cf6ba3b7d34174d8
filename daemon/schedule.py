"""Recurring ticks by name, run on time even when the wall clock is stepped. The only importer of APScheduler.

The daemon sleeps until the next tick is due: one APScheduler job fires then and starts all ticks that are due, so
that ticks with the same period share a wake-up. APScheduler plans by the wall clock, and a step of that clock
would stall or flood it. So the ticks themselves are due by the monotonic clock, and each wake-up checks for a step
and reschedules the job after one.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from daemon.clock import Clock, SteadyClock
from daemon.errors import WrapdError
from daemon.logs import LogEvent, logger

log = logger(__name__)

GUARD_INTERVAL = 1.0
"""Seconds between two comparisons of the wall clock with the monotonic clock, at most."""
_EARLY = 0.002
"""Seconds by which timers may fire early. Ticks due within them run at once, which saves another wake-up."""
_JOB = "ticks"


@dataclass(slots=True)
class _Tick:
    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]
    due: float = 0.0
    last_ran: float | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class _NextDue(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires once `seconds()` have passed, whatever the wall clock shows."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + timedelta(seconds=self.seconds())


class _Scheduler(AsyncIOScheduler):  # type: ignore[misc]
    """Calls `guard` at each wake-up, and wakes up for it if nothing else is due for long."""

    def __init__(self, guard: Callable[[], None]) -> None:
        # Without a grace time a job that is late, after a suspended machine for example, runs nevertheless.
        super().__init__(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
        self._check_clock = guard

    def _process_jobs(self) -> float | None:
        if not self.running:  # a wake-up that was under way when it was shut down
            return None
        self._check_clock()
        wait: float | None = super()._process_jobs()
        return GUARD_INTERVAL if wait is None else min(wait + _EARLY / 2, GUARD_INTERVAL)


class Schedule:
    """Named recurring ticks. A tick never runs concurrently with itself; missed runs are merged into one."""

    def __init__(self, clock: Clock, *, defect: Callable[[str, Exception], None] | None = None) -> None:
        """`defect` receives the tick's name and any unexpected exception; without it, exceptions are logged."""
        self._clock = clock
        self._defect = defect
        # APScheduler would log each late run. Ticks may be late, and `last_ran` reveals a stall.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = _Scheduler(partial(self._check_clock, SteadyClock(clock)))
        self._ticks: dict[str, _Tick] = {}
        self._running: set[asyncio.Task[None]] = set()

    def every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` every `seconds`. Exceptions are logged, and it runs again at its next time."""
        tick = self._ticks[name] = _Tick(name=name, seconds=seconds, work=work)
        tick.idle.set()

    def start(self) -> None:
        """Start; call it in a running event loop."""
        now = self._clock.monotonic()
        for tick in self._ticks.values():
            tick.due = now + tick.seconds
        self._scheduler.add_job(self._run_due, _NextDue(self._until_due), id=_JOB)
        self._scheduler.start()

    async def stop(self, *, patience: float = math.inf) -> None:
        """Start no more ticks and wait for those running; cancel the ones that exceed `patience` (seconds)."""
        self._scheduler.remove_all_jobs()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(patience) else patience):
                for tick in self._ticks.values():
                    await tick.idle.wait()
        self._scheduler.shutdown(wait=False)
        for task in self._running:
            task.cancel()

    def last_ran(self) -> dict[str, float | None]:
        """When each tick last completed without an error (monotonic seconds), or None if it never did."""
        return {tick.name: tick.last_ran for tick in self._ticks.values()}

    def reschedule(self) -> None:
        """Plan the next wake-up from the current wall-clock time."""
        self._scheduler.reschedule_job(_JOB, trigger=_NextDue(self._until_due))

    def _until_due(self) -> float:
        """Seconds until the next wake-up. APScheduler plans it before those that are due now have started."""
        now = self._clock.monotonic()
        due = min(
            (_after(tick, now) if _is_due(tick, now) else tick.due for tick in self._ticks.values()),
            default=now + GUARD_INTERVAL,
        )
        return due - now

    async def _run_due(self) -> None:
        """Start the ticks that are due. One that still runs is skipped."""
        now = self._clock.monotonic()
        for tick in self._ticks.values():
            if not _is_due(tick, now):
                continue
            tick.due = _after(tick, now)
            if tick.idle.is_set():
                tick.idle.clear()
                task = asyncio.get_running_loop().create_task(self._run(tick), name=f"tick {tick.name}")
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _run(self, tick: _Tick) -> None:
        tick.idle.clear()
        try:
            await tick.work()
        except WrapdError as error:  # expected, with a message for people
            log.error(LogEvent.TICK_FAILED, tick=tick.name, error=error)
        except Exception as error:  # noqa: BLE001 - it runs again at its next time
            self._failed(tick.name, error)
        else:
            tick.last_ran = self._clock.monotonic()
        finally:
            tick.idle.set()

    def _failed(self, name: str, error: Exception) -> None:
        if self._defect is None:
            log.error(LogEvent.TICK_FAILED, tick=name, error=error, exc_info=error)
        else:
            self._defect(name, error)

    def _check_clock(self, steady: SteadyClock) -> None:
        try:
            steady.now()  # absorbs drift too small to be a step
            if step := steady.step():
                log.warning(LogEvent.CLOCK_STEPPED, seconds=round(step, 3))
                self.reschedule()
                steady.accept(step)
        except Exception as error:  # noqa: BLE001 - the next check may succeed
            self._failed("clock", error)


def _is_due(tick: _Tick, now: float) -> bool:
    return tick.due <= now + _EARLY


def _after(tick: _Tick, now: float) -> float:
    """When a tick that is due now is due again; missed times are skipped."""
    return tick.due + tick.seconds if tick.due + tick.seconds > now + _EARLY else now + tick.seconds
