"""Opening: a file that is not wrapd's is refused with one clear message and left unchanged; one daemon for one
file."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemon.clock import ManualClock, SystemClock
from daemon.errors import AlreadyRunning, DatabaseFault, Exit
from daemon.store import SchemaStatus, Store, StoreClosed, check, current, upgrade
from daemon.store.engine import APPLICATION_ID
from daemon.store.health import backup
from tests.support.store import open_store, track, url_of

_HOLD = """
import sys
from daemon.clock import SystemClock
from daemon.store import Store
store = Store.open(sys.argv[1], clock=SystemClock(), daemon=True)
print("open", file=sys.stderr, flush=True)
sys.stdin.read()
"""


def database(folder: Path, *statements: str) -> Path:
    path = folder / "wrapd.db"
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:hidden@h/d", "a postgresql database is not supported"),
        ("sqlite+aiosqlite:///x.db", "is not supported"),
        ("wrapd.db", "this is not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/x.db", "names no file"),
        ("sqlite:///x.db?mode=ro", "names no file"),
    ],
)
def test_other_databases_are_refused(url: str, says: str) -> None:
    with pytest.raises(DatabaseFault, match=says) as caught:
        Store.open(url, clock=ManualClock())
    assert "sqlite:///wrapd.db" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.exit_status is Exit.UNUSABLE


def test_a_path_starts_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Store.open("sqlite:///here 100% #1.db", clock=ManualClock()).close()
    assert (tmp_path / "here 100% #1.db").is_file()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseFault, match=f"the folder {tmp_path}/none does not exist"):
        open_store(tmp_path / "none", daemon=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o007, 0o022, 0o077])
def test_the_files_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = open_store(tmp_path, daemon=True)
        store.write_now(track)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("wrapd.db", "wrapd.db-wal", "wrapd.db-shm", "wrapd.db.lock"), 0o660 & ~umask)


def test_every_connection_has_the_pragmas(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    def pragmas(tx):
        connection = tx.jobs._connection
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "application_id", "query_only")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert store.write_now(pragmas) == ["wal", 2, 1, 5000, APPLICATION_ID, 0]
    assert store.read(pragmas) == ["wal", 2, 1, 5000, APPLICATION_ID, 1]
    store.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE theirs (x)"],
        ["PRAGMA application_id = 42"],
        ["CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES ('0001')"],
    ],
)
@pytest.mark.parametrize("daemon", [True, False])
def test_the_database_of_another_program_is_refused_untouched(
    tmp_path: Path, statements: list[str], daemon: bool
) -> None:
    path = database(tmp_path, *statements)
    before = path.read_bytes()
    with pytest.raises(DatabaseFault, match="belongs to another program"):
        open_store(tmp_path, daemon=daemon)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["wrapd.db"]


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0 cut", os.urandom(8192)])
def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrapd.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseFault, match="belongs to another program"):
        open_store(tmp_path, daemon=True)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "wrapd.db").mkdir()
    with pytest.raises(DatabaseFault, match="Is a directory"):
        open_store(tmp_path)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    path = tmp_path / "wrapd.db"
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    with pytest.raises(DatabaseFault, match="restore a backup"):
        open_store(tmp_path)


def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    path = database(tmp_path, "UPDATE alembic_version SET version_num = '0999'")
    before = path.read_bytes()
    with pytest.raises(DatabaseFault, match=r"made by a newer wrapd .*0999.*upgrade the program, or restore"):
        open_store(tmp_path, daemon=True)
    assert check(url_of(path)).status is SchemaStatus.NEWER
    assert path.read_bytes() == before


def test_without_auto_migrate_a_missing_schema_is_told(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    with pytest.raises(DatabaseFault, match="wrapd db upgrade"):
        Store.open(url, clock=ManualClock(), auto_migrate=False)
    assert list(tmp_path.iterdir()) == []
    assert upgrade(url)
    assert not upgrade(url)
    assert current(url) == check(url).needed
    Store.open(url, clock=ManualClock(), auto_migrate=False).close()


def test_a_second_daemon_is_told_who_runs(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stderr is not None
        assert first.stderr.readline() == "open\n"
        with pytest.raises(AlreadyRunning, match=rf"\(pid {first.pid}, lock file .*wrapd\.db\.lock\)") as caught:
            Store.open(url, clock=SystemClock(), daemon=True)
        assert caught.value.exit_status is Exit.RUNNING
        link = tmp_path / "other name.db"
        link.symlink_to(tmp_path / "wrapd.db")
        with pytest.raises(AlreadyRunning):
            Store.open(url_of(link), clock=SystemClock(), daemon=True)
        command = Store.open(url, clock=SystemClock())  # a command may still open it
        command.write_now(track)
        command.close()
        first.kill()
    Store.open(url, clock=SystemClock(), daemon=True).close()


def test_closing_lets_the_next_daemon_in(tmp_path: Path) -> None:
    for _ in range(2):
        store = open_store(tmp_path, daemon=True)
        store.close()
        store.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "wrapd-writer"]


def test_a_failed_start_lets_go_of_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise DatabaseFault("no room")

    with monkeypatch.context() as patch:
        patch.setattr("daemon.store.migrate.prove_writable", fail)
        with pytest.raises(DatabaseFault, match="no room"):
            open_store(tmp_path, daemon=True)
    open_store(tmp_path, daemon=True).close()


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false"])
def test_a_daemon_migrates_itself_where_no_process_can_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    open_store(tmp_path, daemon=True).close()
    assert check(url_of(tmp_path / "wrapd.db")).status is SchemaStatus.UP_TO_DATE


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    store.close()
    with pytest.raises(StoreClosed):
        store.read(lambda tx: tx.jobs.list())
    with pytest.raises(StoreClosed):
        store.write_now(track)
    with pytest.raises(StoreClosed):
        await store.write(track)


def test_a_backup_is_one_moment_of_a_database_in_use(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    store.write_now(track)
    target = tmp_path / "copy" / "wrapd.db"
    target.parent.mkdir()
    backup(url_of(store.path), target)
    store.write_now(lambda tx: track(tx, "job-2"))
    store.close()
    assert [file.name for file in target.parent.iterdir()] == ["wrapd.db"]
    copy = open_store(target.parent)
    assert [job.job_id for job in copy.read(lambda tx: tx.jobs.list())] == ["job-1"]
    copy.close()


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    url = url_of(tmp_path / "wrapd.db")
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(DatabaseFault, match="is not overwritten"):
        backup(url, target)
    with pytest.raises(DatabaseFault, match="choose another folder"):
        backup(url, tmp_path / "none" / "copy.db")
    with pytest.raises(DatabaseFault, match="nothing to back up"):
        backup(url_of(tmp_path / "missing.db"), tmp_path / "x.db")
    assert target.read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "wrapd.db"]
