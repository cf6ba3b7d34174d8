"""Kept counts: those of the rows after every change, and what is shown of them reads no others."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.domain.events import Event
from daemon.domain.jobs import JobId, Tracking
from daemon.store import DeliveryStatus, Store, Transaction, upgrade
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


def test_a_change_that_counts_nothing_new_writes_no_count(store: Store) -> None:
    job = store.write_now(lambda tx: track(tx, batch="b"))
    with closing(sqlite3.connect(store.path)) as connection:
        before = connection.total_changes
        connection.execute("UPDATE jobs SET batch = batch, state = state, polls = polls + 1 WHERE id = ?", (job,))
        assert connection.total_changes - before == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda tx: tx.jobs.counts(),
        lambda tx: tx.jobs.states(),
        lambda tx: tx.outbox.counts(),
        lambda tx: tx.batches.page(limit=50),
        lambda tx: tx.batches.count(most=99),
        lambda tx: tx.orphans.count({"project": [], "channel": []}),
    ],
)
def test_what_shows_them_reads_no_row_of_what_they_count(
    store: Store, read: Callable[[Transaction], object]
) -> None:
    asked: list[str] = []

    def work(tx: Transaction) -> None:
        tx.jobs._connection.connection.dbapi_connection.set_trace_callback(asked.append)
        read(tx)
        tx.jobs._connection.connection.dbapi_connection.set_trace_callback(None)

    store.write_now(lambda tx: record(tx, track(tx, batch="b"), "SUCCEED"))
    store.read(work)
    words = " ".join(asked).replace(",", " ").split()
    assert {"job_counts", "delivery_counts", "batches"} & set(words)
    assert not {"jobs", "deliveries"} & set(words)


def test_an_upgrade_counts_what_is_there(tmp_path: Path) -> None:
    path = empty(tmp_path, "0007")
    with closing(connect(path)) as connection:
        for number, state in enumerate(["SUCCEED", "FAILED", "PROCESSING"]):
            job = add_job(connection, f"job-{number}", state, tracking="finished" if number < 2 else "active")
            connection.execute("UPDATE jobs SET batch = 'b' WHERE id = ?", (job,))
    upgrade(url_of(path))
    assert_counted(path)
    with closing(open_store(tmp_path)) as store:
        assert store.read(lambda tx: tx.jobs.find(JobId("job-0")))
        [row] = store.read(lambda tx: tx.batches.page(limit=9).rows)
        assert (row.batch, row.jobs, dict(row.ends)) == ("b", 3, {"succeeded": 1, "failed": 1})
