"""The pace of a budget, over any schedule of calls."""

import asyncio
import heapq
import math
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.clock import ManualClock
from daemon.metastudio.budget import Budget, Permit, Priority

RATES = st.one_of(st.integers(1, 50).map(float), st.floats(0.1, 60.0))


def most_in_a_second(times: list[float]) -> int:
    """Return the most permits in any closed second; one starts at a permit."""
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


class Wire:
    """The path to a service: when each request arrives there. The budget is notified of each answer on arrival."""

    def __init__(self, budget: Budget, *, way: float) -> None:
        self.arrivals: list[float] = []
        self._budget = budget
        self._way = way
        self._answers: list[tuple[float, int, Permit, float]] = []
        self._order = count()

    def send(self, permit: Permit, now: float, *, held_up: float, service: float) -> None:
        """Send with `permit`: delayed on the way there, and served in some time."""
        permit.spend(now)
        arrived = now + self._way + held_up
        self.arrivals.append(arrived)
        heapq.heappush(self._answers, (arrived + service + self._way, next(self._order), permit, now))

    def wait(self, clock: ManualClock, seconds: float) -> None:
        """Advance time, and deliver the answers that arrive meanwhile."""
        clock.advance(seconds)
        now = clock.monotonic()
        while self._answers and self._answers[0][0] <= now:
            at, _, permit, sent = heapq.heappop(self._answers)
            self._budget.answered(permit, sent_at=sent, now=at)


def seldom(most: float) -> st.SearchStrategy[float]:
    """Seconds up to `most`, in most cases none."""
    return st.sampled_from((0.0, 0.0, 0.0, most)) | st.floats(0.0, most)


STEPS = st.tuples(
    seldom(0.3),  # from the moment a permit is free
    seldom(0.25),  # from the permit to the wire
    seldom(0.29),  # delayed on the way
    st.sampled_from((0.0, 0.02, 5.0)) | st.floats(0.0, 1.0),  # in the service
)


def until_free(budget: Budget, clock: ManualClock) -> float:
    """Return seconds, rounded up a little, since clocks cannot represent every number."""
    return max(0.0, budget.next_at() - clock.monotonic()) + 1e-9


@given(RATES, st.floats(0.0001, 0.2), st.lists(STEPS, min_size=20, max_size=80))
def test_never_more_arrive_than_the_rate_and_one(
    rate: float, way: float, steps: list[tuple[float, float, float, float]]
) -> None:
    """Delayed requests, however uneven, are not followed too closely by others."""
    clock = ManualClock()
    budget = Budget(rate, clock)
    wire = Wire(budget, way=way)
    for number, (late, kept, held_up, service) in enumerate(steps):
        wire.wait(clock, until_free(budget, clock) + late)
        permit = budget.try_take(clock.monotonic())
        if permit is None:
            continue
        wire.wait(clock, kept)
        if budget.is_fresh(permit):
            wire.send(permit, clock.monotonic(), held_up=held_up if number else 0.0, service=service)
    assert most_in_a_second(wire.arrivals) <= math.floor(rate) + 1


LATE_AND_HELD_UP = st.lists(st.tuples(seldom(0.1), seldom(0.2)), min_size=10, max_size=40)


@given(RATES, LATE_AND_HELD_UP, st.just(0.0) | st.floats(0.0, 0.5), LATE_AND_HELD_UP)
def test_a_restart_is_no_second_start(
    rate: float, before: list[tuple[float, float]], dead: float, after: list[tuple[float, float]]
) -> None:
    """One process is killed and another starts, perhaps at once: the service sees one pace."""
    clock = ManualClock()
    arrivals = []
    for steps in (before, after):
        budget = Budget(rate, clock, after_restart=True)
        wire = Wire(budget, way=0.01)
        for late, held_up in steps:
            wire.wait(clock, until_free(budget, clock) + late)
            permit = budget.try_take(clock.monotonic())
            if permit is not None:
                wire.send(permit, clock.monotonic(), held_up=held_up, service=0.01)
        arrivals += wire.arrivals
        clock.advance(dead)
    assert most_in_a_second(arrivals) <= math.floor(rate) + 1


@given(RATES, st.floats(0.01, 0.2))
def test_a_tick_takes_nearly_the_whole_rate(rate: float, tick: float) -> None:
    """Calls at a steady tick get what the slack promises: the lateness of ticks does not add up."""
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


@given(
    RATES,
    st.lists(st.tuples(st.floats(0.0, 20.0), st.booleans(), st.floats(0.0, 30.0)), min_size=1, max_size=40),
)
def test_a_429_halves_the_rate_and_it_climbs_back(rate: float, steps: list[tuple[float, bool, float]]) -> None:
    clock = ManualClock()
    budget = Budget(rate, clock)
    quiet_from = clock.monotonic()
    for gap, refused, pause in steps:
        clock.advance(gap)
        now = clock.monotonic()
        before = budget.current_rate(now)
        assert rate / 32 - 1e-9 <= before <= rate
        if refused:
            budget.pause_until(now + pause)
            budget.throttled(now)
            quiet_from = max(quiet_from, now + pause)
            assert budget.current_rate(now) <= before
        elif now >= quiet_from + 60:
            assert before == rate
        assert 0 <= budget.usage(now) <= 1
    clock.advance(quiet_from + 60 - clock.monotonic() + 0.001)
    assert budget.current_rate(clock.monotonic()) == rate


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
        assert served == sorted(patient)  # all arrived at the same moment
    assert set(patient) <= set(served)
    assert len(set(times)) == len(times)
    assert most_in_a_second(times) <= math.floor(rate) + 1
