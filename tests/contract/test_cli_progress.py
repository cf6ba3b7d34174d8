"""Progress bars: only of long work, only on a terminal, and true."""

import io
import re
import sys
from contextlib import closing
from pathlib import Path

import pytest

from daemon.cli import progress as module
from daemon.cli.progress import progress
from daemon.clock import ManualClock
from daemon.store import Store, backup, upgrade
from tests.support.cli_runner import Runner
from tests.support.old_schema import add_job, connect, empty
from tests.support.store import NOW, SILENT, open_store, record, track, url_of
from tests.support.terminal import Screen


class Tty(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock(NOW)
    monkeypatch.setattr(module, "CLOCK", clock)
    return clock


def test_a_bar_appears_after_a_second_and_is_gone_at_the_end(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tty = Tty()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", tty)
    with progress("Copying") as step:
        assert step is not None
        step(10, 100)
        assert tty.getvalue() == ""
        clock.advance(1.0)
        step(50, 100)
        assert "Copying" in tty.getvalue()
        assert " 50%" in tty.getvalue()
        step(100, 100)
        step(110, 100)
        assert "100%" in tty.getvalue()
    screen = Screen(80, 24)
    shown = re.sub("\x1b\\[\\?25[lh]", "", tty.getvalue())  # the cursor, hidden and shown
    screen.feed(shown.replace("\n", "\r\n"))
    assert screen.text() == ""


def test_quick_work_and_a_pipe_have_none(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    tty = Tty()
    monkeypatch.setattr(sys, "stderr", tty)
    with progress("Copying") as step:
        assert step is not None
        step(100, 100)
    assert tty.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("Copying") as step:
        assert step is None


def test_a_backup_tells_its_pages_and_stays_one_state_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.store.health._PAGES", 1)
    told: list[tuple[int, int]] = []
    with closing(open_store(tmp_path)) as store:
        store.write_now(lambda tx: track(tx, "before"))

        def step(done: int, total: int) -> None:
            told.append((done, total))
            store.write_now(lambda tx: track(tx, f"meanwhile-{done}"))

        backup(url_of(store.path), tmp_path / "copy.db", step=step)
    assert len(told) > 20
    assert told == [(number + 1, told[0][1]) for number in range(len(told))]
    assert told[-1][0] == told[-1][1]
    with closing(Store.open(url_of(tmp_path / "copy.db"), clock=ManualClock(NOW))) as copy:
        assert [row.job_id for row in copy.read(lambda tx: tx.jobs.list())] == ["before"]


def test_an_upgrade_tells_its_migrations_and_ticks_in_long_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = empty(tmp_path, "0003")
    with closing(connect(path)) as connection:
        for number in range(20):
            add_job(connection, f"job-{number}", "SUCCEED", tracking="finished")
    monkeypatch.setattr("daemon.store.migrate._OPERATIONS", 100)
    told: list[tuple[int, int]] = []
    assert upgrade(url_of(path), step=lambda done, total: told.append((done, total)))
    assert sorted(told) == told
    assert {total for _, total in told} == {told[-1][0]}
    assert {done for done, _ in told} == set(range(told[-1][0] + 1))
    assert len(told) > 3 * told[-1][0]
    assert not upgrade(url_of(path), step=lambda done, total: told.append((done, total)))


def test_track_tells_its_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrapd = Runner(tmp_path, capsys)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("daemon.cli.track.progress", lambda _: closing(Told(told)))
    ids = [f"job-{number}" for number in range(600)]
    assert wrapd("track", "-", stdin="\n".join(ids).encode()).status == 0
    assert told == [(number, 600) for number in range(600)]


def test_prune_tells_what_it_deletes_and_asks_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapd = Runner(tmp_path, capsys)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("daemon.cli.db.progress", lambda _: closing(Told(told)))
    with closing(open_store(tmp_path)) as store:  # its times are long ago
        for number in range(300):
            store.write_now(lambda tx, n=number: record(tx, track(tx, f"job-{n}"), "SUCCEED", routes=SILENT))
        store.write_now(lambda tx: track(tx, "tracked"))
    asked = wrapd("db", "prune", "--older-than", "1d")
    assert (asked.status, "delete up to 300 records; add --yes" in asked.err) == (2, True)
    assert wrapd("db", "prune", "--older-than", "3h").status == 2
    assert wrapd("db", "prune", "--older-than", "3650d", "--yes").out.startswith("nothing is older than")
    assert wrapd("db", "prune", "--older-than", "1d", "--yes").out == "300 records deleted\n"
    assert told == [(300, 300)]
    with closing(open_store(tmp_path)) as store:
        assert [row.job_id for row in store.read(lambda tx: tx.jobs.list())] == ["tracked"]
        [act] = store.read(lambda tx: tx.actions.page(limit=5)).rows
    assert (act.what, act.count) == ("prune", 300)
    wrapd.config.write_text(wrapd.config.read_text() + '[retention]\nkeep = "0s"\n')
    assert "retention.keep is off" in wrapd("db", "prune").err


class Told:
    """A step that notes what it is told."""

    def __init__(self, told: list[tuple[int, int]]) -> None:
        self._told = told

    def __call__(self, done: int, total: int) -> None:
        self._told.append((done, total))

    def close(self) -> None:
        return
