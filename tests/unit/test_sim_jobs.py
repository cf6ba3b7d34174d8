"""Timelines and the index behind the list, at scale."""

import time
from datetime import UTC, datetime

import pytest

from daemon.clock import ManualClock
from daemon.sim.jobs import AVATAR, Book, check_timeline
from daemon.sim.listing import find, read_query
from daemon.sim.times import SimTime, http_date, iso, parse_iso


def book(speed: float = 1.0) -> tuple[Book, ManualClock]:
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    return Book(seed=1, speed=speed, time=SimTime(clock, lambda: 0.0)), clock


def test_a_state_is_a_function_of_time() -> None:
    jobs, clock = book(speed=10)
    job = jobs.add(AVATAR, timeline=[("WAITING", 5), ("X", 0), ("PROCESSING", 60), ("SUCCEED", None)])
    seen = []
    for _ in range(8):
        seen.append(job.seek(clock.monotonic()))
        clock.advance(1)
    assert seen == ["WAITING", *["PROCESSING"] * 6, "SUCCEED"]


def test_cancel_is_for_waiting_jobs_only() -> None:
    jobs, clock = book()
    job = jobs.add(AVATAR, timeline=[("WAITING", 5), ("PROCESSING", 60), ("SUCCEED", None)])
    other = jobs.add(AVATAR, timeline=[("WAITING", 5), ("PROCESSING", 60), ("SUCCEED", None)])
    assert jobs.cancel(job)
    clock.advance(5)
    assert not jobs.cancel(other)
    clock.advance(1000)
    assert (job.seek(clock.monotonic()), other.seek(clock.monotonic())) == ("CANCELED", "SUCCEED")


def test_a_clock_set_back_does_not_lose_jobs_from_lists() -> None:
    jobs, clock = book()
    for _ in range(3):
        jobs.add(AVATAR, timeline=[("WAITING", None)])
        clock.step_wall(-3600)
    assert not jobs.index.ordered
    query = read_query([("sort_dir", "desc")], now=clock.now().timestamp() + 86400)
    count, page = find(jobs, query, now=clock.monotonic())
    assert count == 3
    assert [job.number for job in page] == [0, 1, 2]  # the first was created last, by the service's clock


def test_lists_of_a_hundred_thousand_jobs_are_quick() -> None:
    """Ten lists a second must be little work: they take some hundred microseconds; 50 ms is a failure."""
    jobs, clock = book()
    timeline = [("WAITING", 5.0), ("PROCESSING", 60.0), ("SUCCEED", None)]
    made = [jobs.add(AVATAR, timeline=timeline) for _ in range(100_000)]
    for job in made[:50]:
        jobs.set_state(job, "CANCELED")
    clock.advance(100)
    jobs.index.advance(clock.monotonic())
    now = clock.now().timestamp()
    feed = [("state", "SUCCEED,FAILED,CANCELED,BLOCK"), ("sort_key", "update_time"), ("sort_dir", "desc")]
    by_ids = [("job_ids", job.job_id) for job in made[500:600]]
    for pairs, total in (([*feed, ("limit", "100")], 100_000), ([*by_ids, ("limit", "100")], 100), ([], 100_000)):
        begun = time.perf_counter()
        for _ in range(5):
            count, page = find(jobs, read_query(pairs, now=now), now=clock.monotonic())
        assert (time.perf_counter() - begun) / 5 < 0.05
        assert count == total
        assert len(page) == (100 if pairs else 10)


@pytest.mark.parametrize(
    "timeline", [[], [("WAITING",)], [("", 5)], [("WAITING", -1)], [("WAITING", True)], [("A", None), ("B", 1)]]
)
def test_bad_timelines(timeline: list[tuple[str, float | None]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_timeline(timeline)


def test_times_as_the_service_writes_them() -> None:
    assert iso(1669791596.9) == "2022-11-30T06:59:56Z"
    assert http_date(1669791596.9) == "Wed, 30 Nov 2022 06:59:56 GMT"
    assert parse_iso("2022-11-30T06:59:56Z") == parse_iso("2022-11-30T06:59:56") == 1669791596
    assert parse_iso("2022-11-30T14:59:56+08:00") == 1669791596
