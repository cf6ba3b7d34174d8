"""A restored database: checked before anything is changed, the old one kept whole, nothing told twice, no row id
used again, and no log of the old file applied to the new one."""

import lzma
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import JobId
from daemon.domain.sessions import Login, WebSession
from daemon.domain.tokens import ApiScope, new_token
from daemon.errors import AlreadyRunning, DatabaseFault, DatabaseUnusable, UsageFault
from daemon.store import AttemptOutcome, Outcome, Store, Transaction, backup
from daemon.store.carry import JUMP
from daemon.store.engine import open_file
from daemon.store.errors import StoreBusy, StoreFailed
from daemon.store.migrate import check_file
from daemon.store.restore import Restored, restore
from tests.support.old_schema import add_job, connect, empty
from tests.support.store import NOW, PROJECT, WHO, A, B, later, open_store, record, track, url_of

FIRST = Path(__file__).parents[1] / "data" / "first_release.db.xz"
STAMPED = "wrapd-replaced-20260301T120000Z.db"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with a job that runs, one that has ended and is told of on one of two channels."""
    folder = tmp_path_factory.mktemp("made")
    with closing(open_store(folder)) as store:
        store.write_now(lambda tx: (record(tx, track(tx, "runs"), "PROCESSING"), settle(tx)))
        store.write_now(lambda tx: record(tx, track(tx, "ended"), "SUCCEED"))
        store.write_now(lambda tx: send(tx, A))
    return folder / "wrapd.db"


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    shutil.copy(made, state / "wrapd.db")
    backup(url_of(state / "wrapd.db"), tmp_path / "copy.db")
    return state / "wrapd.db"


def send(tx: Transaction, channel: str, *, at: float = 1) -> None:
    claimed = tx.outbox.claim(channel, now=later(at))
    assert claimed is not None
    tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="200"), at=later(at + 1))


def settle(tx: Transaction) -> None:
    """Send everything."""
    for channel in (A, B):
        while (claimed := tx.outbox.claim(channel, now=later(1))) is not None:
            tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="200"), at=later(2))


@contextmanager
def opened(database: Path) -> Iterator[Store]:
    with closing(open_store(database.parent, daemon=True)) as store:
        yield store


def put_back(database: Path, file: Path | None = None) -> Restored:
    return restore(url_of(database), file or database.parent.parent / "copy.db", at=NOW)


def alerts(database: Path) -> dict[tuple[str, str], tuple[str, bool]]:
    """Return status and mark of each alert, by key and channel."""
    query = "SELECT key, channel, status, possible_repeat FROM deliveries"
    return {(key, channel): (status, bool(mark)) for key, channel, status, mark in rows(database, query)}


def rows(database: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def files(database: Path) -> set[str]:
    return {each.name for each in database.parent.iterdir()}


def test_the_backup_is_in_place_and_the_old_one_beside_it(database: Path) -> None:
    with opened(database) as store:
        store.write_now(lambda tx: track(tx, "later"))
    old, copy = database.read_bytes(), (database.parent.parent / "copy.db").read_bytes()
    done = put_back(database)
    assert (done.database, done.kept, done.older) == (database, database.with_name(STAMPED), None)
    assert files(database) == {"wrapd.db", "wrapd.db.lock", STAMPED}
    kept = rows(database.with_name(STAMPED), "SELECT job_id FROM jobs ORDER BY id")
    assert kept == [("runs",), ("ended",), ("later",)]
    assert len(old) == database.with_name(STAMPED).stat().st_size
    assert (database.parent.parent / "copy.db").read_bytes() == copy
    with opened(database) as store:
        assert [job.job_id for job in store.read(lambda tx: tx.jobs.list())] == ["ended", "runs"]
    assert (done.jobs, done.alerts) == (1, 1)


@pytest.mark.parametrize("old", ["whole", "gone"])
def test_people_log_in_anew(database: Path, tmp_path: Path, old: str) -> None:
    times = {"created_at": NOW, "seen_at": NOW, "until": later(3600)}
    session = WebSession(id="one", name="desk", scope=ApiScope.READ, digest="d1", **times)
    login = Login(digest="d2", name="desk", scope=ApiScope.READ, expires_at=later(600))
    with opened(database) as store:
        store.write_now(lambda tx: (tx.sessions.add(session), tx.sessions.add_login(login, at=NOW)))
    backup(url_of(database), tmp_path / "with.db")
    if old == "gone":
        database.unlink()
    put_back(database, tmp_path / "with.db")
    counts = "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM logins)"
    assert rows(tmp_path / "with.db", counts) == [(1, 1)]
    assert rows(database, counts) == [(0, 0)]


def test_a_relative_path_will_do(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(database.parent.parent)
    assert put_back(database, Path("copy.db")).jobs == 1


def test_what_was_sent_since_is_not_sent_again_and_all_else_is(database: Path) -> None:
    with opened(database) as store:
        store.write_now(lambda tx: send(tx, B))  # the other channel of the job that had ended
        (job,) = store.read(lambda tx: tx.jobs.find(JobId("runs")))
        store.write_now(lambda tx: record(tx, job.id, "FAILED"))
        store.write_now(lambda tx: send(tx, A))  # of its end, one is sent and one is not
    done = put_back(database)
    assert done.since is not None
    assert (done.since.sent, done.since.active, done.since.ended) == (2, (), 0)
    before = rows(database, "SELECT channel, n FROM sent_counts ORDER BY channel")
    assert before == rows(
        database, "SELECT channel, count(*) FROM deliveries WHERE sent_at IS NOT NULL GROUP BY 1"
    )
    with opened(database) as store:
        assert store.read(lambda tx: tx.outbox.claim(A, now=later(99))) is None
        (job,) = store.read(lambda tx: tx.jobs.find(JobId("runs")))
        assert job.state == "PROCESSING"  # it is asked about again, and the end found again
        store.write_now(lambda tx: record(tx, job.id, "FAILED", at=later(50)))
        assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(99))) is None
        store.write_now(lambda tx: send(tx, B, at=99))
        tries = store.read(lambda tx: tx.outbox.attempts_of(sorted(row.id for row in tx.outbox.list())))
        assert all(each.outcome == "sent" for attempts in tries.values() for each in attempts)
        assert all(len(tries[row.id]) == row.attempts for row in store.read(lambda tx: tx.outbox.list()))
    told = alerts(database)
    assert set(told.values()) == {("sent", False)}
    assert rows(database, "PRAGMA foreign_key_check") == []
    assert {key for key, _ in told} == {f"job/{n}/{event}" for n, event in ((1, "failed"), (2, "succeeded"))}


def test_what_was_being_sent_is_marked_when_it_is_sent_again(database: Path) -> None:
    with opened(database) as store:
        operator = OperatorAlert(event=Event.PROJECT_DOWN, key="project/main/project_down/1", facts={"a": 1})
        store.write_now(lambda tx: tx.outbox.add_operator(operator, channels=[A], at=NOW))
        assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(1))) is not None
        assert store.write_now(lambda tx: tx.outbox.claim(B, now=later(1))) is not None
    put_back(database)
    with opened(database) as store:
        assert store.write_now(lambda tx: tx.outbox.recover(at=later(9))) == 2
        assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(9))) is not None
    told = alerts(database)
    assert told["project/main/project_down/1", "a"] == ("sending", True)
    assert told["job/2/succeeded", "b"] == ("pending", True)


def test_what_may_have_arrived_before_stays_marked(database: Path) -> None:
    with opened(database) as store:
        claimed = store.write_now(lambda tx: tx.outbox.claim(B, now=later(1)))
        assert claimed is not None
        outcome = Outcome(kind=AttemptOutcome.UNKNOWN, reason="timeout", due_at=later(60))
        store.write_now(lambda tx: tx.outbox.finish(claimed, outcome, at=later(2)))
    put_back(database)
    assert alerts(database)["job/2/succeeded", "b"] == ("pending", True)
    with opened(database) as store:  # its first attempt is not in the way of the next
        store.write_now(lambda tx: send(tx, B))


def test_jobs_tracked_since_are_named(database: Path) -> None:
    with opened(database) as store:
        store.write_now(lambda tx: (track(tx, "new"), record(tx, track(tx, "over"), "SUCCEED")))
        store.write_now(settle)
    done = put_back(database)
    assert done.since is not None
    assert (done.since.active, done.since.ended) == ((("main", "new"),), 1)
    # What was sent of them is not sent about other jobs: their row ids are not used again.
    with opened(database) as store:
        assert store.write_now(lambda tx: record(tx, track(tx, "another"), "SUCCEED")) is not None
        store.write_now(lambda tx: send(tx, A))
    assert rows(database, "SELECT max(id) FROM jobs") == [(5,)]
    assert "job/4/succeeded" not in {key for key, _ in alerts(database)}


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "another"])
def test_without_the_old_database_repeats_are_marked_and_ids_leap(database: Path, gone: bool) -> None:
    for end in ("", "-wal", "-shm"):
        database.with_name(f"wrapd.db{end}").unlink(missing_ok=True)
    if not gone:
        with opened(database) as store:
            store.write_now(lambda tx: record(tx, track(tx, "of a new database"), "SUCCEED"))
    done = put_back(database)
    assert (done.since, done.kept is None) == (None, gone)
    told = alerts(database)
    assert told.pop(("job/2/succeeded", "b")) == ("pending", True)
    assert set(told.values()) == {("sent", False)}
    with opened(database) as store:
        assert store.write_now(lambda tx: track(tx, "next")) > JUMP
    assert all(seq >= JUMP for _, seq in rows(database, "SELECT * FROM sqlite_sequence"))


def test_who_follows_the_changes_reads_everything_again(database: Path) -> None:
    with opened(database) as store:
        seen = [store.read(lambda tx: tx.changes.latest())]
        store.write_now(lambda tx: track(tx, "later"))
        seen.append(store.read(lambda tx: tx.changes.latest()))
    put_back(database)
    with opened(database) as store:
        assert not any(store.read(lambda tx, n=cursor: tx.changes.reaches(n)) for cursor in seen)
        latest = store.read(lambda tx: tx.changes.latest())
        store.write_now(lambda tx: track(tx, "another"))
        assert store.read(lambda tx: tx.changes.reaches(latest))
        assert not any(store.read(lambda tx, n=cursor: tx.changes.reaches(n)) for cursor in seen)


def test_what_was_revoked_since_stays_revoked(database: Path) -> None:
    token, copy = new_token(bytes(25)), database.parent.parent / "later.db"
    with opened(database) as store:
        values = {"by": WHO, "at": NOW, "expires_at": None}
        store.write_now(lambda tx: tx.tokens.add(token, "tool", ApiScope.READ, **values))
        store.write_now(lambda tx: [tx.links.of_job(job, token=f"t{job}", at=NOW, life=9e9) for job in (1, 2)])
        backup(url_of(database), copy)
        store.write_now(lambda tx: (tx.tokens.revoke(token.id, at=later(1)), tx.links.revoke(2, later(1))))
    put_back(database, copy)
    with opened(database) as store:
        assert store.read(lambda tx: tx.tokens.named("tool")) == []
        assert [row.revoked_at for row in store.read(lambda tx: tx.links.list())] == [later(1), None]


@pytest.mark.parametrize("old", ["whole", "gone", "damaged", "older"])
def test_only_what_the_replaced_database_still_shares_goes_on(database: Path, old: str) -> None:
    copy = database.parent.parent / "later.db"
    with opened(database) as store:

        def work(tx: Transaction) -> list[int]:
            digests = ("open", "revoked", "forgotten")
            return [
                tx.shares.add(PROJECT, "b", digest, by=WHO, at=NOW, expires_at=later(9e6)).id for digest in digests
            ]

        _, revoked, _ = store.write_now(work)
        backup(url_of(database), copy)
        store.write_now(lambda tx: tx.shares.revoke(revoked, at=later(1)))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM shares WHERE digest = 'forgotten'")
        if old == "older":
            connection.execute("DROP TABLE shares")
    if old == "gone":
        database.unlink()
    if old == "damaged":
        database.write_bytes(b"x" * 9000)
    put_back(database, copy)
    assert rows(database, "SELECT digest, revoked_at FROM shares") == ([("open", None)] if old == "whole" else [])


def test_the_log_of_a_killed_daemon_goes_with_the_old_file(database: Path) -> None:
    with opened(database) as store:
        store.write_now(lambda tx: track(tx, "in the log"))
        for end in ("", "-wal", "-shm"):  # as they are if it is killed now
            shutil.copy(database.with_name(f"wrapd.db{end}"), database.with_name(f"killed{end}"))
    for end in ("", "-wal", "-shm"):
        database.with_name(f"killed{end}").replace(database.with_name(f"wrapd.db{end}"))
    assert database.with_name("wrapd.db-wal").stat().st_size > 0
    done = put_back(database)
    assert done.since is not None
    assert done.since.active == (("main", "in the log"),)
    assert files(database) == {"wrapd.db", "wrapd.db.lock", STAMPED}
    assert ("in the log",) in rows(database.with_name(STAMPED), "SELECT job_id FROM jobs")
    assert ("in the log",) not in rows(database, "SELECT job_id FROM jobs")


@pytest.mark.parametrize("header", [True, False], ids=["header", "pages"])
def test_a_damaged_database_is_replaced_and_kept_with_its_log(database: Path, header: bool) -> None:
    raw = bytearray(database.read_bytes())
    raw[slice(0, 4096) if header else slice(4096, 4096 * 60)] = b"\x99" * (4096 if header else 4096 * 59)
    database.write_bytes(raw)
    if header:
        database.with_name("wrapd.db-wal").write_bytes(b"what is left of a log")
        database.with_name("wrapd.db-shm").write_bytes(b"x" * 32768)
    done = put_back(database)
    assert done.since is None
    kept = database.with_name(STAMPED)
    assert kept.read_bytes()[8192:] == bytes(raw)[8192:]
    assert files(database) - {"wrapd.db", "wrapd.db.lock", STAMPED} <= {f"{STAMPED}-wal", f"{STAMPED}-shm"}
    with opened(database) as store:
        assert len(store.read(lambda tx: tx.jobs.list())) == 2


def test_a_log_without_its_database_is_not_applied(database: Path) -> None:
    database.unlink()
    database.with_name("wrapd.db-wal").write_bytes(b"of another file")
    put_back(database)
    assert not database.with_name("wrapd.db-wal").exists()
    assert database.with_name(f"{STAMPED}-wal").read_bytes() == b"of another file"


def refused(database: Path, file: Path, error: type[Exception], match: str) -> None:
    """Expect that a restoration is refused and changes nothing."""
    before = {each.name: each.read_bytes() for each in database.parent.iterdir()}
    with pytest.raises(error, match=match):
        put_back(database, file)
    after = {each.name: each.read_bytes() for each in database.parent.iterdir()}
    after.pop("wrapd.db.lock", None)
    before.pop("wrapd.db.lock", None)
    assert after == before


def test_a_file_that_cannot_be_restored_changes_nothing(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    refused(database, tmp_path / "none.db", DatabaseFault, "none.db: cannot be read")
    refused(database, database, UsageFault, "is the database itself")
    (tmp_path / "text").write_text("no database" * 100)
    refused(database, tmp_path / "text", DatabaseUnusable, "text: is not a database of wrapd")
    refused(database, tmp_path, DatabaseUnusable, "is not a database of wrapd")
    os.mkfifo(tmp_path / "pipe")
    refused(database, tmp_path / "pipe", DatabaseUnusable, "pipe: is not a database of wrapd")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE jobs (id)")
    refused(database, tmp_path / "other.db", DatabaseUnusable, "other.db: is not a database of wrapd")
    newer = shutil.copy(copy, tmp_path / "newer.db")
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    refused(database, newer, DatabaseUnusable, r"newer.db: made by a newer wrapd \(schema 0999")
    loose = shutil.copy(copy, tmp_path / "loose.db")
    with closing(sqlite3.connect(loose)) as connection, connection:
        connection.execute("UPDATE transitions SET job = 99 WHERE id = 1")
    refused(database, loose, DatabaseFault, "loose.db: is damaged")
    raw = bytearray(copy.read_bytes())
    raw[4096 * 3 : 4096 * 60] = b"\x99" * (4096 * 57)
    (tmp_path / "damaged.db").write_bytes(raw)
    refused(database, tmp_path / "damaged.db", DatabaseFault, "damaged")
    (tmp_path / "cut.db").write_bytes(copy.read_bytes()[: 4096 * 20])
    refused(database, tmp_path / "cut.db", DatabaseFault, "damaged|malformed")


def test_one_that_does_not_fit_changes_nothing(database: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(StoreFailed, match="check the disk"):
            put_back(database)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(database) == {"wrapd.db", "wrapd.db.lock"}
    assert rows(database, "SELECT count(*) FROM jobs") == [(2,)]


@pytest.mark.long
def test_the_first_release_is_restored(database: Path, tmp_path: Path) -> None:
    (tmp_path / "first.db").write_bytes(lzma.decompress(FIRST.read_bytes()))
    done = put_back(database, tmp_path / "first.db")
    assert (done.older, done.since, check_file(database).status) == ("0003", None, "up to date")
    assert rows(database, "SELECT count(*) FROM jobs") == [(10_000,)]
    # Once more over the file as the first release left it: it lacks columns, and is read all the same.
    kept = tmp_path / "kept.db"
    database.replace(kept)
    (tmp_path / "first.db").replace(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        sent = "UPDATE deliveries SET status = 'sent', sent_at = 1, attempts = 1 WHERE status = 'pending'"
        waiting = connection.execute(sent).rowcount
    done = restore(url_of(database), kept, at=later(5))
    assert done.since is not None
    assert done.since.sent == waiting > 0


def test_a_running_daemon_is_not_disturbed(database: Path, tmp_path: Path) -> None:
    with opened(database) as store:
        with pytest.raises(AlreadyRunning):
            put_back(database)
        store.write_now(lambda tx: track(tx, "later"))
        assert store.moved() is None
    assert files(database) == {"wrapd.db", "wrapd.db.lock"}


def test_a_command_that_has_it_open_is_not_disturbed(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.store.restore.BUSY_SECONDS", 0.0)
    monkeypatch.setattr("daemon.store.engine.BUSY_SECONDS", 0.0)
    with closing(open_store(database.parent)) as store:
        store.read(lambda tx: tx.jobs.list())
        with pytest.raises(StoreBusy, match="another program has it open"):
            put_back(database)
        store.write_now(lambda tx: track(tx, "later"))
    assert ("later",) in rows(database, "SELECT job_id FROM jobs")
    put_back(database)


def test_who_opened_the_old_one_just_before_writes_into_neither(database: Path) -> None:
    with closing(open_file(database)) as late:
        put_back(database)
        for statement in ("PRAGMA journal_mode = WAL", "UPDATE jobs SET label = 'late'"):
            with pytest.raises(sqlite3.OperationalError) as refused:
                late.execute(statement)
            assert refused.value.sqlite_errorname == "SQLITE_READONLY_DBMOVED"
    assert files(database) == {"wrapd.db", "wrapd.db.lock", STAMPED}
    for each in (database, database.with_name(STAMPED)):
        assert rows(each, "SELECT count(*) FROM jobs WHERE label IS NOT NULL") == [(0,)]


def test_another_programs_database_is_left_alone(database: Path, tmp_path: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA application_id = 7")
        connection.execute("CREATE TABLE notes (id)")
    refused(database, tmp_path / "copy.db", DatabaseUnusable, "belongs to another program")


def test_a_backup_of_an_older_wrapd_is_upgraded(database: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    older = empty(tmp_path / "old", "0004")
    with closing(connect(older)) as connection:
        add_job(connection, "of long ago", "PROCESSING")
    raw = older.read_bytes()
    done = put_back(database, older)
    assert (done.older, check_file(database).status) == ("0004", "up to date")
    assert older.read_bytes() == raw
    with opened(database) as store:
        assert [job.job_id for job in store.read(lambda tx: tx.jobs.list())] == ["of long ago"]


def test_going_back_reads_what_a_newer_wrapd_sent(database: Path) -> None:
    with opened(database) as store:
        store.write_now(lambda tx: send(tx, B))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.execute("ALTER TABLE deliveries ADD COLUMN of_the_future TEXT")
        connection.execute("DROP TABLE tokens")
    done = put_back(database)
    assert done.since is not None
    assert done.since.sent == 1
    assert set(alerts(database).values()) == {("sent", False)}


def test_owner_and_mode_are_those_of_the_old_one(database: Path) -> None:
    database.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(database, 65534, 65534)
    put_back(database)
    found = database.stat()
    assert stat.S_IMODE(found.st_mode) == 0o640
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid) == (65534, 65534)


def test_a_new_one_in_the_services_folder_is_the_services(database: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user's guest")
    database.unlink()
    os.chown(database.parent, 65534, 65534)
    database.parent.chmod(0o2770)
    put_back(database)
    found = database.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o660)


def test_what_a_killed_one_left_is_removed(database: Path) -> None:
    os.link(database, database.with_name("wrapd-replaced-20260101T000000Z.db"))
    (database.parent / "wrapd-replaced-20260102T000000Z.db").write_text("of an earlier one")
    for end in ("", "-journal", "-wal"):
        (database.parent / f"wrapd.db.restore{end}").write_text("half")
    put_back(database)
    assert files(database) == {"wrapd.db", "wrapd.db.lock", STAMPED, "wrapd-replaced-20260102T000000Z.db"}
