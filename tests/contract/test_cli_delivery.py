"""routes, templates, channels, deliveries: the commands about where alerts go, and what happened to each."""

import json
import os
import pty
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daemon.clock import ManualClock, SystemClock
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName, parse_job_id
from daemon.errors import Exit
from daemon.store import AttemptOutcome, Outcome, Store, TrackRequest, Transaction
from tests.support.cli_runner import Runner
from tests.support.webhook import Webhook

NOW = SystemClock().now
EDITORS = ChannelName("editors")

ROUTED = """
operators = ["ops"]
[projects.main]
region = "cn-north-4"
auth = { method = "token", token = { env = "NOT_SET" } }
[projects.other]
region = "cn-north-4"
auth = { method = "token", token = { env = "NOT_SET" } }
[channels.editors]
url = { env = "NOT_SET_URL" }
timezone = "Asia/Shanghai"
language = "zh"
max_per_minute = 20
digest_above = 4
fallback = "ops"
quiet = { from = "22:00", to = "08:00" }
templates = { succeeded = "s.j2" }
[channels.ops]
url = { env = "NOT_SET_URL" }
[[routes]]
channels = ["editors"]
tags = ["vip"]
labels = ["Episode *"]
stop = true
[[routes]]
events = ["succeeded", "failed", "link_expiring"]
channels = ["ops"]
projects = ["main"]
"""


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, capsys)


def write(runner: Runner, *work: object) -> None:
    store = Store.open(f"sqlite:///{runner.database}", clock=SystemClock())
    try:
        for each in work:
            store.write_now(each)  # type: ignore[arg-type]
    finally:
        store.close()


def alert(key: str, channel: str = "editors") -> object:
    def work(tx: Transaction) -> None:
        told = OperatorAlert(event=Event.PROJECT_DOWN, key=key, project=ProjectName(key))
        assert tx.outbox.add_operator(told, channels=[ChannelName(channel)], at=NOW())

    return work


def tried(outcome: AttemptOutcome, reason: str, *, channel: str = "editors") -> object:
    """Try the first due delivery of the channel."""

    def work(tx: Transaction) -> None:
        claimed = tx.outbox.claim(ChannelName(channel), now=NOW())
        assert claimed is not None
        later = NOW() + timedelta(hours=1) if outcome not in {AttemptOutcome.SENT, AttemptOutcome.DEAD} else None
        tx.outbox.finish(claimed, Outcome(kind=outcome, reason=reason, status_code=404, due_at=later), at=NOW())

    return work


# ------------------------------------------------------------------------------------------------ routes


def test_routes_are_listed_in_order(wrapd: Runner) -> None:
    wrapd.config.write_text(ROUTED)
    listed = json.loads(wrapd("routes", "--json").out)
    assert [(each["route"], each["channels"], each["stop"]) for each in listed] == [
        (1, ["editors"], True),
        (2, ["ops"], False),
    ]
    assert listed[0]["labels"] == ["Episode *"]
    assert listed[1]["events"] == ["succeeded", "failed", "link_expiring"]
    table = wrapd("routes").out
    assert "the default events" in table
    assert "tags vip; labels Episode *" in table
    wrapd.config.write_text('[channels.a]\nurl = "x"\n')
    assert "The config has no routes, so every channel gets these events." in wrapd("routes").out


def explain(wrapd: Runner, *options: str) -> str:
    result = wrapd("routes", "explain", *options)
    assert (result.status, result.err) == (0, "")
    return result.out


def test_an_event_is_followed_through_the_routes(wrapd: Runner) -> None:
    wrapd.config.write_text(ROUTED)
    vip = ("--tag", "vip", "--label", "Episode 9")
    day = ("--at", "2026-01-05T12:00+08:00")
    text = explain(wrapd, "--event", "succeeded", *vip, *day)
    assert "route 1 (to editors) matches, and stops here" in text
    assert "route 2 (to ops) skipped: route 1 matches and stops" in text
    assert text.endswith("\neditors: at once\n")
    night = explain(wrapd, "--event", "succeeded", *vip, "--at", "2026-01-05T23:00+08:00")
    assert night.endswith("\neditors: kept for quiet hours until 2026-01-06 00:00:00 UTC\n")
    urgent = explain(wrapd, "--event", "failed", *vip, "--at", "2026-01-05T23:00+08:00")
    assert urgent.endswith("\neditors: at once\n")
    text = explain(wrapd, "--event", "succeeded", "--label", "x", "--tag", "vip", "--project", "other")
    assert "does not match: it takes only labels Episode *; this job has x" in text
    assert "does not match: it takes only projects main; this job has other" in text
    assert text.endswith("\nNo channel gets it.\n")
    text = explain(wrapd, "--event", "succeeded", "--project", "main")
    assert "does not match: it takes only tags vip; this job has none" in text
    assert "ops: at once" in text
    assert "does not match: it takes succeeded, failed, link_expiring" in explain(wrapd, "--event", "started")
    text = explain(wrapd, "--event", "auth_failed")
    assert "events about wrapd itself go to the operators (ops)" in text
    assert text.endswith("\nops: at once\n")


def test_the_same_as_json(wrapd: Runner) -> None:
    wrapd.config.write_text(ROUTED)
    (found,) = json.loads(explain(wrapd, "--event", "failed", "--project", "main", "--kind", "photo", "--json"))
    assert (found["event"], found["kind"]) == ("failed", "photo")
    assert [(each["route"], each["taken"], each["mismatch"]) for each in found["routes"]] == [
        (1, False, "tag"),
        (2, True, None),
    ]
    (target,) = found["targets"]
    assert (target["channel"], target["held_until"], target["refused_since"]) == ("ops", None, None)


def test_a_stored_job_is_followed_with_what_is_known_of_it(wrapd: Runner) -> None:
    wrapd.config.write_text(ROUTED)
    request = TrackRequest(
        project=ProjectName("main"),
        kind="photo",
        job_id=parse_job_id("job-1"),
        label="episode 3",
        tags=("vip",),
        batch="night",
    )
    write(wrapd, lambda tx: tx.jobs.track(request, at=NOW()))
    text = explain(wrapd, "job-1", "--event", "succeeded", "--at", "2026-01-05T04:00")
    assert "about project main; kind photo; tags vip; batch night; label episode 3" in text
    assert text.endswith("\neditors: at once\n")
    rows = [line.split() for line in explain(wrapd, "job-1", "--at", "2026-01-05T04:00").splitlines()]
    by_event = {row[0]: row[1:] for row in rows}
    assert by_event["succeeded"] == ["1", "editors", "(at", "once)"]
    assert by_event["link_expiring"] == ["2", "ops", "(at", "once)"]
    assert by_event["started"] == ["-", "none"]
    assert by_event["batch_finished"] == ["-", "none"]  # a batch has no label
    assert len(json.loads(explain(wrapd, "job-1", "--json"))) == len(by_event) - 1


def test_the_end_of_a_jobs_batch_is_followed_by_what_all_its_jobs_share(wrapd: Runner) -> None:
    wrapd.config.write_text(ROUTED.replace('labels = ["Episode *"]\n', ""))
    for name, more in (("one", ("--tag", "vip", "--batch", "night")), ("alone", ("--tag", "vip"))):
        assert wrapd("track", name, "--project", "main", *more).status == 0
    day = ("--at", "2026-01-05T04:00")
    assert explain(wrapd, "one", "--event", "batch_finished", *day).endswith("\neditors: at once\n")
    wrapd("track", "two", "--project", "main", "--kind", "photo", "--batch", "night")
    text = explain(wrapd, "one", "--event", "batch_finished", *day)
    assert "about project main; batch night\n" in text
    assert text.endswith("\nNo channel gets it.\n")
    assert "batch_finished" not in explain(wrapd, "alone")
    result = wrapd("routes", "explain", "alone", "--event", "batch_finished")
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert "alone belongs to no batch" in result.err


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        ((), Exit.USAGE, "which alert? Give a job id, or --event"),
        (("--event", "succeded"), Exit.USAGE, "succeded"),
        (("--event", "succeeded", "--project", "mian"), Exit.UNKNOWN, "did you mean 'main'"),
        (("--event", "succeeded", "--kind", "movie"), Exit.USAGE, "movie"),
        (("job-9",), Exit.UNKNOWN, "no job job-9"),
        (("job-9", "--tag", "x"), Exit.USAGE, "--tag: the job has its own"),
        (("-",), Exit.USAGE, "not a list"),
        (("--event", "failed", "--at", "noon"), Exit.USAGE, "'noon' is not a date and time"),
    ],
)
def test_what_cannot_be_explained_is_one_message(
    wrapd: Runner, args: tuple[str, ...], status: Exit, says: str
) -> None:
    wrapd.config.write_text(ROUTED)
    wrapd("db", "upgrade")
    result = wrapd("routes", "explain", *args)
    assert (result.status, result.out) == (status, "")
    assert says in result.err


# ---------------------------------------------------------------------------------------------- channels


def test_channels_show_their_plan_and_since_when_they_are_held(
    wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapd.config.write_text(ROUTED)
    write(wrapd, alert("a"), tried(AttemptOutcome.HELD, "HTTP 401: the service refuses the token"))
    editors, ops = json.loads(wrapd("channels", "--json").out)
    assert (editors["language"], editors["max_per_minute"], editors["digest_above"]) == ("zh", 20, 4)
    assert (editors["fallback"], editors["fallback_after"], editors["digest_window"]) == ("ops", 900, 60)
    assert editors["quiet"] == {
        "from": "22:00",
        "to": "08:00",
        "timezone": "Asia/Shanghai",
        "urgent": ["failed", "blocked"],
    }
    assert editors["templates"] == ["succeeded"]
    assert editors["held"] == 1
    since = datetime.fromisoformat(editors["held_since"])
    assert "operators" not in editors["events"]
    assert (ops["held_since"], ops["quiet"], ops["fallback"]) == (None, None, None)
    assert ops["events"] == ["succeeded", "failed", "link_expiring", "operators"]
    monkeypatch.setattr("daemon.cli.channels.CLOCK", ManualClock(since + timedelta(minutes=90, seconds=1)))
    table = wrapd("channels").out
    assert "1 (1h30m ago)" in table
    for part in ("language zh", "20 a minute", "above 4 in 1m", "quiet 22:00-08:00", "then ops after 15m"):
        assert part in table
    doctor = wrapd("doctor").out
    assert "channels.editors: warn: the service refuses it, 1 alert waiting" in doctor


# -------------------------------------------------------------------------------------------- deliveries


def test_each_try_is_shown(wrapd: Runner) -> None:
    write(wrapd, alert("a"), tried(AttemptOutcome.DEAD, "HTTP 404: no such chat"), alert("b"))
    listed = json.loads(wrapd("deliveries", "--json").out)
    assert [(each["status"], len(each["tries"])) for each in listed] == [("pending", 0), ("dead", 1)]
    (attempt,) = listed[1]["tries"]
    assert (attempt["n"], attempt["outcome"], attempt["status_code"]) == (1, "dead", 404)
    assert attempt["reason"] == "HTTP 404: no such chat"
    assert attempt["shared"] == 1
    dead = str(listed[1]["id"])
    assert json.loads(wrapd("deliveries", "show", dead, "--json").out) == listed[1]
    story = wrapd("deliveries", "show", dead).out
    assert story.startswith(f"#{dead} project_down to editors: dead\n")
    assert "  of       no job of project a\n" in story
    assert "1. " in story
    assert "UTC  dead: HTTP 404: no such chat" in story
    assert "none yet" in wrapd("deliveries", "show", str(listed[0]["id"])).out
    result = wrapd("deliveries", "show", "99")
    assert (result.status, result.out) == (Exit.UNKNOWN, "")
    assert "there is no delivery 99" in result.err


def test_the_dead_are_listed(wrapd: Runner) -> None:
    write(wrapd, alert("a"), tried(AttemptOutcome.DEAD, "gone"), alert("b"))
    assert [each["project"] for each in json.loads(wrapd("deliveries", "--dead", "--json").out)] == ["a"]
    assert wrapd("deliveries", "--dead", "--status", "sent").status == Exit.USAGE
    assert wrapd("deliveries", "--dead", "--status", "dead").status == Exit.OK


def statuses(wrapd: Runner) -> dict[str, str]:
    return {each["project"]: each["status"] for each in json.loads(wrapd("deliveries", "--json").out)}


def test_what_is_not_sent_can_be_given_up(wrapd: Runner) -> None:
    write(
        wrapd,
        alert("sent"),
        tried(AttemptOutcome.SENT, "ok"),
        alert("dead"),
        tried(AttemptOutcome.DEAD, "gone"),
        alert("waits"),
        alert("elsewhere", "ops"),
    )
    ids = {each["project"]: str(each["id"]) for each in json.loads(wrapd("deliveries", "--json").out)}
    assert wrapd("deliveries", "cancel", ids["sent"]).out == "nothing to cancel\n"
    assert wrapd("deliveries", "cancel", ids["waits"], ids["waits"]).out == "1 alert will not be sent\n"
    result = wrapd("deliveries", "cancel", ids["dead"], "99")
    assert (result.status, result.out) == (Exit.UNKNOWN, "")
    assert statuses(wrapd) == {"sent": "sent", "dead": "dead", "waits": "canceled", "elsewhere": "pending"}
    assert wrapd("deliveries", "cancel", "--dead", "--channel", "ops").status == Exit.OK
    assert wrapd("deliveries", "cancel", "--dead").out == "1 alert will not be sent\n"
    assert wrapd("deliveries", "cancel", "--channel", "opps").status == Exit.UNKNOWN
    assert wrapd("deliveries", "cancel", "--channel", "ops").out == "1 alert will not be sent\n"
    assert statuses(wrapd) == {"sent": "sent", "dead": "canceled", "waits": "canceled", "elsewhere": "canceled"}


@pytest.mark.parametrize("args", [("--channel", "editors"), ("1", "2")])
def test_without_a_terminal_more_than_one_is_given_up_only_with_yes(wrapd: Runner, args: tuple[str, ...]) -> None:
    write(wrapd, alert("a"), alert("b"))
    result = wrapd("deliveries", "cancel", *args, stdin=b"y\n")
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert "2 alerts; add --yes" in result.err
    assert statuses(wrapd) == {"a": "pending", "b": "pending"}
    assert wrapd("deliveries", "cancel", *args, "--yes").out == "2 alerts will not be sent\n"
    assert statuses(wrapd) == {"a": "canceled", "b": "canceled"}


@pytest.mark.parametrize(
    ("answer", "said", "becomes"),
    [("n", "nothing was canceled\n", "pending"), ("y", "2 alerts will not be sent\n", "canceled")],
)
def test_on_a_terminal_it_asks_before_it_gives_up_more_than_one(
    wrapd: Runner, answer: str, said: str, becomes: str
) -> None:
    write(wrapd, alert("a"), alert("b"))
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        command = [sys.executable, "-m", "daemon.cli", "--config", str(wrapd.config)]
        done = subprocess.run(
            [*command, "deliveries", "cancel", "--channel", "editors"],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Give up 2 alerts?" in done.stdout + done.stderr
    assert done.stdout.endswith(said)
    assert statuses(wrapd) == {"a": becomes, "b": becomes}


@pytest.mark.parametrize("args", [(), ("1", "--dead"), ("1", "--channel", "editors"), ("x",), ("0",)])
def test_which_to_cancel_must_be_said(wrapd: Runner, args: tuple[str, ...]) -> None:
    result = wrapd("deliveries", "cancel", *args)
    assert (result.status, result.out) == (Exit.USAGE, "")


def test_quiet_hours_are_the_reason_that_is_shown(wrapd: Runner) -> None:
    wrapd.config.write_text(
        '[projects.main]\nregion = "cn-north-4"\n[channels.editors]\nurl = "json://127.0.0.1"\n'
        'quiet = { from = "00:00", to = "23:59" }\n'
    )
    from daemon.config import load
    from daemon.domain.routing import Subject

    def work(tx: Transaction) -> None:
        # If now is in a minute that is not quiet, the test continues a minute later.
        at = NOW() if NOW().strftime("%H:%M") != "23:59" else NOW() + timedelta(minutes=1)
        told = OperatorAlert(event=Event.PROJECT_DOWN, key="q", project=ProjectName("main"))
        subject = Subject(event=told.event, project=told.project)
        tx.outbox.add_operator(told, channels=load(wrapd.config).routing().targets(subject, at=at), at=at)

    write(wrapd, work)
    (row,) = json.loads(wrapd("deliveries", "--json").out)
    assert (row["status"], row["held_until"]) == ("pending", row["due_at"])
    assert "kept for quiet hours until" in wrapd("deliveries").out
    assert "why      kept for quiet hours until" in wrapd("deliveries", "show", str(row["id"])).out


# --------------------------------------------------------------------------------------------- templates


def with_channel(wrapd: Runner, url: str, more: str = "", web: str = "") -> None:
    wrapd.config.write_text(
        f'[projects.main]\nregion = "cn-north-4"\n{web}[channels.editors]\nurl = "{url}"\n{more}\n'
    )


def test_every_example_can_be_seen_and_nothing_is_sent(wrapd: Runner) -> None:
    with Webhook() as hook:
        with_channel(wrapd, hook.url())
        result = wrapd("templates", "preview", "--channel", "editors", "--all", "--json")
        assert (result.status, result.err) == (0, "")
        assert not hook.requests
    found = {each["example"]: each for each in json.loads(result.out)}
    assert found.keys() >= {*(event.value for event in Event), "digest", "late", "hostile", "repeat"}
    assert found["succeeded"]["facts"]["event"] == "succeeded"
    assert found["digest"]["event"] == "digest"
    assert all(each["title"] and each["fault"] is None for each in found.values())


def test_an_own_template_is_shown_and_a_wrong_one_says_why(wrapd: Runner) -> None:
    template = wrapd.folder / "s.j2"
    template.write_text("All done: {{ name }}\nSee {{ links[0].url }}\n")
    with_channel(wrapd, "slack://TAAAAAAAA/BBBBBBBBB/cccccccccccccccccccccccc", 'templates = { "*" = "s.j2" }')
    result = wrapd("templates", "preview", "--channel", "editors", "--event", "succeeded")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"== succeeded: from {template}\nAll done: Interview")
    assert str(template) in wrapd("templates").out
    template.write_text("{{ nmae }}")
    result = wrapd("templates", "preview", "--channel", "editors", "--event", "succeeded")
    assert (result.status, result.out) == (Exit.CONFIG, "")
    assert f"channels.editors.templates.'*': {template}:1: " in result.err
    assert "did you mean 'name'" in result.err
    check = wrapd("config", "check")
    assert "nmae" in check.err
    template.write_text("{% if name %}{% endif %}")
    result = wrapd("templates", "preview", "--channel", "editors", "--event", "succeeded")
    assert result.status == Exit.FAILED
    assert "!! the template fails, so the built-in message is sent: s.j2: the result is empty" in result.out
    assert "Ready: Interview" in result.out


def test_a_card_and_wrapds_own_links_are_shown(wrapd: Runner) -> None:
    with_channel(
        wrapd,
        "feishu://abcdefghijklmnopqrstuvwxyz",
        'language = "zh"',
        web='[web]\npublic_url = "https://wrapd.example.com"\n',
    )
    (shown,) = json.loads(
        wrapd("templates", "preview", "--channel", "editors", "--event", "succeeded", "--json").out
    )
    assert shown["card"] is not None
    assert "https://wrapd.example.com/v/EXAMPLE-1" in json.dumps(shown["card"])
    assert "Signature" not in json.dumps(shown["card"])
    text = wrapd("templates", "preview", "--channel", "editors", "--event", "succeeded").out
    assert "-- sent to the service as a card" in text


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("--channel", "editors"), Exit.USAGE, "Give one with --event, or all with --all"),
        (("--channel", "editors", "--all", "--event", "failed"), Exit.USAGE, "--all"),
        (("--channel", "editors", "--event", "failled"), Exit.UNKNOWN, "did you mean 'failed'"),
        (("--channel", "editor", "--event", "failed"), Exit.UNKNOWN, "did you mean 'editors'"),
        (("--event", "failed"), Exit.USAGE, "--channel"),
    ],
)
def test_what_cannot_be_shown_is_one_message(
    wrapd: Runner, args: tuple[str, ...], status: Exit, says: str
) -> None:
    with_channel(wrapd, "json://127.0.0.1:1")
    result = wrapd("templates", "preview", *args)
    assert (result.status, result.out) == (status, "")
    assert says in result.err
