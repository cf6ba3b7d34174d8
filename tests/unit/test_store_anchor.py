"""A daemon's open file and its path: every way in which they can diverge is noticed, and none corrupts a file."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.clock import ManualClock
from daemon.store import Store
from tests.support.store import NOW, open_store, track


def beside(folder: Path, end: str) -> Path:
    return folder / f"wrapd.db{end}"


def replace(folder: Path, end: str = "") -> None:
    shutil.copy(beside(folder, end), folder / "copy")
    (folder / "copy").replace(beside(folder, end))


def replace_by_link(folder: Path) -> None:
    shutil.copy(beside(folder, ""), folder / "copy")
    beside(folder, "").unlink()
    beside(folder, "").symlink_to(folder / "copy")


def job_ids(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [job for (job,) in connection.execute("SELECT job_id FROM jobs ORDER BY job_id")]
    finally:
        connection.close()


@pytest.fixture
def store(tmp_path: Path):
    folder = tmp_path / "state"
    folder.mkdir()
    with_one = open_store(folder, daemon=True)
    with_one.write_now(track)
    yield with_one
    with_one.close()


@pytest.mark.parametrize(
    ("move", "says"),
    [
        pytest.param(lambda folder: beside(folder, "").unlink(), "moved or deleted", id="deleted"),
        pytest.param(replace, "replaced", id="replaced"),
        pytest.param(replace_by_link, "replaced", id="replaced by a link"),
        pytest.param(lambda folder: beside(folder, "").rename(folder / "x"), "moved or deleted", id="renamed"),
        pytest.param(
            lambda folder: folder.rename(folder.with_name("old")), "moved or deleted", id="folder renamed"
        ),
        pytest.param(lambda folder: beside(folder, "-wal").unlink(), "-wal: was moved or", id="log deleted"),
        pytest.param(lambda folder: replace(folder, "-wal"), "-wal: was replaced", id="log replaced"),
        pytest.param(lambda folder: beside(folder, "-shm").unlink(), "-shm: was moved or", id="index deleted"),
        pytest.param(lambda folder: beside(folder, ".lock").unlink(), ".lock: was moved or", id="lock deleted"),
    ],
)
def test_a_file_that_is_not_the_open_one_is_seen(store: Store, move: Callable[[Path], object], says: str) -> None:
    assert store.moved() is None
    move(store.path.parent)
    assert says in (store.moved() or "")


def test_work_beside_it_is_no_reason(store: Store) -> None:
    for number in range(3):
        other = open_store(store.path.parent)
        other.write_now(lambda tx, number=number: track(tx, f"job-{number}"))
        other.close()
    store.write_now(lambda tx: track(tx, "own"))
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    assert store.moved() is None


def test_what_was_written_is_in_the_file_that_was_moved_away(store: Store) -> None:
    folder = store.path.parent
    store.path.rename(folder / "kept.db")
    store.part()
    assert not beside(folder, "-wal").exists(), "beside another file it would be taken for that one's"
    store.close()
    assert job_ids(folder / "kept.db") == ["job-1"]
    assert not store.path.exists(), "nothing makes an empty one in its place"


def test_a_backup_that_is_put_in_place_is_not_spoilt_by_the_log_of_the_old_file(store: Store) -> None:
    folder = store.path.parent
    backup = open_store(folder.parent)
    backup.write_now(lambda tx: track(tx, "from the backup"))
    backup.close()
    (folder.parent / "wrapd.db").replace(store.path)
    store.part()
    assert job_ids(store.path) == ["from the backup"]
    store.close()
    assert job_ids(store.path) == ["from the backup"]


def test_a_deleted_log_is_saved_into_the_file(store: Store) -> None:
    beside(store.path.parent, "-wal").unlink()
    store.part()
    store.close()
    assert job_ids(store.path) == ["job-1"]


def test_a_command_has_nothing_to_watch(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.path.unlink()
    assert store.moved() is None
    store.part()
    store.close()


@pytest.mark.parametrize("of_folder", [False, True])
def test_a_link_that_leads_elsewhere_is_seen(tmp_path: Path, of_folder: bool) -> None:
    state, other = tmp_path / "state", tmp_path / "other"
    state.mkdir()
    other.mkdir()
    (other / "wrapd.db").touch()
    link = tmp_path / "link"
    link.symlink_to(state if of_folder else state / "wrapd.db")
    store = Store.open(
        f"sqlite:///{link / 'wrapd.db' if of_folder else link}", clock=ManualClock(NOW), daemon=True
    )
    store.write_now(track)
    assert store.moved() is None
    link.unlink()
    link.symlink_to(other if of_folder else other / "wrapd.db")
    assert "replaced" in (store.moved() or "")
    store.part()
    store.close()
    assert len(job_ids(state / "wrapd.db")) == 1
    assert (other / "wrapd.db").read_bytes() == b""
