"""`wrapd watch` on a database: what it shows on terminals of two sizes and in a pipe, and how it ends."""

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.clock import ManualClock, SystemClock
from daemon.domain.events import Event
from daemon.domain.jobs import Observation, ProjectName
from daemon.store import Store, Transaction
from tests.support import store as tools
from tests.support.cli_runner import CONFIG, Runner
from tests.support.hostile import names, whole
from tests.support.live import PATIENCE
from tests.support.process import COMMAND
from tests.support.screens import kept
from tests.support.store import BOTH, NOW, move, open_store, record, track
from tests.support.terminal import Terminal

ENDS = {
    "succeeded": (["PROCESSING", "SUCCEED"], 0),
    "canceled": (["CANCELED"], 10),
    "partial": (["PARTIAL_SUCCEED"], 11),
    "frozen": (["PROCESSING", "BLOCK"], 12),
    "failed": (["FAILED"], 13),
}
SIZES = pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])
NOBODY = "No daemon uses this database: these jobs are not polled. `wrapd run` starts one."


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRAPD_TZ", "UTC")
    return Runner(tmp_path, capsys)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def job(tx: Transaction, job_id: str, *states: str, batch: str = "b", label: str | None = None) -> int:
    row = track(tx, job_id, batch=batch, label=label)
    for state in states:
        record(tx, row, state)
    return row


@pytest.mark.parametrize("outcome", ENDS)
def test_each_way_to_end_has_a_status_and_the_highest_counts(wrapd: Runner, store: Store, outcome: str) -> None:
    states, status = ENDS[outcome]
    store.write_now(lambda tx: job(tx, "one", *states))
    ended = wrapd("watch", "--batch", "b", "--json")
    *lines, last = map(json.loads, ended.out.splitlines())
    assert (ended.status, ended.err) == (status, "")
    assert last == {"jobs": 1, "outcomes": {outcome: 1}, "reason": "ended", "status": status}
    assert [(line["job_id"], line["outcome"], line["state"]) for line in lines] == [("one", outcome, states[-1])]
    lower = [states for states, below in ENDS.values() if below < status]
    store.write_now(lambda tx: [job(tx, f"lower-{n}", *states) for n, states in enumerate(lower)])
    assert wrapd("watch", "--batch", "b").status == status


@pytest.mark.parametrize("how", ["lost", "expired", "stopped"])
def test_jobs_that_wrapd_gave_up_are_open(wrapd: Runner, store: Store, how: str) -> None:
    def work(tx: Transaction) -> None:
        row = job(tx, "one", "PROCESSING")
        if how == "stopped":
            tx.jobs.stop([row], at=NOW)
        else:
            tx.jobs.record_end(row, Event(how), at=NOW, routing=BOTH, reason="x")

    store.write_now(work)
    ended = wrapd("watch", "one")
    assert (ended.status, ended.out.splitlines()[-1]) == (12, f"1 {how}")
    assert f" {how} main one" in ended.out


def test_once_ends_as_a_timeout_would_while_a_job_runs(wrapd: Runner, store: Store) -> None:
    store.write_now(lambda tx: [job(tx, "one", "FAILED"), job(tx, "two", "WAITING")])
    ended = wrapd("watch", "--batch", "b", "--once")
    assert ended.status == 124
    assert ended.out.splitlines()[-1] == "1 running, 1 failed"
    assert ended.err.splitlines() == [NOBODY]
    assert wrapd("watch", "one", "--once").status == 13
    ended = wrapd("watch", "two", "--timeout", "1s", "--json")
    assert (ended.status, json.loads(ended.out.splitlines()[-1])["reason"]) == (124, "timeout")
    assert ended.err.splitlines()[-1] == "Some jobs still run after 1s. They stay tracked."


def test_all_means_what_is_tracked_now(wrapd: Runner, store: Store) -> None:
    store.write_now(lambda tx: [job(tx, "one", "FAILED"), job(tx, "two", "BLOCK")])
    ended = wrapd("watch", "--all")
    assert (ended.status, ended.out.splitlines()[-1]) == (12, "1 frozen")
    store.write_now(lambda tx: tx.jobs.stop([tx.jobs.list()[0].id, tx.jobs.list()[1].id], at=NOW))
    ended = wrapd("watch", "--all")
    assert (ended.status, ended.out, ended.err) == (0, "0 jobs\n", "")


def test_jobs_that_no_daemon_polls_are_named(tmp_path: Path, wrapd: Runner) -> None:
    with closing(open_store(tmp_path, daemon=True)) as daemon:
        daemon.write_now(lambda tx: track(tx, "one", project="gone"))
        ended = wrapd("watch", "one", "--once")
        assert ended.status == 124
        assert "The next poll of one is none: the config has no project gone; `wrapd jobs move" in ended.err
        daemon.write_now(lambda tx: tx.moves.jobs(ProjectName("gone"), ProjectName("main"), at=NOW, routing=BOTH))
        assert wrapd("watch", "one", "--once").err == ""


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        ((), 2, "which jobs?"),
        (("one", "--all"), 2, "give either ids"),
        (("--batch", "b", "--all"), 2, "give either ids"),
        (("nobody",), 6, "no job nobody is known"),
        (("--batch", "none\x1b[2J"), 6, "no job has the batch 'none\\x1b[2J'"),
        (("--tag", "none", "--project", "man"), 6, "man"),
        (("--all", "--project", "man"), 6, "man"),
        (("one", "--once", "--timeout", "2h"), 2, "exclude each other"),
        (("one", "--timeout", "soon"), 2, "soon"),
        (("--all", "--server", "http://127.0.0.1:9"), 2, "go together"),
        (("--all", "--token-file", "x"), 2, "go together"),
    ],
)
def test_a_wrong_choice_names_the_remedy(
    wrapd: Runner, store: Store, args: tuple[str, ...], status: int, says: str
) -> None:
    ended = wrapd("watch", *args)
    assert ended.status == status
    assert says in ended.err
    assert ended.out == ""


@pytest.mark.long
def test_each_change_is_a_line_at_once_and_jobs_that_join_are_followed(tmp_path: Path, store: Store) -> None:
    """Read from a pipe while the process runs: each line arrives before the next change is made."""
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    first = store.write_now(lambda tx: job(tx, "one", label="Episode 1"))
    process = subprocess.Popen(
        [*COMMAND, "--config", tmp_path / "wrapd.toml", "watch", "--batch", "b", "--tz", "UTC"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None

    def line() -> str:
        assert process.stdout is not None
        return process.stdout.readline().rstrip()[24:]  # without the time

    try:
        assert line() == "new main one Episode 1"
        store.write_now(lambda tx: record(tx, first, "PROCESSING"))
        assert line() == "PROCESSING main one Episode 1"
        second = store.write_now(lambda tx: job(tx, "two"))
        assert line() == "new main two"
        store.write_now(lambda tx: record(tx, first, "SUCCEED"))
        assert line() == "SUCCEED main one Episode 1"
        store.write_now(lambda tx: tx.jobs.stop([second], at=NOW))
        assert line() == "stopped main two"
        assert process.stdout.readline() == "1 done, 1 stopped\n"
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (out, err.splitlines(), process.returncode) == ("", [NOBODY], 12)


def fill(tx: Transaction) -> None:
    """Write 30 jobs of every state, with hostile and wide names."""
    hostile = [whole(name)[:200] for name in names()[:20]]
    for number in range(30):
        label = hostile[number] if number < 20 else f"春节宣传片《龙腾盛世》第 {number} 集"
        row = tools.track(tx, f"{number:02}f0c9-3d1e-4b7a-9c55", batch="b", label=label.strip() or None)
        state = ["SUCCEED", "FAILED", "BLOCK", "PROCESSING", "WAITING", "CANCELED"][number % 6]
        seen = Observation(state=state, error_code="MSS.1", error_msg=hostile[number % 20])
        at = datetime.now(UTC) - timedelta(days=10, minutes=30 + number)
        tx.jobs.record_move(row, move(None, seen, at=at), seen, routing=BOTH, due_at=at)


@pytest.mark.long
@SIZES
def test_a_live_table_is_as_it_is_kept(tmp_path: Path, columns: int, rows: int) -> None:
    """In a real terminal, with names that try to write over it."""
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    store = Store.open(tools.url_of(tmp_path / "wrapd.db"), clock=ManualClock(NOW), daemon=True)
    with closing(store):
        store.write_now(fill)
        arguments = ("watch", "--batch", "b", "--tz", "UTC", "--once")
        with Terminal(tmp_path, *arguments, columns=columns, rows=rows) as terminal:
            status, shown = terminal.ended()
    assert status == 124
    assert "\x1b[2J" not in terminal.raw
    kept(f"watch-{columns}x{rows}", shown)


@pytest.mark.long
@SIZES
def test_the_table_is_drawn_over_itself_resized_and_ended_by_ctrl_c(
    tmp_path: Path, columns: int, rows: int
) -> None:
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    with closing(open_store(tmp_path)) as store:
        store.write_now(lambda tx: [job(tx, f"job-{n:02}", "PROCESSING", label=f"Film {n}") for n in range(30)])
        with Terminal(tmp_path, "watch", "--batch", "b", columns=columns, rows=rows) as terminal:
            shown = terminal.wait_for("30 running")
            assert "No daemon uses this database" in " ".join(shown.split())
            assert len(shown.splitlines()) == rows - 1
            [last] = store.read(lambda tx: tx.jobs.beginning("job-29", limit=9))
            store.write_now(lambda tx: record(tx, last.id, "FAILED"))
            shown = terminal.wait_for("29 running, 1 failed")
            assert shown.splitlines()[1].split()[:3] == ["Film", "29", "FAILED"]
            assert terminal.screen.scrolled == 0
            for number, (wide, high) in enumerate([(columns - 15, rows), (columns + 10, rows - 2)], 1):
                terminal.resize(wide, high)
                store.write_now(lambda tx, row=last.id - number: record(tx, row, "FAILED"))  # type: ignore[misc]
                shown = terminal.wait_for(f"{29 - number} running, {1 + number} failed")
                assert len(shown.splitlines()) == high - 1
                assert shown.startswith("NAME ")
                assert shown.count("running") == 1
            terminal.type("\x03")
            status, shown = terminal.ended()
    assert status == 130
    assert "The jobs stay tracked" in " ".join(shown.split())
    assert "27 running, 3 failed" in shown
    assert shown.startswith("NAME ")
    assert shown.count("NAME") == 1
    with closing(open_store(tmp_path)) as store:
        assert len(store.read(lambda tx: tx.jobs.list(state="PROCESSING"))) == 27


@pytest.mark.long
def test_a_terminal_that_wraps_what_was_drawn_shows_no_rest_of_it(tmp_path: Path) -> None:
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    with closing(open_store(tmp_path)) as store:
        store.write_now(
            lambda tx: [job(tx, f"job-{n}", "PROCESSING", label=f"{n} " + "long " * 9) for n in range(4)]
        )
        with Terminal(tmp_path, "watch", "--batch", "b", columns=80, rows=24) as terminal:
            terminal.wait_for("4 running")
            terminal.resize(50, 24)
            store.write_now(lambda tx: record(tx, 1, "FAILED"))
            shown = terminal.wait_for("3 running, 1 failed")
    assert len(shown.splitlines()) == 8
    assert shown.startswith("NAME ")
    assert shown.count("NAME") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "environ",
    [{"NO_COLOR": "1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"TERM": "dumb"}],
)
def test_terminals_without_colours_without_utf_8_and_without_control_sequences(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    with closing(open_store(tmp_path)) as store:
        store.write_now(lambda tx: [job(tx, "one", "SUCCEED", label="第一集"), job(tx, "two", "FAILED")])
    with Terminal(tmp_path, "watch", "--batch", "b", columns=80, rows=24, environ=environ) as terminal:
        status, shown = terminal.ended()
    assert status == 13
    assert "1 done, 1 failed" in shown
    assert ("???" in shown) == ("LC_ALL" in environ)
    assert ("\x1b" in terminal.raw) == ("TERM" not in environ)
    assert ("\x1b[31m" in terminal.raw) == ("LC_ALL" in environ)


def test_the_last_end_is_estimated_from_similar_jobs(
    wrapd: Runner, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daemon.cli import watch_screen
    from daemon.cli.choosing import Followable
    from daemon.cli.watch_database import DatabaseJobs

    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)

    def work(tx: Transaction) -> None:
        for number in range(40):
            row = job(tx, f"old-{number:02}", batch="old")
            began = NOW - timedelta(seconds=9000 + number)
            seen = Observation(state="SUCCEED", started_at=began, ended_at=began + timedelta(seconds=600 + number))
            tx.jobs.record_move(row, move(None, seen, at=NOW), seen, routing=BOTH, due_at=NOW)
        job(tx, "one", "PROCESSING")
        job(tx, "two", "PROCESSING")

    store.write_now(work)
    which = Followable(ids=(), batch="b", tag=None, everything=False, project=None)
    from daemon.config import load

    source = DatabaseJobs(store, load(wrapd.config), which, sleep=lambda _: None)
    jobs = source.look()
    assert [each.eta is not None for each in source.outlooks(list(jobs), NOW)] == [True, True]
    said = watch_screen.summary(jobs, source.last_end(NOW), NOW)
    assert re.fullmatch(r"2 running · all by 12:10-12:1\d UTC", said)


def test_only_the_jobs_that_changed_are_read_again(wrapd: Runner, store: Store) -> None:
    from daemon.cli.choosing import Followable
    from daemon.cli.watch_database import DatabaseJobs
    from daemon.config import load
    from daemon.store.following import Following

    store.write_now(lambda tx: [job(tx, f"job-{n}", "PROCESSING") for n in range(5)])
    which = Followable(ids=(), batch="b", tag=None, everything=False, project=None)
    source = DatabaseJobs(store, load(wrapd.config), which, sleep=lambda _: None)
    read: list[list[int]] = []
    whole_rows = Following.rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Following, "rows", lambda self, ids: read.append(list(ids)) or whole_rows(self, ids))
        source.look()
        source.look()
        with closing(sqlite3.connect(store.path)) as other, other:
            other.execute("UPDATE jobs SET polls = 9, last_polled_at = 1")
        source.look()
        store.write_now(lambda tx: record(tx, 2, "SUCCEED"))
        source.look()
    assert read == [[1, 2, 3, 4, 5], [], [2]]


def test_names_cannot_write_over_the_lines(wrapd: Runner, store: Store) -> None:
    """Every name of the corpus, in every field."""

    def work(tx: Transaction) -> None:
        for number, name in enumerate(names()):
            text = whole(name)[:120].strip() or "x"
            row = track(tx, f"job-{number}", batch="b", label=text, tags=("t",))
            seen = Observation(state="FAILED", error_code=text, error_msg=text)
            tx.jobs.record_move(row, move(None, seen), seen, routing=BOTH, due_at=NOW)

    store.write_now(work)
    count = len(names())
    for args in (("--batch", "b"), ("--tag", "t", "--json")):
        ended = wrapd("watch", *args)
        assert ended.status == 13
        lines = ended.out.split("\n")
        assert len(lines) == count + 2
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", ended.out)
