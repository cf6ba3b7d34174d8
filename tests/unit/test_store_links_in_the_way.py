"""A link in place of a file that wrapd writes next to its database: its target is not touched."""

import os
import socket
from pathlib import Path

import pytest

from daemon.clock import ManualClock
from daemon.errors import DatabaseFault
from daemon.store import Store
from daemon.store.health import backup
from daemon.store.lock import DaemonLock
from tests.support.store import NOW, track, url_of

VICTIM = b"what somebody else wrote\n"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(VICTIM)
    return path


def test_a_symbolic_link_as_lock_file_is_refused_and_its_target_kept(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "wrapd.db.lock").symlink_to(victim)
    with pytest.raises(DatabaseFault, match="is a symbolic link to another file"):
        DaemonLock.take(tmp_path / "wrapd.db")
    assert victim.read_bytes() == VICTIM


def test_a_symbolic_link_into_nothing_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "wrapd.db.lock").symlink_to(tmp_path / "made")
    with pytest.raises(DatabaseFault, match="is a symbolic link to another file"):
        DaemonLock.take(tmp_path / "wrapd.db")
    assert not (tmp_path / "made").exists()


def test_a_second_name_of_another_file_is_refused(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "wrapd.db.lock").hardlink_to(victim)
    with pytest.raises(DatabaseFault, match="a hard link to another file"):
        DaemonLock.take(tmp_path / "wrapd.db")
    assert victim.read_bytes() == VICTIM


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "wrapd.db.lock"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(path))
        case _:
            path.symlink_to("/dev/null")
    with pytest.raises(DatabaseFault, match=r"wrapd\.db\.lock: the lock file"):
        DaemonLock.take(tmp_path / "wrapd.db")


@pytest.mark.parametrize("beside", ["-wal", "-shm", "-journal"])
def test_sqlites_own_files_follow_no_link(tmp_path: Path, victim: Path, beside: str) -> None:
    (tmp_path / f"wrapd.db{beside}").symlink_to(victim)
    try:
        store = Store.open(url_of(tmp_path / "wrapd.db"), clock=ManualClock(NOW), daemon=True)
    except DatabaseFault:
        pass
    else:
        store.write_now(lambda tx: track(tx, "job-1"))
        store.close()
    assert victim.read_bytes() == VICTIM


@pytest.mark.parametrize("name", ["copy.db", "copy.db.part"])
def test_a_backup_follows_no_link(tmp_path: Path, victim: Path, name: str) -> None:
    url = url_of(tmp_path / "wrapd.db")
    Store.open(url, clock=ManualClock(NOW), daemon=True).close()
    (tmp_path / name).symlink_to(victim)
    with pytest.raises(DatabaseFault):
        backup(url, tmp_path / "copy.db")
    assert victim.read_bytes() == VICTIM


def test_a_lock_that_another_holds_is_not_written_to(tmp_path: Path) -> None:
    first = DaemonLock.take(tmp_path / "wrapd.db")
    said = first.path.read_bytes()
    with pytest.raises(Exception, match="another wrapd"):
        DaemonLock.take(tmp_path / "wrapd.db")
    assert first.path.read_bytes() == said == f"{os.getpid()}\n".encode()
    first.release()
