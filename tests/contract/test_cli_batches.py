"""batches: every batch at a glance, with the expected end of its last job. With a real database, without a
daemon."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import JobId, Observation, ProjectName
from daemon.errors import Exit
from daemon.store import Store, TrackRequest, Transaction
from tests.support.cli_runner import CONFIG, Runner
from tests.support.store import SILENT, move, url_of

NOW = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)
MAIN = ProjectName("main")


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr("daemon.cli.batches.CLOCK", ManualClock(NOW))
    runner = Runner(tmp_path, capsys)
    in_store(runner, lambda tx: None)
    return runner


def in_store(runner: Runner, work: Any) -> None:
    store = Store.open(url_of(runner.database), clock=ManualClock(NOW))
    try:
        store.write_now(work)
    finally:
        store.close()


def job(tx: Transaction, name: str, *states: str, batch: str | None = "b", took: float = 0.0, **more: Any) -> None:
    """Write a job whose production started `took` seconds ago, ending now if its last state is an end."""
    begun = NOW - timedelta(seconds=took)
    project = more.pop("project", MAIN)
    wanted = TrackRequest(project=project, kind="avatar", job_id=JobId(name), batch=batch, **more)
    tx.jobs.track(wanted, at=begun)
    (row,) = tx.jobs.find(JobId(name), project)
    before = None
    for state in states:
        at = begun if state in ("WAITING", "PROCESSING", "BLOCK") else NOW
        seen = Observation(state=state, created_at=begun, started_at=None if state == "WAITING" else begun)
        tx.jobs.record_move(row.id, move(before, seen, at=at), seen, routing=SILENT, due_at=at)
        before = state


def learned(tx: Transaction) -> None:
    """Write jobs without a batch that took from 20 to 60 minutes."""
    for number in range(20):
        job(tx, f"past-{number}", "PROCESSING", "SUCCEED", batch=None, took=1200 + 120 * number)


def fifty(tx: Transaction, *last: str) -> None:
    """Write a batch of 50 jobs, of which 46 succeeded and 2 failed."""
    for number in range(48):
        job(tx, f"job-{number}", "FAILED" if number < 2 else "SUCCEED")
    job(tx, "job-48", *last, took=600)
    job(tx, "job-49", *last, took=900)


def standing(runner: Runner, *args: str) -> str:
    result = runner("batches", *args)
    assert (result.status, result.err) == (0, "")
    title, *lines = result.out.splitlines()
    assert title.split() == ["BATCH", "PROJECT", "JOBS"]
    [line] = lines
    return line.removeprefix("b").strip().removeprefix("main").strip()


def test_a_batch_says_how_many_have_ended_how_and_when_the_last_will(
    wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.show.CLOCK", ManualClock(NOW))
    in_store(wrapd, lambda tx: (learned(tx), fifty(tx, "PROCESSING")))
    said = standing(wrapd)
    begin, end = said.removeprefix("48 of 50, 2 failed, all 50 by ").removesuffix(" UTC").split("-")
    [batch] = json.loads(wrapd("batches", "--json").out)
    eta = batch.pop("eta")
    assert batch == {
        "project": "main",
        "batch": "b",
        "jobs": 50,
        "ended": 48,
        "succeeded": 46,
        "partial": 0,
        "failed": 2,
        "canceled": 0,
        "lost": 0,
        "expired": 0,
        "stopped": 0,
        "eta_reason": None,
        "soonest_at": eta["low_at"],
    }
    assert NOW < datetime.fromisoformat(eta["low_at"]) < datetime.fromisoformat(eta["high_at"])
    assert (eta["low_at"][11:16], eta["high_at"][11:16]) == (begin, end)
    assert 0 < eta["low_seconds"] < eta["median_seconds"] < eta["high_seconds"]
    assert f"batch      b: {said}\n" in wrapd("show", "job-48").out


def test_a_batch_of_one_ends_when_its_job_does(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.cli.jobs.CLOCK", ManualClock(NOW))
    in_store(wrapd, lambda tx: (learned(tx), job(tx, "one", "PROCESSING", took=300)))
    [batch] = json.loads(wrapd("batches", "--json").out)
    [row] = json.loads(wrapd("jobs", "--json", "--batch", "b").out)
    assert row["eta"] is not None
    assert batch["eta"] == row["eta"]


@pytest.mark.parametrize("state", ["WAITING", "BLOCK", "THAWING"])
def test_while_a_job_is_not_in_production_only_a_bound_is_known(wrapd: Runner, state: str) -> None:
    in_store(wrapd, lambda tx: (learned(tx), fifty(tx, "PROCESSING"), job(tx, "more", state)))
    said = standing(wrapd)
    [batch] = json.loads(wrapd("batches", "--json").out)
    assert (batch["eta"], batch["eta_reason"]) == (None, "not in production yet: 1 job")
    assert said == f"48 of 51, 2 failed, all 51 after {batch['soonest_at'][11:16]} UTC"


def test_where_too_little_is_learned_nobody_can_say(wrapd: Runner) -> None:
    in_store(wrapd, lambda tx: fifty(tx, "PROCESSING"))
    assert standing(wrapd) == "48 of 50, 2 failed, no estimate for the last end"
    [batch] = json.loads(wrapd("batches", "--json").out)
    assert (batch["eta"], batch["soonest_at"]) == (None, None)
    assert batch["eta_reason"] == "no estimate for 2 jobs"


def test_a_batch_that_has_ended_has_nothing_ahead(wrapd: Runner) -> None:
    in_store(wrapd, lambda tx: (learned(tx), fifty(tx, "PROCESSING", "SUCCEED"), job(tx, "c", "CANCELED")))
    assert standing(wrapd) == "51 of 51, 2 failed, 1 canceled"
    [batch] = json.loads(wrapd("batches", "--json").out)
    assert (batch["eta"], batch["eta_reason"], batch["soonest_at"]) == (None, None, None)


def test_the_newest_is_first_and_the_project_stands_where_there_are_several(wrapd: Runner) -> None:
    def work(tx: Transaction) -> None:
        job(tx, "a", batch="春节 \x1b[31m🎬\u202e")
        job(tx, "b", batch="same")
        job(tx, "c", batch="same", project=ProjectName("other"))

    in_store(wrapd, work)
    second = CONFIG.split("[channels", maxsplit=1)[0].replace("projects.main", "projects.other")
    wrapd.config.write_text(second + CONFIG.lstrip())
    lines = [line.split() for line in wrapd("batches").out.splitlines()]
    assert lines[0] == ["BATCH", "PROJECT", "JOBS"]
    assert [line[:2] for line in lines[1:3]] == [["same", "other"], ["same", "main"]]
    assert lines[3][:3] == ["春节", "[31m🎬", "main"]
    assert [each["project"] for each in json.loads(wrapd("batches", "--json").out)] == ["other", "main", "main"]
    assert len(wrapd("batches", "--limit", "1").out.splitlines()) == 2
    assert len(json.loads(wrapd("batches", "--json", "--project", "main").out)) == 2


def test_nothing_to_list(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(wrapd("batches", "--json").out) == []
    assert json.loads(wrapd("batches", "--json", "--project", "main").out) == []
    assert wrapd("batches", "--project", "mian").status == Exit.UNKNOWN
    assert wrapd("batches", "--all", "--limit", "3").status == Exit.USAGE
    monkeypatch.setattr("daemon.cli.output.is_terminal", lambda: True)
    assert "`wrapd track --batch NAME JOB_ID...`" in wrapd("batches").out
