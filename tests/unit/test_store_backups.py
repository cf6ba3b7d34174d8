"""Backups that are kept: the newest N stay, nothing else is touched, and a failed one costs no other."""

import fcntl
import os
import resource
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.errors import DatabaseFault
from daemon.store.backups import back_up, folder_of, newest
from daemon.store.errors import StoreFailed
from tests.support.store import NOW, later, open_store, track, url_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with closing(open_store(folder)) as store:
        store.write_now(track)
    return folder / "wrapd.db"


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    shutil.copy(made, tmp_path)
    return tmp_path / "wrapd.db"


def backed_up(database: Path, days: int, *, keep: int | None) -> list[str]:
    """Make a backup on each of some days; return the names of all that are there."""
    for day in range(days):
        back_up(url_of(database), folder_of(database), keep=keep, at=NOW + timedelta(days=day))
    return names(folder_of(database))


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_the_newest_are_kept_private_and_whole(database: Path) -> None:
    assert backed_up(database, 5, keep=2) == ["wrapd-20260304T120000Z.db", "wrapd-20260305T120000Z.db"]
    folder = folder_of(database)
    assert stat.S_IMODE(folder.stat().st_mode) & 0o027 == 0
    for each in folder.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
        assert each.stat().st_nlink == 1
        with closing(sqlite3.connect(each)) as connection:
            assert connection.execute("SELECT job_id FROM jobs").fetchall() == [("job-1",)]
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert newest(database) == (NOW.replace(microsecond=0) + timedelta(days=4), 2)


def test_without_a_number_all_are_kept(database: Path) -> None:
    assert len(backed_up(database, 4, keep=None)) == 4


def test_what_was_removed_is_said(database: Path) -> None:
    backed_up(database, 3, keep=3)
    done = back_up(url_of(database), folder_of(database), keep=2, at=later(9e6))
    assert [each.name for each in done.removed] == ["wrapd-20260302T120000Z.db", "wrapd-20260301T120000Z.db"]


def test_the_new_one_stays_where_the_clock_was_set_back(database: Path) -> None:
    backed_up(database, 3, keep=3)
    done = back_up(url_of(database), folder_of(database), keep=1, at=NOW - timedelta(days=9))
    assert names(folder_of(database)) == [done.path.name] == ["wrapd-20260220T120000Z.db"]


def test_nothing_that_it_did_not_make_is_removed(database: Path) -> None:
    folder = folder_of(database)
    backed_up(database, 1, keep=1)
    [own] = folder.iterdir()
    for name in ("wrapd-2026-03-01.db", "other-20250101T000000Z.db", "wrapd-20250101T000000Z.db.bak"):
        (folder / name).write_bytes(own.read_bytes())
    (folder / "wrapd-20259999T000000Z.db").write_bytes(own.read_bytes())  # no such day
    (folder / "wrapd-20250101T000000Z.db").write_text("notes of somebody")
    (folder / "wrapd-20250102T000000Z.db").symlink_to(own)
    (folder / "wrapd-20250103T000000Z.db").mkdir()
    before = names(folder)
    back_up(url_of(database), folder, keep=1, at=NOW + timedelta(days=1))
    assert names(folder) == sorted({*before, "wrapd-20260302T120000Z.db"} - {own.name})


def test_a_damaged_database_costs_no_backup(database: Path) -> None:
    before = backed_up(database, 2, keep=2)
    raw = bytearray(database.read_bytes())
    raw[4096 * 3 : 4096 * 30] = b"\x99" * 4096 * 27
    database.write_bytes(raw)
    with pytest.raises(DatabaseFault):
        back_up(url_of(database), folder_of(database), keep=1, at=NOW + timedelta(days=2))
    assert names(folder_of(database)) == before


def test_one_that_does_not_fit_costs_no_backup(database: Path) -> None:
    before = backed_up(database, 2, keep=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(StoreFailed, match="check the disk"):
            back_up(url_of(database), folder_of(database), keep=1, at=NOW + timedelta(days=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(folder_of(database)) == before


def test_what_a_killed_one_left_is_removed(database: Path) -> None:
    backed_up(database, 1, keep=1)
    folder = folder_of(database)
    for end in (".part", ".part-journal"):
        (folder / f"wrapd-20260228T120000Z.db{end}").write_bytes(b"half")
    (folder / "mine.part").touch()
    back_up(url_of(database), folder, keep=1, at=NOW + timedelta(days=1))
    assert names(folder) == ["mine.part", "wrapd-20260302T120000Z.db"]


def test_two_at_a_time_do_not_disturb_each_other(database: Path) -> None:
    before = backed_up(database, 1, keep=1)
    descriptor = os.open(folder_of(database), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(DatabaseFault, match="another backup into it is running"):
            back_up(url_of(database), folder_of(database), keep=1, at=NOW + timedelta(days=1))
    finally:
        os.close(descriptor)
    assert names(folder_of(database)) == before
    back_up(url_of(database), folder_of(database), keep=1, at=NOW + timedelta(days=1))


def test_two_in_one_second_overwrite_nothing(database: Path) -> None:
    backed_up(database, 1, keep=1)
    with pytest.raises(DatabaseFault, match="is not overwritten"):
        back_up(url_of(database), folder_of(database), keep=1, at=NOW)


def test_a_folder_that_is_none_is_one_message(database: Path) -> None:
    folder_of(database).touch()
    with pytest.raises(DatabaseFault, match="is not a folder"):
        back_up(url_of(database), folder_of(database), keep=1, at=NOW)
    with pytest.raises(DatabaseFault, match="cannot be made"):
        back_up(url_of(database), database.parent / "a" / "b", keep=1, at=NOW)
    assert newest(database) is None


def test_one_that_is_made_at_work_is_one_state(database: Path) -> None:
    with closing(open_store(database.parent, daemon=True)) as store:
        store.write_now(lambda tx: track(tx, "job-2"))
        done = back_up(url_of(database), folder_of(database), keep=1, at=NOW)
        store.write_now(lambda tx: track(tx, "job-3"))
    with closing(sqlite3.connect(done.path)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
