"""The third schema, from databases of the second: no row changes, and new columns are empty."""

import sqlite3
from pathlib import Path

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import JobId
from daemon.store import AttemptOutcome, Outcome, Store, current, upgrade
from daemon.store.migrate import revisions
from tests.support.old_schema import add_job, columns, connect, empty, rows, scripts_until
from tests.support.store import BOTH, NOW, A, later, record, url_of

TABLES = ("jobs", "transitions", "deliveries", "attempts", "project_status", "discoveries", "sqlite_sequence")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = empty(tmp_path, "0002")
    connection = connect(path)
    add_job(connection, "waiting", "WAITING", "BLOCK", told=True)
    add_job(connection, "done", "WAITING", "PROCESSING", "SUCCEED", tracking="finished", told=True)
    add_job(connection, "lost", "PROCESSING", tracking="lost", told=True)
    gone = add_job(connection, "gone", "FAILED", tracking="finished", told=True)
    connection.execute("DELETE FROM jobs WHERE id = ?", [gone])
    connection.execute("INSERT INTO project_status VALUES ('main', '{}', 1)")
    connection.execute("INSERT INTO discoveries (project, filters, asked_at) VALUES ('main', '{}', 1)")
    connection.close()
    return path


def opened(path: Path) -> Store:
    return Store.open(url_of(path), clock=ManualClock(NOW))


def test_every_row_is_as_it_was(old: Path) -> None:
    names = {table: columns(old, table) for table in TABLES[:-1]}
    before = {table: rows(old, table, names.get(table, ("*",))) for table in TABLES}
    assert [len(before[table]) for table in TABLES] == [3, 6, 6, 6, 1, 1, 4]
    assert upgrade(url_of(old))
    assert {table: rows(old, table, names.get(table, ("*",))) for table in TABLES} == before
    assert rows(old, "jobs", ("link_until", "seen_at", "reminded_at")) == [(None, None, None)] * 3
    assert rows(old, "deliveries", ("held_until",)) == [(None,)] * 6
    assert rows(old, "attempts", ("shared",)) == [(1,)] * 6
    connection = connect(old)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_what_belongs_to_a_job_goes_with_it(old: Path) -> None:
    upgrade(url_of(old))
    connection = connect(old)
    connection.execute("INSERT INTO links (job, token, created_at, expires_at) VALUES (2, 't', 1, 2)")
    connection.execute("INSERT INTO pictures (job, url, fetched_at, error) VALUES (2, 'u', 1, 'x')")
    connection.execute("DELETE FROM jobs WHERE id = 2")
    left = [
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in (*TABLES[:4], "links", "pictures")
    ]
    connection.close()
    assert left == [2, 3, 3, 3, 0, 0]


def test_the_new_columns_are_checked_in_an_upgraded_database(old: Path) -> None:
    upgrade(url_of(old))
    connection = connect(old)
    with pytest.raises(sqlite3.IntegrityError, match="shared_counts"):
        connection.execute("UPDATE attempts SET shared = 0")
    connection.close()


def test_work_goes_on_where_it_was(old: Path) -> None:
    store = opened(old)
    (job,) = store.read(lambda tx: tx.jobs.find(JobId("waiting")))
    store.write_now(lambda tx: record(tx, job.id, "SUCCEED", routes=BOTH))
    group = store.write_now(lambda tx: tx.outbox.claim_together(A, now=later(60), most=9))
    # The batch of these jobs has ended.
    assert [each.delivery.event for each in group] == ["succeeded", "batch_finished"]
    outcome = Outcome(kind=AttemptOutcome.SENT, reason="200")
    store.write_now(lambda tx: tx.outbox.finish_all([(each, outcome, NOW) for each in group]))
    assert store.write_now(lambda tx: tx.links.of_job(job.id, token="t", at=NOW, life=9)) is not None
    store.close()


def test_from_the_first_schema_it_is_one_step(tmp_path: Path) -> None:
    path = empty(tmp_path, "0001")
    connection = connect(path)
    add_job(connection, "done", "SUCCEED", tracking="finished", told=True)
    connection.close()
    assert upgrade(url_of(path))
    assert len(rows(path, "deliveries")) == 1
    assert current(url_of(path)) == revisions()[-1]


def test_the_second_schema_is_not_upgraded_by_the_older_program(old: Path, tmp_path: Path) -> None:
    scripts = scripts_until(tmp_path / "again", "0002")
    assert not upgrade(url_of(old), scripts=scripts)
    assert current(url_of(old)) == "0002"
