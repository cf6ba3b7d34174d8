"""The day sums: each end once, on its day; what is undone is taken out; what is deleted stays."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from daemon.domain.jobs import Observation, ProjectName, Tracking
from daemon.store import Store, TrackRule, Transaction, upgrade
from tests.support.old_schema import add_job, connect, empty
from tests.support.store import BOTH, NOW, later, move, open_store, record, request, track, url_of
from tests.support.summed import assert_summed, kept

DAY = 86400.0
TODAY = NOW.date()
ENDED = (TODAY, "main", "avatar", "SUCCEED")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def end(tx: Transaction, job: int, *, after: float = 0.0, state: str = "SUCCEED", took: float = 90.0) -> None:
    """Record an end, observed `after` NOW, of a production that took so many seconds."""
    row = tx.jobs.get(job)
    assert row is not None
    seen = Observation(
        state=state, created_at=later(after - took - 9), started_at=later(after - took), ended_at=later(after)
    )
    tx.jobs.record_move(job, move(row.state, seen, at=later(after)), seen, routing=BOTH, due_at=later(after))


def test_each_end_counts_on_the_day_that_it_was_observed(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for number in range(4):
            end(tx, track(tx, f"job-{number}"), after=DAY * (number // 2), took=60.0 + number)
        end(tx, track(tx, "job-9"), state="FAILED")
        record(tx, track(tx, "job-10"), "PROCESSING")

    store.write_now(work)
    assert_summed(store)
    tomorrow = TODAY + timedelta(days=1)
    assert kept(store) == {
        ENDED: (2, 2, 121.0),
        (TODAY, "main", "avatar", "FAILED"): (1, 1, 90.0),
        (tomorrow, "main", "avatar", "SUCCEED"): (2, 2, 125.0),
    }
    rows = store.read(lambda tx: tx.day_sums.since(tomorrow))
    assert [(row.day, row.jobs) for row in rows] == [(tomorrow, 2)]


def test_an_end_that_is_undone_leaves_its_day_and_counts_on_that_of_the_next(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: end(tx, job))
    again = TrackRule(again=frozenset(Tracking))
    store.write_now(lambda tx: tx.jobs.take([request()], at=later(DAY), rule=again))
    assert kept(store) == {}
    store.write_now(lambda tx: end(tx, job, after=DAY, state="FAILED"))
    assert kept(store) == {(TODAY + timedelta(days=1), "main", "avatar", "FAILED"): (1, 1, 90.0)}
    assert_summed(store)


def test_times_that_are_no_evidence_are_not_summed(store: Store) -> None:
    def work(tx: Transaction) -> None:
        frozen = track(tx, "frozen")
        record(tx, frozen, "BLOCK")
        end(tx, frozen)
        end(tx, track(tx, "backwards"), took=-5.0)
        end(tx, track(tx, "ages"), took=61 * DAY)
        record(tx, track(tx, "silent"), "SUCCEED")

    store.write_now(work)
    assert kept(store) == {ENDED: (4, 0, 0.0)}
    assert_summed(store)


def test_jobs_that_move_take_their_ends_with_them(store: Store) -> None:
    old, new = ProjectName("old"), ProjectName("main")
    store.write_now(lambda tx: end(tx, track(tx, project=old)))
    store.write_now(lambda tx: tx.moves.jobs(old, new, at=NOW, routing=BOTH))
    assert kept(store) == {ENDED: (1, 1, 90.0)}


def test_what_retention_deletes_stays_counted(store: Store) -> None:
    store.write_now(lambda tx: record(tx, track(tx), "SUCCEED"))
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DELETE FROM jobs")
    assert kept(store) == {ENDED: (1, 0, 0.0)}


def test_an_upgrade_sums_the_ends_that_are_there(tmp_path: Path) -> None:
    path = empty(tmp_path, "0008")
    with closing(connect(path)) as connection:
        for number, state in enumerate(["SUCCEED", "SUCCEED", "FAILED", "PROCESSING"]):
            job = add_job(connection, f"job-{number}", state, tracking="finished" if number < 3 else "active")
            connection.execute("UPDATE jobs SET started_at = created_at, ended_at = created_at + 2500000")
            if number == 1:
                names = '(job, seq, "before", "after", observed_at)'
                connection.execute(f"INSERT INTO transitions {names} VALUES (?, 2, 'X', 'BLOCK', 1)", (job,))
    upgrade(url_of(path))
    with closing(open_store(tmp_path)) as store:
        assert_summed(store)
        found = kept(store)
    assert found == {
        (date(2026, 3, 1), "main", "avatar", "SUCCEED"): (2, 1, 2.5),
        (date(2026, 3, 1), "main", "avatar", "FAILED"): (1, 1, 2.5),
    }
