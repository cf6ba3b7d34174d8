"""Kept counts: those of the rows after every change, and what is shown of them reads no others."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.domain.events import Event
from daemon.domain.jobs import JobId, Tracking
from daemon.store import AttemptOutcome, DeliveryStatus, Outcome, Store, Transaction, upgrade
from daemon.store.migrate import revisions
from tests.support.counts import assert_counted
from tests.support.old_schema import add_job, connect, empty
from tests.support.store import BOTH, NOW, PROJECT, A, B, later, open_store, record, request, track, url_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def test_they_follow_jobs_that_end_change_their_batch_and_are_deleted(store: Store) -> None:
    def work(tx: Transaction) -> None:
        jobs = [track(tx, f"job-{n}", batch="b" if n < 4 else None) for n in range(6)]
        record(tx, jobs[0], "SUCCEED")
        record(tx, jobs[1], "PROCESSING")
        tx.jobs.record_end(jobs[2], Event.LOST, at=NOW, routing=BOTH, reason="x")
        tx.jobs.stop([jobs[5]], at=NOW)
        tx.jobs.track(request("job-3", batch="c"), at=NOW)  # the newest leaves its batch

    store.write_now(work)
    assert_counted(store.path)
    counts, batches = store.read(lambda tx: (tx.jobs.counts(), tx.batches.page(limit=9).rows))
    assert counts == {
        (PROJECT, Tracking.ACTIVE): 3,
        (PROJECT, Tracking.FINISHED): 1,
        (PROJECT, Tracking.LOST): 1,
        (PROJECT, Tracking.STOPPED): 1,
    }
    assert [(row.batch, row.jobs, dict(row.ends)) for row in batches] == [
        ("c", 1, {}),
        ("b", 3, {"succeeded": 1, "lost": 1}),
    ]
    assert store.read(lambda tx: tx.jobs.states()) == {PROJECT: {None: 2, "PROCESSING": 1}}
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM jobs WHERE job_id IN ('job-0', 'job-3')")  # its deliveries go with it
    assert_counted(store.path)
    assert [row.batch for row in store.read(lambda tx: tx.batches.page(limit=9).rows)] == ["b"]


def test_they_follow_deliveries_from_pending_to_sent_and_to_another_channel(store: Store) -> None:
    def work(tx: Transaction) -> None:
        record(tx, track(tx), "SUCCEED")
        tx.outbox.claim(A, now=later(60))
        tx.moves.deliveries(B, A, at=NOW, routing=BOTH)

    store.write_now(work)
    assert_counted(store.path)
    assert store.read(lambda tx: tx.outbox.counts()) == {
        (A, DeliveryStatus.SENDING): 1,
        (B, DeliveryStatus.PENDING): 1,
    }


def test_a_job_that_moves_on_is_counted_in_its_new_state_alone(store: Store) -> None:
    job = store.write_now(lambda tx: track(tx, batch="b"))
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute(
            "UPDATE jobs SET batch = batch, state = 'WAITING', state_since = 1 WHERE id = ?", (job,)
        )
        assert connection.total_changes == 6, (
            "the job, four counts, and the line about it in the stream of changes"
        )


def test_what_is_sent_is_counted_once_and_no_more_when_it_is_deleted(store: Store) -> None:
    sent = Outcome(kind=AttemptOutcome.SENT, reason="200")

    def send(tx: Transaction) -> None:
        record(tx, track(tx), "SUCCEED")
        for channel in (A, B):
            claimed = tx.outbox.claim(channel, now=later(60))
            assert claimed is not None
            tx.outbox.finish(claimed, sent, at=later(60))
            tx.outbox.finish(claimed, sent, at=later(61))

    store.write_now(send)
    assert_counted(store.path)
    assert store.read(lambda tx: tx.outbox.counts()) == {(A, DeliveryStatus.SENT): 1, (B, DeliveryStatus.SENT): 1}
    assert store.write_now(lambda tx: tx.retention.prune(before=later(9999), limit=1)) == 1
    assert_counted(store.path)
    assert store.write_now(lambda tx: tx.retention.prune(before=later(9999))) == 2
    assert_counted(store.path)
    assert store.read(lambda tx: tx.outbox.counts()) == {}


def steps(tx: Transaction, read: Callable[[Transaction], object]) -> int:
    """Return how many steps SQLite's virtual machine takes to run `read`."""
    found = 0

    def count() -> None:
        nonlocal found
        found += 1

    read(tx)
    driver = tx.jobs._connection.connection.dbapi_connection
    driver.set_progress_handler(count, 1)
    read(tx)
    driver.set_progress_handler(None, 1)
    return found


@pytest.mark.parametrize(
    "read",
    [
        lambda tx: tx.jobs.states(),
        lambda tx: tx.jobs.counts(),
        lambda tx: tx.outbox.counts(),
        lambda tx: tx.batches.page(limit=50),
        lambda tx: tx.batches.count(most=99),
    ],
)
def test_what_has_ended_does_not_make_a_list_or_metric_longer(
    store: Store, read: Callable[[Transaction], object]
) -> None:
    def add(tx: Transaction, first: int, last: int) -> None:
        for number in range(first, last):
            record(tx, track(tx, f"job-{number}", batch="b"), "SUCCEED")
            for channel in (A, B):
                claimed = tx.outbox.claim(channel, now=later(60))
                assert claimed is not None
                tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="200"), at=later(60))

    store.write_now(lambda tx: track(tx, "open", batch="b"))  # the batch does not end meanwhile
    store.write_now(lambda tx: add(tx, 0, 10))
    before = store.read(lambda tx: steps(tx, read))
    store.write_now(lambda tx: add(tx, 10, 60))
    assert store.read(lambda tx: steps(tx, read)) <= before


_STATES = (("PROCESSING",), ("WAITING", "PROCESSING"), (), ("WAITING",), ("PROCESSING",))


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_an_upgrade_counts_what_is_there_and_what_follows(tmp_path: Path, revision: str) -> None:
    path = empty(tmp_path, revision)
    with closing(connect(path)) as connection:
        jobs = [add_job(connection, f"job-{number}", *states) for number, states in enumerate(_STATES)]
        for job, state in zip(jobs, ("SUCCEED", "FAILED"), strict=False):
            connection.execute("UPDATE jobs SET batch = 'b' WHERE id = ?", (job,))
            connection.execute(
                "UPDATE jobs SET tracking = 'finished', state = ?, next_poll_at = NULL WHERE id = ?", (state, job)
            )
        if revision >= "0008":  # from there on the program notes the newest job of a batch
            connection.execute("INSERT OR REPLACE INTO batches VALUES ('b1', 'main', ?)", (jobs[-1],))
    upgrade(url_of(path))
    assert_counted(path)
    with closing(open_store(tmp_path)) as store:
        assert store.read(lambda tx: tx.jobs.find(JobId("job-0")))
        listed = store.read(lambda tx: tx.batches.page(limit=9).rows)
    assert [(row.batch, row.jobs, dict(row.ends), row.unbegun) for row in listed] == [
        ("b1", 3, {}, 2),
        ("b", 2, {"succeeded": 1, "failed": 1}, 0),
    ]
    with closing(connect(path)) as connection:
        connection.execute("UPDATE jobs SET state = 'BLOCK', batch = 'b' WHERE id = ?", (jobs[-1],))
        connection.execute("DELETE FROM jobs WHERE id = ?", (jobs[-2],))
    assert_counted(path)
