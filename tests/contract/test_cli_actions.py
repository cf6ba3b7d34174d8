"""Each command that changes something leaves one row of who did it; `show` lists those of a job."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import session
from daemon.errors import Exit
from daemon.store import ActionRow, Store
from tests.support.cli_runner import CONFIG, Runner
from tests.support.store import ManualClock, record, url_of

NOW = session.CLOCK.now()
OTHERS = """
[channels.ops]
url = { env = "NOT_SET_URL" }
[projects.other]
region = "cn-north-4"
auth = { method = "aksk", access_key = { env = "NOT_SET_AK" }, secret_key = { env = "NOT_SET_SK" } }
"""
JOB, JOB_2 = "a" * 32, "b" * 32


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("LOGNAME", "ann\x1b[31m\udcff" + "x" * 200)
    runner = Runner(tmp_path, capsys)
    runner.config.write_text(CONFIG + OTHERS)
    return runner


@pytest.fixture
def store(wrapd: Runner) -> Iterator[Store]:
    store = Store.open(url_of(wrapd.database), clock=ManualClock(NOW))
    yield store
    store.close()


def actions(store: Store) -> list[ActionRow]:
    return store.read(lambda tx: tx.actions.page(limit=99)).rows[::-1]


def test_each_change_leaves_one_row(wrapd: Runner, store: Store) -> None:
    def did(*args: str, status: int = 0) -> tuple[Any, ...]:
        before = len(actions(store))
        assert wrapd(*args).status == status
        new = actions(store)[before:]
        assert len(new) == 1
        row = new[0]
        assert row.who.startswith("cli:ann")
        assert len(row.who) == 128
        assert row.who.isprintable()
        return row.what, row.project, row.subject, row.count

    assert did("track", "--project", "main", JOB) == ("track", "main", JOB, 1)
    assert did("track", "--project", "main", "--batch", "b1", JOB, JOB_2) == ("track", "main", "b1", 2)
    assert did("label", JOB, "a text") == ("label", "main", JOB, 1)
    assert did("label", "--batch", "b1", "--yes", "a text") == ("label", "main", None, 1)
    assert did("tag", JOB, "--add", "word") == ("tag", "main", JOB, 1)
    assert did("tag", JOB, "--add", "word") == ("tag", "main", JOB, 0)
    store.write_now(lambda tx: record(tx, 1, "FAILED", at=NOW))  # to two channels
    assert did("deliveries", "cancel", "1") == ("cancel", "main", JOB, 1)
    assert did("deliveries", "revive", "1") == ("revive", "main", JOB, 1)
    assert did("deliveries", "retry", "1") == ("retry", "main", JOB, 0)
    assert did("deliveries", "retry", "--channel", "editors") == ("retry", None, "editors", 0)
    assert did("deliveries", "cancel", "--channel", "ops", "--yes") == ("cancel", None, "ops", 0)
    assert did("deliveries", "revive", "--channel", "ops") == ("revive", None, "ops", 0)
    assert did("deliveries", "resend", "--job", JOB) == ("resend", None, None, 0)
    assert did("deliveries", "move", "--channel", "a", "editors", "--yes") == ("move", None, "a", 1)
    store.write_now(lambda tx: tx.links.of_job(1, token="t", at=NOW, life=9))
    assert did("links", "revoke", JOB) == ("revoke_link", "main", JOB, 1)
    assert did("untrack", JOB, JOB_2) == ("untrack", "main", None, 1)
    assert did("jobs", "move", "--project", "main", "other", "--yes") == ("move", "main", None, 2)


def test_what_changes_nothing_at_all_leaves_none(wrapd: Runner, store: Store) -> None:
    assert wrapd("deliveries", "retry", "7").status == Exit.UNKNOWN
    assert wrapd("label", JOB, "x").status == Exit.UNKNOWN
    assert wrapd("jobs").status == 0
    assert wrapd("track", "no id").status == 2
    assert actions(store) == []


def test_show_lists_the_actions_on_a_job(wrapd: Runner, store: Store) -> None:
    wrapd("track", "--project", "main", JOB)
    wrapd("track", "--project", "other", JOB)
    wrapd("label", "--project", "main", JOB, "a text")
    found = json.loads(wrapd("show", "--project", "main", JOB, "--json").out)["actions"]
    assert [each["what"] for each in found] == ["track", "label"]
    assert found[1]["details"] == {"label": "a text"}
    assert set(found[0]) == {"at", "who", "what", "project", "subject", "count", "details"}
    lines = wrapd("show", "--project", "main", JOB).out.splitlines()
    begin = lines.index("Actions")
    assert "  track by cli:ann" in lines[begin + 1]


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(session.getpass, "getuser", nobody)
    assert session.who().removeprefix("cli:").isdigit()
