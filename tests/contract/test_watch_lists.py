"""Lists by ids with a simulator that ignores, caps, distorts or refuses them: each fault is detected, lists are
used as far as they work, no job is considered gone because of a list, and no other job is touched."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.events import Event
from daemon.domain.jobs import Tracking
from daemon.logs import LogEvent
from tests.support.feeding import LONGEST, delays, each_told_once, facts, listing_rig, staggered, track
from tests.support.recorder import Lines
from tests.support.rig import Rig

MINUTE = 60.0
LONG_LIFE = [("PROCESSING", 9999), ("SUCCEED", None)]
NO_FEED = {"feed": False}


def some_jobs(it: Rig, count: int, *, over: float = 240, seed: int = 3, strangers: int = 0) -> list[str]:
    """Create tracked jobs among other, untracked ones."""
    rng = random.Random(seed)
    it.sim.create_many(staggered(rng, strangers // 2, over=over))
    jobs = it.sim.create_many(staggered(rng, count, over=over, freezes=0.05))
    it.sim.create_many(staggered(rng, strangers - strangers // 2, over=over))
    track(it, jobs)
    return jobs


def check(it: Rig, jobs: Sequence[str]) -> None:
    """Check that every end is alerted once and in time, and that no other jobs are stored."""
    late = delays(it, jobs)
    assert len(late) == len(jobs)
    assert max(late.values()) <= LONGEST + 2
    assert each_told_once(it, jobs)
    assert {row.job_id for row in it.store.read(lambda tx: tx.jobs.list(limit=10_000))} == set(jobs)
    truth = {job["job_id"]: job["state"] for job in it.sim.jobs()}
    assert all(it.job(job).state == truth[job] for job in jobs)
    assert it.sim.stats()["max_in_any_second"] <= 11


async def pass_pause(it: Rig, seconds: float = 10 * MINUTE) -> None:
    """Advance time past the pause of lists."""
    end = it.clock.monotonic() + seconds + 5
    while it.clock.monotonic() < end:
        await it.run(5, step=5)


@pytest.mark.parametrize(
    ("count", "strangers"),
    [
        pytest.param(40, 500, marks=pytest.mark.long),
        (150, 500),
        pytest.param(150, 0, marks=pytest.mark.long),
    ],
)
async def test_ids_of_which_lists_take_no_notice_are_used_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, strangers: int
) -> None:
    lines = Lines(monkeypatch, "daemon.watch.id_lists")
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        it.sim.fault("job_ids_ignored")
        jobs = some_jobs(it, count, strangers=strangers)
        await it.run(310, step=1)
        check(it, jobs)
        assert (facts(it)["batch_size"], "ignore job_ids" in facts(it)["batch_reason"]) == (1, True)
        [line] = lines.of(LogEvent.BATCH_LIMITED)
        assert line["size"] == 1
        assert it.requests("list") <= 2


@pytest.mark.long
async def test_ids_are_used_again_after_the_pause_and_given_up_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(monkeypatch, "daemon.watch.id_lists")
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        fault = it.sim.fault("job_ids_ignored")
        it.sim.create_jobs(count=200, timeline=LONG_LIFE)
        jobs = it.sim.create_jobs(count=100, timeline=LONG_LIFE)
        it.sim.create_jobs(count=200, timeline=LONG_LIFE)
        track(it, jobs)
        await it.run(20, step=1)
        asked = it.requests("list")
        await pass_pause(it)
        assert [line["size"] for line in lines.of(LogEvent.BATCH_LIMITED)] == [1, 1]
        assert it.requests("list") - asked <= 2
        it.sim.clear_faults(fault)
        await pass_pause(it, 20 * MINUTE)
        assert facts(it)["batch_size"] == 100
        assert facts(it)["batch_reason"] is None
        asked, lists = it.requests(), it.requests("list")
        await it.run(120, step=1)
        assert it.requests() == asked, "nobody is asked singly any more"
        assert it.requests("list") > lists
        assert it.poller.agenda.unlisted == 0


async def test_lists_that_hold_ten_are_asked_about_ten(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        fault = it.sim.fault("job_ids_capped", cap=10)
        jobs = some_jobs(it, 150, strangers=20)
        long = it.sim.create_jobs(count=30, timeline=LONG_LIFE)
        track(it, long)
        await it.run(310, step=1)
        assert facts(it)["batch_size"] == 10
        assert facts(it)["batch_reason"].startswith("a list held 10 of")
        assert it.requests() <= 20, "the first looks, and no more"
        assert it.poller.agenda.unlisted == 0
        it.sim.clear_faults(fault)
        await pass_pause(it, 5 * MINUTE)
        assert facts(it)["batch_size"] == 100
        for job in long:
            it.sim.set_state(job, "SUCCEED")
        await it.run(LONGEST, step=1)
        check(it, jobs + long)


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.long), 150])
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({"job_ids_unsorted": {}}, marks=pytest.mark.long),
        pytest.param({"job_ids_foreign": {"count": 5}}, marks=pytest.mark.long),
        pytest.param({"job_ids_foreign": {"count": 80}}, marks=pytest.mark.long),
        pytest.param({"job_ids_duplicated": {"copies": 2}}, marks=pytest.mark.long),
        {"job_ids_unsorted": {}, "job_ids_foreign": {"count": 5}, "job_ids_duplicated": {"copies": 3}},
    ],
    ids="+".join,
)
async def test_mangled_lists_are_read_all_the_same(
    tmp_path: Path, faults: dict[str, dict[str, Any]], count: int
) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        for name, options in faults.items():
            it.sim.fault(name, **options)
        jobs = some_jobs(it, count, strangers=200)
        await it.run(310, step=1)
        check(it, jobs)
        assert facts(it)["batch_size"] == 100
        assert it.requests() <= 20, "the first looks, and no more"


@pytest.mark.parametrize(
    ("count", "share"),
    [pytest.param(40, 0.2, marks=pytest.mark.long), (150, 0.2), pytest.param(150, 0.6, marks=pytest.mark.long)],
)
async def test_jobs_that_lists_leave_out_are_asked_singly_and_not_lost(
    tmp_path: Path, count: int, share: float
) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED, limits={"not_found_grace": 5.0}) as it:
        fault = it.sim.fault("job_ids_missing", share=share)
        jobs = some_jobs(it, count)
        long = it.sim.create_jobs(count=40, timeline=LONG_LIFE)
        track(it, long)
        await it.run(310, step=1)
        assert Event.LOST not in it.events()
        assert facts(it)["batch_size"] >= 50, "the others still share lists"
        assert 1 <= it.poller.agenda.unlisted < 40 * (share + 0.25)
        it.sim.clear_faults(fault)
        await pass_pause(it)
        await it.run(LONGEST + 5, step=1)
        assert it.poller.agenda.unlisted == 0, "when lists hold them again, they share them again"
        for job in long:
            it.sim.set_state(job, "SUCCEED")
        await it.run(LONGEST + 5, step=1)
        check(it, jobs + long)


async def test_the_first_ones_that_a_list_leaves_out_are_asked_singly(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        it.sim.fault("job_ids_missing", first=2)
        jobs = some_jobs(it, 60)
        await it.run(310, step=1)
        check(it, jobs)
        assert facts(it)["batch_size"] == 100


async def test_one_job_that_lists_leave_out_is_no_doubt_about_lists(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        jobs = it.sim.create_jobs(count=50, timeline=LONG_LIFE)
        fault = it.sim.fault("job_ids_missing", job_id=jobs[0])
        track(it, jobs)
        await it.run(120, step=1)
        assert (facts(it)["batch_size"], facts(it)["batch_reason"]) == (100, None)
        assert it.poller.agenda.unlisted == 1
        it.sim.set_state(jobs[0], "SUCCEED")
        await it.run(LONGEST + 2, step=1)
        assert it.job(jobs[0]).state == "SUCCEED"
        it.sim.clear_faults(fault)


async def test_a_job_that_lists_left_out_for_a_while_shares_them_again(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        jobs = it.sim.create_jobs(count=50, timeline=LONG_LIFE)
        fault = it.sim.fault("job_ids_missing", job_id=jobs[0])
        track(it, jobs)
        await it.run(120, step=1)
        assert it.poller.agenda.unlisted == 1
        await pass_pause(it)
        await it.run(90, step=1)
        assert it.poller.agenda.unlisted == 1, "lists lack it still"
        it.sim.clear_faults(fault)
        await pass_pause(it, 20 * MINUTE)
        await it.run(90, step=1)
        assert it.poller.agenda.unlisted == 0
        asked = it.requests()
        await it.run(120, step=1)
        assert it.requests() == asked


async def test_only_single_queries_tell_that_a_job_is_gone(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        jobs = it.sim.create_jobs(count=50, timeline=LONG_LIFE)
        track(it, jobs)
        await it.run(30, step=1)
        for job in jobs[:2]:
            it.sim.remove_job(job)
        it.sim.fault("job_ids_missing", job_id=jobs[2])
        await it.run(2 * LONGEST + 5, step=1)
        assert [it.job(job).tracking for job in jobs[:4]] == [Tracking.LOST] * 2 + [Tracking.ACTIVE] * 2
        assert it.events().count(Event.LOST) == 2


async def test_typos_beside_many_jobs_do_not_spoil_their_lists(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        jobs = it.sim.create_jobs(count=100, timeline=LONG_LIFE)
        track(it, jobs)
        await it.run(30, step=1)
        for number in range(60):
            it.track(f"typo-{number}")
        await it.run(3 * LONGEST, step=1)
        assert it.events().count(Event.LOST) == 60
        assert facts(it)["batch_size"] >= 40
        assert all(it.job(job).tracking is Tracking.ACTIVE for job in jobs)


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.long), 150])
async def test_lists_that_are_refused_are_made_shorter_in_one_go(tmp_path: Path, count: int) -> None:
    async with listing_rig(tmp_path, plan=NO_FEED) as it:
        fault = it.sim.fault("list_refused", cap=10)
        jobs = some_jobs(it, count)
        long = it.sim.create_jobs(count=30, timeline=LONG_LIFE)
        track(it, long)
        await it.run(310, step=1)
        assert 5 <= facts(it)["batch_size"] <= 10
        assert "refused" in facts(it)["batch_reason"]
        assert it.sim.stats()["by_status"]["400"] <= 5
        assert it.requests() <= 20
        it.sim.clear_faults(fault)
        await pass_pause(it, 5 * MINUTE)
        assert facts(it)["batch_size"] == 100, "the steps down were one limit: ten minutes"
        for job in long:
            it.sim.set_state(job, "SUCCEED")
        await it.run(LONGEST, step=1)
        check(it, jobs + long)


async def test_an_operation_that_is_offered_later_is_used_then(tmp_path: Path) -> None:
    async with listing_rig(tmp_path) as it:
        fault = it.sim.fault("not_offered", operation="list")
        jobs = it.sim.create_jobs(count=60, timeline=LONG_LIFE)
        track(it, jobs)
        await it.run(30, step=1)
        assert (facts(it)["batch_size"], facts(it)["feed"]) == (1, "distrusted")
        assert it.requests("list") <= 4
        it.sim.clear_faults(fault)
        await pass_pause(it)
        await it.run(200, step=1)
        assert (facts(it)["batch_size"], facts(it)["feed"]) == (100, "trusted")
        assert it.events() == [Event.STARTED] * 60


async def test_kinds_that_lists_do_not_hold_are_asked_singly_beside_the_others(tmp_path: Path) -> None:
    async with listing_rig(tmp_path) as it:
        videos = some_jobs(it, 60)
        cards = it.sim.create_many(
            [{"kind": "business_card", **spec} for spec in staggered(random.Random(9), 10, over=240)]
        )
        for card in cards:
            it.track(card, kind="business_card")
        await it.run(310, step=1)
        check(it, videos + cards)
        assert (facts(it)["batch_size"], facts(it)["batch_reason"]) == (100, None)
