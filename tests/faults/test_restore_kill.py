"""`kill -9` at each line of a restoration: the database is the old or the new one, whole; a second try works."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.store import backup
from daemon.store.restore import restore
from tests.support.programs import ROOT
from tests.support.store import NOW, open_store, record, track, url_of

OLD, NEW = [("before",), ("in the log",)], [("before",)]


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder in memory, where some thousand fsyncs take no time."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def prototype(place: Path) -> Path:
    """Return the folder of a database whose daemon was killed, with `copy.db` next to it."""
    folder = place / "prototype"
    folder.mkdir()
    with closing(open_store(place)) as store:
        store.write_now(lambda tx: record(tx, track(tx, "before"), "SUCCEED"))
        backup(url_of(store.path), place / "copy.db")
        store.write_now(lambda tx: track(tx, "in the log"))
        for end in ("", "-wal", "-shm"):
            shutil.copy(place / f"wrapd.db{end}", folder)
    assert (folder / "wrapd.db-wal").stat().st_size > 0
    return folder


def jobs(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return connection.execute("SELECT job_id FROM jobs ORDER BY id").fetchall()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_kill_at_each_line_leaves_one_of_the_two(prototype: Path, place: Path) -> None:
    scratch, copy = place / "scratch", place / "copy.db"
    scratch.mkdir()
    command = [sys.executable, "-m", "tests.support.killing_lines", prototype, scratch, copy]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=500)
    seen: list[list[tuple[str]]] = []
    tried: set[frozenset[str]] = set()
    for number, folder in enumerate(sorted(scratch.iterdir())):
        left = frozenset(each.name for each in folder.iterdir())
        with closing(open_store(folder, daemon=True)) as store:
            found = [(job.job_id,) for job in reversed(store.read(lambda tx: tx.jobs.list()))]
        assert jobs(folder / "wrapd.db") == found
        if left not in tried or number % 20 == 0:
            try_again(folder, copy, found)
        tried.add(left)
        seen.append(found)
    exchange = seen.index(NEW)
    assert seen == [OLD] * exchange + [NEW] * (len(seen) - exchange)  # one moment, and no way back
    assert 100 < exchange < len(seen) - 3
    assert len(tried) > 4


def try_again(folder: Path, copy: Path, found: list[tuple[str]]) -> None:
    """Restore again, once a daemon has started and ended."""
    done = restore(url_of(folder / "wrapd.db"), copy, at=NOW + timedelta(days=1))
    assert jobs(folder / "wrapd.db") == NEW
    assert done.kept is not None
    assert jobs(done.kept) == found
    others = {each.name for each in folder.iterdir()} - {"wrapd.db", "wrapd.db.lock", done.kept.name}
    assert [jobs(folder / each) for each in others] == ([] if found == OLD else [OLD])
