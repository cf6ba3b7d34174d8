"""Rows written by a newer wrapd: an event that this one does not know stays unchanged and blocks nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.events import Event
from daemon.store import AttemptOutcome, DeliveryStatus, Outcome, Store
from tests.support.store import BOTH, NOW, A, B, later, open_store, record, track

TAKEN = Outcome(kind=AttemptOutcome.SENT, reason="200")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Add a job whose first alert on each channel is of an unknown event, then a known one about it, and one about
    another job."""
    store = open_store(tmp_path)

    def work(tx: Any) -> None:
        first, second = track(tx, "job-1", batch="b1"), track(tx, "job-2")
        record(tx, first, "BLOCK")
        connection = tx.outbox._connection
        connection.exec_driver_sql("UPDATE deliveries SET event = 'praised'")
        record(tx, first, "SUCCEED")
        record(tx, second, "FAILED")

    store.write_now(work)
    yield store
    store.close()


def write(store: Store, statement: str) -> None:
    store.write_now(lambda tx: tx.outbox._connection.exec_driver_sql(statement))


def test_the_others_are_sent_and_it_is_not(store: Store) -> None:
    events = []
    while (claimed := store.write_now(lambda tx: tx.outbox.claim(A, now=later(60)))) is not None:
        events.append(claimed.delivery.event)
        store.write_now(lambda tx, claimed=claimed: tx.outbox.finish(claimed, TAKEN, at=later(60)))
    assert set(events) == {Event.SUCCEEDED, Event.FAILED, Event.BATCH_FINISHED}
    assert store.read(lambda tx: tx.outbox.next_due(A, now=later(60))) is None
    assert len(store.write_now(lambda tx: tx.outbox.claim_together(B, now=later(60), most=9))) == 3


@pytest.mark.parametrize("status", ["pending", "sending", "held"])
def test_it_holds_no_channel_and_is_not_diverted(store: Store, status: str) -> None:
    write(store, f"UPDATE deliveries SET status = '{status}', attempts = 1 WHERE event = 'praised'")
    assert not store.read(lambda tx: tx.outbox.is_held(A))
    assert store.read(lambda tx: tx.outbox.held_since(A)) is None
    assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(60))) is not None
    store.write_now(lambda tx: tx.outbox.recover(at=NOW, routing=BOTH))
    store.write_now(lambda tx: tx.outbox.move_times(-600.0, now=NOW, window=1.0, routing=BOTH))
    assert store.write_now(lambda tx: tx.outbox.divert(A, B, at=NOW)) == 0


def test_lists_and_counts_show_it_as_it_is_called(store: Store) -> None:
    rows = store.read(lambda tx: tx.outbox.list(channel=A))
    assert {str(row.event) for row in rows} == {"praised", "succeeded", "failed", "batch_finished"}
    (other,) = [row.event for row in rows if row.event == "praised"]
    assert (f"{other}", other.value, other in list(Event)) == ("praised", "praised", False)
    write(store, "PRAGMA ignore_check_constraints = ON")
    write(store, "UPDATE deliveries SET status = 'parked' WHERE event = 'praised'")
    assert sum(store.read(lambda tx: tx.outbox.counts()).values()) == 8
    row = store.read(lambda tx: tx.outbox.get(rows[-1].id))
    assert row is not None
    assert (str(row.status), row.status in set(DeliveryStatus)) == ("parked", False)
