"""Recurring ticks by name, run on time even when the wall clock is stepped. The only importer of APScheduler.

APScheduler plans by the wall clock, so a step of that clock would stall or flood the ticks. A guard compares it
with the monotonic clock, and reschedules every tick after a step.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from daemon.clock import Clock, SteadyClock
from daemon.errors import WrapdError
from daemon.logs import LogEvent, logger

log = logger(__name__)

GUARD_INTERVAL = 0.5
"""Seconds between two comparisons of the wall clock with the monotonic clock."""
_GRACE = 30
"""Seconds by which a tick may be late and still run (APScheduler's misfire_grace_time)."""


@dataclass(slots=True)
class _Tick:
    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]
    last_ran: float | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class _Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires every `gap` and skips missed times. APScheduler's own interval trigger counts missed times one by one:
    after a step by a year that blocks the event loop for minutes."""

    __slots__ = ("gap",)

    def __init__(self, seconds: float) -> None:
        self.gap = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        following = (now if previous is None else previous) + self.gap
        return following if following > now else now + self.gap


class Schedule:
    """Named recurring ticks. A tick never runs concurrently with itself; missed runs are merged into one."""

    def __init__(self, clock: Clock, *, defect: Callable[[str, Exception], None] | None = None) -> None:
        """`defect` receives the tick's name and any unexpected exception; without it, exceptions are logged."""
        self._clock = clock
        self._defect = defect
        # APScheduler would log each late or skipped run. Ticks may be late, and `last_ran` reveals a stall.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": _GRACE, "coalesce": True, "max_instances": 1}
        )
        self._ticks: dict[str, _Tick] = {}
        self._guard: asyncio.Task[None] | None = None

    def every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` every `seconds`. Exceptions are logged, and it runs again at its next time."""
        tick = _Tick(name=name, seconds=seconds, work=work)
        tick.idle.set()
        self._ticks[name] = tick
        self._scheduler.add_job(self._run, _Every(seconds), id=name, args=[tick])

    def start(self) -> None:
        """Start; call it in a running event loop."""
        self._scheduler.start()
        self._guard = asyncio.get_running_loop().create_task(self._watch_clock(), name="clock guard")

    async def stop(self, *, patience: float = math.inf) -> None:
        """Start no more ticks and wait for those running; cancel the ones that exceed `patience` (seconds)."""
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)
        self._scheduler.remove_all_jobs()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(patience) else patience):
                for tick in self._ticks.values():
                    await tick.idle.wait()
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # it reports a canceled tick as an error
        self._scheduler.shutdown(wait=False)

    def last_ran(self) -> dict[str, float | None]:
        """When each tick last completed without an error (monotonic seconds), or None if it never did."""
        return {tick.name: tick.last_ran for tick in self._ticks.values()}

    def reschedule(self) -> None:
        """Reschedule every tick from the current wall-clock time."""
        for tick in self._ticks.values():
            self._scheduler.reschedule_job(tick.name, trigger=_Every(tick.seconds))

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

    async def _watch_clock(self) -> None:
        steady = SteadyClock(self._clock)
        while True:
            await asyncio.sleep(GUARD_INTERVAL)
            try:
                self._follow(steady)
            except Exception as error:  # noqa: BLE001 - the next check may succeed
                self._failed("clock", error)

    def _follow(self, steady: SteadyClock) -> None:
        steady.now()  # absorbs drift too small to be a step
        if step := steady.step():
            log.warning(LogEvent.CLOCK_STEPPED, seconds=round(step, 3))
            self.reschedule()
            steady.accept(step)
