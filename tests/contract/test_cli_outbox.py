"""`wrapd deliveries revive|resend`, the counts of a refused channel, and why each alert waits."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import SystemClock
from daemon.commands.deliveries import MOST_RESENT
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import routing
from daemon.errors import Exit
from daemon.store import AttemptOutcome, Outcome, Store, Transaction
from tests.support.cli_runner import CONFIG, Runner
from tests.support.store import record, track
from tests.support.webhook import Webhook

NOW = SystemClock().now
EDITORS, OPS = ChannelName("editors"), ChannelName("ops")
ROUTES = routing([], operators=None, channels=[EDITORS])
OTHERS = '[channels.ops]\nurl = { env = "NOT_SET_URL" }\n'


class Outbox:
    """The database that the commands use."""

    def __init__(self, path: Path) -> None:
        self.store = Store.open(f"sqlite:///{path}", clock=SystemClock())

    def job(self, name: str, state: str = "SUCCEED", **more: Any) -> int:
        def work(tx: Transaction) -> int:
            job = track(tx, name, **more)
            record(tx, job, state, at=NOW(), routes=ROUTES)
            return job

        return self.store.write_now(work)

    def alert(self, key: str, channel: ChannelName = EDITORS) -> None:
        told = OperatorAlert(event=Event.DEFECT, key=key, project=ProjectName(key))
        assert self.store.write_now(lambda tx: tx.outbox.add_operator(told, channels=[channel], at=NOW()))

    def send(
        self, kind: AttemptOutcome = AttemptOutcome.SENT, *, count: int = 1, reason: str = "HTTP 404"
    ) -> None:
        def work(tx: Transaction) -> None:
            claimed = tx.outbox.claim(EDITORS, now=NOW() + timedelta(minutes=1))  # a batch waits 10 s
            assert claimed is not None
            due = NOW() + timedelta(hours=1)
            tx.outbox.finish(claimed, Outcome(kind=kind, reason=reason, due_at=due), at=NOW())

        for _ in range(count):
            self.store.write_now(work)


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    runner = Runner(tmp_path, capsys)
    runner.config.write_text(CONFIG + OTHERS)
    return runner


@pytest.fixture
def outbox(wrapd: Runner) -> Iterator[Outbox]:
    outbox = Outbox(wrapd.database)
    yield outbox
    outbox.store.close()


def listed(wrapd: Runner, *options: str) -> list[dict[str, Any]]:
    """Return all deliveries, oldest first."""
    found: list[dict[str, Any]] = json.loads(wrapd("deliveries", "--json", *options).out)
    return found[::-1]


def said(wrapd: Runner, *args: str) -> str:
    result = wrapd("deliveries", *args)
    assert (result.status, result.err) == (0, "")
    return result.out


def refused(wrapd: Runner, *args: str, status: Exit = Exit.USAGE) -> str:
    before = listed(wrapd)
    result = wrapd("deliveries", *args)
    assert (result.status, result.out) == (status, "")
    assert [(each["id"], each["status"]) for each in listed(wrapd)] == [
        (each["id"], each["status"]) for each in before
    ]
    return result.err


# ---------------------------------------------------------------------------- retry and cancel what a filter fits


def test_what_a_filter_fits_is_retried_once_its_number_is_confirmed(wrapd: Runner, outbox: Outbox) -> None:
    for name, more in (("one", {"batch": "b"}), ("two", {"batch": "b", "tags": ("t",)}), ("three", {})):
        outbox.job(name, "FAILED", **more)
    outbox.send(AttemptOutcome.DEAD, count=3)
    assert "this would send 2 alerts; add --yes" in refused(wrapd, "retry", "--batch", "b")
    assert "nothing was changed: 2 alerts match, not 3" in refused(wrapd, "retry", "--batch", "b", "--expect", "3")
    assert (
        said(wrapd, "retry", "--batch", "b", "--tag", "t", "--event", "failed") == "1 alert will be sent again\n"
    )
    assert said(wrapd, "retry", "--event", "succeeded", "--since", "1h") == "nothing to send again\n"
    assert said(wrapd, "retry", "--batch", "b", "--expect", "1") == "1 alert will be sent again\n"
    assert "1 alert matches, not 2" in refused(wrapd, "retry", "--dead", "--expect", "2")
    assert said(wrapd, "retry", "--dead", "--expect", "1") == "1 alert will be sent again\n"


def test_what_a_filter_fits_is_canceled_once_its_number_is_confirmed(wrapd: Runner, outbox: Outbox) -> None:
    for name in ("one", "two", "three"):
        outbox.job(name, "FAILED", batch="b" if name != "three" else None)
    assert "this would give up 2 alerts; add --yes" in refused(
        wrapd, "cancel", "--project", "main", "--batch", "b", "--event", "failed"
    )
    assert said(wrapd, "cancel", "--job", "one", "--yes") == "1 alert will not be sent\n"
    assert said(wrapd, "cancel", "--job", "one") == "nothing to cancel\n"
    assert "2 alerts match, not 9" in refused(wrapd, "cancel", "--event", "failed", "--expect", "9")
    assert said(wrapd, "cancel", "--event", "failed", "--expect", "2") == "2 alerts will not be sent\n"


@pytest.mark.parametrize("what", ["retry", "cancel"])
def test_a_wrong_filter_changes_nothing(wrapd: Runner, outbox: Outbox, what: str) -> None:
    outbox.job("one", "FAILED")
    assert "did you mean 'failed'?" in refused(wrapd, what, "--event", "faild", status=Exit.UNKNOWN)
    refused(wrapd, what, "--project", "nain", status=Exit.UNKNOWN)
    refused(wrapd, what, "--job", "never", status=Exit.UNKNOWN)
    assert "give either ids or" in refused(wrapd, what, "1", "--batch", "b")
    assert "which alerts?" in refused(wrapd, what)


# ------------------------------------------------------------------------------------------------ revive


def test_a_canceled_channel_is_brought_back(wrapd: Runner, outbox: Outbox) -> None:
    for name in ("a", "b", "c"):
        outbox.alert(name)
    outbox.alert("elsewhere", OPS)
    assert said(wrapd, "cancel", "--channel", "editors", "--yes") == "3 alerts will not be sent\n"
    assert said(wrapd, "revive", "--channel", "ops") == "nothing to restore\n"
    assert said(wrapd, "revive", "--channel", "editors") == "3 alerts will be sent\n"
    assert {each["status"] for each in listed(wrapd)} == {"pending"}
    assert said(wrapd, "cancel", "2") == "1 alert will not be sent\n"
    assert said(wrapd, "revive", "2", "1", "2") == "1 alert will be sent\n"
    assert said(wrapd, "cancel", "1", "2", "--yes") == "2 alerts will not be sent\n"
    assert said(wrapd, "revive", "--since", "30m") == "2 alerts will be sent\n"


def test_what_was_canceled_long_ago_is_not_brought_back_unawares(wrapd: Runner, outbox: Outbox) -> None:
    for name in ("old", "new"):
        outbox.alert(name)
    outbox.store.write_now(lambda tx: tx.outbox.cancel([1], at=NOW() - timedelta(days=3)))
    said(wrapd, "cancel", "2")
    assert said(wrapd, "revive", "--channel", "editors") == (
        "1 alert will be sent\n1 alert canceled earlier: give ids, or an earlier --since such as 30d\n"
    )
    assert said(wrapd, "revive", "--channel", "editors", "--since", "4d") == "1 alert will be sent\n"


# ------------------------------------------------------------------------------------------------ resend


def test_one_that_was_sent_is_sent_again(wrapd: Runner, outbox: Outbox) -> None:
    outbox.job("job-1")
    outbox.send()
    assert said(wrapd, "resend", "1") == "1 alert will be sent again, marked as repeated on request\n"
    first, second = listed(wrapd)
    assert (first["status"], first["resent_from"]) == ("sent", None)
    assert (second["status"], second["resent_from"], second["job_id"]) == ("pending", 1, "job-1")
    assert "again    #1 sent again on request" in said(wrapd, "show", "2")
    assert "#1 sent again on request" in wrapd("show", "job-1").out
    outbox.send()
    said(wrapd, "resend", "2", "--channel", "ops")
    assert [(each["channel"], each["resent_from"]) for each in listed(wrapd)[2:]] == [("ops", 1)]


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        (("--job", "job-1"), [1]),
        (("--batch", "夜 🎬"), [2, 3]),
        (("--since", "2h"), [1, 2, 3]),
        (("--since", "2h", "--from", "editors"), [1, 2, 3]),
        (("--job", "job-1", "--project", "main"), [1]),
        (("--since", "2000-01-01T00:00", "--batch", "夜 🎬"), [2, 3]),
    ],
)
def test_what_was_sent_of_a_job_a_batch_or_since_a_time_is_sent_again(
    wrapd: Runner, outbox: Outbox, which: tuple[str, ...], ids: list[int]
) -> None:
    outbox.job("job-1")
    outbox.job("job-2", batch="夜 🎬")
    outbox.send(count=3)
    outbox.job("job-3")  # never sent
    out = said(wrapd, "resend", *which)
    number = f"{len(ids)} alert{'s' if len(ids) > 1 else ''}"
    assert out.startswith(f"{number} will be sent again, marked as repeated on request\n")
    assert ("cancel` gives up" in out) == (len(ids) > 1)
    assert [each["resent_from"] for each in listed(wrapd) if each["resent_from"]] == ids
    assert said(wrapd, "resend", *which).startswith(f"{number} will")  # the new ones are not sent yet


def test_what_does_not_fit_is_said(wrapd: Runner, outbox: Outbox) -> None:
    outbox.job("job-1")
    assert said(wrapd, "resend", "--job", "job-1") == "no sent alert matches\n"
    assert said(wrapd, "resend", "--since", "1h") == "no sent alert matches\n"


def test_what_was_never_sent_is_not_sent_again(wrapd: Runner, outbox: Outbox) -> None:
    outbox.alert("dead")
    outbox.send(AttemptOutcome.DEAD)
    outbox.alert("canceled")
    said(wrapd, "cancel", "2")
    outbox.alert("sent")
    outbox.send()
    outbox.alert("waits")
    err = refused(wrapd, "resend", "1", "2", "3", "4")
    assert "nothing was changed" in err
    assert "1: it was given up; `wrapd deliveries retry 1`" in err
    assert "2: it was canceled; `wrapd deliveries revive 2`" in err
    assert "4: it is not sent yet" in err
    assert "3:" not in err


def test_a_channel_that_is_gone_is_named_and_another_takes_its_place(wrapd: Runner, outbox: Outbox) -> None:
    outbox.alert("a")
    outbox.send()
    wrapd.config.write_text(OTHERS)
    err = refused(wrapd, "resend", "1", status=Exit.UNKNOWN)
    assert "the config no longer has channel editors; use --channel NAME" in err
    assert said(wrapd, "resend", "1", "--channel", "ops").startswith("1 alert will")


def test_too_many_are_not_sent_again_at_once(wrapd: Runner, outbox: Outbox) -> None:
    def work(tx: Transaction) -> None:
        for number in range(MOST_RESENT + 1):
            told = OperatorAlert(event=Event.DEFECT, key=f"k{number}")
            tx.outbox.add_operator(told, channels=[EDITORS], at=NOW())
            claimed = tx.outbox.claim(EDITORS, now=NOW())
            assert claimed is not None
            tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="200"), at=NOW())

    outbox.store.write_now(work)
    assert f"more than {MOST_RESENT} alerts match" in refused(wrapd, "resend", "--since", "30d")


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("revive",), Exit.USAGE, "which alerts? Give ids, --channel NAME, or --since"),
        (("revive", "1", "--channel", "editors"), Exit.USAGE, "give either ids"),
        (("revive", "99"), Exit.UNKNOWN, "there is no delivery 99"),
        (("revive", "--channel", "editor"), Exit.UNKNOWN, "did you mean 'editors'"),
        (("revive", "--since", "yesterday"), Exit.USAGE, "2026-01-05T23:30"),
        (("revive", "--since", "9999-01-01"), Exit.USAGE, "in the future"),
        (("resend",), Exit.USAGE, "which alerts? Give ids, --job JOB_ID, --batch WORD, or --since"),
        (("resend", "--channel", "ops"), Exit.USAGE, "which alerts?"),
        (("resend", "1", "--since", "2h"), Exit.USAGE, "give either ids"),
        (("resend", "99"), Exit.UNKNOWN, "there is no delivery 99"),
        (("resend", "--job", "job-9"), Exit.UNKNOWN, "no job job-9"),
        (("resend", "--job", "-"), Exit.USAGE, "not a list"),
        (("resend", "--job", "a b"), Exit.USAGE, "a b"),
        (("resend", "--since", "2h", "--project", "mian"), Exit.UNKNOWN, "did you mean 'main'"),
        (("resend", "--since", "2h", "--from", "editor"), Exit.UNKNOWN, "did you mean 'editors'"),
        (("resend", "1", "--channel", "opps"), Exit.UNKNOWN, "did you mean 'ops'"),
        (("resend", "--since", "99999999999999d"), Exit.USAGE, "99999999999999d"),
    ],
)
def test_which_ones_must_be_said(
    wrapd: Runner, outbox: Outbox, args: tuple[str, ...], status: Exit, says: str
) -> None:
    outbox.alert("a")
    outbox.send()
    assert says in refused(wrapd, *args, status=status)


# ------------------------------------------------------------------------------------- a refused channel


def test_all_that_waits_for_a_refused_channel_is_counted_everywhere(wrapd: Runner, outbox: Outbox) -> None:
    for number in range(5):
        outbox.alert(f"p{number}")
    outbox.send(AttemptOutcome.HELD, reason="HTTP 404: no such robot 机器人")
    editors, ops = json.loads(wrapd("channels", "--json").out)
    assert (editors["held"], editors["waiting"], ops["held"]) == (5, 4, 0)
    (row,) = [line for line in wrapd("channels").out.splitlines() if line.startswith("editors")]
    assert row.split()[2:5] == ["0", "5", "5"]
    assert "refuses it, 5 alerts waiting" in wrapd("doctor").out
    text = wrapd("routes", "explain", "--event", "succeeded").out
    assert "editors: held: refused since" in text
    assert ", 5 waiting\n" in text
    assert text.endswith("ops: at once\n")
    (found,) = json.loads(wrapd("routes", "explain", "--event", "succeeded", "--json").out)
    assert [(each["channel"], each["waiting"]) for each in found["targets"]] == [("editors", 5), ("ops", None)]
    for each in listed(wrapd):
        assert each["why"].startswith("channel refused: HTTP 404: no such robot 机器人 (since ")
    assert said(wrapd, "--status", "pending").count("channel refused: HTTP 404: no such robot") == 4


def test_a_test_message_that_arrives_says_how_many_follow(wrapd: Runner, outbox: Outbox) -> None:
    for number in range(3):
        outbox.alert(f"p{number}")
    outbox.send(AttemptOutcome.HELD)
    with Webhook() as hook:
        wrapd.config.write_text(f'[channels.editors]\nurl = "{hook.url()}"\n')
        result = wrapd("channels", "test", "editors")
    assert "editors: 3 held alerts will be sent now\n" in result.out


def test_why_is_given_for_each_alert_that_waits(wrapd: Runner, outbox: Outbox) -> None:
    outbox.job("job-1", "BLOCK")
    outbox.send(AttemptOutcome.RETRY, reason="HTTP 500")
    outbox.store.write_now(lambda tx: record(tx, 1, "WAITING", at=NOW(), routes=ROUTES))
    outbox.alert("other")
    outbox.alert("gone", ChannelName("gone"))
    whys = [each["why"] for each in listed(wrapd)]
    assert whys[0].startswith("HTTP 500; next attempt 20")
    assert whys[1:] == ["after #1, an earlier one of its job", "no daemon runs", "the config has no such channel"]
    table = said(wrapd)
    for why in whys[1:]:
        assert f"{why}\n" in table
    assert "UTC" in table
    assert f"why      {whys[1]}\n" in said(wrapd, "show", "2")
    assert f"      {whys[1]}\n" in wrapd("show", "job-1").out


def test_names_in_a_reason_turn_no_terminal(wrapd: Runner, outbox: Outbox) -> None:
    outbox.alert("a")
    outbox.send(AttemptOutcome.HELD, reason="\x1b[31mno\u202e 🎬 robot" + "x" * 3000)
    for args in (("deliveries",), ("deliveries", "show", "1"), ("deliveries", "--json")):
        out = wrapd(*args).out
        assert "\x1b" not in out
        assert "\u202e" not in out
