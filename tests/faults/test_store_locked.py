"""Another process holds the write lock: reads go on, writes wait, then fail with a clear message."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.errors import Exit
from daemon.store import Store, StoreBusy
from tests.support.store import open_store, track

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM jobs")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
print("let go", flush=True)
"""


class Holder:
    """A process that holds the write lock until told to release it."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say("held")

    def let_go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._say("let go")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("daemon.store.engine.BUSY_SECONDS", 0.2)
    store = open_store(tmp_path, daemon=True)
    store.write_now(track)
    yield store
    store.close()


async def test_writing_says_busy_and_works_again_afterwards(store: Store) -> None:
    holder = Holder(store.path)
    try:
        with pytest.raises(StoreBusy, match="another program is writing to the database") as caught:
            await store.write(lambda tx: track(tx, "job-2"))
        assert caught.value.exit_status is Exit.DATABASE
        assert [job.job_id for job in store.read(lambda tx: tx.jobs.list())] == ["job-1"]
        assert store.writer_health().waiting == 0
        holder.let_go()
        assert await store.write(lambda tx: track(tx, "job-2")) == 2
    finally:
        holder.kill()


async def test_a_holder_that_is_killed_holds_nothing(store: Store) -> None:
    holder = Holder(store.path)
    holder.kill()
    assert await store.write(lambda tx: track(tx, "job-2")) == 2
