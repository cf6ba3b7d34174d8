"""Jobs of an unknown kind: the service is queried, with a small share of the budget, until it finds the kind or
all kinds are tried. A wrong guess never makes a job lost, and a made-up id never becomes a channel's alert."""

from pathlib import Path
from typing import Any

import pytest

from daemon.commands import JobEntry, called_back, discovered, track
from daemon.domain.events import Event
from daemon.domain.jobs import JobId, KindSource, NamedBy, Tracking, parse_job_id
from daemon.domain.planning import Rails
from daemon.store import Jobs, Store, StoreBusy, TrackOutcome, TrackResult, Transaction
from daemon.watch.watcher import Watcher
from tests.support.rig import PROJECT, Rig, rig
from tests.support.store import WHO

SLOW = Rails(min_interval=1, max_interval=60, blocked_interval=1000)
LONG = [("PROCESSING", None)]
ALL_KINDS = ("avatar", "photo", "business_card", "photo_detection", "picture_modeling")


def guess(
    it: Rig, *job_ids: str, kind: str | None = None, retrack: bool = False, **more: Any
) -> list[TrackOutcome]:
    wanted = [JobEntry(project=PROJECT, job_id=parse_job_id(each), kind=kind, **more) for each in job_ids]
    at, routing = it.clock.now(), it.poller.context.routing
    done = it.store.write_now(lambda tx: track(tx, wanted, at=at, routing=routing, retrack=retrack, who=WHO))
    return [each.tracked for each in done]


def call_back(it: Rig, job_id: str) -> TrackResult | None:
    """Do what the web server does with a genuine callback."""
    job = parse_job_id(job_id)
    if it.watcher.hint(PROJECT, job):
        return TrackResult.ALREADY
    return it.store.write_now(
        lambda tx: called_back(tx, PROJECT, job, at=it.clock.now(), track_unknown=True, signature=None)
    )


async def restart(it: Rig) -> None:
    """Restart the daemon on the same database: its memory is gone."""
    agenda, kinds = it.poller.agenda, it.poller.kinds
    for watched in list(agenda):
        agenda.drop(watched.job_id)
    kinds._cases.clear()
    it.watcher = Watcher(
        pollers={PROJECT: it.poller},
        store=it.store,
        learning=it.poller.context.learning,
        clock=it.clock,
        metrics=it.metrics,
        defects=it.poller.context.defects,
    )
    await it.watcher.load()


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("door", ["person", "callback"])
@pytest.mark.parametrize("when", ["at once", "after a restart"])
async def test_a_job_of_any_kind_is_told_whoever_named_it(tmp_path: Path, kind: str, door: str, when: str) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(kind=kind, timeline=[("PROCESSING", 30), ("SUCCEED", None)])
        if door == "person":
            guess(it, job)
        else:
            assert call_back(it, job) is TrackResult.ADDED
        if when != "at once":
            await restart(it)
        await it.run(150)
        row = it.job(job)
        assert (row.kind, row.kind_source, row.tracking) == (kind, KindSource.FOUND, Tracking.FINISHED)
        assert row.state in ("SUCCEED", "PARTIAL_SUCCEED")
        assert Event.SUCCEEDED in it.events()
        assert Event.LOST not in it.events()


@pytest.mark.parametrize("fault", ["not_offered", "list_refused", "server_error", "empty_body"])
async def test_a_photo_job_is_found_in_time_where_the_service_has_no_list(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        it.sim.fault(fault, operation="list")
        [job] = it.sim.create_jobs(kind="photo", timeline=LONG)
        guess(it, job)
        await it.run(40)
        assert (it.job(job).kind, it.job(job).state) == ("photo", "PROCESSING")


async def test_an_id_of_a_person_that_the_service_never_knew_is_lost_after_the_grace(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        guess(it, "never")
        await it.run(55)
        assert it.job("never").tracking is Tracking.ACTIVE
        await it.run(120)
        assert it.job("never").tracking is Tracking.LOST
        assert not it.job("never").answered
        assert it.events() == [Event.LOST]
        asked = it.requests() + it.requests("list")
        await it.run(300)
        assert it.requests() + it.requests("list") == asked, "the tries have an end"


async def test_a_job_whose_kind_cannot_be_stored_keeps_no_other_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        jobs = it.sim.create_jobs(kind="photo", count=5, timeline=[("SUCCEED", None)])
        for job in jobs:
            call_back(it, job)
        whole, bad = Jobs.kinds_found, it.job(jobs[2]).id

        def breaks(self: Jobs, found: Any) -> None:
            if bad in found:
                raise RuntimeError("a bug")
            whole(self, found)

        monkeypatch.setattr(Jobs, "kinds_found", breaks)
        await it.run(60)
        assert {job for job in jobs if it.job(job).state == "SUCCEED"} == set(jobs) - {jobs[2]}


@pytest.mark.parametrize(
    ("kind", "error"), [("photo", RuntimeError("a bug")), ("business_card", StoreBusy("full"))]
)
async def test_a_kind_that_is_not_stored_at_once_is_asked_for_again_and_the_job_is_not_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception
) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(kind=kind, timeline=[("SUCCEED", None)])
        whole, broken = Jobs.kinds_found, 0

        def breaks(self: Jobs, found: Any) -> None:
            nonlocal broken
            broken += 1
            if broken <= 3:
                raise error
            whole(self, found)

        monkeypatch.setattr(Jobs, "kinds_found", breaks)
        call_back(it, job)
        await it.run(400)
        assert broken == 4
        assert it.job(job).state == "SUCCEED"
        assert not {Event.LOST, Event.UNCONFIRMED} & set(it.events())


@pytest.mark.parametrize(
    ("call", "committed", "error"),
    [
        ("kinds_tried", False, RuntimeError("a bug")),
        ("kinds_tried", True, StoreBusy("full")),
        ("record_end", False, StoreBusy("full")),
        ("record_end", True, RuntimeError("a bug")),
    ],
)
async def test_a_made_up_id_whose_end_is_not_stored_at_once_ends_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, committed: bool, error: Exception
) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        call_back(it, "made-up")
        whole, fails, write = getattr(Jobs, call), False, Store.write

        def called(*arguments: Any, **more: Any) -> Any:
            nonlocal fails
            fails = it.clock.monotonic() - begun > 50  # when the grace period may be over
            return whole(*arguments, **more)

        async def writing(store: Store, work: Any) -> Any:
            nonlocal fails
            fails = False

            def broken(tx: Transaction) -> Any:
                result = work(tx)
                if fails and not committed:
                    raise error
                return result

            result = await write(store, broken)
            if fails:
                raise error
            return result

        begun = it.clock.monotonic()
        monkeypatch.setattr(Jobs, call, called)
        monkeypatch.setattr(Store, "write", writing)
        await it.run(200)
        assert it.job("made-up").tracking is (
            Tracking.LOST if committed and call != "kinds_tried" else Tracking.ACTIVE
        )
        monkeypatch.undo()
        await it.run(400)
        assert it.job("made-up").tracking is Tracking.LOST
        assert Event.UNCONFIRMED in it.events()


async def test_made_up_ids_of_callbacks_are_told_to_the_operators_alone_in_one_event(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW, rate=1000.0) as it:
        for number in range(40):
            assert call_back(it, f"made-up-{number}") is TrackResult.ADDED
        await it.run(20)
        await restart(it)
        await it.run(400)
        rows = it.store.read(lambda tx: tx.jobs.list())
        assert {row.tracking for row in rows} == {Tracking.LOST}
        assert it.events() == [Event.UNCONFIRMED]
        assert it.deliveries()[0].facts["jobs"] == 40
        asked = it.requests() + it.requests("list")
        await it.run(600)
        assert it.requests() + it.requests("list") == asked, "the tries have an end"


async def test_an_error_of_ours_about_one_job_keeps_no_other_from_being_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        it.sim.fault("list_refused", operation="list")
        [job] = it.sim.create_jobs(kind="photo", timeline=LONG)
        call_back(it, job)
        call_back(it, "poison")
        show = it.poller.context.client.show

        async def broken(kind: Any, job_id: JobId, **more: Any) -> Any:
            if job_id == "poison":
                raise KeyError("a bug")
            return await show(kind, job_id, **more)

        monkeypatch.setattr(it.poller.context.client, "show", broken)
        await it.run(40)
        assert it.job(job).state == "PROCESSING"
        assert Event.DEFECT in it.events()


async def test_absence_is_no_age(tmp_path: Path) -> None:
    """The daemon was off for a day: a job that a callback named before that still gets its complete grace
    period."""
    async with rig(tmp_path, rails=SLOW, limits={"not_found_grace": 120.0}) as it:
        call_back(it, "made-up")
        await it.run(8)
        it.clock.advance(86400)
        it.poller.kinds.drop(parse_job_id("made-up"))
        await restart(it)
        await it.run(60)
        assert it.job("made-up").tracking is Tracking.ACTIVE
        await it.run(300)
        assert it.job("made-up").tracking is Tracking.LOST
        assert Event.LOST not in it.events()


async def test_made_up_ids_take_less_than_a_tenth_of_the_budget_and_starve_nobody(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=Rails(min_interval=1, max_interval=2, blocked_interval=60), rate=10.0) as it:
        sound = it.sim.create_jobs(count=4, timeline=LONG)
        for job in sound:
            it.track(job)
        [late] = it.sim.create_jobs(kind="business_card", timeline=[("SUCCEED", None)])
        await it.run(5)
        for number in range(400):
            call_back(it, f"made-up-{number}")
        call_back(it, late)
        shows, lists = it.requests(), it.requests("list")
        taken = sum(row.polls for row in await polls(it, sound))
        await it.run(100)
        polled = sum(row.polls for row in await polls(it, sound)) - taken
        spent = it.requests() - shows + it.requests("list") - lists - polled
        assert spent <= 0.1 * 10.0 * 100
        assert polled >= 4 * 100 / 2 * 0.9, "the sound ones are looked at as if nothing was"
        assert it.job(late).state == "SUCCEED", "a real one among them is found"
        assert Event.LOST not in it.events()


async def polls(it: Rig, jobs: list[str]) -> list[Any]:
    await it.watcher.checkpoint()
    return [it.job(job) for job in jobs]


async def test_untracked_while_its_kind_is_asked_for_it_stays_so(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(kind="photo", timeline=LONG)
        call_back(it, job)
        await it.watcher.take_changes()
        assert it.poller.kinds.holds(parse_job_id(job))
        it.store.write_now(lambda tx: tx.jobs.untrack(PROJECT, parse_job_id(job), at=it.clock.now()))
        await it.watcher.tick()  # it queries without knowing about that
        await it.poller.idle()
        await it.run(30)
        assert it.job(job).tracking is Tracking.STOPPED
        assert len(it.poller.kinds) == len(it.poller.agenda) == 0


async def test_a_kind_that_answered_is_not_replaced_by_one_that_was_given(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(kind="photo", timeline=[("PROCESSING", 60), ("SUCCEED", None)])
        guess(it, job, kind="photo")
        await it.run(5)
        [came] = guess(it, job, kind="avatar")
        assert (came.result, came.kind, [*map(str, came.changes)]) == ("already", "photo", ["kind_kept"])
        await it.run(150)
        assert it.job(job).state == "SUCCEED"
        assert Event.LOST not in it.events()


async def test_a_wrong_kind_is_corrected_while_nothing_answered_under_it(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(kind="photo", timeline=LONG)
        guess(it, job, kind="avatar")
        await it.run(5)
        [came] = guess(it, job, kind="photo")
        assert [*map(str, came.changes)] == ["kind_corrected"]
        await it.run(5)
        assert it.job(job).state == "PROCESSING"


async def test_untracked_and_tracked_within_a_tick_its_time_begins_anew(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW, limits={"give_up_after": 100.0}) as it:
        [job] = it.sim.create_jobs(timeline=LONG)
        guess(it, job)
        await it.run(95)
        it.store.write_now(lambda tx: tx.jobs.untrack(PROJECT, parse_job_id(job), at=it.clock.now()))
        assert guess(it, job)[0].result is TrackResult.TAKEN_UP
        await it.run(60)
        assert it.job(job).tracking is Tracking.ACTIVE
        assert Event.EXPIRED not in it.events()


async def test_a_stale_not_found_does_not_lose_what_was_taken_up_anew(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        it.track("late")
        await it.run(59)
        it.store.write_now(lambda tx: tx.jobs.untrack(PROJECT, parse_job_id("late"), at=it.clock.now()))
        guess(it, "late")
        it.clock.advance(2)
        await it.watcher.tick()  # the earlier query is due, and finds that the grace period is over
        await it.poller.idle()
        assert it.job("late").tracking is Tracking.ACTIVE


async def test_an_ended_job_that_ran_again_is_told_anew_and_one_that_did_not_is_not(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        again, same = it.sim.create_jobs(count=2, timeline=[("FAILED", None)])
        guess(it, again, same)
        await it.run(5)
        assert it.events() == [Event.FAILED, Event.FAILED]
        assert [each.result for each in guess(it, again, same)] == [TrackResult.FINISHED] * 2
        it.sim.set_state(again, "SUCCEED")
        assert [each.result for each in guess(it, again, same, retrack=True)] == [TrackResult.TAKEN_UP] * 2
        await it.run(5)
        assert (it.job(again).state, it.job(same).state) == ("SUCCEED", "FAILED")
        assert {it.job(each).tracking for each in (again, same)} == {Tracking.FINISHED}
        assert it.events() == [Event.FAILED, Event.FAILED, Event.SUCCEEDED]
        assert it.states(again) == ["FAILED", "SUCCEED"]
        assert it.job(again).error_code is None
        it.sim.set_state(again, "FAILED")
        guess(it, again, retrack=True)
        await it.run(5)
        assert it.events()[3:] == [Event.FAILED], "an end of its own, told though it failed before"


async def test_a_job_that_ran_again_unseen_and_ended_alike_is_told_anew(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(timeline=[("SUCCEED", None)])
        guess(it, job)
        await it.run(5)
        it.sim.set_state(job, "PROCESSING")
        await it.run(5)
        it.sim.set_state(job, "SUCCEED")
        guess(it, job, retrack=True)
        await it.run(5)
        assert (it.job(job).state, it.job(job).tracking) == ("SUCCEED", Tracking.FINISHED)
        assert it.events() == [Event.SUCCEEDED] * 2
        assert [(each.before, each.after) for each in it.transitions(job)] == [
            (None, "SUCCEED"),
            ("WAITING", "SUCCEED"),
        ]


@pytest.mark.parametrize("door", ["watched", "callback", "taken up", "discovered", "person later"])
async def test_what_follows_a_callback_holds_for_jobs_taken_in_any_way(tmp_path: Path, door: str) -> None:
    """The service says that the job ended, and shows it some seconds later."""
    rails = Rails(min_interval=500, max_interval=1000, blocked_interval=1000)
    async with rig(tmp_path, rails=rails) as it:
        [job] = it.sim.create_jobs(kind="photo", timeline=LONG)
        job_id = parse_job_id(job)
        if door == "watched":
            it.track(job, kind="photo")
            await it.run(3)
        elif door == "taken up":
            it.track(job, kind="photo")
            await it.run(3)
            row = it.job(job).id
            routing = it.poller.context.routing
            it.store.write_now(
                lambda tx: tx.jobs.record_end(row, Event.EXPIRED, at=it.clock.now(), routing=routing, reason="x")
            )
            it.poller.agenda.drop(job_id)
        if door in ("discovered", "person later"):
            assert not it.watcher.hint(PROJECT, job_id)
            await it.run(2)
            if door == "discovered":
                it.store.write_now(lambda tx: discovered(tx, PROJECT, {job_id: "photo"}, at=it.clock.now()))
            else:
                guess(it, job)
        else:
            call_back(it, job)
        await it.run(3, step=0.25)
        assert it.job(job).state == "PROCESSING"
        await it.run(2, step=0.25)
        it.sim.set_state(job, "FAILED")
        await it.run(15, step=0.25)
        assert it.job(job).state == "FAILED", "no look came after the callback"


async def test_a_made_up_id_that_a_person_names_too_is_told(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        call_back(it, "ghost")
        await it.run(2)
        guess(it, "ghost", label="Mine")
        assert it.job("ghost").named_by is NamedBy.PERSON
        await it.run(200)
        assert it.events() == [Event.LOST]


async def test_a_job_that_the_service_lists_is_believed_though_a_callback_named_it_first(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        it.sim.fault("server_error", operation="list", times=50)
        [job] = it.sim.create_jobs(kind="photo", timeline=LONG)
        call_back(it, job)
        await it.run(2)
        found = it.store.write_now(lambda tx: discovered(tx, PROJECT, {JobId(job): "photo"}, at=it.clock.now()))
        assert found[JobId(job)].result is TrackResult.ALREADY
        await it.run(5)
        assert (it.job(job).state, it.job(job).named_by) == ("PROCESSING", NamedBy.SERVICE)
