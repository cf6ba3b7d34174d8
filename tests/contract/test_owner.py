"""Files that root creates in the service's folder are usable by the service, and reading creates none."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.errors import Exit
from daemon.store.lock import DaemonLock
from tests.support.cli_runner import Runner
from tests.support.store import open_store, track

NOBODY = 65534
READING = [
    ("jobs",),
    ("show", "a"),
    ("explain", "a"),
    ("stats",),
    ("deliveries",),
    ("channels",),
    ("routes", "explain", "a"),
    ("links", "list"),
    ("untrack", "a"),
    ("deliveries", "retry", "1"),
    ("links", "revoke", "a"),
    ("db", "check"),
    ("db", "backup", "copy.db"),
]


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder as systemd creates it for the service."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user's guest")
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    state.chmod(0o2770)
    before = os.umask(0o022)
    yield state
    os.umask(before)


def owners(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        file.name: (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
        for file in folder.iterdir()
        for found in [file.stat()]
    }


@pytest.mark.parametrize("daemon", [True, False])
def test_what_root_makes_belongs_to_the_owner_of_the_folder(folder: Path, daemon: bool) -> None:
    store = open_store(folder, daemon=daemon)
    store.write_now(track)
    files = ["wrapd.db", "wrapd.db-wal", "wrapd.db-shm", *(["wrapd.db.lock"] if daemon else [])]
    assert owners(folder) == dict.fromkeys(files, (NOBODY, NOBODY, 0o660))
    store.close()


def test_files_beside_the_services_database_are_the_services(folder: Path) -> None:
    open_store(folder).close()
    for file in folder.iterdir():
        os.chown(file, NOBODY, NOBODY)
        file.chmod(0o640)
    store = open_store(folder)
    store.read(lambda tx: tx.jobs.find("x"))  # type: ignore[arg-type]
    lock = DaemonLock.take(folder / "wrapd.db")
    assert {(uid, gid) for uid, gid, _ in owners(folder).values()} == {(NOBODY, NOBODY)}
    lock.release()
    store.close()


def test_a_folder_of_roots_stays_roots(tmp_path: Path) -> None:
    open_store(tmp_path, daemon=True).close()
    assert {uid for uid, _, _ in owners(tmp_path).values()} == {os.geteuid()}


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_command_that_puts_nothing_into_it_makes_no_database(wrapd: Runner, command: tuple[str, ...]) -> None:
    before = sorted(wrapd.folder.iterdir())
    result = wrapd(*command)
    assert (result.status, result.out) == (Exit.DATABASE, "")
    assert "no database yet; `wrapd run` or `wrapd db upgrade` creates it" in result.err
    assert result.err.count("\n") == 1
    assert sorted(wrapd.folder.iterdir()) == before


def test_links_in_a_circle_are_one_message(wrapd: Runner) -> None:
    wrapd.database.symlink_to(wrapd.database)
    for command in (("jobs",), ("track", "a"), ("db", "upgrade"), ("db", "check")):
        result = wrapd(*command)
        assert (result.status, result.err.count("\n")) == (Exit.UNUSABLE, 1)
    assert wrapd("doctor").status == Exit.FAILED


def test_a_pipe_is_no_database(wrapd: Runner) -> None:
    os.mkfifo(wrapd.database)
    for command in (("jobs",), ("track", "a"), ("doctor",)):
        result = wrapd(*command)
        assert result.status == (Exit.FAILED if command == ("doctor",) else Exit.UNUSABLE)
        assert "is not a file" in result.err + result.out


def test_doctor_makes_none_either(wrapd: Runner) -> None:
    before = sorted(wrapd.folder.iterdir())
    assert "does not exist yet; `wrapd run` creates it" in wrapd("doctor").out
    assert sorted(wrapd.folder.iterdir()) == before


def test_a_command_that_only_reads_upgrades_nothing(wrapd: Runner) -> None:
    assert wrapd("track", "a").status == 0
    store = open_store(wrapd.database.parent)
    assert wrapd.database.name == store.path.name
    store.write_now(
        lambda tx: tx.jobs._connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    )
    store.close()
    result = wrapd("jobs")
    assert (result.status, "wrapd db upgrade" in result.err) == (Exit.UNUSABLE, True)
