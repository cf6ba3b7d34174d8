"""Mutes in the outbox: what they keep, what becomes of it, and what is sent all the same."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ProjectName
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import routing
from daemon.store import AttemptOutcome, DeliveryRow, Ended, MuteRow, Outcome, Store
from tests.support.store import BOTH, NOW, PROJECT, WHO, A, B, later, open_store, record, request, track

HOUR = 3600
SENT = Outcome(kind=AttemptOutcome.SENT, reason="200")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def mute(
    store: Store, scope: str, subject: str, *, at: float = 0, lasts: float = HOUR, drop: bool = False, **more: Any
) -> MuteRow:
    named = {"project": None, "comment": "why", "who": WHO, **more}
    then = MuteEnd.DROP if drop else MuteEnd.SEND
    return store.write_now(
        lambda tx: tx.mutes.start(
            MuteScope(scope), subject, at=later(at), until=later(at + lasts), then=then, **named
        )
    )


def end(store: Store, number: int, *, at: float, then: MuteEnd | None = None) -> Ended | None:
    return store.write_now(lambda tx: tx.mutes.end(number, at=later(at), by=WHO, then=then))


def end_due(store: Store, at: float) -> list[tuple[int, int]]:
    return [(each.mute.id, each.count) for each in store.write_now(lambda tx: tx.mutes.end_due(at=later(at)))]


def go(store: Store, state: str, name: str = "job-1", *, at: float = 0, routes: Any = BOTH, **more: Any) -> int:
    def work(tx):
        job = track(tx, name, **more)
        record(tx, job, state, at=later(at), due_at=later(at), routes=routes)
        return job

    return store.write_now(work)


def rows(store: Store, channel: Any = A) -> list[DeliveryRow]:
    return store.read(lambda tx: tx.outbox.list(channel=channel))[::-1]


def sent(store: Store, at: float, channel: Any = A) -> list[tuple[int | None, str]]:
    """Send what is due; return what was."""
    found = []
    while (claimed := store.write_now(lambda tx: tx.outbox.claim(channel, now=later(at)))) is not None:
        store.write_now(lambda tx, claimed=claimed: tx.outbox.finish(claimed, SENT, at=later(at)))
        found.append((claimed.delivery.job, str(claimed.delivery.event)))
    return found


@pytest.mark.parametrize(
    ("scope", "subject"), [("job", "job-1"), ("batch", "b1"), ("tag", "night"), ("channel", A)]
)
def test_a_mute_keeps_what_waits_and_what_comes_and_sends_it_in_order(
    store: Store, scope: str, subject: str
) -> None:
    more = {"batch": "b1", "tags": ("night",)}
    job = go(store, "BLOCK", **more)
    number = mute(store, scope, subject, at=1).id
    go(store, "FAILED", at=2, **more)
    other = go(store, "FAILED", "job-2", at=3)
    kept = [row for row in rows(store) if row.mute == number]
    assert [row.job for row in kept if row.job] == [job, job, *([other] if scope == "channel" else [])]
    ends = len([row for row in kept if row.job is None])  # of the batch
    assert ends == (1 if scope in {"batch", "channel"} else 0)
    assert [each for each in sent(store, 99) if each[0]] == ([] if scope == "channel" else [(other, "failed")])
    assert store.read(lambda tx: tx.outbox.next_due(A, now=later(9))) is None
    assert store.read(lambda tx: tx.outbox.waiting(A, now=later(9), window=60)).due == 0
    assert (job, "failed") in sent(store, 99, B) or scope != "channel"
    assert end_due(store, HOUR) == []
    assert store.read(lambda tx: tx.mutes.next_end()) == later(1 + HOUR)
    count = len(kept) if scope == "channel" else 2 * len(kept)  # on one channel, or on both
    assert store.read(lambda tx: tx.mutes.kept()) == {number: count}
    assert end_due(store, 1 + HOUR) == [(number, count)]
    assert {row.unmuted_at for row in rows(store)[:2]} == {later(1 + HOUR)}
    assert sent(store, 2 * HOUR)[:2] == [(job, "blocked"), (job, "failed")]
    assert store.read(lambda tx: tx.mutes.next_end()) is None
    [row] = store.read(lambda tx: tx.mutes.list(ended=True))
    assert (row.ended_at, row.ended_by) == (later(1 + HOUR), "wrapd")


def test_what_is_kept_goes_together_as_after_quiet_hours(store: Store) -> None:
    number = mute(store, "channel", A).id
    for each in range(3):
        go(store, "FAILED", f"job-{each}", at=each)
    end(store, number, at=9)
    waiting = store.read(lambda tx: tx.outbox.waiting(A, now=later(9), window=60))
    assert (waiting.due, waiting.from_quiet, waiting.oldest) == (3, 3, later(9))


def test_the_end_of_a_muted_batch_is_muted(store: Store) -> None:
    number = mute(store, "batch", "b1").id
    go(store, "SUCCEED", batch="b1")
    go(store, "SUCCEED", "job-2", batch="b2")
    ends = {row.facts["batch"]: row.mute for row in rows(store) if row.event is Event.BATCH_FINISHED}
    assert ends == {"b1": number, "b2": None}


def test_only_in_its_project(store: Store) -> None:
    number = mute(store, "tag", "night", project=PROJECT).id
    go(store, "FAILED", tags=("night",))
    go(store, "FAILED", "job-2", tags=("night",), project="other")
    assert [row.mute for row in rows(store)] == [number, None]


def test_operators_are_muted_by_their_channel_alone(store: Store) -> None:
    alert = OperatorAlert(event=Event.PROJECT_DOWN, key="project/main/project_down/1", project=ProjectName("main"))
    mute(store, "tag", "main")
    number = mute(store, "channel", B).id
    store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A, B], at=NOW))
    assert [row.mute for row in (*rows(store), *rows(store, B))] == [None, number]


def test_dropped_ones_are_canceled_and_can_be_restored(store: Store) -> None:
    number = mute(store, "job", "job-1", drop=True).id
    go(store, "FAILED")
    assert end_due(store, HOUR) == [(number, 2)]
    [row] = rows(store)
    assert (row.status, row.last_error, row.mute) == ("canceled", "muted", None)
    assert sent(store, 2 * HOUR) == []
    assert store.write_now(lambda tx: tx.again.revive([row.id], at=later(2 * HOUR))) == 1
    assert len(sent(store, 2 * HOUR)) == 1


def test_the_end_may_say_otherwise(store: Store) -> None:
    one, two = mute(store, "job", "job-1", drop=True).id, mute(store, "job", "job-2").id
    go(store, "FAILED")
    go(store, "FAILED", "job-2")
    assert end(store, one, at=9, then=MuteEnd.SEND)
    assert end(store, two, at=9, then=MuteEnd.DROP)
    assert end(store, two, at=10) is None
    assert [str(row.status) for row in rows(store)] == ["pending", "canceled"]


def test_of_several_mutes_the_last_to_end_decides(store: Store) -> None:
    long, short = mute(store, "job", "job-1", lasts=3 * HOUR).id, mute(store, "channel", A, drop=True).id
    go(store, "FAILED")
    longest = mute(store, "tag", "night", at=1, lasts=4 * HOUR).id  # covers neither
    assert [row.mute for row in rows(store)] == [long]
    assert end_due(store, HOUR) == [(short, 0)]
    assert end(store, long, at=2 * HOUR) is not None
    assert [row.mute for row in rows(store)] == [None]
    assert longest


def test_the_longest_mute_ended_by_hand_leaves_the_others(store: Store) -> None:
    short = mute(store, "channel", A, drop=True).id
    go(store, "FAILED")
    long = mute(store, "job", "job-1", at=1, lasts=3 * HOUR).id
    assert [row.mute for row in (*rows(store), *rows(store, B))] == [long, long]
    assert end(store, long, at=9).count == 1  # type: ignore[union-attr]
    assert [row.mute for row in (*rows(store), *rows(store, B))] == [short, None]
    assert end_due(store, HOUR) == [(short, 1)]
    assert rows(store)[0].status == "canceled"


def test_what_is_being_sent_as_the_mute_starts_is_not_sent_again(store: Store) -> None:
    go(store, "FAILED")
    claimed = store.write_now(lambda tx: tx.outbox.claim(A, now=NOW))
    assert claimed is not None
    number = mute(store, "job", "job-1").id
    retry = Outcome(kind=AttemptOutcome.RETRY, reason="503", due_at=later(9))
    store.write_now(lambda tx: tx.outbox.finish(claimed, retry, at=later(1)))
    assert sent(store, 99) == []
    assert end_due(store, HOUR) == [(number, 2)]
    assert len(sent(store, 2 * HOUR)) == 1


def test_one_that_was_sent_or_is_dead_stays_as_it_is(store: Store) -> None:
    go(store, "FAILED")
    one = store.write_now(lambda tx: tx.outbox.claim(A, now=NOW))
    two = store.write_now(lambda tx: tx.outbox.claim(B, now=NOW))
    assert one is not None
    assert two is not None
    number = mute(store, "job", "job-1", drop=True).id
    dead = Outcome(kind=AttemptOutcome.DEAD, reason="400")
    store.write_now(lambda tx: (tx.outbox.finish(one, SENT, at=NOW), tx.outbox.finish(two, dead, at=NOW)))
    assert store.read(lambda tx: tx.mutes.kept()) == {}
    assert end_due(store, HOUR) == [(number, 0)]
    assert [(str(row.status), row.mute) for row in (*rows(store), *rows(store, B))] == [
        ("sent", None),
        ("dead", None),
    ]


def test_a_refused_channel_does_not_hang_on_what_is_muted(store: Store) -> None:
    go(store, "FAILED")
    claimed = store.write_now(lambda tx: tx.outbox.claim(A, now=NOW))
    assert claimed is not None
    held = Outcome(kind=AttemptOutcome.HELD, reason="404", due_at=later(9))
    store.write_now(lambda tx: tx.outbox.finish(claimed, held, at=NOW))
    number = mute(store, "job", "job-1").id
    other = go(store, "FAILED", "job-2", at=2)
    assert store.read(lambda tx: tx.outbox.held_since(A)) is None
    assert sent(store, 9) == [(other, "failed")]
    assert store.write_now(lambda tx: tx.outbox.release(A, at=later(9))) == 1
    assert sent(store, 10) == []  # released by its service, not by a person
    assert end(store, number, at=11) is not None
    assert len(sent(store, 12)) == 1


def test_by_hand_it_goes_at_once(store: Store) -> None:
    job = go(store, "FAILED")
    assert len(sent(store, 1)) == 1
    mute(store, "job", "job-1", at=2)
    go(store, "BLOCK", "job-2", at=3)
    kept = rows(store, B)[0]
    assert store.write_now(lambda tx: tx.outbox.retry(ids=[kept.id], at=later(4))) == 1
    assert sent(store, 4, B) == [(job + 1, "blocked"), (job, "failed")]
    store.write_now(lambda tx: tx.again.resend([rows(store)[0]], to=None, at=later(5)))
    assert sent(store, 5) == [(job + 1, "blocked"), (job, "failed")]


def test_the_latest_of_what_comes_and_goes_replaces_the_kept_ones(store: Store) -> None:
    for state in ("BLOCK", "WAITING", "BLOCK", "WAITING"):
        go(store, state)
        sent(store, 0)
    mute(store, "job", "job-1", at=1)
    for number, state in enumerate(("BLOCK", "WAITING", "BLOCK")):
        go(store, state, at=2 * HOUR + number)
    waiting = [row for row in rows(store) if row.status == "pending"]
    assert [(str(row.event), row.facts["times"]) for row in waiting] == [("blocked", 5)]


def test_quiet_hours_go_on_after_the_mute(store: Store) -> None:
    morning = datetime(2026, 3, 1, 20, tzinfo=UTC)
    quiet = QuietHours(start=time(11), end=time(20), zone=UTC)
    mute(store, "job", "job-1")
    go(store, "SUCCEED", routes=routing([], operators=None, channels=[A, B], quiet={A: quiet}))
    end_due(store, HOUR)
    assert sent(store, 2 * HOUR) == []
    assert rows(store)[0].due_at == morning
    seconds = (morning - NOW).total_seconds()
    assert len(sent(store, seconds)) == 1


def test_thirty_days_are_not_taken_for_a_clock_set_back(store: Store) -> None:
    mute(store, "job", "job-1", lasts=30 * 24 * HOUR)
    go(store, "FAILED")
    store.write_now(lambda tx: tx.outbox.recover(at=later(9), routing=BOTH, longest=timedelta(hours=1)))
    assert sent(store, 29 * 24 * HOUR) == []
    assert len(end_due(store, 30 * 24 * HOUR)) == 1
    assert len(sent(store, 30 * 24 * HOUR)) == 1


def test_a_moved_alert_is_kept_by_the_mutes_of_its_new_channel(store: Store) -> None:
    old, new = mute(store, "channel", A).id, mute(store, "channel", "new").id
    go(store, "FAILED")
    assert [row.mute for row in rows(store)] == [old]
    store.write_now(lambda tx: tx.moves.deliveries(A, "new", at=NOW, routing=BOTH))
    store.write_now(lambda tx: tx.moves.deliveries(B, A, at=NOW, routing=BOTH))
    assert [row.mute for row in rows(store, "new")] == [new]
    assert [row.mute for row in rows(store)] == [old]
    end(store, new, at=1)
    store.write_now(lambda tx: tx.moves.deliveries(A, B, at=NOW, routing=BOTH))
    assert [row.mute for row in rows(store, B)] == [None]


def test_it_keeps_what_fits_it_when_that_is_sent_and_no_longer_what_does_not(store: Store) -> None:
    """A tag or batch that a job gets or loses meanwhile counts for its alerts that wait, and for those to come."""
    tag, batch = mute(store, "tag", "night", lasts=2 * HOUR).id, mute(store, "batch", "b1").id
    job = go(store, "BLOCK")
    assert [row.mute for row in rows(store)] == [None]
    store.write_now(lambda tx: tx.labels.set_tags([job], ("night",), at=later(1)))
    assert [row.mute for row in rows(store)] == [tag]
    assert sent(store, 2) == []
    track_it = request("job-1", batch="b1")
    store.write_now(lambda tx: tx.jobs.track(track_it, at=later(2)))
    assert [row.mute for row in rows(store)] == [tag], "the last to end"
    store.write_now(lambda tx: tx.labels.set_tags([job], (), at=later(3)))
    assert [(row.mute, row.unmuted_at) for row in rows(store)] == [(batch, None)]
    before = news(store)
    store.write_now(lambda tx: tx.jobs.track(request("job-1", batch="b2"), at=later(4)))
    assert [(row.mute, row.unmuted_at) for row in rows(store)] == [(None, later(4))]
    assert "mute" in news(store)[len(before) :], "a running daemon sends it at once"
    assert sent(store, 5) == [(job, "blocked")]
    store.write_now(lambda tx: tx.jobs.track(request("job-1", tags=("night",)), at=later(6)))
    assert [row.mute for row in rows(store)] == [None], "it was sent"
    go(store, "FAILED", at=7)
    told = [(str(row.event), row.mute) for row in rows(store)]
    assert told == [("blocked", None), ("failed", tag), ("batch_finished", None)], "a batch has no tags"


def news(store: Store) -> list[str]:
    return store.read(lambda tx: [row.kind for row in tx.changes.since(0, limit=999)])


def test_a_mute_of_a_job_or_channel_does_not_care_about_tags(store: Store) -> None:
    number = mute(store, "job", "job-1").id
    mute(store, "tag", "night", lasts=1800)
    job = go(store, "BLOCK", tags=("night",))
    for tags in ((), ("night",)):
        store.write_now(lambda tx, tags=tags: tx.labels.set_tags([job], tags, at=later(1)))
        assert [row.mute for row in rows(store)] == [number]


def test_mutes_of_a_project_follow_its_jobs(store: Store) -> None:
    number = mute(store, "job", "job-1", project=PROJECT).id
    job = go(store, "BLOCK")
    store.write_now(lambda tx: tx.moves.jobs(PROJECT, ProjectName("new"), at=NOW, routing=BOTH))
    store.write_now(lambda tx: record(tx, job, "WAITING", at=later(1), due_at=later(1)))
    assert [row.mute for row in rows(store)] == [number, number]


def test_what_it_is_when_it_is_looked_at(store: Store) -> None:
    first = mute(store, "tag", "night", lasts=2 * HOUR, comment=None)
    second = mute(store, "job", "j")
    assert store.read(lambda tx: tx.mutes.list()) == [second, first]
    end(store, second.id, at=9)
    assert [row.id for row in store.read(lambda tx: tx.mutes.list())] == [first.id]
    assert [row.id for row in store.read(lambda tx: tx.mutes.list(ended=True))] == [second.id, first.id]
    assert store.read(lambda tx: tx.mutes.get([])) == {}
    assert set(store.read(lambda tx: tx.mutes.get([1, 2, 3]))) == {1, 2}
