"""A held channel: since when, what is sent elsewhere in the meantime, and what people cancel."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import routing
from daemon.store import AttemptOutcome, Claimed, Outcome, Store, fallback
from tests.support.store import NOW, A, B, later, open_store, record, track

C = ChannelName("c")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def ended(store: Store, *names: str, due: float = 0.0, routes=None) -> None:
    def work(tx):
        for name in names:
            more = {} if routes is None else {"routes": routes}
            record(tx, track(tx, name), "SUCCEED", due_at=later(due), **more)

    store.write_now(work)


def taken(store: Store, now: datetime = NOW, channel=A) -> Claimed:
    claimed = store.write_now(lambda tx: tx.outbox.claim(channel, now=now))
    assert claimed is not None
    return claimed


def judge(store: Store, claimed: Claimed, kind: AttemptOutcome, *, at: float, due: float = 0) -> None:
    outcome = Outcome(kind=kind, reason="x", due_at=later(due))
    store.write_now(lambda tx: tx.outbox.finish(claimed, outcome, at=later(at)))


def held_since(store: Store, channel=A) -> datetime | None:
    return store.read(lambda tx: tx.outbox.held_since(channel))


def divert(store: Store, at: float, channel=A, to=C) -> int:
    return store.write_now(lambda tx: tx.outbox.divert(channel, to, at=later(at)))


def test_a_channel_is_held_since_its_first_refusal_until_it_takes_one(store: Store) -> None:
    ended(store, "job-1", "job-2")
    assert held_since(store) is None
    first, second = taken(store), taken(store)
    judge(store, first, AttemptOutcome.HELD, at=1, due=60)
    assert (held_since(store), held_since(store, B)) == (later(1), None)
    judge(store, second, AttemptOutcome.RETRY, at=2, due=9)
    probe = taken(store, later(60))
    assert held_since(store) == later(1)  # while it is being probed
    judge(store, probe, AttemptOutcome.HELD, at=61, due=120)
    assert held_since(store) == later(1)
    judge(store, taken(store, later(120)), AttemptOutcome.SENT, at=121)
    assert held_since(store) is None


def test_a_probe_that_fails_otherwise_ends_it_and_a_new_refusal_goes_on(store: Store) -> None:
    ended(store, "job-1")
    judge(store, taken(store), AttemptOutcome.HELD, at=1, due=60)
    judge(store, taken(store, later(60)), AttemptOutcome.UNKNOWN, at=61, due=70)
    assert held_since(store) is None
    again = taken(store, later(70))
    assert held_since(store) is None
    judge(store, again, AttemptOutcome.HELD, at=71, due=140)
    assert held_since(store) == later(1)


def test_one_that_a_person_revived_begins_anew(store: Store) -> None:
    ended(store, "job-1")
    judge(store, taken(store), AttemptOutcome.HELD, at=1, due=60)
    claimed = taken(store, later(60))
    judge(store, claimed, AttemptOutcome.DEAD, at=61)
    store.write_now(lambda tx: tx.outbox.retry(ids=None, at=later(500)))
    judge(store, taken(store, later(500)), AttemptOutcome.HELD, at=501, due=600)
    assert held_since(store) == later(501)


def test_what_waits_on_a_held_channel_is_told_elsewhere_once(store: Store) -> None:
    ended(store, "job-1", "job-2", "job-3")
    assert divert(store, 1) == 0  # it is not held
    judge(store, taken(store), AttemptOutcome.SENT, at=1)
    judge(store, taken(store), AttemptOutcome.HELD, at=2, due=600)
    assert divert(store, 10) == 2
    assert divert(store, 11) == 0
    ended(store, "job-4")
    assert divert(store, 20) == 1
    copies = store.read(lambda tx: tx.outbox.list(channel=C))[::-1]
    originals = {row.key: row for row in store.read(lambda tx: tx.outbox.list(channel=A))}
    assert [(row.status, row.due_at, row.attempts) for row in copies] == [
        ("pending", later(10), 0),
        ("pending", later(10), 0),
        ("pending", later(20), 0),
    ]
    for row in copies:
        original = originals[row.key]
        assert (row.event, row.job, row.project, row.transition) == (
            original.event,
            original.job,
            original.project,
            original.transition,
        )
        assert row.facts == {**original.facts, "diverted_from": A}
    # The channel's own deliveries keep waiting, and a copy is a delivery like any other.
    assert sorted(row.status for row in originals.values()) == ["held", "pending", "pending", "sent"]
    assert taken(store, later(20), channel=C).delivery.id == copies[0].id


def test_what_the_other_channel_hears_by_itself_is_not_told_twice(store: Store) -> None:
    ended(store, "job-1", "job-2")
    judge(store, taken(store), AttemptOutcome.HELD, at=2, due=600)
    assert divert(store, 10, to=B) == 0


def test_what_would_wait_on_a_sound_channel_too_is_not_told_yet(store: Store) -> None:
    ended(store, "job-1", "job-2")
    refused, unsure = taken(store), taken(store)
    judge(store, unsure, AttemptOutcome.UNKNOWN, at=1, due=600)
    judge(store, refused, AttemptOutcome.HELD, at=2, due=600)
    night = QuietHours(start=time(11), end=time(20), zone=UTC)
    ended(store, "job-3", routes=routing([], operators=None, channels=[A], quiet={A: night}))
    ended(store, "job-4", due=30)
    assert divert(store, 10) == 2  # including one that waits for its retry
    assert divert(store, 30) == 1
    assert divert(store, 8 * 3600) == 1
    assert [row.job for row in store.read(lambda tx: tx.outbox.list(channel=C))] == [3, 4, 2, 1]


def test_a_backlog_is_told_in_parts(store: Store) -> None:
    ended(store, *(f"job-{number}" for number in range(fallback.DIVERTED + 3)))
    judge(store, taken(store), AttemptOutcome.HELD, at=2, due=600)
    assert [divert(store, 10) for _ in range(3)] == [fallback.DIVERTED, 3, 0]


def test_operators_events_are_told_elsewhere_too(store: Store) -> None:
    alert = OperatorAlert(event=Event.OVERLOADED, key="x", facts={"late": 3})
    store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A], at=NOW))
    judge(store, taken(store), AttemptOutcome.HELD, at=2, due=600)
    assert divert(store, 10) == 1
    (copy,) = store.read(lambda tx: tx.outbox.list(channel=C))
    assert copy.facts == {"late": 3, "diverted_from": "a"}


def test_people_cancel_what_is_not_sent(store: Store) -> None:
    ended(store, "job-1", "job-2", "job-3", "job-4", "job-5")
    sent, dead, held, sending = (taken(store) for _ in range(4))
    judge(store, sent, AttemptOutcome.SENT, at=1)
    judge(store, dead, AttemptOutcome.DEAD, at=1)
    judge(store, held, AttemptOutcome.HELD, at=1, due=600)
    rows = store.read(lambda tx: tx.outbox.list(channel=A))
    ids = [row.id for row in rows]

    def cancel(numbers: list[int]) -> int:
        return store.write_now(lambda tx: tx.outbox.cancel(numbers, at=later(5)))

    assert cancel([]) == 0
    assert cancel([*ids, *range(1000, 2000)]) == 3
    assert cancel(ids) == 0
    after = {row.id: row for row in store.read(lambda tx: tx.outbox.list(channel=A))}
    assert [after[each.delivery.id].status for each in (sent, dead, held, sending)] == [
        "sent",
        "canceled",
        "canceled",
        "sending",
    ]
    assert {row.due_at for row in after.values() if row.status == "canceled"} == {later(5)}
    assert held_since(store) is None
    judge(store, sending, AttemptOutcome.SENT, at=6)
    assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(9999))) is None
    assert store.write_now(lambda tx: tx.outbox.retry(ids=ids, at=NOW)) == 0
