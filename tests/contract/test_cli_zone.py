"""The time zone of times on a screen."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.cli.text import moment
from daemon.clock import ManualClock
from daemon.errors import Exit
from daemon.store import Store
from tests.support import store as tools
from tests.support.cli_runner import Runner

AT = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Runner]:
    """Write a job that changed its state at `AT`."""
    runner = Runner(tmp_path, capsys)
    store = Store.open(f"sqlite:///{runner.database}", clock=ManualClock(AT))
    store.write_now(lambda tx: tools.record(tx, tools.track(tx), "SUCCEED", at=AT))
    yield runner
    store.close()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_it_is_that_of_the_option_else_of_the_environment_else_of_the_machine(
    wrapd: Runner, machine: pytest.MonkeyPatch
) -> None:
    def shown(*args: str) -> str:
        out = wrapd("show", "job-1", *args).out
        return out.partition("SUCCEED, since ")[2].partition("\n")[0]

    assert shown() == "2026-03-01 16:30:00 UTC"
    machine.setenv("TZ", "America/St_Johns")
    time.tzset()
    assert shown() == "2026-03-01 13:00:00 UTC-3:30"
    machine.setenv("WRAPD_TZ", "Asia/Shanghai")
    assert shown() == "2026-03-02 00:30:00 UTC+8"
    assert shown("--tz", "Asia/Kathmandu") == "2026-03-01 22:15:00 UTC+5:45"
    assert shown("--tz", "UTC") == "2026-03-01 16:30:00 UTC"
    machine.setenv("WRAPD_TZ", "")
    assert shown() == "2026-03-01 13:00:00 UTC-3:30"
    assert (
        '"state_since": "2026-03-01T16:30:00.000Z"' in wrapd("show", "job-1", "--json", "--tz", "Asia/Tokyo").out
    )


def test_all_times_of_a_screen_are_in_one_zone(wrapd: Runner) -> None:
    for args in (
        ("show", "job-1"),
        ("explain", "job-1"),
        ("deliveries", "show", "1"),
        ("routes", "explain", "--event", "stuck"),
        ("doctor",),
    ):
        out = wrapd(*args, "--tz", "Asia/Tokyo").out
        assert out.count(" UTC") == out.count(" UTC+9")
        assert args[0] == "explain" or " UTC+9" in out


def test_what_was_typed_goes_over_the_environment_for_a_subcommand_too(
    wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRAPD_TZ", "Asia/Shanghai")
    assert " UTC+9" in wrapd("deliveries", "--tz", "Asia/Tokyo", "show", "1").out
    assert " UTC+9" in wrapd("deliveries", "--tz", "UTC", "show", "1", "--tz", "Asia/Tokyo").out
    assert " UTC+8" in wrapd("deliveries", "show", "1").out


@pytest.mark.parametrize(
    ("zone", "mend"),
    [
        ("Asia/Shangai", "did you mean 'Asia/Shanghai'?"),
        ("shanghai", "did you mean 'Asia/Shanghai'?"),
        ("", "write one such as"),
        ("../../etc/passwd", "write one such as"),
        ("x" * 5000, "write one such as"),
        ("\x1b[31m\udcff", "write one such as"),
    ],
)
def test_a_wrong_zone_is_one_message_with_the_mend(wrapd: Runner, zone: str, mend: str) -> None:
    result = wrapd("show", "job-1", "--tz", zone)
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert "WRAPD_TZ" in result.err
    assert mend in result.err
    assert "\x1b" not in result.err
    assert len(result.err) < 500


def test_a_wrong_zone_of_the_environment_is_told_too(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRAPD_TZ", "nowhere")
    result = wrapd("deliveries")
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert "no time zone is called 'nowhere'" in result.err


def test_a_moment_at_the_end_of_the_calendar_is_shown(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    assert moment(datetime.max.replace(tzinfo=UTC)) == "9999-12-31 23:59:59 UTC"
