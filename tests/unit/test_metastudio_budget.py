"""A budget's edges; its pace over any schedule is in the property tests."""

import asyncio

import pytest

from daemon.clock import ManualClock
from daemon.metastudio.budget import Budget, Priority


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_cannot_be(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Budget(rate, ManualClock())


async def test_nobody_passes_by_those_who_wait_with_the_same_priority() -> None:
    clock = ManualClock()
    asleep, wake = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await wake.wait()
        clock.advance(seconds)

    budget = Budget(1.0, clock, sleep=sleep)
    assert budget.try_take(clock.monotonic()) is not None
    waiting = asyncio.ensure_future(budget.take(Priority.DETAIL))
    await asleep.wait()
    clock.advance(1)  # a permit is free, and the one who waits has not woken yet
    assert budget.try_take(clock.monotonic(), Priority.DETAIL) is None
    assert budget.try_take(clock.monotonic(), Priority.DISCOVERY) is None
    assert budget.try_take(clock.monotonic(), Priority.NEWS) is not None
    wake.set()
    assert (await waiting).priority is Priority.DETAIL


async def test_who_gave_up_is_not_in_the_way() -> None:
    clock = ManualClock()
    budget = Budget(1.0, clock, sleep=lambda _seconds: asyncio.sleep(3600))
    budget.try_take(clock.monotonic())
    waiting = asyncio.ensure_future(budget.take(Priority.NEWS))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    clock.advance(1)
    assert budget.try_take(clock.monotonic(), Priority.DISCOVERY) is not None
    await budget.aclose()


async def test_closing_sends_away_who_waits() -> None:
    clock = ManualClock()
    budget = Budget(1.0, clock, sleep=lambda _seconds: asyncio.sleep(3600))
    budget.try_take(clock.monotonic())
    waiting = asyncio.ensure_future(budget.take(Priority.NEWS))
    await asyncio.sleep(0)
    await budget.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_a_permit_goes_stale() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    permit = budget.try_take(clock.monotonic())
    assert permit is not None
    assert budget.is_fresh(permit)
    clock.advance(0.1)
    assert not budget.is_fresh(permit)
    permit.spend()
    with pytest.raises(RuntimeError):
        permit.spend()
