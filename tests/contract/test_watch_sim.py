"""The watch with the simulator: every observation is stored once, and nothing else."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.domain.events import Event
from daemon.domain.jobs import Tracking, parse_job_id
from daemon.domain.planning import Reason
from daemon.logs import LogEvent
from daemon.metastudio.client import Shown
from daemon.metastudio.settings import AkSk
from daemon.store import StoreFailed, TrackRequest, TrackResult
from daemon.watch.outcomes import LAST_QUESTION
from tests.support.rig import PROJECT, rig

LIFE = [("WAITING", 20), ("PROCESSING", 60), ("SUCCEED", None)]


async def test_a_job_is_followed_to_its_end(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(kind="photo", name="One Day", timeline=LIFE)
        assert it.track(job, kind="photo") is TrackResult.ADDED
        await it.run(100)
        row = it.job(job)
        assert it.states(job) == ["WAITING", "PROCESSING", "SUCCEED"]
        assert (row.state, row.tracking) == ("SUCCEED", Tracking.FINISHED)
        assert row.asset.asset_name == "One Day"
        assert row.asset.preview_url
        assert it.events() == [Event.STARTED, Event.SUCCEEDED]
        assert it.requests("asset") == 0, "a video with a preview needs no look at its asset"
        asked = it.requests()
        await it.run(30)
        assert it.requests() == asked, "an ended job is not asked about"


async def test_an_avatar_video_gets_its_download_link_before_its_alert_is_due(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(kind="avatar", timeline=LIFE)
        it.track(job)
        await it.run(100)
        assert it.job(job).asset.preview_url is None
        assert it.job(job).asset.download_url
        assert it.requests("asset") == 1


@pytest.mark.parametrize("fault", ["server_error", pytest.param("hang", marks=pytest.mark.long), "truncated"])
async def test_without_the_asset_the_alert_is_due_all_the_same(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=LIFE)
        it.sim.fault(fault, operation="asset")
        it.track(job)
        await it.run(100)
        [succeeded] = [row for row in it.deliveries() if row.event is Event.SUCCEEDED]
        assert it.job(job).asset.download_url is None
        assert succeeded.due_at <= it.clock.now()


async def test_a_freeze_and_a_thaw_are_told_and_a_frozen_job_is_asked_slowly(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        timeline = [("PROCESSING", 30), ("BLOCK", 1800), ("PROCESSING", 90), ("BLOCK", 90), ("FAILED", None)]
        [job] = it.sim.create_jobs(timeline=timeline)
        it.track(job)
        await it.run(40)
        before = it.requests()
        await it.run(1700, step=5)
        assert it.requests() - before <= 60
        await it.run(400, step=1)
        assert it.events() == [
            Event.STARTED,
            Event.BLOCKED,
            Event.UNBLOCKED,
            Event.BLOCKED,
            Event.FAILED,
        ]
        assert it.job(job).error_code


async def test_a_step_back_is_recorded_and_tells_nothing_twice(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        timeline = [("PROCESSING", 30), ("WAITING", 30), ("PROCESSING", 30), ("SUCCEED", None)]
        [job] = it.sim.create_jobs(timeline=timeline)
        it.track(job)
        await it.run(120)
        assert it.states(job) == ["PROCESSING", "WAITING", "PROCESSING", "SUCCEED"]
        assert it.events() == [Event.STARTED, Event.SUCCEEDED]


async def test_an_unknown_state_ends_nothing_and_is_told_once_for_all_jobs(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        timeline = [("THAWING", 20), ("WAITING", 5), ("THAWING", 20), ("CANCELED", None)]
        jobs = it.sim.create_jobs(count=3, timeline=timeline)
        for job in jobs:
            it.track(job)
        await it.run(80)
        assert it.states(jobs[0]) == ["THAWING", "WAITING", "THAWING", "CANCELED"]
        assert it.events() == [Event.UNKNOWN_STATE, Event.CANCELED, Event.CANCELED, Event.CANCELED]


async def test_a_job_that_the_service_does_not_know_is_lost_only_after_the_grace(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        it.track("never-made")
        await it.run(55)
        await it.watcher.checkpoint()
        known = it.job("never-made")
        assert (known.tracking, known.next_reason) == (Tracking.ACTIVE, Reason.UNKNOWN)
        assert it.events() == []
        await it.run(10)
        assert it.job("never-made").tracking is Tracking.LOST
        assert it.events() == [Event.LOST]


async def test_a_job_that_vanishes_for_less_than_the_grace_is_not_lost(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 200), ("SUCCEED", None)])
        it.track(job)
        await it.run(10)
        for _ in range(3):
            it.sim.fault("vanished", job_id=job, seconds=40)
            await it.run(60)
        await it.run(40)
        assert it.job(job).state == "SUCCEED"
        assert Event.LOST not in it.events()


async def test_a_lost_job_is_taken_up_again_and_can_be_lost_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        it.track("late")
        await it.run(70)
        assert it.track("late") is TrackResult.TAKEN_UP
        await it.run(70)
        assert it.events() == [Event.LOST, Event.LOST]
        it.sim.create_jobs(job_id="late", timeline=LIFE)
        it.track("late")
        await it.run(100)
        assert it.job("late").state == "SUCCEED"


async def test_a_job_that_does_not_end_expires(tmp_path: Path) -> None:
    async with rig(tmp_path, limits={"give_up_after": 120.0}) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 9999), ("SUCCEED", None)])
        it.track(job)
        await it.run(119)
        assert it.job(job).tracking is Tracking.ACTIVE
        await it.run(3)
        assert it.job(job).tracking is Tracking.EXPIRED
        assert it.events() == [Event.STARTED, Event.EXPIRED]


async def test_a_job_expires_though_the_api_is_gone(tmp_path: Path) -> None:
    async with rig(tmp_path, limits={"give_up_after": 120.0}) as it:
        it.track("unseen")
        await it.sim.down()
        await it.run(125)
        assert it.job("unseen").tracking is Tracking.ACTIVE, "a last look may still find it ended"
        await it.run(LAST_QUESTION)
        assert it.job("unseen").tracking is Tracking.EXPIRED


async def test_jobs_that_ended_while_wrapd_was_down_for_long_are_told_by_their_ends(tmp_path: Path) -> None:
    async with rig(tmp_path, rate=5, limits={"give_up_after": 120.0}) as it:
        ended = it.sim.create_jobs(count=20, timeline=[("PROCESSING", 100), ("SUCCEED", None)])
        [unended] = it.sim.create_jobs(timeline=[("PROCESSING", 9999), ("SUCCEED", None)])
        for job in [*ended, unended]:
            it.track(job)
        it.clock.advance(500)
        assert await it.watcher.load() == 21
        await it.run(15)
        assert {it.job(job).state for job in ended} == {"SUCCEED"}
        assert it.job(unended).tracking is Tracking.EXPIRED
        assert it.events().count(Event.EXPIRED) == 1


async def test_what_the_disk_does_not_take_is_no_flood_and_no_false_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, limits={"give_up_after": 120.0}) as it:
        [ended] = it.sim.create_jobs(timeline=[("PROCESSING", 100), ("SUCCEED", None)])
        [unended] = it.sim.create_jobs(timeline=[("PROCESSING", 9999), ("SUCCEED", None)])
        it.track(ended)
        it.track(unended)
        await it.run(90)
        write, tries = it.store.write, 0

        async def full(_work: object) -> object:
            nonlocal tries
            tries += 1
            raise StoreFailed("the disk is full")

        monkeypatch.setattr(it.store, "write", full)
        monkeypatch.setattr(it.watcher, "take_changes", lambda **_: asyncio.sleep(0))
        await it.run(200)
        assert 10 < tries < 100
        monkeypatch.setattr(it.store, "write", write)
        await it.run(30)
        assert it.job(ended).state == "SUCCEED"
        assert it.job(unended).tracking is Tracking.EXPIRED
        assert it.events().count(Event.EXPIRED) == 1


async def test_an_untracked_job_is_asked_no_more(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=LIFE)
        it.track(job)
        await it.run(5)
        it.store.write_now(lambda tx: tx.jobs.untrack(None, job, at=it.clock.now()))
        await it.run(1)
        asked = it.requests()
        await it.run(120)
        assert it.requests() == asked
        assert it.job(job).tracking is Tracking.STOPPED
        assert Event.SUCCEEDED not in it.events()


async def test_the_documents_own_example_ends_a_job(tmp_path: Path) -> None:
    body = (Path(__file__).parent.parent / "data" / "document_example.json").read_bytes()
    job = "26f06524-4f75-4b3a-a853-b649a21aaf66"
    async with rig(tmp_path) as it:
        it.sim.answer(job, body)
        it.track(job)
        await it.run(10)
        row = it.job(job)
        assert (row.state, row.tracking) == ("SUCCEED", Tracking.FINISHED)
        assert row.asset.cover_url
        assert row.asset.cover_url.startswith("https://{endpoint}/0d697589d98091f12f92c0073501cd79/")
        assert row.created_at == datetime(2022, 11, 30, 6, 59, 56, tzinfo=UTC)
        assert it.events() == [Event.SUCCEEDED]
        kept = it.store.read(lambda tx: tx.history.answer(row.id))
        assert kept is not None
        shown = json.loads(kept.body)
        assert (shown["state"], shown["output_asset_config"]["asset_id"]) == ("SUCCESS", row.asset.asset_id)
        assert shown["output_asset_config"]["cover_url"].endswith("?***"), "what signs a link is not kept"
        assert "shoot_scripts" not in shown


async def test_the_answer_of_the_last_move_is_kept(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=LIFE)
        it.track(job)
        states = []
        for _ in range(20):
            await it.run(5)
            kept = it.store.read(lambda tx: tx.history.answer(it.job(job).id))
            if kept is not None and json.loads(kept.body)["state"] not in states:
                states.append(json.loads(kept.body)["state"])
        assert states[-1] == it.job(job).state == "SUCCEED"
        assert len(states) >= 2


async def test_an_answer_that_cannot_be_kept_costs_no_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(shown: Shown) -> str:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Shown, "kept", fails)
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=LIFE)
        it.track(job)
        await it.run(100)
        assert it.job(job).state == "SUCCEED"
        assert it.store.read(lambda tx: tx.history.answer(it.job(job).id)) is None


async def test_the_budget_is_kept_with_many_due_jobs(tmp_path: Path) -> None:
    async with rig(tmp_path, rate=5) as it:
        for job in it.sim.create_jobs(count=200, timeline=[("PROCESSING", 9999), ("SUCCEED", None)]):
            it.track(job)
        await it.run(30, step=0.05)
        assert it.sim.stats()["max_in_any_second"] <= 6
        assert it.requests() >= 30 * 5 - 2, "what the budget allows is used"


async def test_more_jobs_than_the_budget_allows_are_told_once_and_asked_in_turn(tmp_path: Path) -> None:
    async with rig(tmp_path, rate=2) as it:
        jobs = it.sim.create_jobs(count=100, timeline=[("PROCESSING", 9999), ("SUCCEED", None)])
        for job in jobs:
            it.track(job)
        for _ in range(10):
            await it.run(30)
            await it.watcher.checkpoint()
        assert [event for event in it.events() if event is not Event.STARTED] == [Event.OVERLOADED]
        looks = [it.job(job).polls for job in jobs]
        assert max(looks) - min(looks) <= 2, "who waits longest is asked first"


async def test_a_wrong_key_is_tried_three_times_in_five_minutes_and_told_once(tmp_path: Path) -> None:
    wrong = AkSk(access_key="A" * 20, secret_key="S" * 40)
    async with rig(tmp_path, auth=wrong) as it:
        for job in it.sim.create_jobs(count=20, timeline=LIFE):
            it.track(job)
        await it.run(295, step=1)
        assert it.sim.stats()["by_status"] == {"401": 3}
        assert it.events() == [Event.AUTH_FAILED]
        await it.run(300, step=1)
        assert it.sim.stats()["by_status"]["401"] <= 6
        assert it.events() == [Event.AUTH_FAILED]
        assert all(row.tracking is Tracking.ACTIVE for row in it.store.read(lambda tx: tx.jobs.list()))


@pytest.mark.long
async def test_an_api_that_is_gone_is_one_event_each_way_and_few_requests(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        jobs = it.sim.create_jobs(count=50, timeline=[("PROCESSING", 4000), ("SUCCEED", None)])
        for job in jobs:
            it.track(job)
        await it.run(20)
        it.sim.clear_stats()
        it.sim.fault("server_error")
        await it.run(3600, step=2)
        assert it.events()[50:] == [Event.PROJECT_DOWN]
        assert it.requests() < 450, "one probe at a time while it is down"
        it.sim.clear_faults()
        await it.run(600, step=1)
        assert it.events()[50:52] == [Event.PROJECT_DOWN, Event.PROJECT_RECOVERED]
        assert sorted(it.events()[52:]) == [Event.SUCCEEDED] * 50
        assert all(it.states(job) == ["PROCESSING", "SUCCEED"] for job in jobs)


async def test_a_wrong_endpoint_loses_no_job(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=LIFE)
        it.track(job)
        it.sim.fault("html_200")
        await it.run(300, step=1)
        assert it.job(job).tracking is Tracking.ACTIVE
        assert it.job(job).state is None
        assert it.requests() < 60
        it.sim.clear_faults()
        await it.run(60, step=1)
        assert it.job(job).state == "SUCCEED"


async def test_a_step_of_the_wall_clock_neither_stalls_nor_floods(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 500), ("SUCCEED", None)])
        it.track(job)
        await it.run(60)
        for seconds in (-7200, 7200, 600):
            it.clock.step_wall(seconds)
            before = it.requests()
            await it.run(60)
            assert 3 <= it.requests() - before <= 15
        assert it.job(job).tracking is Tracking.ACTIVE


async def test_bookkeeping_reaches_the_store_at_a_checkpoint(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 500), ("SUCCEED", None)])
        it.track(job)
        await it.run(30)
        await it.watcher.checkpoint()
        row = it.job(job)
        assert row.polls == it.requests()
        assert row.next_poll_at
        assert row.next_poll_at >= it.clock.now()
        assert row.last_polled_at
        assert row.last_polled_at <= it.clock.now()


async def test_a_job_that_was_tracked_before_the_start_is_not_taken_up_twice(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 500), ("SUCCEED", None)])
        it.track(job)
        assert await it.watcher.load() == 1
        await it.poller.idle()
        asked = it.requests()
        await it.watcher.take_changes()
        await it.poller.idle()
        assert it.requests() == asked == 1, "the change was known from the load"


async def test_a_kind_that_is_mended_while_the_daemon_runs_is_asked_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(kind="photo", timeline=[("PROCESSING", 500), ("SUCCEED", None)])
        it.track(job)
        await it.run(5)
        assert it.job(job).state is None
        it.track(job, kind="photo")
        await it.run(1)
        assert it.job(job).state == "PROCESSING"


async def test_what_a_command_tracks_is_taken_up_in_one_go_and_others_have_their_turn_meanwhile(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, rate=1) as it:
        ids = [f"id-{number}" for number in range(1500)]
        requests = [TrackRequest(project=PROJECT, kind="avatar", job_id=parse_job_id(each)) for each in ids]
        it.store.write_now(lambda tx: tx.jobs.track_many(requests, at=it.clock.now()))
        seen = set()

        async def look() -> None:
            while len(it.poller.agenda) < len(ids):
                seen.add(len(it.poller.agenda))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await it.watcher.take_changes()
        await looking
        assert {250, 500, 750, 1000, 1250} <= seen


@pytest.mark.parametrize(("jobs", "told"), [(20, [None] * 20), (600, [250, 250, 100])])
async def test_of_many_jobs_that_are_taken_up_or_dropped_together_the_log_has_the_number(
    tmp_path: Path, jobs: int, told: list[int | None]
) -> None:
    async with rig(tmp_path, rate=1) as it:
        ids = [parse_job_id(f"id-{number}") for number in range(jobs)]
        requests = [TrackRequest(project=PROJECT, kind="avatar", job_id=each) for each in ids]
        it.store.write_now(lambda tx: tx.jobs.track_many(requests, at=it.clock.now()))
        with capture_logs() as lines:
            await it.watcher.take_changes()
            it.store.write_now(lambda tx: [tx.jobs.untrack(PROJECT, each, at=it.clock.now()) for each in ids])
            await it.watcher.take_changes()
        for event in LogEvent.JOB_TAKEN, LogEvent.JOB_DROPPED:
            of_event = [line for line in lines if line["event"] == event]
            assert [line.get("jobs") for line in of_event] == told
            assert all(("job" in line) == (line.get("jobs") is None) for line in of_event)
