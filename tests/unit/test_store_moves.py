"""Moving jobs to another project and waiting alerts to another channel: everything goes along, nothing is sent
twice, and what the target already has stays behind."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, JobId, Observation, ProjectName, Tracking
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Routing
from daemon.store import (
    AttemptOutcome,
    Bookkeeping,
    DeliveryRow,
    DeliveryStatus,
    JobRow,
    MovedDeliveries,
    MovedJobs,
    Outcome,
    Store,
    Transaction,
    to_stamp,
)
from tests.support.store import BOTH, NOW, A, B, later, move, open_store, record, track

OLD, NEW = ProjectName("old"), ProjectName("main")
GONE = ChannelName("gone")
TO_GONE = replace(BOTH, routes=(replace(BOTH.routes[0], channels=(GONE,)),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def tracked(store: Store, *jobs: str, project: str = OLD, **more: object) -> list[int]:
    return store.write_now(lambda tx: [track(tx, job, project=project, **more) for job in jobs])


def move_jobs(store: Store, old: str = OLD, new: str = NEW, *, at: float = 100) -> MovedJobs:
    names = ProjectName(old), ProjectName(new)
    expected = store.read(lambda tx: tx.moves.jobs_of(*names))
    moved = store.write_now(lambda tx: tx.moves.jobs(*names, at=later(at), routing=BOTH))
    assert moved == expected
    return moved


def job(store: Store, row: int) -> JobRow:
    found = store.read(lambda tx: tx.jobs.get(row))
    assert found is not None
    return found


def alerts(store: Store, event: Event | None = None, channel: ChannelName | None = A) -> list[DeliveryRow]:
    rows = store.read(lambda tx: tx.outbox.list(channel=channel))[::-1]
    return [row for row in rows if event in (None, row.event)]


def end(store: Store, row: int, *, routes: Routing = BOTH, at: float = 0) -> None:
    assert store.write_now(lambda tx: record(tx, row, "SUCCEED", routes=routes, at=later(at))) is not None


# ----------------------------------------------------------------------------------------------------- jobs


def test_all_jobs_of_a_project_become_jobs_of_the_other(store: Store) -> None:
    active, ended, stopped, other = (
        *tracked(store, "job-1", "job-2", "job-3"),
        *tracked(store, "job-4", project="x"),
    )
    end(store, ended)
    store.write_now(lambda tx: tx.jobs.untrack(OLD, JobId("job-3"), at=NOW))
    store.write_now(lambda tx: tx.jobs.take_changes())
    assert move_jobs(store) == MovedJobs(moved=3, active=1, stay=0, twins=())
    assert [job(store, row).project for row in (active, ended, stopped, other)] == [NEW, NEW, NEW, "x"]
    [change] = store.write_now(lambda tx: tx.jobs.take_changes())
    assert (change.id, change.project, change.tracking) == (active, NEW, Tracking.ACTIVE)


def test_a_plan_that_the_old_project_made_does_not_go_along(store: Store) -> None:
    [row] = tracked(store, "job-1")
    look = Bookkeeping(
        job=row,
        last_polled_at=to_stamp(NOW),
        next_poll_at=to_stamp(later(60)),
        polls=3,
        last_error=None,
        asked_by="single",
        next_reason="price",
    )
    store.write_now(lambda tx: tx.jobs.checkpoint([look]))
    move_jobs(store)
    assert (job(store, row).next_poll_at, job(store, row).next_reason) == (None, None)
    assert (job(store, row).polls, job(store, row).last_polled_at) == (3, NOW)


def test_its_alerts_go_along_whatever_became_of_them(store: Store) -> None:
    [row] = tracked(store, "job-1")
    end(store, row)
    store.write_now(lambda tx: tx.outbox.claim(A, now=NOW))
    move_jobs(store)
    assert {(each.project, each.job) for each in alerts(store, channel=None)} == {(NEW, row)}
    assert [str(each.status) for each in alerts(store)] == ["sending"]


def test_jobs_that_the_target_has_stay_and_are_named(store: Store) -> None:
    mine, twin = tracked(store, "job-1", "job-2")
    tracked(store, "job-2", project=NEW)
    end(store, twin)
    assert move_jobs(store) == MovedJobs(moved=1, active=1, stay=1, twins=(JobId("job-2"),))
    assert (job(store, mine).project, job(store, twin).project) == (NEW, OLD)
    assert [each.project for each in alerts(store)] == [OLD]
    assert move_jobs(store) == MovedJobs(moved=0, active=0, stay=1, twins=(JobId("job-2"),))


def test_of_many_that_stay_a_few_are_named(store: Store) -> None:
    names = [f"job-{number}" for number in range(30)]
    tracked(store, *names)
    tracked(store, *names, project=NEW)
    moved = move_jobs(store)
    assert (moved.moved, moved.stay, len(moved.twins)) == (0, 30, 20)


def test_an_answer_that_the_old_project_gave_is_not_recorded(store: Store) -> None:
    [row] = tracked(store, "job-1")
    move_jobs(store)
    seen = Observation(state="SUCCEED")

    def work(tx: Transaction) -> list[object]:
        at = {"at": NOW, "routing": BOTH, "project": OLD}
        return [
            tx.jobs.record_move(row, move(None, seen), seen, routing=BOTH, due_at=NOW, project=OLD),
            tx.jobs.record_end(row, Event.LOST, reason="x", **at),
            tx.jobs.record_stuck(row, **at),
        ]

    assert store.write_now(work) == [None, None, None]
    assert (job(store, row).state, job(store, row).tracking) == (None, Tracking.ACTIVE)
    assert alerts(store, channel=None) == []


# -------------------------------------------------------------------------------------------------- batches


def test_the_end_of_a_batch_that_was_told_is_not_told_again(store: Store) -> None:
    rows = tracked(store, "job-1", "job-2", batch="b/1")
    for row in rows:
        end(store, row)
    move_jobs(store)
    [told] = alerts(store, Event.BATCH_FINISHED)
    assert told.project == NEW
    assert told.key.startswith("batch/main/b/1/batch_finished/")
    # A later change of the batch finds that its end was announced.
    store.write_now(lambda tx: tx.jobs.untrack(NEW, JobId("job-1"), at=later(1), routing=BOTH))
    tracked(store, "job-9", project=NEW, batch="b/1")
    store.write_now(lambda tx: tx.jobs.untrack(NEW, JobId("job-9"), at=later(1), routing=BOTH))
    assert len({row.facts["members"] for row in alerts(store, Event.BATCH_FINISHED)}) == len(
        alerts(store, Event.BATCH_FINISHED)
    )


def test_a_batch_ends_with_the_last_job_of_it_that_was_moved(store: Store) -> None:
    first, last = tracked(store, "job-1", "job-2", batch="b1")
    end(store, first)
    move_jobs(store)
    assert alerts(store, Event.BATCH_FINISHED) == []
    end(store, last, at=200)
    [told] = alerts(store, Event.BATCH_FINISHED)
    assert (told.project, told.facts["jobs"], told.facts["succeeded"]) == (NEW, 2, 2)


def test_two_batches_of_one_name_that_had_ended_are_not_told_anew(store: Store) -> None:
    for project in (OLD, NEW):
        [row] = tracked(store, f"job-{project}", project=project, batch="b1")
        end(store, row)
    move_jobs(store)
    assert len(alerts(store, Event.BATCH_FINISHED)) == 2


def test_the_end_that_waits_is_taken_back_where_the_other_project_has_a_job_of_the_batch_that_runs(
    store: Store,
) -> None:
    [row] = tracked(store, "job-1", batch="b1")
    end(store, row)
    [running] = tracked(store, "job-2", project=NEW, batch="b1")
    move_jobs(store)
    assert [str(each.status) for each in alerts(store, Event.BATCH_FINISHED)] == ["canceled"]
    end(store, running, at=200)
    told = alerts(store, Event.BATCH_FINISHED)[-1]
    assert (told.facts["jobs"], str(told.status)) == (2, "pending")


def test_a_batch_whose_running_job_stays_behind_has_ended(store: Store) -> None:
    ended, running = tracked(store, "job-1", "job-2", batch="b1")
    end(store, ended)
    tracked(store, "job-2", project=NEW)
    move_jobs(store)
    assert job(store, running).project == OLD
    [told] = alerts(store, Event.BATCH_FINISHED)
    assert (told.project, told.facts["jobs"]) == (NEW, 1)


# ----------------------------------------------------------------------------------------------- deliveries


def waiting(store: Store, *keys: str, channel: ChannelName = GONE) -> None:
    for key in keys:
        alert = OperatorAlert(event=Event.PROJECT_DOWN, key=key, project=ProjectName(key))
        store.write_now(lambda tx, alert=alert: tx.outbox.add_operator(alert, channels=[channel], at=NOW))


def tried(store: Store, outcome: AttemptOutcome, channel: ChannelName = GONE) -> None:
    def work(tx: Transaction) -> None:
        claimed = tx.outbox.claim(channel, now=NOW)
        assert claimed is not None
        tx.outbox.finish(claimed, Outcome(kind=outcome, reason="x", due_at=later(3600)), at=NOW)

    store.write_now(work)


def move_alerts(store: Store, *, routes: Routing = BOTH, at: float = 100) -> MovedDeliveries:
    expected = store.read(lambda tx: tx.moves.deliveries_of(GONE, A))
    moved = store.write_now(lambda tx: tx.moves.deliveries(GONE, A, at=later(at), routing=routes))
    assert moved == expected
    return moved


def standing(store: Store) -> dict[str, tuple[str, str]]:
    return {row.key: (row.channel, str(row.status)) for row in alerts(store, channel=None)}


@pytest.mark.parametrize(
    ("outcome", "becomes"),
    [
        (None, (A, "pending")),
        (AttemptOutcome.RETRY, (A, "pending")),
        (AttemptOutcome.UNKNOWN, (A, "pending")),
        (AttemptOutcome.HELD, (A, "pending")),
        (AttemptOutcome.DEAD, (A, "dead")),
        (AttemptOutcome.SENT, (GONE, "sent")),
    ],
)
def test_what_is_not_sent_is_the_other_channels(
    store: Store, outcome: AttemptOutcome | None, becomes: tuple[str, str]
) -> None:
    waiting(store, "x")
    if outcome is not None:
        tried(store, outcome)
    moved = move_alerts(store)
    assert standing(store) == {"x": becomes}
    assert moved == MovedDeliveries(moved=int(becomes[0] == A), twins=0, sending=0)
    claimed = store.write_now(lambda tx: tx.outbox.claim(A, now=later(100)))
    assert (claimed is not None) == (becomes == (A, "pending"))


def test_what_is_moved_begins_anew_but_for_its_tries(store: Store) -> None:
    waiting(store, "x")
    tried(store, AttemptOutcome.UNKNOWN)
    move_alerts(store)
    [row] = alerts(store)
    assert (row.attempts, row.tried_for, row.tried_at, row.defects, row.due_at) == (1, 0.0, None, 0, later(100))
    assert row.possible_repeat


def test_what_is_being_sent_or_canceled_stays(store: Store) -> None:
    waiting(store, "sending", "canceled")
    store.write_now(lambda tx: tx.outbox.claim(GONE, now=NOW))
    [row] = store.read(lambda tx: tx.outbox.list(status=DeliveryStatus.PENDING))
    store.write_now(lambda tx: tx.outbox.cancel([row.id], at=NOW))
    assert move_alerts(store) == MovedDeliveries(moved=0, twins=0, sending=1)
    assert standing(store) == {"sending": (GONE, "sending"), "canceled": (GONE, "canceled")}


@pytest.mark.parametrize("outcome", [None, AttemptOutcome.SENT, AttemptOutcome.DEAD, AttemptOutcome.HELD])
def test_what_the_other_channel_has_too_is_not_moved(store: Store, outcome: AttemptOutcome | None) -> None:
    waiting(store, "x", channel=A)
    if outcome is not None:
        tried(store, outcome, A)
    waiting(store, "x", "y")
    before = [row for row in alerts(store) if row.key == "x"]
    assert move_alerts(store) == MovedDeliveries(moved=1, twins=1, sending=0)
    assert [row for row in alerts(store) if row.key == "x"] == before
    assert [row.key for row in alerts(store, channel=GONE)] == ["x"]


def test_what_was_kept_for_the_old_ones_quiet_hours_waits_for_the_new_ones(store: Store) -> None:
    hours = QuietHours(start=time(11), end=time(14), zone=ZoneInfo("UTC"), urgent=frozenset({Event.FAILED}))
    done, failed = tracked(store, "job-1", "job-2")
    gone_sleeps = replace(TO_GONE, quiet={GONE: replace(hours, end=time(20))})
    end(store, done, routes=gone_sleeps)
    store.write_now(lambda tx: record(tx, failed, "FAILED", routes=replace(gone_sleeps, quiet={})))
    move_alerts(store, routes=replace(BOTH, quiet={A: hours}))
    kept, urgent = alerts(store)
    assert kept.held_until == kept.due_at == NOW.replace(hour=14, minute=0, second=0, microsecond=0)
    assert (urgent.held_until, urgent.due_at) == (None, later(100))


def test_without_quiet_hours_of_its_own_the_other_channel_sends_it_at_once(store: Store) -> None:
    hours = QuietHours(start=time(11), end=time(14), zone=ZoneInfo("UTC"), urgent=frozenset())
    [row] = tracked(store, "job-1")
    end(store, row, routes=replace(TO_GONE, quiet={GONE: hours}))
    move_alerts(store)
    [told] = alerts(store)
    assert (told.held_until, told.due_at) == (None, later(100))


def test_alerts_of_one_job_keep_their_order(store: Store) -> None:
    [row] = tracked(store, "job-1")
    store.write_now(lambda tx: record(tx, row, "BLOCK", routes=TO_GONE))
    tried(store, AttemptOutcome.HELD)
    end(store, row, routes=TO_GONE, at=1)
    move_alerts(store)
    first = store.write_now(lambda tx: tx.outbox.claim(A, now=later(100)))
    assert first is not None
    assert first.delivery.event is Event.BLOCKED
    assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(100))) is None


def test_an_urgent_alert_takes_along_what_its_job_told_before(store: Store) -> None:
    hours = QuietHours(start=time(11), end=time(14), zone=ZoneInfo("UTC"), urgent=frozenset({Event.FAILED}))
    [row] = tracked(store, "job-1")
    store.write_now(lambda tx: record(tx, row, "BLOCK", routes=TO_GONE))
    store.write_now(lambda tx: record(tx, row, "FAILED", routes=TO_GONE, at=later(1)))
    elsewhere = tracked(store, "job-2")[0]
    sleeps = replace(BOTH, quiet={B: hours})
    end(store, elsewhere, routes=sleeps)
    move_alerts(store, routes=replace(BOTH, quiet={A: hours}))
    assert {each.due_at for each in alerts(store) if each.job == row} == {later(100)}
    [kept] = alerts(store, channel=B)  # the move does not affect the other channel's alerts
    assert kept.due_at == kept.held_until


def test_a_dead_alert_that_was_moved_is_not_held_with_the_channel_that_it_left(store: Store) -> None:
    waiting(store, "x")
    tried(store, AttemptOutcome.DEAD)
    move_alerts(store)
    [row] = alerts(store)
    hold = {"about": "channel/gone/delivery_dead/", "at": later(200), "due_at": later(300)}
    store.write_now(lambda tx: tx.outbox.hold_dead(GONE, [row.id], **hold))
    assert standing(store) == {"x": (A, "dead")}
    store.write_now(lambda tx: tx.outbox.hold_dead(A, [row.id], **hold))
    assert standing(store) == {"x": (A, "held")}
