"""The feed with a simulator that distorts it: no end is lost or late, and only a faulty feed is distrusted."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from daemon.domain.events import Event
from daemon.domain.jobs import Tracking, parse_job_id
from daemon.logs import LogEvent
from daemon.metastudio.listing import Listed, ListQuery
from daemon.store import StoreFailed
from daemon.watch.trust import Feed
from tests.support.feeding import (
    LONGEST,
    change_lists,
    delays,
    each_told_once,
    facts,
    listing_rig,
    staggered,
    track,
)
from tests.support.recorder import Lines
from tests.support.rig import PROJECT, Rig

MINUTE, DAY = 60.0, 86400.0
NOT_SORTED, NO_FILTER = "it is not sorted by update time", "it ignores the requested states"
LIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "unsorted": ("feed_unsorted", {}, NOT_SORTED),
    "page unsorted": ("feed_unsorted", {"page_only": 1}, NOT_SORTED),
    "stale": ("feed_stale", {"behind": 60}, "ended and the feed did not show it"),
    "no filter": ("feed_filter_ignored", {}, NO_FILTER),
    "missing": ("feed_missing", {"share": 0.2}, "ended and the feed did not show it"),
}
LONG_LIFE = [("PROCESSING", 9999), ("SUCCEED", None)]


def blocks(it: Rig) -> Counter[tuple[int | None, Event]]:
    return Counter(
        (row.job, row.event) for row in it.deliveries() if row.event in (Event.BLOCKED, Event.UNBLOCKED)
    )


def all_in_time(it: Rig, jobs: list[str]) -> bool:
    late = delays(it, jobs)
    return len(late) == len(jobs) and max(late.values()) <= LONGEST + 2


async def until_trusted(it: Rig, *, most: float) -> None:
    begun = it.clock.monotonic()
    while not it.poller.feed.trust.trusted:
        assert it.clock.monotonic() - begun < most, it.poller.feed.trust
        await it.run(5, step=1)


# Faulty feeds


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.long), 150])
@pytest.mark.parametrize(
    "lie", [lie if lie in ("missing", "unsorted") else pytest.param(lie, marks=pytest.mark.long) for lie in LIES]
)
async def test_every_end_is_found_in_time_and_once_though_the_feed_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str, count: int
) -> None:
    name, options, reason = LIES[lie]
    told = Lines(monkeypatch, "daemon.watch.feed")
    async with listing_rig(tmp_path) as it:
        specs = staggered(random.Random(3), count, over=420, freezes=0.1)
        jobs = it.sim.create_many(specs)
        track(it, jobs)
        if count > 100:  # it starts to be wrong once it is trusted
            await it.run(90, step=1)
            assert it.poller.feed.carries_news
        it.sim.fault(name, **options)
        await it.run(500 if count == 40 else 410, step=1)
        assert all_in_time(it, jobs)
        assert each_told_once(it, jobs)
        assert max(blocks(it).values(), default=0) == 1, "no freeze is told twice"
        assert [line["reason"].endswith(reason) for line in told.of(LogEvent.FEED_DISTRUSTED)] == [True]
        assert (facts(it)["feed"], facts(it)["feed_carries_news"]) == (Feed.DISTRUSTED, False)
        assert facts(it)["feed_reason"].endswith(reason)
        await it.watcher.checkpoint()
        stored = it.store.read(lambda tx: tx.statuses.all())[PROJECT]
        assert stored.facts["feed"] == "distrusted"
        assert it.sim.stats()["max_in_any_second"] <= 11


@pytest.mark.parametrize("lie", [pytest.param("unsorted", marks=pytest.mark.long), "stale"])
@pytest.mark.long
async def test_a_feed_that_lied_is_tried_again_after_ten_minutes_and_trusted_when_the_lie_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    name, options, _ = LIES[lie]
    told = Lines(monkeypatch, "daemon.watch.feed")
    async with listing_rig(tmp_path) as it:
        track(it, it.sim.create_many(staggered(random.Random(4), 130, over=300)))
        track(it, it.sim.create_jobs(count=120, timeline=LONG_LIFE))
        fault = it.sim.fault(name, **options)
        while not told.of(LogEvent.FEED_DISTRUSTED):
            await it.run(1, step=1)
        begun = it.clock.monotonic()
        assert told.of(LogEvent.FEED_DISTRUSTED)[0]["again_in"] == 10 * MINUTE
        while it.clock.monotonic() < begun + 10 * MINUTE - 15:
            await it.run(5, step=5)
        assert facts(it)["feed"] == Feed.DISTRUSTED
        it.sim.clear_faults(fault)
        track(it, it.sim.create_many(staggered(random.Random(5), 80, over=150)))
        await until_trusted(it, most=200)
        assert it.clock.monotonic() - begun >= 10 * MINUTE
        assert facts(it)["feed_reason"] is None
        assert len(told.of(LogEvent.FEED_TRUSTED)) >= 1


async def test_a_feed_that_goes_on_lying_is_left_alone_for_twice_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Lines(monkeypatch, "daemon.watch.feed")
    async with listing_rig(tmp_path) as it:
        track(it, it.sim.create_many(staggered(random.Random(4), 60, over=100)))
        track(it, it.sim.create_jobs(count=30, timeline=LONG_LIFE))
        it.sim.fault("feed_unsorted")
        await it.run(35 * MINUTE, step=5)
        lines = told.of(LogEvent.FEED_DISTRUSTED)
        assert [line["again_in"] for line in lines] == [10 * MINUTE, 20 * MINUTE, 40 * MINUTE]


@pytest.mark.parametrize(
    ("name", "options", "reasons"),
    [
        # A repeated first page has newer jobs on top if a job has ended in between.
        ("feed_pages_repeat", {}, {"pages repeat", NOT_SORTED}),
        pytest.param("feed_pages_skip", {"count": 20}, {"pages do not join"}, marks=pytest.mark.long),
    ],
)
async def test_pages_that_cannot_be_read_through_cost_no_end(
    tmp_path: Path, name: str, options: dict[str, Any], reasons: set[str]
) -> None:
    async with listing_rig(tmp_path) as it:
        burst = [{"timeline": [("PROCESSING", 100), ("SUCCEED", None)]}] * 160
        jobs = it.sim.create_many([*burst, *staggered(random.Random(3), 80, over=200)])
        track(it, it.sim.create_jobs(count=120, timeline=LONG_LIFE))
        track(it, jobs)
        await it.run(60, step=1)
        assert it.poller.feed.carries_news
        it.sim.fault(name, **options)
        await it.run(200, step=1)
        assert all_in_time(it, jobs)
        assert each_told_once(it, jobs)
        assert facts(it)["feed"] is Feed.DISTRUSTED
        assert facts(it)["feed_reason"] in reasons


@pytest.mark.long
async def test_a_month_s_limit_costs_no_end_of_older_jobs(tmp_path: Path) -> None:
    async with listing_rig(tmp_path) as it:
        old = 40 * DAY
        specs = staggered(random.Random(3), 150, over=300)
        for spec in specs[::3]:
            (first, seconds), *rest = spec["timeline"]
            spec.update(created_ago=old, timeline=[(first, seconds + old), *rest])
        jobs = it.sim.create_many(specs)
        it.sim.fault("month_limit")
        track(it, jobs)
        await it.run(380, step=1)
        assert all_in_time(it, jobs)
        assert each_told_once(it, jobs)
        assert facts(it)["feed"] == Feed.DISTRUSTED
        assert facts(it)["batch_size"] > 1, "the others still share lists"


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.long), 150])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("server_error", {}, marks=pytest.mark.long),
        ("not_offered", {}),
        pytest.param("list_refused", {"cap": 0}, marks=pytest.mark.long),
        pytest.param("html_200", {}, marks=pytest.mark.long),
    ],
)
async def test_without_lists_single_queries_go_on_and_nobody_hears_of_an_outage(
    tmp_path: Path, name: str, options: dict[str, Any], count: int
) -> None:
    async with listing_rig(tmp_path) as it:
        jobs = it.sim.create_many(staggered(random.Random(3), count, over=240))
        it.sim.fault(name, operation="list", **options)
        track(it, jobs)
        await it.run(310, step=1)
        assert all_in_time(it, jobs)
        assert each_told_once(it, jobs)
        assert not {Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.AUTH_FAILED} & set(it.events())
        assert facts(it)["batch_size"] == 1
        assert facts(it)["up"] is True
        if name != "list_refused":  # that one refuses ids alone
            assert facts(it)["feed"] == Feed.DISTRUSTED
            assert it.requests("list") < 20


# Correct feeds


async def honest(it: Rig, monkeypatch: pytest.MonkeyPatch, seed: int) -> list[str]:
    """A busy service without faults, whose behaviour must not be mistaken for one."""
    told, rng = Lines(monkeypatch, "daemon.watch.feed"), random.Random(seed)
    before = it.sim.create_many(staggered(rng, 40, over=30))
    it.clock.advance(50)
    specs = staggered(rng, rng.choice((60, 150, 240)), over=320, freezes=0.15)
    specs += [{"timeline": [("PROCESSING", rng.choice((120, 200))), ("SUCCEED", None)]} for _ in range(150)]
    specs += [
        {"created_ago": rng.uniform(0, 40) * DAY, "timeline": [("PROCESSING", 41 * DAY), ("SUCCEED", None)]}
    ] * 3
    jobs = it.sim.create_many(specs)
    it.sim.create_many(staggered(rng, 80, over=300))  # other, untracked jobs
    for job in rng.sample(jobs, 5):
        it.sim.fault("requeue", job_id=job, times=1)
    track(it, before + jobs)
    for _ in range(38):
        if rng.random() < 0.5:
            it.sim.fault("server_error", times=1)
        if rng.random() < 0.2:
            it.sim.set_state(rng.choice(jobs[:60]), "CANCELED")
        await it.run(10, step=rng.choice((0.5, 1.0)))
    assert told.of(LogEvent.FEED_DISTRUSTED) == []
    assert len(told.of(LogEvent.FEED_TRUSTED)) == 1
    ended = [*before, *jobs[:-3]]
    late = delays(it, ended)
    assert len(late) == len(ended)
    assert max(late[job] for job in jobs[:-3]) <= LONGEST + 2
    assert it.sim.stats()["max_in_any_second"] <= 11
    return ended


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)]
)
async def test_an_honest_feed_is_never_distrusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async with listing_rig(tmp_path) as it:
        await honest(it, monkeypatch, seed)


@pytest.mark.parametrize("skew", [pytest.param(-300, marks=pytest.mark.long), 300])
async def test_a_service_whose_clock_is_off_is_no_liar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew: int
) -> None:
    async with listing_rig(tmp_path) as it:
        it.sim.fault("clock_skew", skew=skew)
        jobs = it.sim.create_many(staggered(random.Random(2), 150, over=300, freezes=0.1))
        told = Lines(monkeypatch, "daemon.watch.feed")
        track(it, jobs)
        await it.run(360, step=1)
        assert told.of(LogEvent.FEED_DISTRUSTED) == []
        assert it.poller.feed.trust.trusted
        assert each_told_once(it, jobs)


@pytest.mark.long
async def test_a_service_that_does_not_say_what_time_it_is_is_no_liar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listing_rig(tmp_path) as it:
        change_lists(it, lambda listed, query: replace(listed, server_time=None))
        await honest(it, monkeypatch, 4)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 14))
async def test_an_honest_feed_is_never_distrusted_under_many_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async with listing_rig(tmp_path) as it:
        await honest(it, monkeypatch, seed)


@pytest.mark.long
async def test_rare_ends_that_take_several_pages_after_a_gap_are_no_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API was down for hours; 250 tracked and untracked jobs ended meanwhile, one each minute."""
    told = Lines(monkeypatch, "daemon.watch.feed")
    async with listing_rig(tmp_path) as it:
        jobs = it.sim.create_many(staggered(random.Random(3), 60, over=60))
        later = [{"timeline": [("PROCESSING", 300 + 60 * n), ("SUCCEED", None)]} for n in range(250)]
        jobs += it.sim.create_many(later)
        jobs += it.sim.create_many([{"timeline": LONG_LIFE}] * 20)
        track(it, jobs)
        await it.run(120, step=1)
        assert it.poller.feed.trust.trusted
        fault = it.sim.fault("server_error")
        await it.run(4 * 3600, step=10)
        it.sim.clear_faults(fault)
        await it.run(240, step=1)
        assert told.of(LogEvent.FEED_DISTRUSTED) == []
        assert len(it.poller.agenda) <= 35
        assert set(Counter(row.job for row in it.deliveries() if row.event is Event.SUCCEEDED).values()) == {1}


@pytest.mark.long
async def test_a_job_older_than_the_feed_was_asked_for_is_no_proof_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Lines(monkeypatch, "daemon.watch.feed")
    async with listing_rig(tmp_path) as it:
        track(it, it.sim.create_many(staggered(random.Random(3), 200, over=400)))
        await it.run(120, step=1)
        assert it.poller.feed.carries_news
        day = 30 * 3600.0
        old = [
            {"created_ago": day, "timeline": [("PROCESSING", day + s), ("SUCCEED", None)]} for s in range(4, 80, 4)
        ]
        jobs = it.sim.create_many(old)
        track(it, jobs)
        await it.run(150, step=1)
        assert all_in_time(it, jobs)
        assert told.of(LogEvent.FEED_DISTRUSTED) == []


async def test_what_the_feed_showed_and_a_single_query_completed_is_no_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Lines(monkeypatch, "daemon.watch.feed")
    async with listing_rig(tmp_path) as it:
        jobs = it.sim.create_jobs(count=130, timeline=LONG_LIFE)
        track(it, jobs)
        await until_trusted(it, most=200)
        for job in jobs[:3]:
            watched = it.poller.agenda.get(parse_job_id(job))
            assert watched is not None
            watched.ask_singly()  # as if a list lacked it: the feed waits for the single query
            it.poller.agenda.put(watched, it.clock.monotonic() + 20)
            it.sim.set_state(job, "SUCCEED")
        await it.run(30, step=1)
        assert {it.job(job).state for job in jobs[:3]} == {"SUCCEED"}
        assert told.of(LogEvent.FEED_DISTRUSTED) == []


async def test_a_feed_that_answers_slowly_is_no_liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads take 30 s to return; meanwhile lists by ids find the ends."""
    told = Lines(monkeypatch, "daemon.watch.feed")
    async with listing_rig(tmp_path) as it:
        jobs = it.sim.create_many(staggered(random.Random(3), 90, over=300))
        track(it, jobs)
        track(it, it.sim.create_jobs(count=20, timeline=LONG_LIFE))
        gate, held = asyncio.Event(), 0

        async def slowly(listed: Listed, query: ListQuery) -> Listed:
            nonlocal held
            if not query.job_ids:
                held += 1
                await gate.wait()
                held -= 1
            return listed

        change_lists(it, slowly)
        for second in range(340):
            it.clock.advance(1)
            await it.watcher.take_changes()
            await it.watcher.tick()
            while len(it.poller.context.tasks._tasks) > held:
                await asyncio.sleep(0)
            if second % 30 == 29:
                gate.set()
                await it.poller.idle()
                gate.clear()
        gate.set()
        await it.poller.idle()
        assert told.of(LogEvent.FEED_DISTRUSTED) == []
        assert each_told_once(it, jobs)


# Several answers about one job


async def both_lists_under_way(it: Rig) -> dict[str, asyncio.Event]:
    """Make every job and the feed due, and hold the answers of lists by `ids` and of the `feed` until their events
    are set. Events set in one turn make the answers arrive at once."""
    gates, there = {"ids": asyncio.Event(), "feed": asyncio.Event()}, set()

    async def wait(listed: Listed, query: ListQuery) -> Listed:
        there.add(kind := "ids" if query.job_ids else "feed")
        await gates[kind].wait()
        return listed

    change_lists(it, wait)
    it.clock.advance(LONGEST + 1)
    await it.watcher.tick()
    while len(there) < 2:
        it.clock.advance(0.01)
        it.poller.pump()
        await asyncio.sleep(0)
    return gates


@pytest.mark.parametrize("order", [("ids", "feed"), ("feed", "ids")])
@pytest.mark.parametrize(("state", "event"), [("BLOCK", Event.BLOCKED), ("SUCCEED", Event.SUCCEEDED)])
async def test_what_both_lists_show_at_once_is_told_once_and_the_job_goes_on(
    tmp_path: Path, state: str, event: Event, order: tuple[str, str]
) -> None:
    async with listing_rig(tmp_path) as it:
        jobs = it.sim.create_jobs(count=50, timeline=LONG_LIFE)
        track(it, jobs)
        await it.run(30, step=1)
        for job in jobs[:30]:
            it.sim.set_state(job, state)
        gates = await both_lists_under_way(it)
        for each in order:
            gates[each].set()
        await it.poller.idle()
        await it.run(5, step=1)
        assert it.events().count(event) == 30
        assert [it.states(job) for job in jobs[:30]] == [["PROCESSING", state]] * 30
        if state == "BLOCK":
            assert len(it.poller.agenda) == 50, "a frozen job stays watched"
            for job in jobs[:30]:
                it.sim.set_state(job, "SUCCEED")
            await it.run(90, step=1)
        assert it.events().count(Event.SUCCEEDED) == 30
        assert len(it.poller.agenda) == 20


async def test_a_move_that_the_store_has_already_does_not_end_the_watch(tmp_path: Path) -> None:
    """A commit seemed to have failed: with the next answer, the store is ahead of the memory."""
    async with listing_rig(tmp_path) as it:
        [job] = it.sim.create_jobs(
            timeline=[("PROCESSING", 100), ("BLOCK", 60), ("PROCESSING", 60), ("SUCCEED", None)]
        )
        it.track(job)
        await it.run(10, step=1)
        write, lost = it.store.write, 0

        async def commit_and_fail(work: Any) -> Any:
            nonlocal lost
            result = await write(work)
            if type(result).__name__ == "Recorded" and not lost:
                lost += 1
                raise StoreFailed("the answer of the disk was lost")
            return result

        it.store.write = commit_and_fail  # type: ignore[method-assign]
        await it.run(350, step=1)
        assert lost == 1
        assert it.states(job) == ["PROCESSING", "BLOCK", "PROCESSING", "SUCCEED"]
        assert it.events().count(Event.SUCCEEDED) == 1


async def test_a_job_untracked_while_lists_are_under_way_is_left_alone(tmp_path: Path) -> None:
    async with listing_rig(tmp_path) as it:
        jobs = it.sim.create_jobs(count=50, timeline=LONG_LIFE)
        track(it, jobs)
        await it.run(30, step=1)
        for job in jobs[:10]:
            it.sim.set_state(job, "SUCCEED")
        gates = await both_lists_under_way(it)
        for job in jobs[:5]:
            it.store.write_now(lambda tx, job=job: tx.jobs.untrack(None, job, at=it.clock.now()))
        for gate in gates.values():
            gate.set()
        await it.poller.idle()
        await it.run(10, step=1)
        assert [it.job(job).tracking for job in jobs[:10]] == [Tracking.STOPPED] * 5 + [Tracking.FINISHED] * 5
        assert it.events().count(Event.SUCCEEDED) == 5
        assert len(it.poller.agenda) == 40
        assert it.track(jobs[0]) is not None
        await it.run(10, step=1)
        assert it.job(jobs[0]).tracking is Tracking.FINISHED, "it can be taken up again"


async def test_a_list_that_lags_behind_does_not_freeze_a_job_again(tmp_path: Path) -> None:
    async with listing_rig(tmp_path) as it:
        life = [("PROCESSING", 40), ("BLOCK", 100), ("PROCESSING", 200), ("SUCCEED", None)]
        jobs = it.sim.create_jobs(count=120, timeline=life)
        track(it, jobs)
        it.sim.fault("feed_stale", behind=60)
        await it.run(420, step=1)
        assert set(blocks(it).values()) == {1}
        assert [it.states(job) for job in jobs] == [["PROCESSING", "BLOCK", "PROCESSING", "SUCCEED"]] * 120


@pytest.mark.parametrize("way", [pytest.param("single", marks=pytest.mark.long), "ids", "feed"])
async def test_what_the_disk_does_not_take_is_told_once_when_it_does(tmp_path: Path, way: str) -> None:
    plan = {"single": {"feed": False, "batch": False}, "ids": {"feed": False}, "feed": {"batch": False}}[way]
    async with listing_rig(tmp_path, plan=plan) as it:
        jobs = it.sim.create_jobs(count=40, timeline=[("PROCESSING", 300), ("SUCCEED", None)])
        track(it, it.sim.create_many(staggered(random.Random(1), 40, over=100)))
        track(it, it.sim.create_jobs(count=40, timeline=LONG_LIFE))
        track(it, jobs)
        await it.run(290, step=1)
        if way == "feed":
            assert it.poller.feed.carries_news
        write, tries = it.store.write, 0

        async def full(_work: object) -> object:
            nonlocal tries
            tries += 1
            raise StoreFailed("the disk is full")

        it.store.write = full  # type: ignore[method-assign]
        take_changes, it.watcher.take_changes = it.watcher.take_changes, lambda **_: asyncio.sleep(0)  # type: ignore[method-assign]
        await it.run(120, step=1)
        assert 40 <= tries <= 40 * 12, "each move is tried again, ever more slowly"
        it.store.write = write  # type: ignore[method-assign]
        it.watcher.take_changes = take_changes  # type: ignore[method-assign]
        await it.run(65, step=1)
        assert [it.states(job) for job in jobs] == [["PROCESSING", "SUCCEED"]] * 40
        assert it.poller.feed.trust.standing is not Feed.DISTRUSTED
        told = Counter(row.job for row in it.deliveries() if row.event is Event.SUCCEEDED)
        assert set(told.values()) == {1}


async def test_few_jobs_are_not_left_to_a_feed_that_is_not_read(tmp_path: Path) -> None:
    """Without lists by ids the feed covers as few as 20 jobs, but no fewer."""
    async with listing_rig(tmp_path, plan={"batch": False}) as it:
        track(it, it.sim.create_many(staggered(random.Random(1), 40, over=100)))
        jobs = it.sim.create_many(
            [{"timeline": [("PROCESSING", 240 + 7 * n), ("SUCCEED", None)]} for n in range(10)]
        )
        track(it, jobs)
        await it.run(330, step=1)
        assert not it.poller.feed.carries_news
        late = delays(it, jobs)
        assert len(late) == 10
        assert sum(late.values()) / 10 < LONGEST / 4, "they are planned by what was learned, not as a safety net"


async def test_new_jobs_do_not_put_the_safety_net_off(tmp_path: Path) -> None:
    """First polls go at once, and carry jobs of the safety net along; the net's own pace must not be charged for
    them."""
    async with listing_rig(tmp_path) as it:
        track(it, it.sim.create_many([{"timeline": LONG_LIFE}] * 150))
        await until_trusted(it, most=200)
        it.poller.chooser._calm_at, it.poller.chooser._is_calm = (
            float("inf"),
            False,
        )  # a busy budget: no single first polls
        for _ in range(40):
            track(it, it.sim.create_jobs(timeline=LONG_LIFE))
            await it.run(1, step=0.5)
        assert it.poller.feed.carries_news
        await it.run(LONGEST + 5, step=1)
        assert it.clock.monotonic() - min(each.looked for each in it.poller.agenda) <= LONGEST + 2
