"""Progress bars: only of long work, only on a terminal, and true."""

import doctest
import fcntl
import io
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

import pytest

from daemon.cli import output
from daemon.cli import progress as module
from daemon.cli.progress import Step, progress
from daemon.clock import ManualClock
from daemon.store import Store, backup, upgrade
from daemon.store.migrate import current
from tests.support.cli_runner import CONFIG, Result, Runner
from tests.support.old_schema import add_job, connect, empty
from tests.support.screens import kept
from tests.support.store import NOW, SILENT, open_store, record, track, url_of
from tests.support.terminal import Screen, Terminal


class Tty(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("no file")

    def taken(self) -> str:
        """Return what was written since the last call."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


@contextmanager
def progress_on(stream: TextIO, monkeypatch: pytest.MonkeyPatch) -> Iterator[Step]:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with progress("Copying") as step:
        assert step is not None
        yield step


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock(NOW)
    monkeypatch.setattr(module, "CLOCK", clock)
    return clock


def test_the_examples_of_a_line_hold() -> None:
    found = doctest.testmod(module)
    assert (found.attempted, found.failed) == (4, 0)


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_a_bar_is_one_line_of_any_terminal_and_gone_at_the_end(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    tty, screen, shown = Tty(), Screen(columns, 6), []
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stderr", tty)

    def look(when: str) -> None:
        screen.feed(tty.taken())
        shown.append(f"{when}:\n{screen.text()}")

    with progress("Copying") as step:
        assert step is not None
        step(10, 100)
        look("at first")
        clock.advance(1.0)
        step(0, 100)
        look("after a second")
        clock.advance(8.0)
        step(45, 100)
        look("later")
        screen.resize(30, 6)
        monkeypatch.setenv("COLUMNS", "30")
        clock.advance(0.2)
        step(50, 100)
        look("narrower")
        tty.write("a line of the log that is longer than the bar\r\n")
        clock.advance(0.2)
        step(110, 100)
        look("after a line of the log")
        clock.advance(0.01)
        step(100, 100)
        assert tty.taken() == "", "it is not drawn more often than one can see"
    look("at the end")
    assert screen.scrolled == 0
    kept(f"progress-{columns}", "".join(shown))


def test_the_time_left_is_that_of_the_stage(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    tty = Tty()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", tty)
    with progress("Restoring") as step:
        assert step is not None
        clock.advance(100)
        step(50, 100)
        assert " 50%  2m left" in tty.taken()
        step(0, 10)
        clock.advance(4)
        step(5, 10)
        assert " 50%  4s left" in tty.taken()


def test_quick_work_a_pipe_and_a_dumb_terminal_have_none(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tty = Tty()
    monkeypatch.setattr(sys, "stderr", tty)
    with progress("Copying") as step:
        assert step is not None
        clock.advance(0.9)
        step(100, 100)
    assert tty.getvalue() == ""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", io.StringIO())
        with progress("Copying") as step:
            assert step is None
    monkeypatch.setenv("TERM", "dumb")
    with progress("Copying") as step:
        assert step is None


def test_work_goes_on_when_its_terminal_goes_away(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    terminal = os.fdopen(follower, "w", encoding="utf-8")
    with progress_on(terminal, monkeypatch) as step:
        os.close(leader)
        clock.advance(2)
        step(1, 2)
    with pytest.raises(OSError, match="Input/output"):
        terminal.close()


def test_a_bar_fits_its_own_terminal_whatever_the_output_is(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 40, 0, 0))
    monkeypatch.delenv("COLUMNS", raising=False)
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        with progress_on(terminal, monkeypatch) as step:
            clock.advance(2)
            step(1, 2)
        output.hint("No daemon uses this database: they are polled once `wrapd run` is started.")
        terminal.flush()
        written = ""
        while not written.endswith("started.\r\n"):
            written += os.read(leader, 4096).decode()
    os.close(leader)
    assert capsys.readouterr().out == ""
    screen = Screen(40, 12)
    screen.feed(written)
    assert screen.text() == "No daemon uses this database: they are\npolled once `wrapd run` is started.\n"
    assert max(map(len, re.split("[\r\n]|\x1b\\[J", written))) < 40


PATIENT = (
    sys.executable,
    "-c",
    "import sys; from daemon.cli import main, progress as p; p.PATIENCE = p._BETWEEN = 0; sys.exit(main())",
)
"""`wrapd` with a bar from the first report on."""


@pytest.mark.parametrize(
    ("columns", "rows", "environ"), [(80, 24, {}), (40, 12, {"NO_COLOR": "1"}), (40, 12, {"LC_ALL": "C"})]
)
def test_tracking_many_on_a_terminal(tmp_path: Path, columns: int, rows: int, environ: dict[str, str]) -> None:
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    (tmp_path / "ids").write_text("".join(f"job-{number}\n" for number in range(500)))
    given = ("track", "--file", str(tmp_path / "ids"), "--json")
    with Terminal(tmp_path, *given, columns=columns, rows=rows, environ=environ, program=PATIENT) as terminal:
        status, _ = terminal.ended()
    bars, _, result = terminal.raw.rpartition("\x1b[J")
    assert status == 0
    assert len(json.loads(result)["jobs"]) == 500
    drawn = [each for each in re.split("\r|\x1b\\[J", bars) if each]
    assert len(drawn) == 500
    assert max(map(len, drawn)) < columns
    assert "\n" not in bars
    assert "\x1b" not in "".join(drawn)


def test_an_interrupted_prune_keeps_and_records_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrapd = Runner(tmp_path, capsys)
    with closing(open_store(tmp_path)) as store:  # its times are long ago
        store.write_now(
            lambda tx: [record(tx, track(tx, f"job-{n}"), "SUCCEED", routes=SILENT) for n in range(2000)]
        )
    slow = PATIENT[2].replace("sys.exit", "p._Bar.step = slow(p._Bar.step); sys.exit")
    program = (*PATIENT[:2], f"slow = lambda step: lambda *a: (step(*a), __import__('time').sleep(1))\n{slow}")
    given = ("db", "prune", "--older-than", "1d")
    with Terminal(tmp_path, *given, columns=40, rows=12, program=program) as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("y\n")
        terminal.wait_for("Deleting  [")
        terminal.type("\x03")
        status, screen = terminal.ended()
    assert status == 130
    said = re.search(r"Interrupted\. (\d+) records deleted so far\.", screen.replace("\n", " "))
    assert said is not None, screen
    kept("progress-interrupted-40", screen.replace(said[1], "N"))
    left = json.loads(wrapd("jobs", "--json").out)
    assert len(left) == 2000 - int(said[1])
    with closing(open_store(tmp_path)) as store:
        [act] = store.read(lambda tx: tx.actions.page(limit=5)).rows
    assert (act.what, act.count) == ("prune", int(said[1]))


def test_an_interrupted_upgrade_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapd = Runner(tmp_path, capsys)
    path = empty(tmp_path, "0003")
    with closing(connect(path)) as connection:
        add_job(connection, "job", "SUCCEED", tracking="finished")
    monkeypatch.setattr("daemon.store.migrate._OPERATIONS", 100)

    told: list[int] = []

    def pressed(done: int, total: int) -> None:
        told.append(done)
        if told.count(3) == 2:  # in the middle of a statement, where SQLite only hears of an interruption
            raise KeyboardInterrupt

    monkeypatch.setattr("daemon.cli.db.progress", lambda _: nullcontext(pressed))
    assert wrapd("db", "upgrade") == Result(status=130, out="", err="\n")
    assert current(url_of(path)) == "0003"


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
