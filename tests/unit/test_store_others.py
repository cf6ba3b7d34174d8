"""Commits of other programs are noticed without a transaction; the daemon's own are not."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.store import Store, Transaction
from tests.support.store import open_store, track


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path, daemon=True)
    yield store
    store.close()


def test_another_program_that_commits_changes_the_token_once(daemon: Store, tmp_path: Path) -> None:
    before = daemon.others_version()
    assert daemon.others_version() == before
    program = (
        "import sqlite3; c = sqlite3.connect('wrapd.db'); "
        "c.execute(\"INSERT INTO project_status VALUES ('main', '{}', 1)\"); c.commit()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    after = daemon.others_version()
    assert after != before
    assert daemon.others_version() == after


async def test_its_own_writes_do_not_change_it_in_any_thread(daemon: Store) -> None:
    before = daemon.others_version()
    await daemon.write(lambda tx: track(tx, "job-1"))
    daemon.write_here(lambda tx: track(tx, "job-2"))
    with daemon._writer._turn:  # type: ignore[union-attr] - the writer's thread answers before it is through
        pass
    assert daemon.others_version() == before


async def test_a_commit_that_its_own_transaction_saw_first_changes_it_all_the_same(
    daemon: Store, tmp_path: Path
) -> None:
    before = daemon.others_version()
    with closing(open_store(tmp_path)) as command:
        command.write_now(lambda tx: track(tx, "job-1"))
    await daemon.write(lambda tx: track(tx, "job-2"))
    with daemon._writer._turn:  # type: ignore[union-attr]
        pass
    assert daemon.others_version() != before


def test_what_is_read_or_undone_elsewhere_does_not_change_it(daemon: Store, tmp_path: Path) -> None:
    def undone(tx: Transaction) -> None:
        track(tx, "job-1")
        raise ZeroDivisionError

    with closing(open_store(tmp_path)) as command:
        before = daemon.others_version()
        command.read(lambda tx: tx.jobs.list())
        with pytest.raises(ZeroDivisionError):
            command.write_now(undone)
        assert daemon.others_version() == before


def test_it_equals_nothing_while_a_transaction_is_written_and_after_a_failed_one(daemon: Store) -> None:
    before = daemon.others_version()
    seen = daemon.write_here(lambda tx: (daemon.others_version(), daemon.others_version()))
    assert before not in seen
    assert seen[0] != seen[1]
    daemon._writer._engine.dispose()  # type: ignore[union-attr] - as after an error: a new connection counts anew
    assert daemon.others_version() != before
    assert daemon.others_version() == daemon.others_version()


def test_a_command_is_told_of_all_commits_and_a_closed_daemon_does_not_know(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as command, closing(open_store(tmp_path)) as other:
        before = command.others_version()
        command.read(lambda tx: tx.jobs.list())
        assert command.others_version() == before
        other.write_now(track)
        after = command.others_version()
        assert after != before
        command.write_now(lambda tx: track(tx, "job-2"))
        assert command.others_version() != after
    daemon = open_store(tmp_path, daemon=True)
    daemon.close()
    assert daemon.others_version() != daemon.others_version()
