"""The stream of changes: what people can see writes a row, whichever program and statement changes it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.domain.jobs import ChannelName, JobId
from daemon.store import AttemptOutcome, ChangeRow, Outcome, Store, Transaction
from tests.support.store import BOTH, NOW, PROJECT, A, later, open_store, record, track

Work = Callable[[Transaction], object]


def changes_of(store: Store, work: Work) -> list[tuple[str, int | None, str | None]]:
    """What `work` adds to the stream."""
    before = store.read(lambda tx: tx.changes.latest())
    store.write_now(work)
    return [row[1:] for row in store.read(lambda tx: tx.changes.since(before, limit=1000))]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def test_what_people_see_of_a_job_is_a_change(store: Store) -> None:
    assert changes_of(store, track) == [("job", 1, "track")]
    assert changes_of(store, lambda tx: tx.jobs.take_changes()) == []
    assert changes_of(store, lambda tx: record(tx, 1, "PROCESSING")) == [("job", 1, None)]
    assert changes_of(store, lambda tx: track(tx, label="intro")) == [("job", 1, None)]
    assert changes_of(store, lambda tx: track(tx, label="intro")) == []
    assert changes_of(store, lambda tx: track(tx, tags=("x",))) == [("job", 1, None)]
    assert changes_of(store, lambda tx: tx.jobs.set_expected_length(1, 30.0)) == []
    assert changes_of(store, lambda tx: tx.jobs.stop([1], at=NOW)) == [("job", 1, "track")]
    with sqlite3.connect(store.path) as other:
        other.execute("UPDATE jobs SET note = 'retake' WHERE id = 1")
    last = store.read(lambda tx: tx.changes.since(0, limit=1000))[-1]
    assert last[1:] == ("job", 1, "track"), "it has yet to be dropped"


def test_a_delivery_names_its_channel_while_that_has_news(store: Store) -> None:
    store.write_now(track)
    assert changes_of(store, lambda tx: record(tx, 1, "SUCCEED")) == [
        ("job", 1, "track"),
        ("delivery", 1, "a"),
        ("delivery", 2, "b"),
    ]
    claimed = store.write_now(lambda tx: tx.outbox.claim(A, now=NOW))
    assert claimed is not None
    held = Outcome(kind=AttemptOutcome.HELD, reason="refused", due_at=later(60))
    assert changes_of(store, lambda tx: tx.outbox.finish(claimed, held, at=NOW)) == [
        ("channel", None, "a"),
        ("delivery", 1, None),
    ]
    assert changes_of(store, lambda tx: tx.outbox.release(A, at=NOW)) == [
        ("channel", None, "a"),
        ("delivery", 1, "a"),
    ]
    assert changes_of(store, lambda tx: tx.outbox.cancel([2], at=NOW)) == [("delivery", 2, None)]
    assert changes_of(store, lambda tx: tx.outbox.claim(A, now=later(61))) == [("delivery", 1, None)]


def test_an_alert_that_waits_for_its_link_is_news_again_once_it_has_it(store: Store) -> None:
    store.write_now(track)
    store.write_now(lambda tx: record(tx, 1, "SUCCEED", due_at=later(30)))
    hastened = changes_of(store, lambda tx: tx.jobs.set_download_url(1, "https://x.example/v.mp4", at=NOW))
    assert ("delivery", 1, "a") in hastened
    assert ("job", 1, "track") in hastened


@pytest.mark.parametrize(
    ("statement", "change"),
    [
        ("INSERT INTO pauses (project, at, who) VALUES ('p', 1, 'cli:ann')", ("pause", None, "p")),
        ("DELETE FROM pauses", ("pause", None, "q")),
        (
            "INSERT INTO mutes (scope, subject, started_at, until, who) VALUES ('job', 'j', 1, 2, 'x')",
            ("mute", 2, None),
        ),
        ("UPDATE mutes SET ended_at = 2, ended_by = 'x'", ("mute", 1, None)),
        ("UPDATE tokens SET revoked_at = 2", ("token", None, "t")),
        ("UPDATE tokens SET used_at = 2", None),
        ("UPDATE project_status SET facts = '{\"a\": 1}'", ("project", None, "p")),
        ("UPDATE project_status SET facts = '{}', at = 2", None),
        ("INSERT INTO addresses VALUES ('a', 's', 'f')", ("channel", None, "a")),
        ("INSERT INTO discoveries (project, filters, asked_at) VALUES ('p', '{}', 1)", ("discovery", 1, "p")),
    ],
)
def test_other_tables(store: Store, statement: str, change: tuple[str, int | None, str | None] | None) -> None:
    with sqlite3.connect(store.path) as other:
        other.execute("INSERT INTO pauses (project, at, who) VALUES ('q', 1, 'x')")
        other.execute("INSERT INTO mutes (scope, subject, started_at, until, who) VALUES ('job', 'j', 1, 2, 'x')")
        other.execute("INSERT INTO project_status VALUES ('p', '{}', 1)")
        names = "id, name, digest, scope, created_at, created_by"
        other.execute(f"INSERT INTO tokens ({names}) VALUES ('t', 'n', 'd', 'read', 1, 'x')")
    before = store.read(lambda tx: tx.changes.latest())
    with sqlite3.connect(store.path) as other:
        other.execute(statement)
    found = [row[1:] for row in store.read(lambda tx: tx.changes.since(before, limit=9))]
    assert found == ([] if change is None else [change])


def test_what_events_say_of_jobs_and_deliveries(store: Store) -> None:
    store.write_now(lambda tx: [track(tx), track(tx, "job-2")])
    store.write_now(lambda tx: [record(tx, 1, "PROCESSING"), record(tx, 1, "SUCCEED")])
    found = store.read(lambda tx: tx.changes.jobs([1, 2, 99]))
    assert found == {
        1: (PROJECT, JobId("job-1"), 2, "SUCCEED", True),
        2: (PROJECT, JobId("job-2"), 0, None, False),
    }
    assert store.read(lambda tx: tx.changes.statuses([1, 99])) == {1: "pending"}


def test_old_changes_are_deleted_in_steps_and_no_id_is_used_again(store: Store) -> None:
    assert store.write_now(lambda tx: tx.changes.prune(keep=1)) == 0
    store.write_now(lambda tx: [track(tx, f"job-{i}") for i in range(10)])
    assert store.read(lambda tx: tx.changes.reaches(0))
    assert store.write_now(lambda tx: tx.changes.prune(keep=3, limit=5)) == 5
    assert store.write_now(lambda tx: tx.changes.prune(keep=3, limit=5)) == 2
    assert store.write_now(lambda tx: tx.changes.prune(keep=3, limit=5)) == 0
    assert [row.id for row in store.read(lambda tx: tx.changes.since(0, limit=99))] == [8, 9, 10]
    reached = store.read(lambda tx: [cursor for cursor in range(13) if tx.changes.reaches(cursor)])
    assert reached == [7, 8, 9, 10]
    store.write_now(lambda tx: track(tx, "another"))
    assert store.read(lambda tx: tx.changes.latest()) == 11


def test_a_daemon_is_told_after_each_of_its_commits(tmp_path: Path) -> None:
    store, told = open_store(tmp_path, daemon=True), []

    def tell(rows: list[ChangeRow], cursor: int) -> None:
        with sqlite3.connect(store.path) as other:  # it is called after the COMMIT
            assert other.execute("SELECT max(id) FROM changes").fetchone() == (cursor,)
        told.append([row.id for row in rows])

    def fail(tx: Transaction) -> None:
        track(tx, "never")
        raise KeyError

    store.follow(tell, after=0, most=3)
    try:
        store.write_here(track)
        store.write_here(lambda tx: tx.jobs.take_changes())
        store.write_here(lambda tx: tx.outbox.counts())
        with pytest.raises(KeyError):
            store.write_here(fail)
        store.write_here(lambda tx: track(tx, "job-2"))
        with sqlite3.connect(store.path) as other:
            other.execute("UPDATE jobs SET label = 'x'")
        store.write_here(lambda tx: track(tx, "job-3"))
        assert told == [[1], [2], [3, 4, 5]]
        store.write_here(lambda tx: [track(tx, f"many-{i}") for i in range(9)])
        store.write_here(lambda tx: track(tx, "last"))
        assert told[3:] == [[6, 7, 8, 9], [15]]
    finally:
        store.close()


def test_every_channel_of_an_event_is_news(store: Store) -> None:
    store.write_now(lambda tx: [track(tx, f"job-{i}") for i in range(3)])
    added = changes_of(store, lambda tx: [record(tx, i, "FAILED", routes=BOTH) for i in (1, 2, 3)])
    assert {ChannelName(name) for kind, _, name in added if kind == "delivery" and name} == {"a", "b"}
