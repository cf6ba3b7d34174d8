"""Outages of a service: too many requests, an hour without an answer, a locked key, more jobs than the budget can
handle. Requests stay in bounds, no job's state changes, and each outbreak and recovery is one operator event."""

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.events import Event
from daemon.domain.jobs import Tracking
from daemon.metrics import Metrics
from daemon.transport import Timeouts
from tests.support.feeding import delays, each_told_once, facts, listing_rig, staggered, track
from tests.support.rig import Rig

MINUTE, HOUR = 60.0, 3600.0
LONG_LIFE = [("PROCESSING", 99_999), ("SUCCEED", None)]
OPERATORS = frozenset({Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.AUTH_FAILED, Event.OVERLOADED})
SIZES = [1, 50, pytest.param(1000, marks=pytest.mark.long)]
HOUR_SIZES = [pytest.param(1, marks=pytest.mark.long), 50, pytest.param(1000, marks=pytest.mark.long)]


def told(it: Rig) -> list[Event]:
    """Return the alerts to the operators."""
    return [event for event in it.events() if event in OPERATORS]


def states(it: Rig) -> dict[str, tuple[str | None, Tracking]]:
    return {row.job_id: (row.state, row.tracking) for row in it.store.read(lambda tx: tx.jobs.list(limit=10_000))}


async def warm(it: Rig, count: int, *, ends: float | None = None) -> list[str]:
    """Track `count` jobs in PROCESSING for a while; with `ends`, half of them end within that many seconds after,
    evenly."""
    specs: list[dict[str, Any]] = [{"timeline": LONG_LIFE} for _ in range(count)]
    if ends is not None:
        half = specs[::2]
        for number, spec in enumerate(half, 1):
            spec["timeline"] = [("PROCESSING", 90 + number * ends / len(half)), ("SUCCEED", None)]
    jobs = it.sim.create_many(specs)
    track(it, jobs)
    await it.run(90, step=1)
    assert all(state == "PROCESSING" for state, _ in states(it).values())
    return jobs


def longest_silence(it: Rig) -> float:
    """Return the longest time in seconds since any job's last poll."""
    now = it.clock.monotonic()
    return max((now - (watched.looked or 0.0) for watched in it.poller.agenda), default=0.0)


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("throttled", 50),
        ("throttled_retry_after", 50),
        ("throttled", 1),
        pytest.param("throttled", 1000, marks=pytest.mark.long),
    ],
)
async def test_a_minute_of_too_many_requests(tmp_path: Path, fault: str, count: int) -> None:
    async with listing_rig(tmp_path) as it:
        await warm(it, count)
        before = states(it)
        it.sim.clear_stats()
        it.sim.fault(fault, seconds=MINUTE)
        await it.run(MINUTE, step=0.5)
        asked = it.sim.stats()["total"]
        # three at full pace until it counts as an outbreak, then probes after 1, 2, 4, 8, 16 and 30 s
        assert 3 <= asked <= 3 + 9
        assert states(it) == before
        await it.run(2 * MINUTE, step=0.5)
        assert told(it) == [Event.PROJECT_DOWN, Event.PROJECT_RECOVERED]
        assert states(it) == before
        assert longest_silence(it) <= 75
        assert it.budget.current_rate(it.clock.monotonic()) == 10, "the rate has climbed back"
        assert it.sim.stats()["max_in_any_second"] <= 11


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("server_error", 50),
        ("gone", 50),
        pytest.param("gone", 1, marks=pytest.mark.long),
        pytest.param("server_error", 1000, marks=pytest.mark.long),
        pytest.param("gateway_error", 50, marks=pytest.mark.long),
        pytest.param("reset_before", 50, marks=pytest.mark.long),
    ],
)
async def test_an_hour_without_the_api(tmp_path: Path, fault: str, count: int) -> None:
    async with listing_rig(tmp_path) as it:
        jobs = await warm(it, count, ends=HOUR)
        before = states(it)
        it.sim.clear_stats()
        if fault == "gone":
            await it.sim.down()
        else:
            it.sim.fault(fault)
        await it.run(HOUR, step=2)
        # one probe at a time, at most half a minute and at least a quarter apart
        assert it.sim.stats()["total"] <= 10 + HOUR / 15
        assert states(it) == before
        assert told(it) == [Event.PROJECT_DOWN]
        assert facts(it)["up"] is False
        it.sim.clear_faults()
        if fault == "gone":
            await it.sim.up()
        it.sim.clear_stats()
        await it.run(4 * MINUTE, step=0.5)
        assert told(it) == [Event.PROJECT_DOWN, Event.PROJECT_RECOVERED]
        assert it.sim.stats()["max_in_any_second"] <= 11
        ended = jobs[::2]
        assert each_told_once(it, ended)
        assert len(delays(it, ended)) == len(ended)
        assert {it.job(job).state for job in jobs[1::2]} <= {"PROCESSING"}
        assert longest_silence(it) <= 75


@pytest.mark.long
@pytest.mark.parametrize("count", HOUR_SIZES)
async def test_an_hour_of_silence(tmp_path: Path, count: int) -> None:
    """Connections open, but no answer comes."""
    quick = Timeouts(connect=0.5, read=0.04, total=0.04)
    async with listing_rig(tmp_path, timeouts=quick) as it:
        await warm(it, count)
        before = states(it)
        it.sim.clear_stats()
        fault = it.sim.fault("hang")
        await it.run(HOUR, step=5)
        assert it.sim.stats()["total"] <= 10 + HOUR / 15
        assert (states(it), told(it)) == (before, [Event.PROJECT_DOWN])
        it.sim.clear_faults(fault)
        it.sim.clear_stats()
        await it.run(2 * MINUTE, step=0.5)
        assert told(it) == [Event.PROJECT_DOWN, Event.PROJECT_RECOVERED]
        assert it.sim.stats()["max_in_any_second"] <= 11
        assert states(it) == before
        assert longest_silence(it) <= 75


@pytest.mark.parametrize("count", SIZES)
async def test_a_key_that_is_refused_for_ten_minutes(tmp_path: Path, count: int) -> None:
    async with listing_rig(tmp_path) as it:
        await warm(it, count)
        before = states(it)
        it.sim.clear_stats()
        fault = it.sim.fault("unauthorized")
        await it.run(10 * MINUTE, step=1)
        # three refusals in five minutes, since more than five lock a key; those under way at once count too
        assert 1 <= it.sim.stats()["by_status"]["401"] <= 2 * 3
        assert it.sim.stats()["total"] == it.sim.stats()["by_status"]["401"]
        assert states(it) == before
        assert told(it) == [Event.AUTH_FAILED]
        it.sim.clear_faults(fault)
        await it.run(6 * MINUTE, step=1)
        assert told(it) == [Event.AUTH_FAILED, Event.PROJECT_RECOVERED]
        assert states(it) == before
        assert longest_silence(it) <= 75


@pytest.mark.parametrize(
    "plan",
    [pytest.param({"feed": False, "batch": False}, marks=pytest.mark.long), {"feed": False}, {}],
    ids=["single", "ids", "feed"],
)
async def test_the_worst_overdue_are_asked_first_after_an_outage(tmp_path: Path, plan: dict[str, Any]) -> None:
    async with listing_rig(tmp_path, plan=plan) as it:
        jobs = await warm(it, 300)
        await it.sim.down()
        await it.run(600, step=5)
        due = {watched.job_id: watched.due for watched in it.poller.agenda}
        await it.sim.up()
        it.sim.clear_stats()
        asked: list[str] = []
        client = it.poller.context.client
        show, ask = client.show_whole, client.list

        async def noting_show(kind: Any, job_id: Any, **rest: Any) -> Any:
            asked.append(job_id)
            return await show(kind, job_id, **rest)

        async def noting_list(query: Any, **rest: Any) -> Any:
            asked.extend(sorted(query.job_ids, key=due.__getitem__))
            return await ask(query, **rest)

        client.show_whole, client.list = noting_show, noting_list  # type: ignore[method-assign]
        await it.run(60, step=0.5)
        first = list(dict.fromkeys(asked))
        assert set(first) == set(jobs), "all are looked at again within a minute"
        order = [due[job] for job in first]  # type: ignore[index]
        late = sum(after < before - 1 for before, after in pairwise(order))
        assert late <= 3, "but for the probes, in the order of their dues"
        assert it.sim.stats()["max_in_any_second"] <= 11


@pytest.mark.long
async def test_nobody_starves_and_the_overload_is_told_once(tmp_path: Path) -> None:
    await overloaded(tmp_path, count=900, rate=4.0, rounds=3)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_nobody_starves_with_three_thousand_jobs(tmp_path: Path) -> None:
    await overloaded(tmp_path, count=3000, rate=10.0, rounds=4)


async def overloaded(folder: Path, *, count: int, rate: float, rounds: int) -> None:
    """Create more jobs than the budget can handle, polled singly: a complete round takes count / rate seconds."""
    async with listing_rig(folder, rate=rate, plan={"feed": False, "batch": False}) as it:
        jobs = it.sim.create_jobs(count=count, timeline=LONG_LIFE)
        track(it, jobs)
        silence = 0.0
        for number in range(round(rounds * count / rate / 30)):
            await it.run(30, step=1)
            await it.watcher.checkpoint()
            if number * 30 > 1.5 * count / rate:
                silence = max(silence, longest_silence(it))
        looks = [row.polls for row in it.store.read(lambda tx: tx.jobs.list(limit=10_000))]
        assert len(looks) == count
        assert max(looks) - min(looks) <= 2, Counter(looks)
        assert min(looks) >= rounds - 1
        assert silence <= 1.25 * count / rate, "who waits longest is asked first"
        assert told(it) == [Event.OVERLOADED]
        assert lateness(it.metrics) > 60
        assert facts(it)["late_seconds"] > 60
        assert it.sim.stats()["max_in_any_second"] <= rate + 1


def lateness(metrics: Metrics) -> float:
    value = metrics.registry.get_sample_value("wrapd_poll_lateness_seconds", {"project": "main"})
    assert value is not None
    return value


# Stuck, and how long it will take


async def finish(it: Rig, count: int) -> None:
    """Create jobs that took about 100 s."""
    specs = [{"timeline": [("PROCESSING", 90 + 20 * n / count), ("SUCCEED", None)]} for n in range(count)]
    jobs = it.sim.create_many(specs)
    track(it, jobs)
    await it.run(200, step=1)
    assert {it.job(job).state for job in jobs} == {"SUCCEED"}


def stuck(it: Rig) -> list[Any]:
    return [row for row in it.deliveries() if row.event is Event.STUCK]


@pytest.mark.parametrize("plan", [{"feed": False, "batch": False}, {}], ids=["single", "lists"])
async def test_a_job_that_hangs_is_told_once_with_what_is_normal(tmp_path: Path, plan: dict[str, Any]) -> None:
    async with listing_rig(tmp_path, plan=plan) as it:
        await finish(it, 30)
        [job] = it.sim.create_jobs(timeline=LONG_LIFE)
        normal = it.sim.create_jobs(count=5, timeline=[("PROCESSING", 105), ("SUCCEED", None)])
        track(it, [job, *normal])
        await it.run(190, step=1)
        assert stuck(it) == [], "not below twice the median"
        await it.run(30 * MINUTE, step=5)
        [alert] = stuck(it)
        assert alert.job == it.job(job).id
        told_of = alert.facts
        assert 60 <= told_of["normal_median"] <= 140
        assert told_of["normal_median"] < told_of["normal_high"] <= told_of["elapsed"]
        assert 190 <= told_of["elapsed"] <= 500, "within twice the normal time, and a gap"
        assert it.job(job).tracking is Tracking.ACTIVE, "it is watched on"


async def test_nothing_is_stuck_while_too_little_is_known(tmp_path: Path) -> None:
    async with listing_rig(tmp_path) as it:
        await finish(it, 8)
        [job] = it.sim.create_jobs(timeline=LONG_LIFE)
        it.track(job)
        await it.run(HOUR, step=5)
        assert stuck(it) == []


async def test_a_stuck_job_is_not_told_again_after_a_restart(tmp_path: Path) -> None:
    async with listing_rig(tmp_path) as it:
        await finish(it, 30)
        [job] = it.sim.create_jobs(timeline=LONG_LIFE)
        it.track(job)
        await it.run(20 * MINUTE, step=5)
        assert len(stuck(it)) == 1
        passed = it.clock.monotonic() - 1000.0
    async with listing_rig(tmp_path) as it:
        it.clock.advance(passed + 30)
        it.sim.create_jobs(job_id=job, created_ago=1200, timeline=LONG_LIFE)
        assert await it.watcher.load() == 1
        await it.run(20 * MINUTE, step=5)
        assert it.job(job).polls > 0
        assert len(stuck(it)) == 1


async def test_a_job_that_hangs_is_told_though_the_disk_was_full(tmp_path: Path) -> None:
    from daemon.store import StoreFailed

    async with listing_rig(tmp_path) as it:
        await finish(it, 30)
        [job] = it.sim.create_jobs(timeline=LONG_LIFE)
        it.track(job)
        await it.run(60, step=1)
        write = it.store.write

        async def full(_work: object) -> object:
            raise StoreFailed("the disk is full")

        async def nothing(**_: object) -> None: ...

        it.store.write, changes = full, it.watcher.take_changes  # type: ignore[method-assign]
        it.watcher.take_changes = nothing  # type: ignore[method-assign]
        await it.run(20 * MINUTE, step=5)
        it.store.write, it.watcher.take_changes = write, changes  # type: ignore[method-assign]
        await it.run(2 * MINUTE, step=1)
        assert len(stuck(it)) == 1


@pytest.mark.parametrize(("known", "tells"), [(30, True), (8, False)])
async def test_a_start_tells_how_long_it_will_take_once_enough_is_known(
    tmp_path: Path, known: int, tells: bool
) -> None:
    async with listing_rig(tmp_path) as it:
        await finish(it, known)
        [job] = it.sim.create_jobs(timeline=[("WAITING", 30), *LONG_LIFE])
        it.track(job)
        await it.run(100, step=1)
        row = it.job(job).id
        [started] = [each for each in it.deliveries() if each.event is Event.STARTED and each.job == row]
        assert ("eta" in started.facts) is tells
        if tells:
            left: dict[str, float] = started.facts["eta"]
            assert 0 < left["low"] <= left["median"] <= left["high"]
            assert 60 <= left["median"] <= 140


async def test_news_goes_on_while_a_tenth_of_all_answers_fails(tmp_path: Path) -> None:
    rng = random.Random(7)
    async with listing_rig(tmp_path) as it:
        jobs = it.sim.create_many(staggered(rng, 120, over=280))
        track(it, jobs)
        for _ in range(350):
            if rng.random() < 0.1:
                fault = rng.choice(("server_error", "throttled", "reset", "truncated", "empty_body", "html_200"))
                it.sim.fault(fault, times=1)
            await it.run(1, step=1)
        late = delays(it, jobs)
        assert len(late) == 120
        assert max(late.values()) <= 62
        assert each_told_once(it, jobs)
        assert Event.LOST not in it.events()
