"""`wrapd stats` by day: the last four weeks, from the day sums alone."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.clock import SystemClock
from daemon.domain.jobs import Observation
from daemon.store import Store, Transaction
from tests.support.cli_runner import Runner
from tests.support.screens import screen
from tests.support.store import BOTH, NOW, later, move, open_store, track

DAY = 86400.0


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)
    monkeypatch.chdir(tmp_path)
    return Runner(tmp_path, capsys)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def end(tx: Transaction, name: str, state: str, *, days: int, took: float = 300.0) -> None:
    at = later(-DAY * days)
    seen = Observation(state=state, started_at=at - timedelta(seconds=took), ended_at=at)
    tx.jobs.record_move(track(tx, name), move(None, seen, at=at), seen, routing=BOTH, due_at=at)


def fill(tx: Transaction) -> None:
    for number, days in enumerate([0, 0, 1, 1, 1, 1, 27, 28]):
        end(tx, f"job-{number}", "SUCCEED", days=days, took=300.0 if days else 600.0)
    end(tx, "failed", "FAILED", days=1, took=5.0)


def test_each_day_has_its_ends_and_their_production_time(wrapd: Runner, store: Store) -> None:
    store.write_now(fill)
    [main] = json.loads(wrapd("stats", "--json").out)
    days = main["days"]
    assert [each["day"] for each in (days[0], days[-1])] == ["2026-02-02", "2026-03-01"]
    assert len(days) == 28
    assert days[-1] == {"day": "2026-03-01", "states": {"SUCCEED": 2}, "timed": 2, "seconds": 1200.0}
    assert days[-2] == {"day": "2026-02-28", "states": {"SUCCEED": 4, "FAILED": 1}, "timed": 4, "seconds": 1200.0}
    assert days[0] == {"day": "2026-02-02", "states": {"SUCCEED": 1}, "timed": 1, "seconds": 300.0}
    assert all(each == {"day": each["day"], "states": {}, "timed": 0, "seconds": 0.0} for each in days[1:-2])


@pytest.mark.parametrize(
    ("encoding", "bars"), [("utf-8", "▂" + "·" * 25 + "█▄"), ("ascii", ":" + "_" * 25 + "#=")]
)
def test_they_are_plotted_as_far_as_the_terminal_can(
    wrapd: Runner, store: Store, monkeypatch: pytest.MonkeyPatch, encoding: str, bars: str
) -> None:
    store.write_now(fill)
    monkeypatch.setattr("daemon.cli.output.carries", lambda _: encoding == "utf-8")
    shown = screen(monkeypatch, wrapd.config, "stats", columns=80)
    assert f"by day     {bars}" in shown
    assert "at most 5 a day; in 28 days 7" in shown
    assert "on average 6m25s, at most 10m" in shown
    assert "0 to 10m" in shown
    assert encoding == "utf-8" or shown.isascii()
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_pipe_gets_the_numbers_without_the_range_plot(wrapd: Runner, store: Store) -> None:
    store.write_now(fill)
    said = wrapd("stats").out
    assert "  avatar      8          5m      5m-10m\n" in said
    assert "●" not in said


def test_no_end_in_four_weeks_is_no_plot(wrapd: Runner, store: Store) -> None:
    store.write_now(lambda tx: end(tx, "old", "SUCCEED", days=29))
    assert "by day" not in wrapd("stats").out
