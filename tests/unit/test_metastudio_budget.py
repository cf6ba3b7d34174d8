"""A budget's edge cases; the property tests cover its pace over any schedule."""

import asyncio
import math

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
    clock.advance(1)  # a permit is free, and the waiting caller has not woken yet
    assert budget.try_take(clock.monotonic(), Priority.DETAIL) is None
    assert budget.try_take(clock.monotonic(), Priority.DISCOVERY) is None
    assert budget.try_take(clock.monotonic(), Priority.NEWS) is not None
    wake.set()
    assert (await waiting).priority is Priority.DETAIL


async def test_a_timer_that_rings_a_moment_early_costs_one_more_sleep() -> None:
    clock, naps = ManualClock(), []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        assert len(naps) < 5
        clock.advance(max(0.0, seconds - 1e-9))

    budget = Budget(1.0, clock, sleep=sleep)
    budget.try_take(clock.monotonic())
    await budget.take(Priority.NEWS)
    assert len(naps) == 2


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


def take_all(budget: Budget, clock: ManualClock, seconds: float, *, step: float = 0.01) -> int:
    """Return how many permits there are in the next `seconds`."""
    taken = 0
    for _ in range(round(seconds / step)):
        taken += budget.try_take(clock.monotonic()) is not None
        clock.advance(step)
    return taken


def test_a_429_halves_what_is_given_and_a_minute_brings_it_back() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    assert take_all(budget, clock, 10) == pytest.approx(100, abs=2)
    budget.throttled(clock.monotonic())
    assert budget.current_rate(clock.monotonic()) == 5.0
    assert take_all(budget, clock, 10) == pytest.approx(54, abs=2)
    clock.advance(20)
    assert budget.current_rate(clock.monotonic()) == pytest.approx(7.5)
    clock.advance(30.01)
    assert budget.current_rate(clock.monotonic()) == 10.0
    assert take_all(budget, clock, 10) == pytest.approx(100, abs=2)


def test_refusals_of_one_burst_halve_once() -> None:
    clock = ManualClock()
    budget = Budget(8.0, clock)
    for _ in range(5):
        budget.throttled(clock.monotonic())
        clock.advance(0.1)
    assert budget.current_rate(clock.monotonic()) == pytest.approx(4.0, abs=0.1)
    clock.advance(0.6)
    budget.throttled(clock.monotonic())
    assert budget.current_rate(clock.monotonic()) == pytest.approx(2.0, abs=0.1)


def test_there_is_a_least_rate() -> None:
    clock = ManualClock()
    budget = Budget(16.0, clock)
    for _ in range(20):
        budget.throttled(clock.monotonic())
        clock.advance(1.0)
    assert 0.5 <= budget.current_rate(clock.monotonic() - 1.0) < 0.8
    assert budget.rate == 16.0  # the configured rate stays known


def test_the_climb_begins_after_the_pause() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    budget.pause_until(clock.monotonic() + 100)
    budget.throttled(clock.monotonic())
    clock.advance(100)
    assert budget.current_rate(clock.monotonic()) == 5.0
    clock.advance(60)
    assert budget.current_rate(clock.monotonic()) == 10.0


def test_the_use_of_the_last_ten_seconds() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    assert budget.usage(clock.monotonic()) == 0.0
    take_all(budget, clock, 2)
    assert budget.usage(clock.monotonic()) == pytest.approx(1.0, abs=0.1)  # known soon after the start
    clock.advance(3)
    assert budget.usage(clock.monotonic()) == pytest.approx(0.4, abs=0.05)
    for _ in range(10):
        take_all(budget, clock, 0.5)
        clock.advance(0.5)
    assert budget.usage(clock.monotonic()) == pytest.approx(0.55, abs=0.06)
    clock.advance(11)
    assert budget.usage(clock.monotonic()) == 0.0


def test_the_use_by_what_it_was_for() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    for priority in (Priority.NEWS, Priority.NEWS, Priority.FEED):
        assert budget.try_take(clock.monotonic(), priority) is not None
        clock.advance(1)
    assert budget.used(clock.monotonic()) == {Priority.NEWS: 2, Priority.FEED: 1}
    clock.advance(7)
    assert budget.used(clock.monotonic()) == {Priority.NEWS: 1, Priority.FEED: 1}
    clock.advance(11)
    assert budget.used(clock.monotonic()) == {}


def test_half_the_rate_is_all_of_it_after_a_429() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    clock.advance(20)
    budget.throttled(clock.monotonic())
    take_all(budget, clock, 10)
    assert budget.usage(clock.monotonic()) == pytest.approx(0.92, abs=0.05)


def test_nothing_is_sent_right_after_the_start() -> None:
    """Requests that an earlier process sent count for a second at the service."""
    clock = ManualClock()
    budget = Budget(10.0, clock, after_restart=True)
    assert budget.try_take(clock.monotonic()) is None
    wait = budget.next_at() - clock.monotonic()
    assert 0.3 < wait < 0.5
    clock.advance(wait)
    assert budget.try_take(clock.monotonic()) is not None
    slow = Budget(0.1, clock, after_restart=True)
    assert slow.next_at() - clock.monotonic() == pytest.approx(1.255)


def take_urgent(budget: Budget, now: float) -> int:
    """Return how many urgent permits there are at once."""
    taken = 0
    while (permit := budget.try_take(now, Priority.URGENT)) is not None:
        permit.spend(now)
        budget.answered(permit, sent_at=now, now=now)
        taken += 1
    return taken


def test_urgent_permits_come_early_for_as_many_ends_at_once_as_a_second_holds() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    clock.advance(10)
    assert budget.spare(clock.monotonic()) == 10
    assert take_urgent(budget, clock.monotonic()) == 10
    assert budget.spare(clock.monotonic()) == 0
    clock.advance(0.9)
    assert budget.try_take(clock.monotonic()) is None  # the others pay for it
    clock.advance(0.11)
    assert budget.spare(clock.monotonic()) == 10
    assert take_urgent(budget, clock.monotonic()) == 10


def test_urgent_permits_are_spaced_after_a_429() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    budget.throttled(clock.monotonic())
    clock.advance(5)
    assert budget.spare(clock.monotonic()) == 1
    assert take_urgent(budget, clock.monotonic()) == 1


def test_a_permit_that_was_taken_leaves_fewer_to_spare() -> None:
    clock = ManualClock()
    budget = Budget(10.0, clock)
    assert budget.try_take(clock.monotonic()) is not None
    assert budget.spare(clock.monotonic()) == 9
    slow = Budget(0.5, clock)
    assert slow.spare(clock.monotonic()) == 1


def test_the_second_permit_after_a_restart_waits_for_the_earlier_process() -> None:
    """It may have taken a second's permits at once."""
    clock = ManualClock()
    budget = Budget(10.0, clock, after_restart=True)
    begun = clock.monotonic()
    taken = [clock.monotonic() - begun for _ in range(160) if _taken(budget, clock)]
    assert taken[0] < 0.5
    assert taken[1] == pytest.approx(1.255, abs=0.02)
    assert len(taken) == 5, "from then on at the usual pace"


def _taken(budget: Budget, clock: ManualClock) -> bool:
    """Advance by 10 ms; whether there is a permit then."""
    clock.advance(0.01)
    return budget.try_take(clock.monotonic()) is not None


def test_a_request_without_answer_counts_as_arriving_for_a_while() -> None:
    clock = ManualClock()
    budget = Budget(2.0, clock)
    began = clock.monotonic()
    sent = []
    while clock.monotonic() < began + 4:
        permit = budget.try_take(clock.monotonic())
        if permit is not None:
            permit.spend(clock.monotonic())
            sent.append(clock.monotonic() - began)
        clock.advance(0.01)
    assert sent[:3] == pytest.approx([0.0, 0.25, 0.75], abs=0.02)
    assert sent[3] == pytest.approx(1.505, abs=0.02)  # the first may have arrived until 0.5


def test_a_permit_for_a_slow_rate_is_not_kept_for_long() -> None:
    clock = ManualClock()
    budget = Budget(0.5, clock)
    permit = budget.try_take(clock.monotonic())
    assert permit is not None
    clock.advance(0.26)
    assert not budget.is_fresh(permit)


async def test_a_pump_that_breaks_leaves_nobody_waiting() -> None:
    async def sleep(_seconds: float) -> None:
        raise RuntimeError("the clock is broken")

    budget = Budget(1.0, ManualClock(), sleep=sleep)
    assert budget.try_take(1000.0) is not None
    async with asyncio.timeout(5):
        got = await asyncio.gather(*(budget.take(Priority.NEWS) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in got] == [RuntimeError] * 5


@pytest.mark.parametrize(("before", "after"), [(20.0, 2.0), (2.0, 20.0), (10.0, 0.5), (7.5, 3.3)])
def test_a_rate_that_changes_keeps_count_of_what_was_sent(before: float, after: float) -> None:
    clock = ManualClock()
    budget = Budget(before, clock)
    sent: list[float] = []
    changed = clock.monotonic() + 3
    while clock.monotonic() < changed + 6:
        if clock.monotonic() >= changed:
            budget.set_rate(after)
        permit = budget.try_take(clock.monotonic())
        if permit is not None:
            permit.spend(clock.monotonic())
            budget.answered(permit, sent_at=clock.monotonic(), now=clock.monotonic())
            sent.append(clock.monotonic())
        clock.advance(0.005)
    for begin in sent:
        counted = sum(begin <= each <= begin + 1 for each in sent)
        assert counted <= math.floor(max(before, after) if begin < changed else after) + 1
    assert sum(each > changed + 1 for each in sent) >= math.floor(after * 5) - 2


def test_a_halved_rate_that_changes_climbs_to_the_new_one() -> None:
    clock = ManualClock()
    budget = Budget(20.0, clock)
    budget.throttled(clock.monotonic())
    budget.set_rate(4.0)
    assert budget.current_rate(clock.monotonic()) == 4.0
    budget.set_rate(40.0)
    assert 4.0 <= budget.current_rate(clock.monotonic()) < 40.0
    clock.advance(61)
    assert budget.current_rate(clock.monotonic()) == 40.0
    with pytest.raises(ValueError, match="above 0"):
        budget.set_rate(0)
