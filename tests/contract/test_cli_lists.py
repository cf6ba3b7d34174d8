"""The options that filter and sort `jobs` and `deliveries`, with a real database."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from daemon.cli import filters, pages
from daemon.cli.deliveries import SORTS as DELIVERY_SORTS
from daemon.cli.jobs import SORTS as JOB_SORTS
from daemon.clock import ManualClock
from daemon.errors import Exit
from daemon.store import DeliverySort, JobSort, lists, paging
from tests.support.cli_runner import Runner

HOUR = 3600
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Write five jobs whose last changes are some hours apart, with an alert for each except the last."""
    runner = Runner(tmp_path, capsys)
    runner("track", "a", "b", "c", "--tag", "red", "--batch", "w1", "--label", "春节 Größe")
    runner("track", "d", "e", "--tag", "green,blue")
    now = int(datetime.now(UTC).timestamp() * 1e6)
    with closing(sqlite3.connect(runner.database)) as database, database:
        for job, state, tracking, hours in (
            (1, "WAITING", "active", 3),
            (2, "FAILED", "finished", 30),
            (3, "SUCCEED", "finished", 1),
            (4, "BLOCK", "active", 500),
        ):
            at = now - hours * HOUR * 1_000_000
            database.execute(
                "UPDATE jobs SET state = ?, tracking = ?, state_since = ?, next_poll_at = NULL, next_reason = NULL"
                " WHERE id = ?",
                (state, tracking, at, job),
            )
            database.execute(
                "INSERT INTO deliveries (key, channel, event, job, project, facts, status, due_at, created_at,"
                " attempts, last_error) VALUES (?, 'editors', ?, ?, 'main', '{}', ?, 0, ?, 1, ?)",
                (f"job/{job}", state.lower(), job, "dead" if job == 2 else "pending", at, f"HTTP {job}00"),
            )
    return runner


def jobs(runner: Runner, *args: str) -> str:
    result = runner("jobs", "--json", *args)
    assert (result.status, result.err) == (0, "")
    return "".join(each["job_id"] for each in json.loads(result.out))


def deliveries(runner: Runner, *args: str) -> str:
    result = runner("deliveries", "--json", *args)
    assert (result.status, result.err) == (0, "")
    return "".join(each["job_id"] for each in json.loads(result.out))


def test_the_orders_that_can_be_asked_for_are_those_of_the_store() -> None:
    assert list(JOB_SORTS) == [each.value for each in JobSort]
    assert list(DELIVERY_SORTS) == [each.value for each in DeliverySort]


def test_jobs_are_narrowed_and_ordered(wrapd: Runner) -> None:
    assert jobs(wrapd) == jobs(wrapd, "--sort", "newest") == "edcba"
    assert jobs(wrapd, "--sort", "oldest") == "abcde"
    assert jobs(wrapd, "--sort", "changed") == "cabde"
    assert jobs(wrapd, "--since", "2h") == "c"
    assert jobs(wrapd, "--since", "2d") == jobs(wrapd, "--since", "2d", "--sort", "changed") == "cab"
    assert jobs(wrapd, "--since", "2020-02-29") == "cabd"
    assert jobs(wrapd, "--tag", "red", "--since", "4h") == "ca"
    assert jobs(wrapd, "--batch", "w1", "--sort", "oldest", "--limit", "2") == "ab"
    assert jobs(wrapd, "--search", "GRÖSSE") == "cba"
    assert jobs(wrapd, "--search", "春节", "--state", "FAILED") == "b"
    assert jobs(wrapd, "--search", "green") == "ed"
    assert jobs(wrapd, "--search", "nowhere") == ""


def test_deliveries_are_narrowed_and_ordered(wrapd: Runner) -> None:
    assert deliveries(wrapd, "--sort", "oldest") == "abcd"
    assert deliveries(wrapd, "--event", "failed") == "b"
    assert deliveries(wrapd, "--job", "c") == "c"
    assert deliveries(wrapd, "--job", "e") == ""
    assert deliveries(wrapd, "--batch", "w1") == "cba"
    assert deliveries(wrapd, "--tag", "green,blue") == "d"
    assert deliveries(wrapd, "--project", "main", "--dead") == "b"
    assert deliveries(wrapd, "--since", "2h") == "c"
    assert deliveries(wrapd, "--since", "2d", "--sort", "oldest") == "bac"
    assert deliveries(wrapd, "--search", "http 400") == "d"
    assert deliveries(wrapd, "--search", "größe", "--channel", "editors") == "cab"


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("jobs", "--state", "PROCESING"), Exit.UNKNOWN, "did you mean 'PROCESSING'?"),
        (("jobs", "--state", "\udcff"), Exit.UNKNOWN, "choose one of BLOCK"),
        (("deliveries", "--event", "a\x1b[31m"), Exit.UNKNOWN, "choose one of auth_failed"),
        (("jobs", "--project", "mian"), Exit.UNKNOWN, "did you mean 'main'?"),
        (("jobs", "--since", "tomorrow"), Exit.USAGE, 'such as "30m"'),
        (("jobs", "--since", "2h", "--sort", "oldest"), Exit.USAGE, "leave out --sort oldest"),
        (("jobs", "--sort", "colour"), Exit.USAGE, "newest"),
        (("jobs", "--search", " "), Exit.USAGE, "write what to search for"),
        (("deliveries", "--event", "suceeded"), Exit.UNKNOWN, "did you mean 'succeeded'?"),
        (("deliveries", "--project", "mian"), Exit.UNKNOWN, "did you mean 'main'?"),
        (("deliveries", "--job", "zz"), Exit.UNKNOWN, "no job zz is known"),
        (("deliveries", "--job", "z/"), Exit.USAGE, "wrapd: 'z/' is not a job id"),
        (("show", ""), Exit.USAGE, "wrapd: '' is not a job id"),
        (("jobs", "--limit", "x"), Exit.USAGE, "'x' is not a whole number from 1; write one such as 20"),
        (("jobs", "--limit", "0"), Exit.USAGE, "'0' is not a whole number from 1; write one such as 20"),
        (("jobs", "--limit", "9" * 9999), Exit.USAGE, "is not a whole number from 1"),
        (("deliveries", "show", "x"), Exit.USAGE, "'x' is not a whole number from 1"),
        (("demo", "--jobs", "501"), Exit.USAGE, "'501' is not a whole number from 1 to 500"),
        (("sim", "--speed", "-1"), Exit.USAGE, "'-1' is not a finite number greater than 0; write one such as 20"),
        (("sim", "--speed", "inf"), Exit.USAGE, "'inf' is not a finite number greater than 0"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_error(
    wrapd: Runner, args: tuple[str, ...], status: Exit, says: str
) -> None:
    result = wrapd(*args)
    assert (result.status, result.out) == (status, "")
    assert says in result.err
    assert "Traceback" not in result.err


def test_a_search_for_some_ends_after_a_number_of_rows_and_says_so(
    wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "EXAMINED", 1)
    monkeypatch.setattr(pages, "SEARCHED", 3)
    result = wrapd("jobs", "--search", "nowhere", "--limit", "1", "--json")
    assert (result.status, json.loads(result.out)) == (0, [])
    assert result.err == "only the first 3 rows were searched; --all searches all\n"
    assert jobs(wrapd, "--search", "nowhere") == ""  # all of them
    found = wrapd("deliveries", "--search", "HTTP 100", "--limit", "1")
    assert "HTTP 100" not in found.out
    assert "--all searches all" in found.err
    assert '"last_error": "HTTP 100' in wrapd("deliveries", "--search", "HTTP 100", "--all", "--json").out


@pytest.mark.parametrize("text", ["\udcff", "a\x1b[31m\u202e", "🎬", "x" * 5000, "%_'\"\\"])
@pytest.mark.parametrize(
    "option", ["jobs --tag", "jobs --batch", "jobs --search", "deliveries --batch", "deliveries --tag"]
)
def test_texts_that_nothing_has_find_nothing(wrapd: Runner, option: str, text: str) -> None:
    result = wrapd(*option.split(), text, "--json")
    assert (result.status, result.out, result.err) == (0, "[]\n", "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock(NOW)
    monkeypatch.setattr(filters, "CLOCK", clock)
    return clock


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("1h30m", NOW - timedelta(hours=1.5)),
        ("3d", NOW - timedelta(days=3)),
        (" 0s", NOW),
        ("3650d", NOW - timedelta(days=3650)),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("2026-03-01T11:59:59", NOW - timedelta(seconds=1)),
        ("2026-03-01T20:00+08:00", NOW),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_since_is_how_long_ago_or_a_moment(clock: ManualClock, text: str, found: datetime) -> None:
    assert filters.Since().convert(text, None, None) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "-3d", "3", "3 days", "99999999d", "2026-13-01", "2026-03-02", "2026-03-01T12:00:01"),
        *("0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "春节", "\x1b[31m", "9" * 400 + "d", "nan", "infd"),
    ],
)
def test_since_is_no_other_text_and_not_to_come(clock: ManualClock, text: str) -> None:
    with pytest.raises(click.BadParameter, match="past time") as told:
        filters.Since().convert(text, None, None)
    assert "\x1b" not in told.value.message


def test_a_terminal_is_told_what_each_order_has_left_out(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "is_terminal", lambda: True)

    def last(*args: str) -> str:
        return wrapd(*args).out.splitlines()[-1]

    assert last("jobs", "--limit", "2") == "3 more, all older; --limit N shows the newest N, --all shows all"
    for args in (("jobs", "--sort", "changed"), ("jobs", "--sort", "oldest")):
        assert last(*args, "--limit", "2") == "3 more; --limit N shows the first N, --all shows all"
    assert last("deliveries", "--sort", "oldest", "--limit", "3").startswith("1 more; ")
    assert last("jobs", "--search", "e", "--limit", "1").startswith("more may match, all older; ")
    assert "more" not in last("jobs", "--limit", "5")
    monkeypatch.setattr(pages, "COUNTED", 2)
    assert last("jobs", "--limit", "2").startswith("more than 2 more, all older; ")
    monkeypatch.setattr(paging, "LOOKED", 3)
    monkeypatch.setattr(lists, "FEW", -1)
    assert last("jobs", "--tag", "red", "--project", "main", "--limit", "1").startswith("at least 2 more, ")
    monkeypatch.setattr(paging, "LOOKED", 1)
    assert last("jobs", "--tag", "red", "--project", "main", "--limit", "1").startswith("more may match, ")
