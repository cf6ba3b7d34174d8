"""When a job is due next: the safety net's round, the price under load, and the exceptions to the rule."""

import random
from typing import Any

import pytest

from daemon.domain.durations import fit
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.planning import Rails, Reason, Strategy
from daemon.metastudio.kinds import KINDS
from daemon.watch.agenda import Agenda
from daemon.watch.job import Watched
from daemon.watch.planner import Planner
from daemon.watch.settings import PollingPlan

NOW = 1000.0


def planner_of(jobs: int, *, rate: float = 10.0, **plan: Any) -> Planner:
    agenda = Agenda()
    for number in range(jobs):
        agenda.add(watched(number))
    durations = fit({}, {})
    return Planner(
        project=ProjectName("main"),
        plan=PollingPlan(**plan),
        rate=rate,
        agenda=agenda,
        durations=lambda: durations,
        rng=random.Random(1),
    )


def watched(
    number: int = 0,
    *,
    state: str | None = "PROCESSING",
    kind: str = "avatar",
    in_state: float = 100,
    left: float = 1e9,
    asked: bool = True,
) -> Watched:
    """Return a job polled now, `in_state` seconds after it entered its state; wrapd gives up on it after the
    `left` seconds."""
    job = Watched(
        job=number,
        job_id=JobId(f"j{number}"),
        kind=KINDS[kind],
        state=state,
        since=NOW - in_state,
        start=NOW - 100,
        expires=NOW + left,
        due=NOW,
    )
    if asked:
        job.answered(NOW, "single")
    return job


@pytest.mark.parametrize(
    ("jobs", "batch", "rate", "seconds"),
    [
        (500, 100, 10.0, 60.0),  # max_interval
        (20_000, 100, 10.0, 200.0),  # tracked / 100
        (20_000, 10, 10.0, 400.0),  # ten in a list: half of the budget
        (600, 1, 10.0, 120.0),  # singly: the same
        (20_000, 100, 1.0, 400.0),  # a small budget is not spent on the net
    ],
)
def test_the_net_comes_round_within_its_time_and_within_half_of_the_budget(
    jobs: int, batch: int, rate: float, seconds: float
) -> None:
    planner = planner_of(jobs, rate=rate)
    planner.list_size = batch
    assert planner.net_interval == pytest.approx(seconds)
    lists_a_second = 1 / planner.net_pace
    assert lists_a_second <= 1.06 * max(1.0, rate / 2)
    assert jobs / batch * planner.net_pace <= planner.net_interval, "it is round in time"


def test_behind_the_feed_a_job_waits_for_the_net_but_one_that_lists_do_not_hold_does_not() -> None:
    planner = planner_of(500)
    planner.list_size, planner.behind_feed = 100, True
    job = watched()
    planner.plan_next(job, NOW)
    assert job.reason is Reason.NET
    assert 0.95 * 60 <= job.due - NOW <= 60
    job.set_unlisted(unlisted=True)
    planner.plan_next(job, NOW)
    assert job.reason is not Reason.NET


def test_a_place_in_a_full_list_is_worth_a_hundredth_of_a_request() -> None:
    planner = planner_of(500)
    single, shared = watched(), watched()
    planner.weigh(NOW, starved=0.0)
    planner.plan_next(single, NOW)
    planner.list_size = 100
    planner.weigh(NOW, starved=0.0)
    planner.plan_next(shared, NOW)
    assert planner.share == pytest.approx(planner.price / 100)
    assert shared.due < single.due


def test_the_price_rises_while_questions_wait_and_falls_when_none_does() -> None:
    planner = planner_of(500)
    for second in range(300):
        planner.weigh(NOW + second, starved=5.0)
        planner.weigh(NOW + second + 0.5, starved=5.0)
    assert planner.pressure == 1000.0
    prices = []
    for second in range(300, 800):
        planner.weigh(NOW + second, starved=0.0)
        prices.append(planner.price)
    assert prices == sorted(prices, reverse=True)
    assert planner.price == planner.plan.price


def test_the_price_stays_while_the_budget_is_just_enough() -> None:
    planner = planner_of(500)
    for second in range(30):
        planner.weigh(NOW + second, starved=5.0)
    before = planner.pressure
    for second in range(30, 60):
        planner.weigh(NOW + second, starved=0.5)
    assert planner.pressure == before > 1


def test_failures_come_later_each_time_and_the_service_s_wish_is_a_floor() -> None:
    planner = planner_of(1)
    job, gaps = watched(), []
    for _ in range(8):
        planner.plan_next(job, NOW, failed=True)
        gaps.append(job.due - NOW)
        assert job.reason is Reason.RETRY
    assert gaps[0] <= 1.0
    assert gaps[-1] == pytest.approx(60, rel=0.6)
    planner.plan_next(job, NOW, failed=True, floor=300.0)
    assert job.due - NOW >= 300
    planner.plan_next(job, NOW)
    assert (job.failures, job.reason) != (9, Reason.RETRY)


def test_the_last_look_comes_when_the_time_is_over() -> None:
    planner = planner_of(1, strategy=Strategy.FIXED)
    job = watched(left=2.5)
    planner.plan_next(job, NOW)
    assert (job.due, job.reason) == (job.expires, Reason.LAST)


def test_a_frozen_job_has_its_own_pace_even_behind_the_feed() -> None:
    planner = planner_of(500, rails=Rails(blocked_interval=600))
    planner.behind_feed = True
    job = watched(state="BLOCK", in_state=3000)
    planner.plan_next(job, NOW)
    assert job.reason is Reason.BLOCKED
    assert 0.95 * 300 <= job.due - NOW <= 300


def test_a_job_that_was_never_looked_at_is_worth_a_request() -> None:
    planner = planner_of(500)
    job = watched(asked=False)
    assert planner.area(job, NOW) == planner.price
