"""The seeded workload: the timelines of jobs, and how script lengths become durations."""

import random
import statistics
from itertools import pairwise

import pytest

from daemon.sim.kinds import BUSINESS_CARD, PHOTO_DETECTION, PICTURE_MODELING
from daemon.sim.plans import SHORTEST_WAIT, Step, Timelines, spoken_seconds

COUNT = 20_000


@pytest.fixture(scope="module")
def plans() -> list[list[Step]]:
    planner = Timelines(random.Random(1))
    return [planner.plan(40) for _ in range(COUNT)]


def share(plans: list[list[Step]], wanted: str) -> float:
    return sum(any(state == wanted for state, _ in plan) for plan in plans) / len(plans)


def test_every_new_job_waits_at_least_five_seconds(plans: list[list[Step]]) -> None:
    assert {plan[0][0] for plan in plans} == {"WAITING"}
    assert min(plan[0][1] or 0 for plan in plans) >= SHORTEST_WAIT == 5


def test_all_ends_occur_as_often_as_said(plans: list[list[Step]]) -> None:
    assert share(plans, "FAILED") == pytest.approx(0.05, abs=0.01)
    assert share(plans, "CANCELED") == pytest.approx(0.015, abs=0.005)
    assert share(plans, "BLOCK") == pytest.approx(0.015, abs=0.005)
    assert {plan[-1] for plan in plans} == {("SUCCEED", None), ("FAILED", None), ("CANCELED", None)}
    frozen = [[state for state, _ in plan] for plan in plans if len(plan) == 5]
    assert frozen
    assert all(states[1:4] == ["PROCESSING", "BLOCK", "PROCESSING"] for states in frozen)


def production(plans: list[list[Step]]) -> list[float]:
    return [plan[1][1] or 0 for plan in plans if [state for state, _ in plan][1:] == ["PROCESSING", "SUCCEED"]]


def test_production_follows_the_scripts_length_with_a_heavy_tail(plans: list[list[Step]]) -> None:
    planner = Timelines(random.Random(2))
    twice = statistics.median(production([planner.plan(80) for _ in range(2000)]))
    times = production(plans)
    once = statistics.median(times)
    assert (twice - 30) / (once - 30) == pytest.approx(2, rel=0.05)
    assert sum(time > 2.5 * once for time in times) / len(times) == pytest.approx(0.03, abs=0.01)
    middle = sorted(times)[len(times) // 10 : len(times) * 8 // 10]
    assert statistics.stdev(middle) / once < 0.25


def test_waiting_is_bursty(plans: list[list[Step]]) -> None:
    """Neighbours in the queue have similar waits: long waits come together."""
    waits = [plan[0][1] or 0 for plan in plans]
    long = [wait > 60 for wait in waits]
    alone = sum(long) / len(long)
    after_long = [second for first, second in pairwise(long) if first]
    assert sum(after_long) / len(after_long) > 2 * alone


def test_kinds_without_a_script_have_times_and_ends_of_their_own() -> None:
    for kind in (BUSINESS_CARD, PHOTO_DETECTION, PICTURE_MODELING):
        planner = Timelines(random.Random(4))
        plans = [planner.plan(500, kind) for _ in range(4000)]
        assert (share(plans, "BLOCK") > 0) == kind.freezes
        assert share(plans, "PARTIAL_SUCCEED") == pytest.approx(0.092 if kind.may_half_succeed else 0, abs=0.015)
        assert statistics.median(production(plans)) == pytest.approx(kind.seconds, rel=0.05)


def test_the_seed_decides() -> None:
    def draw(seed: int) -> list[list[Step]]:
        planner = Timelines(random.Random(seed))
        return [planner.plan(planner.script_chars() / 14) for _ in range(20)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_spoken_seconds() -> None:
    assert spoken_seconds("x" * 140) == pytest.approx(10)
    assert spoken_seconds("字" * 250) == pytest.approx(60)
    assert spoken_seconds("x" * 140, speed=200) == pytest.approx(5)
    assert spoken_seconds('<speak><break time="5s"/></speak>' + "x" * 140) == pytest.approx(10)
