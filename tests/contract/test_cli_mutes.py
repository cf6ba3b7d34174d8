"""`wrapd mute`: what people may ask for, what they are told, and how the lists show it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import session
from daemon.cli.layout import cells
from daemon.clock import ManualClock
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.domain.routing import routing
from daemon.errors import Exit
from daemon.store import MuteRow, Store
from tests.support.cli_runner import CONFIG, Runner
from tests.support.screens import screen
from tests.support.store import A, B, record, track, url_of

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOB, JOB_2 = "a" * 32, "b" * 32
OTHERS = """
[channels.ops]
url = { env = "NOT_SET_URL" }
[projects.other]
region = "cn-north-4"
auth = { method = "aksk", access_key = { env = "NOT_SET_AK" }, secret_key = { env = "NOT_SET_SK" } }
"""
ROUTES = routing([], operators=None, channels=[A, B])
HOSTILE = (
    "\x1b[31mred\x1b[0m \u202egnp.exe\u202c 重新拍摄 <@everyone> `rm -rf` \n\t[link](https://evil.example)"
    + " x" * 60
)


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setenv("WRAPD_TZ", "UTC")
    for name in ("mute", "outbox", "deliveries", "session"):
        monkeypatch.setattr(f"daemon.cli.{name}.CLOCK", ManualClock(NOW))
    runner = Runner(tmp_path, capsys)
    runner.config.write_text(CONFIG + OTHERS)
    return runner


@pytest.fixture
def store(wrapd: Runner) -> Iterator[Store]:
    store = Store.open(url_of(wrapd.database), clock=ManualClock(NOW))

    def work(tx: Any) -> None:
        job = track(tx, JOB, batch="b1", tags=("night",))
        track(tx, JOB_2)
        record(tx, job, "BLOCK", at=NOW, routes=routing([], operators=None, channels=["editors", "ops"]))

    store.write_now(work)
    yield store
    store.close()


def mutes(store: Store) -> list[MuteRow]:
    return store.read(lambda tx: tx.mutes.list(ended=True))


def test_a_job_is_muted_by_a_prefix_of_its_id(wrapd: Runner, store: Store) -> None:
    result = wrapd("mute", "--job", JOB[:8], "--for", "2h", "--comment", "retake")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"#1: job {JOB} is muted until 2026-03-01 14:00:00 UTC; 2 alerts waiting now",
        "Its alerts are sent then; `wrapd mute end 1` ends it now",
    ]
    [row] = mutes(store)
    assert (row.scope, row.subject, row.project) == (MuteScope.JOB, JOB, "main")
    assert (row.started_at, row.until) == (NOW, NOW + timedelta(hours=2))
    assert (row.who, row.comment, row.then) == ("cli:ann", "retake", MuteEnd.SEND)
    [act] = store.read(lambda tx: tx.actions.page(limit=9)).rows
    assert (act.what, act.who, act.project, act.subject, act.count) == ("mute", "cli:ann", "main", JOB, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--batch", "b1"), "batch b1 is muted"),
        (("--tag", "night", "--project", "main"), "tag night of main is muted"),
        (("--channel", "ops", "--drop"), "channel ops is muted"),
    ],
)
def test_batches_tags_and_channels_are_muted(
    wrapd: Runner, store: Store, options: tuple[str, ...], said: str
) -> None:
    result = wrapd("mute", *options, "--for", "30d", "--comment", "c")
    assert (result.status, result.err) == (0, "")
    assert said in result.out
    assert ("dropped" in result.out) == ("--drop" in options)
    assert mutes(store)[0].until == NOW + timedelta(days=30)


def test_a_name_that_nothing_has_is_muted_with_a_hint(wrapd: Runner, store: Store) -> None:
    assert wrapd("mute", "--tag", "nihgt", "--for", "1h", "--comment", "c").err == "No job has this tag yet.\n"
    assert wrapd("mute", "--batch", "b1", "--project", "other", "--for", "1h", "--comment", "c").err == (
        "No job has this batch yet.\n"
    )
    assert len(mutes(store)) == 2


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--job", JOB, "--tag", "x", "--for", "1h", "--comment", "c"), Exit.USAGE, "Give one of --job"),
        (("--for", "1h", "--comment", "c"), Exit.USAGE, "Give one of --job"),
        (("--job", JOB, "--comment", "c"), Exit.USAGE, "Add --for"),
        (("--job", JOB, "--for", "1h"), Exit.USAGE, "Add --comment"),
        (("--job", JOB, "--for", "1h", "--comment", " \u202e "), Exit.USAGE, "no visible character"),
        (("--job", JOB, "--for", "1h", "--comment", "x" * 501), Exit.USAGE, "has 501 characters"),
        (("--job", JOB, "--for", "59s", "--comment", "c"), Exit.USAGE, "too short"),
        (("--job", JOB, "--for", "31d", "--comment", "c"), Exit.USAGE, "at most 30 days"),
        (("--job", JOB, "--for", "soon", "--comment", "c"), Exit.USAGE, "soon"),
        (("--job", "c" * 32, "--for", "1h", "--comment", "c"), Exit.UNKNOWN, "no job"),
        (("--channel", "opps", "--for", "1h", "--comment", "c"), Exit.UNKNOWN, "opps"),
        (("--tag", "x", "--project", "mian", "--for", "1h", "--comment", "c"), Exit.UNKNOWN, "mian"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_muted(
    wrapd: Runner, store: Store, options: tuple[str, ...], status: Exit, said: str
) -> None:
    result = wrapd("mute", *options)
    assert (result.status, result.out) == (status, "")
    assert said in result.err
    assert mutes(store) == []
    assert store.read(lambda tx: tx.actions.page(limit=9)).rows == []


def test_an_alert_says_that_it_is_muted(wrapd: Runner, store: Store) -> None:
    wrapd("mute", "--channel", "ops", "--for", "2h", "--comment", "they sleep")
    said = "muted until 2026-03-01 14:00:00 UTC by cli:ann (#1): they sleep"
    assert said in wrapd("deliveries", "--channel", "ops").out
    assert said in wrapd("show", JOB).out
    assert not any(
        line.startswith("  muted ") for line in wrapd("show", JOB).out.splitlines()
    )  # on one channel only
    wrapd("mute", "--tag", "night", "--for", "1h", "--comment", "retakes")
    assert "until 2026-03-01 13:00:00 UTC by cli:ann (#2): retakes" in wrapd("show", JOB).out
    wrapd("mute", "end", "2")
    assert "retakes" not in wrapd("show", JOB).out
    [found] = json.loads(wrapd("deliveries", "--channel", "ops", "--json").out)
    assert (found["mute"], found["status"]) == (1, "pending")
    assert wrapd("deliveries", "retry", str(found["id"])).out == "1 alert will be sent again\n"
    [found] = json.loads(wrapd("deliveries", "--channel", "ops", "--json").out)
    assert found["mute"] is None


def test_what_is_muted_is_listed_until_it_ends(wrapd: Runner, store: Store) -> None:
    assert json.loads(wrapd("mute", "list", "--json").out) == []
    wrapd("mute", "--job", JOB, "--for", "2h", "--comment", "retake")
    wrapd("mute", "--channel", "ops", "--for", "1h", "--comment", "they sleep", "--drop")
    listed = json.loads(wrapd("mute", "list", "--json").out)
    assert [(each["scope"], each["alerts"], each["then"]) for each in listed] == [
        ("channel", 0, "drop"),
        ("job", 2, "send"),
    ]
    assert listed[1] == {
        "id": 1,
        "scope": "job",
        "subject": JOB,
        "project": "main",
        "status": "muted",
        "since": "2026-03-01T12:00:00.000Z",
        "until": "2026-03-01T14:00:00.000Z",
        "who": "cli:ann",
        "comment": "retake",
        "then": "send",
        "alerts": 2,
        "ended_at": None,
        "ended_by": None,
    }
    out = wrapd("mute", "end", "1", "1", "2", "--drop")
    assert out.out.splitlines() == [
        f"#1: job {JOB} is no longer muted; 1 alert dropped",
        "#2: channel ops is no longer muted; 1 alert dropped",
    ]
    assert json.loads(wrapd("mute", "list", "--json").out) == []
    ended = json.loads(wrapd("mute", "list", "--all", "--json").out)
    assert [(each["id"], each["status"], each["ended_by"]) for each in ended] == [
        (2, "ended", "cli:ann"),
        (1, "ended", "cli:ann"),
    ]
    assert wrapd("mute", "end", "1").out == "#1: had ended\n"
    last = store.read(lambda tx: tx.actions.page(limit=2)).rows[1]
    assert (last.what, last.count, last.details) == ("unmute", 2, {"mutes": [1, 2], "then": "drop"})


def test_an_unknown_mute_changes_nothing(wrapd: Runner, store: Store) -> None:
    wrapd("mute", "--job", JOB, "--for", "2h", "--comment", "retake")
    result = wrapd("mute", "end", "1", "7", "9")
    assert result.status == Exit.UNKNOWN
    assert "there is no mute 7, 9" in result.err
    assert wrapd("mute", "end", "1", "--send", "--drop").status == Exit.USAGE
    assert mutes(store)[0].ended_at is None


@pytest.mark.parametrize("columns", [80, 40])
def test_a_hostile_comment_stays_a_comment(
    wrapd: Runner, store: Store, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    assert wrapd("mute", "--job", JOB, "--for", "2h", "--comment", HOSTILE).status == 0
    assert wrapd("mute", "--tag", "<@here>\x1b]0;x\x07", "--for", "2h", "--comment", "ok").status == 0
    shown = screen(monkeypatch, wrapd.config, "mute", "list", columns=columns)
    lines = shown.splitlines()
    assert all(cells(line) <= columns for line in lines)
    assert "\u202e" not in shown
    assert "重新拍摄" in shown
    assert all(line.isprintable() for line in lines)
    assert len(lines) <= (14 if columns == 80 else 26)
    assert session.CLOCK.now() == NOW
