"""The second schema, from databases with rows of the first: nothing is lost, and no row id is reused."""

from pathlib import Path

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import JobId
from daemon.errors import DatabaseFault
from daemon.store import SchemaStatus, Store, TrackResult, check, current, upgrade
from daemon.store.migrate import require, revisions
from tests.support.old_schema import add_job, columns, connect, first_schema, rows, scripts_until
from tests.support.store import BOTH, NOW, record, request, url_of

TABLES = ("jobs", "transitions", "deliveries", "attempts", "sqlite_sequence")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = first_schema(tmp_path)
    connection = connect(path)
    add_job(connection, "waiting", "WAITING", "BLOCK", "WAITING", told=True)
    add_job(connection, "new")
    add_job(connection, "done", "WAITING", "PROCESSING", "SUCCEED", tracking="finished", told=True)
    add_job(connection, "lost", "PROCESSING", tracking="lost", told=True)
    add_job(connection, "expired", "THAWING", tracking="expired")
    add_job(connection, "stopped", tracking="stopped")
    gone = add_job(connection, "gone", "FAILED", tracking="finished", told=True)
    connection.execute("DELETE FROM jobs WHERE id = ?", [gone])
    connection.close()
    return path


def opened(path: Path) -> Store:
    return Store.open(url_of(path), clock=ManualClock(NOW))


def test_every_row_is_as_it_was(old: Path) -> None:
    names = {table: columns(old, table) for table in TABLES[:-1]}
    before = {table: rows(old, table, names.get(table, ("*",))) for table in TABLES}
    assert [len(before[table]) for table in TABLES] == [6, 8, 7, 7, 3]
    assert upgrade(url_of(old))
    assert {table: rows(old, table, names.get(table, ("*",))) for table in TABLES} == before
    assert rows(old, "jobs", ("expected_length", "asked_by", "next_reason")) == [(None, None, None)] * 6
    connection = connect(old)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    # Rows that belong to a job are still deleted with it.
    connection.execute("DELETE FROM jobs WHERE job_id = 'done'")
    left = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES[:-1]]
    connection.close()
    assert left == [5, 5, 4, 4]


def test_an_id_that_was_given_is_not_given_again(old: Path) -> None:
    store = opened(old)
    assert store.write_now(lambda tx: tx.jobs.track(request("next"), at=NOW)) is TrackResult.ADDED
    (job,) = store.read(lambda tx: tx.jobs.find(JobId("next")))
    store.close()
    assert job.id == 8  # the seventh was deleted


def test_not_even_where_no_job_is_left(tmp_path: Path) -> None:
    path = first_schema(tmp_path)
    connection = connect(path)
    for number in range(3):
        add_job(connection, f"job-{number}")
    connection.execute("DELETE FROM jobs")
    connection.close()
    store = opened(path)
    store.write_now(lambda tx: tx.jobs.track(request(), at=NOW))
    assert [job.id for job in store.read(lambda tx: tx.jobs.list())] == [4]
    store.close()


def test_an_empty_database_begins_at_one(tmp_path: Path) -> None:
    path = first_schema(tmp_path)
    store = opened(path)
    store.write_now(lambda tx: tx.jobs.track(request(), at=NOW))
    assert [job.id for job in store.read(lambda tx: tx.jobs.list())] == [1]
    store.close()
    assert rows(path, "sqlite_sequence") == [("jobs", 1)]


def test_work_goes_on_where_it_was(old: Path) -> None:
    store = opened(old)
    (job,) = store.read(lambda tx: tx.jobs.find(JobId("waiting")))
    recorded = store.write_now(lambda tx: record(tx, job.id, "SUCCEED", routes=BOTH))
    assert recorded is not None
    assert recorded.deliveries == 2
    done = store.read(lambda tx: tx.jobs.finished())["main", "avatar"]
    assert [(row.state, row.blocked) for row in done] == [("SUCCEED", True), ("SUCCEED", False)]
    store.close()


@pytest.mark.parametrize("tracking", ["active", "lost", "expired", "stopped"])
def test_an_end_that_the_older_wrapd_did_not_know_is_told_at_the_next_look(tmp_path: Path, tracking: str) -> None:
    path = first_schema(tmp_path)
    connection = connect(path)
    job = add_job(connection, "modelled", "BLOCK", "PARTIAL_SUCCEED", tracking=tracking, told=True)
    moved_on = add_job(connection, "moved-on", "PARTIAL_SUCCEED", "WAITING")
    connection.close()
    store = opened(path)
    if tracking != "active":
        assert store.write_now(lambda tx: tx.jobs.track(request("modelled"), at=NOW)) is TrackResult.TAKEN_UP
    assert len(store.read(lambda tx: tx.outbox.list(job=job))) == 2
    recorded = store.write_now(lambda tx: record(tx, job, "PARTIAL_SUCCEED", routes=BOTH))
    assert recorded is not None
    assert recorded.deliveries == 2
    moves = store.read(lambda tx: tx.history.transitions(job))
    assert [(move.before, move.after) for move in moves] == [
        (None, "BLOCK"),
        ("BLOCK", "partial_succeed"),
        ("partial_succeed", "PARTIAL_SUCCEED"),
    ]
    assert [move.after for move in store.read(lambda tx: tx.history.transitions(moved_on))] == [
        "PARTIAL_SUCCEED",
        "WAITING",
    ]
    store.close()


def test_the_older_wrapd_refuses_what_the_newer_made(old: Path, tmp_path: Path) -> None:
    upgrade(url_of(old))
    schema = check(url_of(old), scripts=scripts_until(tmp_path / "again", "0001"))
    assert (schema.status, schema.revision, schema.needed) == (SchemaStatus.NEWER, revisions()[-1], "0001")
    with pytest.raises(DatabaseFault, match="newer wrapd"):
        require(schema, upgradable=True)


def test_a_database_that_lacks_a_row_is_left_as_it_is(old: Path) -> None:
    connection = connect(old)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DELETE FROM jobs WHERE job_id = 'lost'")
    connection.close()
    before = {table: rows(old, table) for table in TABLES}
    with pytest.raises(DatabaseFault, match=r"row .* of .* refers to a missing row of jobs; nothing was changed"):
        upgrade(url_of(old))
    assert current(url_of(old)) == "0001"
    assert {table: rows(old, table) for table in TABLES} == before
