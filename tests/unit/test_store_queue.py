"""The state of the queue: read with the same number of statements for a page of any length."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ProjectName
from daemon.store import AttemptOutcome, Outcome, Store, Transaction
from tests.support.store import NOW, A, B, later, open_store, record, track


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def alert(store: Store, key: str, project: str = "main") -> None:
    told = OperatorAlert(event=Event.DEFECT, key=key, project=ProjectName(project))
    store.write_now(lambda tx: tx.outbox.add_operator(told, channels=[A], at=NOW))


def test_what_goes_first_is_named(store: Store) -> None:
    def work(tx: Transaction) -> None:
        job = track(tx)
        for state in ("BLOCK", "WAITING"):
            record(tx, job, state)  # 1, 2 and 3, 4: to A and B

    store.write_now(work)
    for key, project in (("5", "one"), ("6", "two"), ("7", "one")):
        alert(store, key, project)
    standing = store.read(lambda tx: tx.queue.standing(tx.outbox.list(), now=NOW))
    assert standing.after == {3: 1, 4: 2, 7: 5}
    assert (standing.due, standing.refusals) == ({A: 5, B: 2}, {})
    store.write_now(lambda tx: tx.outbox.cancel([1, 5], at=NOW))
    assert store.read(lambda tx: tx.queue.standing(tx.outbox.list(), now=NOW).after) == {4: 2}


def test_a_refused_channel_is_known_while_it_is_tried(store: Store) -> None:
    for key in ("1", "2"):
        alert(store, key, key)

    def refused(tx: Transaction) -> None:
        claimed = tx.outbox.claim(A, now=NOW)
        assert claimed is not None
        outcome = Outcome(kind=AttemptOutcome.HELD, reason="HTTP 404", due_at=later(300))
        tx.outbox.finish(claimed, outcome, at=later(1))

    store.write_now(refused)
    assert store.read(lambda tx: (tx.queue.waiting(A), tx.queue.waiting(A, now=NOW))) == (2, 1)
    for status in ("held", "sending"):
        refusals = store.read(lambda tx: tx.queue.refusals([A, B]))
        assert [(name, each.since, each.reason) for name, each in refusals.items()] == [(A, later(1), "HTTP 404")]
        assert {str(row.status) for row in store.read(lambda tx: tx.outbox.list())} == {status, "pending"}
        if status == "held":
            assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(600))) is not None


def test_a_long_page_takes_no_more_statements_than_a_short_one(store: Store) -> None:
    for number in range(40):
        alert(store, f"{number}", f"p{number}")

    def statements(tx: Transaction, most: int) -> int:
        rows = tx.outbox.list(limit=most)
        seen: list[str] = []

        def count(*args: object) -> None:
            seen.append(str(args[2]))

        event.listen(tx.queue._connection, "before_cursor_execute", count)
        tx.queue.standing(rows, now=NOW)
        return len(seen)

    assert 0 < store.read(lambda tx: statements(tx, 1)) == store.read(lambda tx: statements(tx, 40)) < 6
