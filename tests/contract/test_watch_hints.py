"""A hint from outside makes the job polled at once, before all others, within the budget."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from daemon.domain.durations import eta
from daemon.domain.events import Event
from daemon.domain.jobs import JobId, parse_job_id
from daemon.domain.planning import Rails
from daemon.metastudio.budget import Priority
from daemon.metastudio.listing import Listed
from daemon.views import outlook
from daemon.watch.choosing import Question
from tests.support.feeding import change_lists, delays, listing_rig, track
from tests.support.rig import PROJECT, Rig, rig
from tests.support.turns import turns_until

SLOW = Rails(min_interval=1000, max_interval=1000, blocked_interval=1000)
LONG = [("PROCESSING", None)]


def hint(it: Rig, job_id: str) -> bool:
    return it.watcher.hint(PROJECT, parse_job_id(job_id))


async def looked_at(it: Rig, count: int = 1, **options: Any) -> list[str]:
    """Create jobs that were polled and are not due for a long time."""
    jobs = it.sim.create_jobs(count=count, timeline=LONG, **options)
    for job in jobs:
        it.track(job, kind=options.get("kind", "avatar"))
    await it.run(3)
    return jobs


async def test_a_hint_asks_at_once_and_finds_the_end(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job, other] = await looked_at(it, 2)
        before = it.requests()
        it.sim.set_state(job, "FAILED")
        assert hint(it, job)
        await it.poller.idle()  # no tick, and no time passes
        assert it.job(job).state == "FAILED"
        assert it.requests() == before + 1, "the other one is left alone"
        assert it.job(other).state == "PROCESSING"
        assert not hint(it, job), "it has ended"


async def test_an_end_that_the_service_shows_a_little_after_it_said_so_is_found_soon(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = await looked_at(it)
        before = it.requests()
        assert hint(it, job)
        await it.run(6, step=0.25)
        assert it.job(job).state == "PROCESSING"
        it.sim.set_state(job, "FAILED")
        await it.run(6, step=0.25)
        assert it.job(job).state == "FAILED", "no longer after the end than it came after the hint"
        assert it.requests() <= before + 6, "each gap is as long as all before"


async def test_a_hint_that_was_wrong_costs_a_few_looks(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = await looked_at(it)
        before = it.requests()
        assert hint(it, job)
        await it.run(300)
        assert it.requests() <= before + 8


async def test_who_is_not_watched_gets_no_question(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        await looked_at(it)
        before = it.requests()
        assert not hint(it, "never-tracked")
        assert not it.watcher.hint("nobody", parse_job_id("never-tracked"))  # type: ignore[arg-type]
        await it.poller.idle()
        assert it.requests() == before


async def test_many_hints_ask_once_a_second_and_none_is_lost(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = await looked_at(it)
        before = it.requests()
        for _ in range(100):
            assert hint(it, job)
            await it.poller.idle()
        assert it.requests() == before + 1
        it.sim.set_state(job, "FAILED")  # the requested poll is still pending
        hint(it, job)
        await it.poller.idle()
        assert it.job(job).state == "PROCESSING"
        await it.run(1.5, step=0.25)
        assert it.requests() == before + 2
        assert it.job(job).state == "FAILED"


async def test_a_hint_after_the_answer_began_is_not_taken_for_answered(tmp_path: Path) -> None:
    """The answer under way was made before the end, so it does not use up the hint."""
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = await looked_at(it)
        it.sim.fault("drip", interval=0.05, piece=400, operation="show", times=1)  # its body is made at once
        before = it.requests()
        assert hint(it, job)
        await turns_until(lambda: it.requests() > before)
        it.sim.set_state(job, "FAILED")
        assert hint(it, job), "sooner than the pace: it is kept"
        it.clock.advance(1)
        assert hint(it, job)
        await it.poller.idle()
        await it.tick()
        assert it.job(job).state == "FAILED"


async def test_a_hint_goes_before_all_that_is_overdue_but_within_the_budget(tmp_path: Path) -> None:
    rails = Rails(min_interval=1, max_interval=1, blocked_interval=1000)
    async with rig(tmp_path, rails=rails, rate=2.0) as it:
        jobs = it.sim.create_jobs(count=50, timeline=LONG)
        for job in jobs:
            it.track(job)
        await it.run(60)
        late = it.poller.agenda.first_due()
        assert late is not None
        assert late < it.clock.monotonic() - 5, "the budget is far too small for them"
        for job in jobs[10:13]:
            it.sim.set_state(job, "FAILED")
            assert hint(it, job)
        assert it.poller.note_lateness() < 60, "a hint does not make the project look later than it is"
        before = it.requests()
        await it.run(2)
        assert [it.job(job).state for job in jobs[10:13]] == ["FAILED"] * 3
        assert it.requests() - before <= 5


async def test_the_feed_waits_for_callbacks_for_a_while_as_long_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = await looked_at(it)
        it.poller.halt()
        monkeypatch.setattr(it.poller.feed, "due", lambda now: True)
        chooser, watched, begun = it.poller.chooser, it.poller.agenda.get(JobId(job)), it.clock.monotonic()
        assert watched is not None
        assert (chooser.priority(begun), chooser.question(begun, idle=False)) == (Priority.FEED, Question())
        it.clock.advance(5)
        now = it.clock.monotonic()
        assert chooser.hint(watched)
        assert chooser.priority(now) is Priority.FEED, "it has waited for long"
        chooser._feed_since = None  # it was read
        assert chooser.priority(now) is Priority.URGENT
        assert chooser.question(now, idle=False) == Question([watched])
        assert (chooser.priority(now), chooser.question(now, idle=False)) == (Priority.NEWS, Question())
        assert chooser.priority(now + 1.9) is Priority.NEWS
        assert chooser.priority(now + 2.0) is Priority.FEED
        chooser._feed_since = None
        assert chooser.priority(now + 61) is Priority.FEED, "no callback came lately"


async def test_very_many_hints_share_requests_where_lists_hold_the_jobs(tmp_path: Path) -> None:
    plan = {"batch": True}
    async with rig(tmp_path, rails=SLOW, rate=10.0, plan=plan) as it:
        jobs = await looked_at(it, 200, kind="photo")
        before = it.requests() + it.requests("list")
        for job in jobs:
            it.sim.set_state(job, "FAILED")
            assert hint(it, job)
        await it.run(3)
        assert {it.job(job).state for job in jobs} == {"FAILED"}
        assert it.requests() + it.requests("list") - before <= 30


@pytest.mark.parametrize("count", [2, 5])
async def test_a_few_ends_at_once_are_told_with_their_links_without_delay(tmp_path: Path, count: int) -> None:
    """With callbacks for five at once, singles and links would take more than a second's permits."""
    async with rig(tmp_path, rails=SLOW, rate=10.0, plan={"batch": True}) as it:
        jobs = await looked_at(it, count)
        await it.run(10)
        assert it.budget.try_take(it.clock.monotonic()) is not None, "something else was queried just now"
        begun, before = it.clock.monotonic(), (it.requests(), it.requests("list"))
        for job in jobs:
            it.sim.set_state(job, "SUCCEED")
            assert hint(it, job)
        await it.poller.idle()
        assert all(it.job(job).asset.download_url for job in jobs)
        assert it.clock.monotonic() == begun, "nothing waited for the budget"
        asked = (it.requests() - before[0], it.requests("list") - before[1])
        assert asked == {2: (2, 0), 5: (2, 1)}[count]


async def test_a_callback_is_believed_more_than_a_list_that_lags(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW, rate=10.0, plan={"batch": True}) as it:
        jobs = await looked_at(it, 5)
        await it.run(10)

        def lag(listed: Listed, query: Any) -> Listed:
            return replace(listed, entries=[replace(entry, state="PROCESSING") for entry in listed.entries])

        change_lists(it, lag)
        begun = it.clock.monotonic()
        for job in jobs:
            it.sim.set_state(job, "FAILED")
            assert hint(it, job)
        await it.poller.idle()
        assert it.requests("list") == 1
        assert {it.job(job).state for job in jobs} == {"FAILED"}
        assert it.clock.monotonic() == begun


async def test_callbacks_that_come_while_no_permit_is_free_share_a_list(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW, rate=2.0, plan={"batch": True}) as it:
        jobs = await looked_at(it, 5)
        await it.run(10)
        while it.budget.try_take(it.clock.monotonic(), Priority.URGENT) is not None:
            pass
        before = (it.requests(), it.requests("list"))
        for job in jobs:
            it.sim.set_state(job, "FAILED")
            assert hint(it, job)
        await it.run(1.5, step=0.05)
        assert {it.job(job).state for job in jobs} == {"FAILED"}
        assert (it.requests(), it.requests("list")) == (before[0], before[1] + 1)


async def test_a_burst_of_ends_is_alerted_before_its_links_and_all_links_follow(tmp_path: Path) -> None:
    """Alerts wait for as many links as the budget completes in time; hints are not kept waiting by these."""
    async with rig(tmp_path, rails=SLOW, rate=10.0, plan={"batch": True}) as it:
        jobs = await looked_at(it, 60)
        await it.run(10)
        for job in jobs:
            it.sim.set_state(job, "SUCCEED")
            assert hint(it, job)
        await it.run(3, step=0.05)
        ends = [row for row in it.deliveries() if row.event is Event.SUCCEEDED]
        waits = [(row.due_at - row.created_at).total_seconds() for row in ends]
        assert len(waits) == 60, "every end is known by then"
        assert sum(wait > 0 for wait in waits) <= 45
        await it.run(6, step=0.05)
        assert all(it.job(job).asset.download_url for job in jobs)


async def test_a_hint_does_not_ask_a_project_that_is_paused(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = await looked_at(it)
        it.sim.fault("throttled_retry_after", retry_after=30, times=1)
        hint(it, job)
        await it.poller.idle()
        before = it.requests()
        it.clock.advance(2)
        it.sim.set_state(job, "FAILED")
        hint(it, job)
        await it.poller.idle()
        assert it.requests() == before
        await it.run(40)
        assert it.job(job).state == "FAILED"


async def test_what_is_tracked_beside_is_taken_up_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(timeline=LONG)
        it.watcher.notice_soon()
        it.track(job)
        it.watcher.notice_soon()
        await turns_until(lambda: it.job(job).state == "PROCESSING")
        await it.poller.idle()


async def test_the_rest_of_a_production_is_told_as_it_was_learned(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        jobs = it.sim.create_jobs(count=12, timeline=[("PROCESSING", 60), ("SUCCEED", None)])
        for job in jobs:
            it.track(job)
        await it.run(120, step=5)
        [job] = await looked_at(it)
        await it.run(30, step=5)
        row = it.job(job)
        left = outlook(row, it.poller.context.learning.durations, now=it.clock.now()).eta
        assert left is not None
        assert 0 < left.low <= left.median <= left.high < 300
        ended = it.job(jobs[0])
        durations = it.poller.context.learning.durations
        assert outlook(ended, durations, now=it.clock.now()).eta is None
        assert eta(durations, ("main", "avatar"), None, 0.0) is not None


async def test_the_feed_is_read_seldom_while_callbacks_announce_every_end_and_often_when_they_stop(
    tmp_path: Path,
) -> None:
    async with listing_rig(tmp_path) as it:
        specs = [{"timeline": [("PROCESSING", 40 + n / 2), ("SUCCEED", None)]} for n in range(120)]
        jobs = it.sim.create_many(specs)
        track(it, [*jobs, *it.sim.create_jobs(count=120, timeline=LONG)])
        known: set[str] = set()
        lists, asked = [], []
        for _ in range(160):
            it.clock.advance(0.5)
            ended = {str(end["job_id"]) for end in it.sim.ends()}
            for job in ended - known:
                hint(it, job)
            await it.poller.idle()
            await it.tick()
            known |= ended
            lists.append(it.requests("list"))
            asked.append(it.requests("list") + it.requests())
        assert it.poller.feed.carries_news
        assert lists[-1] - lists[-41] <= 6, "in 20 s"
        assert asked[-1] - asked[-41] <= 42, "for 40 ends: each read of the feed answers a callback"
        assert max(delays(it, known).values()) == 0
        await it.run(25)
        assert max(delays(it, jobs).values()) < 3.5
