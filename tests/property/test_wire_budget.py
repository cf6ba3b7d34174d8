"""The pace of a budget, over any schedule of calls."""

import asyncio
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.clock import ManualClock
from daemon.metastudio.budget import Budget, Priority

RATES = st.one_of(st.integers(1, 50).map(float), st.floats(0.1, 60.0))


def most_in_a_second(times: list[float]) -> int:
    """The most permits in any closed second; one begins at a permit."""
    times = sorted(times)
    most = end = 0
    for begin, first in enumerate(times):
        while end < len(times) and times[end] <= first + 1.0:
            end += 1
        most = max(most, end - begin)
    return most


@given(RATES, st.lists(st.floats(0.0, 1.5), min_size=1, max_size=150))
def test_never_more_than_the_rate_and_one_in_any_second(rate: float, gaps: list[float]) -> None:
    clock = ManualClock()
    budget = Budget(rate, clock)
    given_at = []
    for gap in gaps:
        clock.advance(gap)
        if budget.try_take(clock.monotonic()) is not None:
            given_at.append(clock.monotonic())
    assert most_in_a_second(given_at) <= math.floor(rate) + 1


@given(RATES, st.floats(0.01, 0.2))
def test_a_tick_takes_nearly_the_whole_rate(rate: float, tick: float) -> None:
    """Calls at a steady tick get what the slack promises: the lateness of a tick does not add up."""
    clock = ManualClock()
    budget = Budget(rate, clock)
    seconds = max(5.0, 10 / rate)
    begin = clock.monotonic()
    taken = 0
    while clock.monotonic() < begin + seconds:
        taken += budget.try_take(clock.monotonic()) is not None
        clock.advance(tick)
    slack = 0.5 * (math.floor(rate) + 1 - rate) / rate
    slowest = 1 / rate + max(0.0, tick - slack)
    assert taken >= math.floor(seconds / slowest) - 1
    assert taken <= seconds * rate + 2


@given(RATES, st.lists(st.floats(0.01, 5.0), min_size=1, max_size=20))
def test_when_the_next_is_free_is_true(rate: float, gaps: list[float]) -> None:
    clock = ManualClock()
    budget = Budget(rate, clock)
    for gap in gaps:
        clock.advance(gap)
        free = budget.next_at() <= clock.monotonic()
        assert (budget.try_take(clock.monotonic()) is not None) == free


@given(RATES, st.floats(0.0, 30.0), st.lists(st.floats(0.0, 0.5), max_size=100))
def test_a_pause_is_a_floor(rate: float, pause: float, gaps: list[float]) -> None:
    clock = ManualClock()
    budget = Budget(rate, clock)
    until = clock.monotonic() + pause
    budget.pause_until(until)
    budget.pause_until(until - 5)  # an earlier one does not shorten it
    for gap in gaps:
        clock.advance(gap)
        permit = budget.try_take(clock.monotonic())
        assert permit is None or clock.monotonic() >= until


@settings(max_examples=50)
@given(
    st.floats(0.5, 40.0),
    st.lists(st.tuples(st.sampled_from(Priority), st.booleans()), min_size=1, max_size=40),
)
def test_who_waits_is_served_by_priority_then_order(rate: float, callers: list[tuple[Priority, bool]]) -> None:
    clock = ManualClock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await asyncio.sleep(0)

    async def run() -> tuple[list[tuple[Priority, int]], list[float]]:
        budget = Budget(rate, clock, sleep=sleep)
        budget.try_take(clock.monotonic())  # so that all have to wait
        served: list[tuple[Priority, int]] = []
        times: list[float] = []

        async def caller(number: int, priority: Priority) -> None:
            permit = await budget.take(priority)
            assert permit.priority is priority
            served.append((priority, number))
            times.append(permit.taken_at)

        tasks = []
        for number, (priority, gives_up) in enumerate(callers):
            tasks.append(asyncio.ensure_future(caller(number, priority)))
            if gives_up:
                await asyncio.sleep(0)
                tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await budget.aclose()
        return served, times

    served, times = asyncio.run(run())
    patient = [(priority, number) for number, (priority, gives_up) in enumerate(callers) if not gives_up]
    if not any(gives_up for _, gives_up in callers):
        assert served == sorted(patient)  # all came at the same moment
    assert set(patient) <= set(served)
    assert len(set(times)) == len(times)
    assert most_in_a_second(times) <= math.floor(rate) + 1
