"""Ticks in real time: they recur, survive exceptions, and are rescheduled when the wall clock is set."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, tzinfo

import pytest

from daemon import schedule
from daemon.clock import SystemClock
from daemon.schedule import Schedule


class SettableClock(SystemClock):
    """The machine's clock, which a test can set for the daemon alone."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.offset


class Counted:
    """A tick that can be awaited."""

    def __init__(self, fails: int = 0) -> None:
        self.ran = 0
        self._fails = fails
        self._news = asyncio.Condition()

    async def __call__(self) -> None:
        async with self._news:
            self.ran += 1
            self._news.notify_all()
        if self.ran <= self._fails:
            raise RuntimeError("a tick's own fault")

    async def times(self, number: int) -> None:
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: self.ran >= number)


@asynccontextmanager
async def running(clock: SystemClock, **ticks: Counted) -> AsyncIterator[Schedule]:
    it = Schedule(clock)
    for name, work in ticks.items():
        it.every(0.02, name, work)
    it.start()
    try:
        yield it
    finally:
        await it.stop()


async def test_a_tick_that_raises_runs_again_and_does_not_disturb_others() -> None:
    broken, fine = Counted(fails=3), Counted()
    async with running(SystemClock(), broken=broken, fine=fine) as it:
        await broken.times(5)
        await fine.times(5)
        assert it.last_ran()["broken"] is not None


async def test_a_tick_that_only_raises_has_made_no_progress() -> None:
    broken = Counted(fails=1000)
    async with running(SystemClock(), broken=broken) as it:
        await broken.times(3)
        assert it.last_ran() == {"broken": None}


async def test_a_stop_waits_for_the_tick_that_runs() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await go.wait()
        ended.set()

    it = Schedule(SystemClock())
    it.every(0.02, "slow", slow)
    it.start()
    await begun.wait()
    stopping = asyncio.create_task(it.stop())
    asyncio.get_running_loop().call_later(0.05, go.set)
    await stopping
    assert ended.is_set()


async def test_a_stop_cancels_a_tick_that_takes_longer_than_it_may(capsys: pytest.CaptureFixture[str]) -> None:
    begun, canceled = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    it = Schedule(SystemClock())
    it.every(0.02, "endless", endless)
    it.start()
    await begun.wait()
    await it.stop(patience=0.01)
    await canceled.wait()
    assert "Traceback" not in "".join(capsys.readouterr())


async def test_a_step_of_the_wall_clock_is_seen_and_told_once() -> None:
    clock, tick, planned = SettableClock(), Counted(), asyncio.Event()
    async with running(clock, tick=tick) as it:
        plan = it.reschedule
        it.reschedule = lambda: (plan(), planned.set())  # type: ignore[method-assign,assignment,return-value]
        await tick.times(2)
        assert not planned.is_set()
        clock.offset = timedelta(hours=-2)
        async with asyncio.timeout(5 * schedule.GUARD_INTERVAL):
            await planned.wait()
        before = tick.ran
        await tick.times(before + 3)
        planned.clear()
        await tick.times(tick.ran + 40)
        assert not planned.is_set(), "the new offset is the normal one now"


async def test_a_step_over_many_years_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a hardware clock starts in 1970: missed times must not be counted one by one."""
    offset = timedelta(0)

    class Stepped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + offset

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Stepped)
    tick = Counted()
    async with running(SystemClock(), tick=tick):
        await tick.times(2)
        offset = timedelta(days=50 * 365)
        await tick.times(tick.ran + 3)


async def test_what_nobody_foresaw_is_told_with_the_ticks_name() -> None:
    told: list[tuple[str, Exception]] = []
    heard = asyncio.Event()

    def defect(tick: str, error: Exception) -> None:
        told.append((tick, error))
        heard.set()

    async def fail() -> None:
        raise LookupError("a tick's own fault")

    schedule = Schedule(SystemClock(), defect=defect)
    schedule.every(0.01, "failing", fail)
    schedule.start()
    try:
        await asyncio.wait_for(heard.wait(), 5)
    finally:
        await schedule.stop()
    assert told[0][0] == "failing"
    assert isinstance(told[0][1], LookupError)
    assert schedule.last_ran() == {"failing": None}


async def test_ticks_that_are_due_together_share_one_wake_up() -> None:
    one, two = Counted(), Counted()
    async with running(SystemClock(), one=one, two=two) as it:
        wake_ups, process = [], it._scheduler._process_jobs
        it._scheduler._process_jobs = lambda: wake_ups.append(1) or process()
        before = one.ran + two.ran
        await one.times(one.ran + 20)
        await two.times(20)
        assert len(wake_ups) <= 0.75 * (one.ran + two.ran - before)


async def test_a_wake_up_that_is_under_way_at_the_stop_breaks_nothing() -> None:
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    it = Schedule(SystemClock())
    it.start()
    await it.stop()
    it._scheduler.wakeup()  # as the timer does that is due in the same turn of the loop
    for _ in range(3):
        await asyncio.sleep(0)
    assert not broken
