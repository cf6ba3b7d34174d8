"""`wrapd jobs move`, `wrapd deliveries move`, and how other commands show a project or channel that is not in the
config. With a real database, without a daemon."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.clock import SystemClock
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.domain.planning import Reason
from daemon.errors import Exit
from daemon.store import AttemptOutcome, Bookkeeping, Outcome, Store, TrackRequest, Transaction, to_stamp
from tests.support.cli_runner import CONFIG, Runner

OLD, GONE = ProjectName("old"), ChannelName("gone")
HOSTILE = "a\x1b[31m 项目 🎬\u202e;$(reboot)'`"
MOVE_JOBS = ("jobs", "move", "--project", "old", "main")
MOVE_ALERTS = ("deliveries", "move", "--channel", "gone", "editors")


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


def tracked(*jobs: str, project: str = OLD) -> object:
    def work(tx: Transaction) -> None:
        for job in jobs:
            request = TrackRequest(project=ProjectName(project), kind="avatar", job_id=JobId(job))
            tx.jobs.track(request, at=datetime.now(UTC))

    return work


def planned(job: str) -> object:
    """Set a job's next poll as a daemon would."""

    def work(tx: Transaction) -> None:
        now = datetime.now(UTC)
        look = Bookkeeping(
            job=tx.jobs.find(JobId(job))[0].id,
            last_polled_at=to_stamp(now),
            next_poll_at=to_stamp(now + timedelta(minutes=5)),
            polls=1,
            last_error=None,
            asked_by="single",
            next_reason=Reason.FIRST,
        )
        tx.jobs.checkpoint([look])

    return work


def waiting(*keys: str, channel: str = GONE) -> object:
    def work(tx: Transaction) -> None:
        for key in keys:
            alert = OperatorAlert(event=Event.PROJECT_DOWN, key=key, project=ProjectName(key))
            tx.outbox.add_operator(alert, channels=[ChannelName(channel)], at=datetime.now(UTC))

    return work


def tried(outcome: AttemptOutcome | None, channel: str = GONE) -> object:
    """Let the channel take the next delivery; None leaves it under way."""

    def work(tx: Transaction) -> None:
        now = datetime.now(UTC)
        claimed = tx.outbox.claim(ChannelName(channel), now=now)
        assert claimed is not None
        if outcome is not None:
            due_at = now + timedelta(hours=1)
            tx.outbox.finish(claimed, Outcome(kind=outcome, reason="HTTP 404", due_at=due_at), at=now)

    return work


def projects(wrapd: Runner) -> dict[str, str]:
    return {each["job_id"]: each["project"] for each in json.loads(wrapd("jobs", "--json").out)}


def channels(wrapd: Runner) -> dict[str, tuple[str, str]]:
    listed = json.loads(wrapd("deliveries", "--json").out)
    return {each["project"]: (each["channel"], each["status"]) for each in listed}


# ------------------------------------------------------------------------------------------ moving


def test_jobs_are_moved(wrapd: Runner) -> None:
    write(wrapd, tracked("job-1", "job-2"), tracked("job-3", project="other"))
    wrapd("untrack", "job-2")
    result = wrapd(*MOVE_JOBS, "--yes")
    assert (result.status, result.out) == (Exit.OK, "2 jobs (1 active) moved from old to main\n")
    assert projects(wrapd) == {"job-1": "main", "job-2": "main", "job-3": "other"}
    again = wrapd(*MOVE_JOBS)
    assert (again.status, again.out) == (Exit.OK, "nothing to move from project old\n")


def test_alerts_are_moved(wrapd: Runner) -> None:
    write(wrapd, waiting("a"), tried(AttemptOutcome.HELD), waiting("b", "c"))
    result = wrapd(*MOVE_ALERTS, "--yes")
    assert (result.status, result.out) == (Exit.OK, "3 alerts moved from gone to editors\n")
    assert channels(wrapd) == dict.fromkeys("abc", ("editors", "pending"))
    again = wrapd(*MOVE_ALERTS)
    assert (again.status, again.out) == (Exit.OK, "nothing to move from channel gone\n")


def test_jobs_that_stay_are_named_with_what_to_do(wrapd: Runner) -> None:
    write(wrapd, tracked("job-1", "job-2"), tracked("job-2", project="main"))
    assert wrapd(*MOVE_JOBS, "--yes").out.splitlines() == [
        "1 job (1 active) moved from old to main",
        "1 job not moved, since main has the same: job-2",
        "`wrapd untrack --project old JOB_ID` stops tracking them",
    ]
    assert wrapd("untrack", "--project", "old", "job-2").status == Exit.OK
    assert wrapd("doctor").out.count("projects.old") == 0


def test_alerts_that_stay_are_counted_with_what_to_do(wrapd: Runner) -> None:
    write(wrapd, waiting("x", channel="editors"), waiting("x", "y"))
    assert wrapd(*MOVE_ALERTS, "--yes").out.splitlines() == [
        "1 alert moved from gone to editors",
        "1 alert not moved, since editors has the same; `wrapd deliveries cancel --channel gone` gives them up",
    ]
    assert wrapd("deliveries", "cancel", "--channel", "gone").status == Exit.OK
    assert wrapd("doctor").out.count("channels.gone") == 0


def test_an_alert_that_is_being_sent_stays(wrapd: Runner) -> None:
    write(wrapd, waiting("x"), tried(None))
    assert wrapd(*MOVE_ALERTS).out.splitlines() == [
        "nothing to move from channel gone",
        "1 alert not moved, since gone is sending right now",
    ]


@pytest.mark.parametrize("args", [MOVE_JOBS, MOVE_ALERTS])
def test_without_a_terminal_it_moves_only_with_yes(wrapd: Runner, args: tuple[str, ...]) -> None:
    write(wrapd, tracked("job-1"), waiting("x"))
    result = wrapd(*args, stdin=b"y\n")
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert "this would move 1 " in result.err
    assert "add --yes" in result.err
    assert (projects(wrapd), channels(wrapd)) == ({"job-1": "old"}, {"x": ("gone", "pending")})


@pytest.mark.parametrize(
    ("args", "asked", "answer"),
    [
        (MOVE_JOBS, "Move 1 job (1 active) of project old to main?", "n"),
        (MOVE_ALERTS, "Move 1 alert from channel gone to editors?", "y"),
    ],
)
def test_on_a_terminal_it_asks(wrapd: Runner, args: tuple[str, ...], asked: str, answer: str) -> None:
    write(wrapd, tracked("job-1"), waiting("x"))
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        command = [sys.executable, "-m", "daemon.cli", "--config", str(wrapd.config), *args]
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=60, check=True)
    finally:
        os.close(ours)
        os.close(theirs)
    assert asked in done.stdout + done.stderr
    assert ("nothing was moved\n" in done.stdout) == (answer == "n")
    moved = projects(wrapd)["job-1"] == "main" or channels(wrapd)["x"][0] == "editors"
    assert moved == (answer == "y")


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("jobs", "move", "--project", "old", "mian"), Exit.UNKNOWN, "did you mean 'main'?"),
        (("jobs", "move", "--project", "old", "old"), Exit.UNKNOWN, "no project is called 'old'"),
        (("jobs", "move", "--project", "main", "main"), Exit.USAGE, "OLD and NEW are the same"),
        (("jobs", "move", "--project", "old"), Exit.USAGE, "requires 2 arguments"),
        (("jobs", "move"), Exit.USAGE, "--project"),
        (("jobs", "move", "--project", "old", "main", "job-1"), Exit.USAGE, "job-1"),
        (("jobs", "mov"), Exit.USAGE, "mov"),
        (("deliveries", "move", "--channel", "gone", "editor"), Exit.UNKNOWN, "did you mean 'editors'?"),
        (("deliveries", "move", "--channel", "editors", "editors"), Exit.USAGE, "OLD and NEW are the same"),
        (("deliveries", "move", "--channel", "gone"), Exit.USAGE, "requires 2 arguments"),
        (("deliveries", "move"), Exit.USAGE, "--channel"),
    ],
)
def test_what_cannot_be_moved_is_one_message(
    wrapd: Runner, args: tuple[str, ...], status: Exit, says: str
) -> None:
    write(wrapd, tracked("job-1"), waiting("x"))
    result = wrapd(*args, *(["--yes"] if len(args) > 4 else []))
    assert (result.status, result.out) == (status, "")
    assert says in result.err
    assert (projects(wrapd), channels(wrapd)) == ({"job-1": "old"}, {"x": ("gone", "pending")})


@pytest.mark.parametrize("name", [HOSTILE, "x" * 128, "-x", "--yes"])
def test_any_name_can_be_moved_from_and_none_reaches_the_terminal_as_it_is(wrapd: Runner, name: str) -> None:
    write(wrapd, tracked("job-1", project=name), waiting("x", channel=name))
    told = wrapd("doctor").out
    jobs = wrapd("jobs", "move", "--project", name, "main", "--yes")
    alerts = wrapd("deliveries", "move", "--channel", name, "editors", "--yes")
    assert (jobs.status, alerts.status) == (Exit.OK, Exit.OK)
    assert (projects(wrapd), channels(wrapd)) == ({"job-1": "main"}, {"x": ("editors", "pending")})
    for said in (told, jobs.out, alerts.out):
        assert "\x1b" not in said
        assert "\u202e" not in said


def test_a_project_that_the_config_has_can_be_moved_too(wrapd: Runner) -> None:
    wrapd.config.write_text(CONFIG + CONFIG.split("[channels")[0].replace("projects.main", "projects.old"))
    write(wrapd, tracked("job-1"))
    assert "not in the config" not in wrapd("doctor").out
    assert wrapd(*MOVE_JOBS, "--yes").status == Exit.OK
    assert projects(wrapd) == {"job-1": "main"}


def test_without_a_database_nothing_is_made(wrapd: Runner) -> None:
    assert wrapd(*MOVE_JOBS, "--yes").status == Exit.DATABASE
    assert wrapd(*MOVE_ALERTS, "--yes").status == Exit.DATABASE
    assert not wrapd.database.exists()


def test_the_options_of_jobs_are_as_they_were(wrapd: Runner) -> None:
    write(wrapd, tracked("job-1"), tracked("job-2", project="main"))
    assert [each["job_id"] for each in json.loads(wrapd("jobs", "--project", "old", "--json").out)] == ["job-1"]
    assert wrapd("jobs", "--limit", "1", "--all").status == Exit.USAGE


# ------------------------------------------------------------------------------------------ output


def test_doctor_fails_with_the_command_that_moves_what_is_orphaned(wrapd: Runner) -> None:
    write(wrapd, tracked("job-1", "job-2"), waiting("a"), tried(AttemptOutcome.HELD), waiting("b"))
    result = wrapd("doctor", "--json")
    findings = {each["what"]: (each["verdict"], each["text"]) for each in json.loads(result.out)}
    assert result.status == Exit.FAILED
    verdict, text = findings["projects.old"]
    assert verdict == "fail"
    assert text.startswith("not in the config, but has 2 active jobs, not polled; put it back, ")
    assert text.endswith("or `wrapd jobs move --project old main`")
    verdict, text = findings["channels.gone"]
    assert verdict == "fail"
    assert text.startswith("not in the config, but has 2 unsent alerts, not sent; put it back, ")
    assert text.endswith("or `wrapd deliveries move --channel gone editors`")
    for command in (MOVE_JOBS, MOVE_ALERTS):
        assert wrapd(*command, "--yes").status == Exit.OK
    said = wrapd("doctor").out
    assert "projects.old" not in said
    assert "channels.gone" not in said


def test_doctor_does_not_fail_for_what_is_over(wrapd: Runner) -> None:
    write(wrapd, tracked("job-1"), waiting("a"), tried(AttemptOutcome.SENT))
    wrapd("untrack", "job-1")
    said = wrapd("doctor").out
    assert "projects.old" not in said
    assert "channels.gone" not in said


def test_nothing_promises_a_look_that_nobody_takes(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.cli.jobs.daemon_runs", lambda _: True)
    write(wrapd, tracked("job-1", "job-2"), planned("job-1"), tracked("job-3", project="main"), planned("job-3"))
    rows = {each["job_id"]: each for each in json.loads(wrapd("jobs", "--json").out)}
    for job in ("job-1", "job-2"):
        assert (rows[job]["next_poll_at"], rows[job]["next_reason"]) == (None, None)
        shown = json.loads(wrapd("show", job, "--json").out)
        assert (shown["next_poll_at"], shown["next_reason"]) == (None, None)
        command = "`wrapd jobs move --project old main`"
        said = f"none: the config has no project old; {command} moves its jobs"
        for command in ("show", "explain"):
            [line] = [each for each in wrapd(command, job).out.splitlines() if each.startswith("  next poll")]
            assert line.split(maxsplit=2)[2] == said
        assert json.loads(wrapd("explain", job, "--json").out)["next_poll_at"] is None
    assert rows["job-3"]["next_poll_at"] is not None
    table = {line.split()[-2]: line.split()[2] for line in wrapd("jobs").out.splitlines()[1:]}
    assert (table["job-1"], table["job-2"], table["job-3"]) == ("-", "-", "in")
    wrapd(*MOVE_JOBS, "--yes")
    table = {line.split()[-2]: line.split()[2] for line in wrapd("jobs").out.splitlines()[1:]}
    assert table["job-1"] == "soon"
