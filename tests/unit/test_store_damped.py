"""What waits for its pause blocks nothing, and is not replaced by alerts that were already written."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.routing import routing
from daemon.store import AttemptOutcome, DeliveryRow, DeliveryStatus, Outcome, Store
from daemon.store.batches import BATCH_SETTLE
from tests.support.store import NOW, PROJECT, A, B, later, open_store, record, track

ONLY_A = routing([], operators=None, channels=[A])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def outage(store: Store, number: int, event: Event = Event.PROJECT_DOWN) -> int:
    alert = OperatorAlert(event=event, key=f"project/{PROJECT}/{event}/{number}", project=PROJECT)
    return store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A], at=NOW))


def waiting(store: Store, at: datetime = NOW, channel: str = A) -> list[DeliveryRow]:
    rows = store.read(lambda tx: tx.outbox.list(channel=channel))[::-1]
    return [row for row in rows if row.status is DeliveryStatus.PENDING and row.due_at > at]


def sent_until(store: Store, at: datetime, channel: str = A) -> list[Event]:
    """What is sent until then by a service that accepts everything."""
    told, done = [], Outcome(kind=AttemptOutcome.SENT, reason="200")
    while (claimed := store.write_now(lambda tx: tx.outbox.claim(channel, now=at))) is not None:
        told.append(claimed.delivery.event)
        store.write_now(lambda tx, each=claimed: tx.outbox.finish(each, done, at=at))
    return told


def test_one_that_was_told_already_replaces_nothing(store: Store) -> None:
    assert [outage(store, number) for number in range(4)] == [1, 1, 1, 1]
    [before] = waiting(store)
    for number in (0, 3):
        assert outage(store, number) == 0
    assert waiting(store) == [before]


def test_the_end_of_a_batch_waits_for_no_outages_pause(store: Store) -> None:
    for number in range(3):
        outage(store, number)
    job = store.write_now(lambda tx: track(tx, batch="b1"))
    assert len(waiting(store)) == 1
    store.write_now(lambda tx: record(tx, job, "SUCCEED"))
    told = sent_until(store, NOW + BATCH_SETTLE)
    assert told[-1] is Event.BATCH_FINISHED
    assert told.count(Event.PROJECT_DOWN) == 3


def test_what_is_told_for_a_held_channel_waits_for_no_pause(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "BLOCK"))
    claimed = store.write_now(lambda tx: tx.outbox.claim(A, now=NOW))
    assert claimed is not None
    held = Outcome(kind=AttemptOutcome.HELD, reason="404", due_at=later(60))
    store.write_now(lambda tx: tx.outbox.finish(claimed, held, at=NOW))
    assert sent_until(store, NOW, B) == [Event.BLOCKED]
    for state in ("WAITING", "BLOCK"):
        store.write_now(lambda tx, state=state: record(tx, job, state))
    assert [row.event for row in waiting(store, channel=B)] == [Event.BLOCKED]
    store.write_now(lambda tx: tx.jobs.record_stuck(job, at=NOW, routing=ONLY_A))
    assert store.write_now(lambda tx: tx.outbox.divert(A, B, at=NOW)) == 1
    assert sent_until(store, NOW, B) == [Event.UNBLOCKED, Event.BLOCKED, Event.STUCK]


def test_what_makes_way_on_one_channel_leaves_the_pauses_of_the_others(store: Store) -> None:
    job = store.write_now(track)
    for state in ("BLOCK", "WAITING", "BLOCK"):
        store.write_now(lambda tx, state=state: record(tx, job, state))
    [before] = waiting(store)
    [paused] = waiting(store, channel=B)
    only_b = routing([], operators=None, channels=[B])
    store.write_now(lambda tx: tx.jobs.record_stuck(job, at=NOW, routing=only_b))
    assert waiting(store) == [before]
    assert waiting(store, channel=B) == []
    assert paused.id != before.id
