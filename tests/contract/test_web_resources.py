"""The API's needs, mutes, notes, projects, statistics and actions: the same values as those of the commands."""

import json
import random
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.domain.actions import Action, Actor
from daemon.domain.events import Event, Json
from daemon.domain.jobs import Asset, JobId, Observation, Tracking
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.domain.transitions import Moved, judge
from daemon.store import AttemptOutcome, Outcome, PictureRow, TrackRequest, Transaction
from tests.contract.test_web_api import LINKS, ask, dead, got, pages
from tests.contract.test_web_docs import pictures
from tests.contract.test_web_tracking import end
from tests.support.cli_runner import CONFIG, Runner
from tests.support.store import BOTH, A, B
from tests.support.web import MAIN, NOW, OTHER, TOKEN, desk, learned

WHO = Actor("cli:ann")
HOUR = {"for": 3600, "comment": "retake tonight"}


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """The commands on the database of the desk, at its time."""
    for name in ("mute", "needs", "stats", "batches", "jobs", "show", "session"):
        monkeypatch.setattr(f"daemon.cli.{name}.CLOCK", ManualClock(NOW))
    run = Runner(tmp_path, capsys)
    run.config.write_text(
        CONFIG.replace("editors", "a")
        + f'[channels.b]\nurl = "json://h"\n[database]\nurl = "sqlite:///{tmp_path}/web.db"\n'
    )
    return run


def told(run: Runner, *command: str) -> Any:
    return json.loads(run(*command, "--json").out)


async def test_what_needs_a_person_is_what_the_command_says(
    tmp_path: Path, wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.needs.daemon_runs", lambda _: True)
    async with desk(tmp_path, public_url=None) as it:
        it.durations = learned()
        assert (await got(it, "needs"))["items"] == []
        for n, state in enumerate(("FAILED", "BLOCK", "PROCESSING")):
            end(it, it.track(f"j-{n}", label=f"Film {n}"), state)
        dead(it, it.track("j-3"))
        found = await got(it, "needs")
        assert found == told(wrapd, "needs")
        assert [each["kind"] for each in found["items"]] == [
            "dead_alerts",
            "dead_alerts",
            "failed",
            "failed",
            "frozen",
        ]
        it.clock.advance(86400.0)  # no video takes a day
        found = await got(it, "needs?limit=3&since=2026-03-01T00:00:00Z")
        assert [each["kind"] for each in found["items"]] == ["dead_alerts", "dead_alerts", "failed"]
        assert (found["count"], found["as_of"]) == (6, "2026-03-02T12:00:00.000Z")
        assert [each["kind"] for each in (await got(it, "needs"))["items"]][-1] == "overdue"


async def test_a_mute_is_made_listed_and_ended(tmp_path: Path, wrapd: Runner) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        end(it, it.track("j-1", batch="b"), "FAILED")
        made = (await ask(it, "POST", "jobs/main/j-1/mute", {**HOUR, "then": "drop"})).json()
        assert (made["scope"], made["subject"], made["project"], made["alerts"]) == ("job", "j-1", "main", 2)
        assert (made["until"], made["who"]) == ("2026-03-01T13:00:00.000Z", "token:web.token")
        for subject in ({"scope": "batch", "subject": "b", "for": 1800}, {"scope": "channel", "subject": "a"}):
            assert (await ask(it, "POST", "mutes", {**HOUR, **subject})).status == 200
        found = await pages(it, "mutes?limit=1")
        assert found == told(wrapd, "mute", "list")
        assert [each["id"] for each in found] == [2, 1, 3]
        kept = (await ask(it, "DELETE", "mutes/1?then=send")).json()
        assert (kept["mute"]["status"], kept["mute"]["then"]) == ("ended", "send")
        assert (kept["mute"]["ended_by"], kept["count"]) == ("token:web.token", 0), "others keep its alerts"
        assert (await ask(it, "DELETE", "mutes/2")).json()["count"] == 2, "the job's and the batch's, to b"
        assert (await ask(it, "DELETE", "mutes/1")).json()["count"] == 0
        assert [each["id"] for each in await pages(it, "mutes?limit=2")] == [3]
        assert await pages(it, "mutes?all=true&limit=1") == told(wrapd, "mute", "list", "--all")
        acts = it.store.read(lambda tx: tx.actions.page(limit=9)).rows
        assert [each.what for each in acts] == ["unmute", "unmute", "unmute", "mute", "mute", "mute"]


IMPOSSIBLE_MUTES: list[tuple[str, dict[str, object], int]] = [
    ("jobs/main/none/mute", HOUR, 404),
    ("jobs/main/j-1/mute", {**HOUR, "for": 59}, 422),
    ("jobs/main/j-1/mute", {**HOUR, "for": 2592001}, 422),
    ("jobs/main/j-1/mute", {**HOUR, "comment": "\x00"}, 422),
    ("jobs/main/j-1/mute", {"for": 60}, 422),
    ("jobs/main/j-1/mute", {**HOUR, "scope": "tag"}, 422),
    ("mutes", {**HOUR, "scope": "job", "subject": "j-1"}, 422),
    ("mutes", {**HOUR, "scope": "job", "subject": "none", "project": "main"}, 404),
    ("mutes", {**HOUR, "scope": "channel", "subject": "none"}, 422),
    ("mutes", {**HOUR, "scope": "tag", "subject": "x" * 65}, 422),
    ("mutes", {**HOUR, "scope": "tag", "subject": "x", "project": "none"}, 422),
]


async def test_a_mute_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        for path, body, status in IMPOSSIBLE_MUTES:
            assert (await ask(it, "POST", path, body)).status == status, (path, body)
            assert await pages(it, "mutes?all=true") == [], (path, body)
            assert (await ask(it, "DELETE", "mutes/1")).status == 404, (path, body)


async def test_mutes_that_end_together_are_all_listed(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for n in range(5):
            it.store.write_now(
                lambda tx, n=n: tx.mutes.start(
                    MuteScope.TAG,
                    f"t-{n}",
                    project=None,
                    at=NOW,
                    until=NOW + timedelta(hours=1 if n < 4 else 0.5),
                    who="cli:ann",
                    comment="x",
                    then=MuteEnd.SEND,
                )
            )
        for size in (1, 2, 3):
            assert [each["id"] for each in await pages(it, f"mutes?limit={size}")] == [5, 1, 2, 3, 4]


async def test_a_note_is_put_on_a_job_and_removed(tmp_path: Path, wrapd: Runner) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        for given, kept in (
            ("wrong\nlogo ", "wrong logo"),
            ("wrong logo", "wrong logo"),
            (None, None),
            ("", None),
        ):
            shown = (await ask(it, "PATCH", "jobs/main/j-1", {"note": given})).json()
            assert shown["note"] == told(wrapd, "show", "j-1")["note"] == kept
            assert it.job("j-1").note == kept
        assert [each["details"] for each in shown["actions"]] == [{"removed": False}, {"removed": True}]
        refused = await ask(it, "PATCH", "jobs/main/j-1", {"note": "x" * 501, "label": "New"})
        assert [each["place"] for each in refused.json()["faults"]] == ["note"]
        assert it.job("j-1").label is None
        assert (await ask(it, "PATCH", "jobs/main/j-1", {"label": "New"})).json()["note"] is None


async def test_a_project_is_paused_and_resumed(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        made = (await ask(it, "POST", "projects/main/pause", {"comment": "at\nnight "})).json()
        assert (made["who"], made["comment"]) == ("token:web.token", "at night")
        assert (await ask(it, "POST", "projects/main/pause")).json() == made, "it keeps its pause"
        [listed] = await pages(it, "projects?")
        assert (listed["state"], listed["paused"]) == ("paused", made)
        assert (await ask(it, "POST", "projects/main/resume")).json() == {"project": "main", "paused": made}
        assert (await ask(it, "POST", "projects/main/resume")).json() == {"project": "main", "paused": None}
        for name in ("pause", "resume"):
            assert (await ask(it, "POST", f"projects/none/{name}")).status == 404
        assert (await ask(it, "POST", "projects/main/pause", {"comment": "x" * 501})).status == 422
        acts = it.store.read(lambda tx: tx.actions.page(limit=9)).rows
        assert [each.what for each in acts] == ["resume", "pause"]


async def test_the_figures_are_those_of_the_command(
    tmp_path: Path, wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.stats.daemon_runs", lambda _: True)
    async with desk(tmp_path) as it:
        for n, state in enumerate(("SUCCEED", "FAILED", "SUCCEED", "PROCESSING", "BLOCK")):
            end(it, it.track(f"j-{n}"), state)
        reports: tuple[tuple[dict[str, Json] | None, str], ...] = (
            (None, "unknown"),
            ({"up": True, "feed": "trusted", "usage": 0.5}, "running"),
            ({"up": False}, "down"),
            ({"up": True, "refused_since": "2026-03-01T11:00:00Z"}, "refused"),
        )
        for facts, state in reports:
            if facts is not None:
                it.store.write_now(partial(_report, facts=facts))
            [found] = await pages(it, "stats?")
            assert [found] == told(wrapd, "stats")
            assert (found["state"], found["watch"]) == (state, facts)
        [listed] = await pages(it, "projects?")
        assert listed == {key: value for key, value in found.items() if key not in ("production", "days")}
        assert listed["states"] == {"PROCESSING": 1, "BLOCK": 1}
        for days in (1, 366):
            [found] = await pages(it, f"stats?project=main&days={days}")
            assert len(found["days"]) == days
            assert found["days"][-1]["states"] == {"SUCCEED": 2, "FAILED": 1}
        for query in ("days=0", "days=367", "days=x"):
            assert (await ask(it, "GET", f"stats?{query}")).status == 422
        assert await pages(it, "stats?project=none") == []


def _report(tx: Transaction, *, facts: dict[str, Json]) -> None:
    tx.statuses.set(MAIN, facts, NOW)


async def test_the_answer_that_changed_a_state_is_shown(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = it.track("j-1")
        assert (await ask(it, "GET", "jobs/main/j-1/answer")).status == 404
        end(it, row, "PROCESSING", answer='{"state":"PROCESSING"}')
        end(it, row, "FAILED", answer='{"state":"FAILED","error_info":{"error_msg":"没有"}}')
        shown = await ask(it, "GET", "jobs/main/j-1/answer")
        assert shown.headers["content-type"] == "application/json"
        assert shown.json() == {
            "at": "2026-03-01T12:00:00.000Z",
            "answer": {"state": "FAILED", "error_info": {"error_msg": "没有"}},
        }
        assert (await ask(it, "GET", "jobs/main/none/answer")).status == 404


async def test_a_cover_is_sent_as_a_picture_and_as_nothing_else(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row, other = it.track("j-1"), it.track("j-2")
        assert (await ask(it, "GET", "jobs/main/j-1/cover")).status == 404
        it.store.write_now(lambda tx: pictures(tx, row))
        full = await ask(it, "GET", "jobs/main/j-1/cover")
        assert (full.status, full.headers["content-type"], full.body) == (200, "image/png", b"large")
        small = await ask(it, "GET", "jobs/main/j-1/cover?size=small")
        assert (small.status, small.headers["content-type"], small.body) == (200, "image/webp", b"small")
        assert full.headers["x-content-type-options"] == "nosniff"
        again = {"If-None-Match": f'"x", {full.headers["etag"]}'}
        same = await it.ask("GET", "/api/v1/jobs/main/j-1/cover", headers=again, token=TOKEN)
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", full.headers["etag"])
        changed = await it.ask("GET", "/api/v1/jobs/main/j-1/cover?size=small", headers=again, token=TOKEN)
        assert changed.body == b"small"
        odd = PictureRow(
            job=other, url="u", content_type="image/svg+xml", data=b"<svg/>", fetched_at=NOW, error=None
        )
        it.store.write_now(lambda tx: tx.pictures.put(odd))
        assert (await ask(it, "GET", "jobs/main/j-2/cover")).status == 404
        assert (await ask(it, "GET", "jobs/main/j-1/cover?size=huge")).status == 422


async def test_a_batch_says_when_its_last_job_ends(
    tmp_path: Path, wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.outlook.learned", lambda _: law)
    async with desk(tmp_path) as it:
        law = it.durations = learned()
        for n, state in enumerate(("SUCCEED", "PROCESSING", "PROCESSING", "WAITING", "FAILED")):
            end(it, it.track(f"j-{n}", batch=f"b-{n // 2}"), state)
        found = await pages(it, "batches?limit=2")
        assert found == told(wrapd, "batches")
        ended, waiting, running = found
        assert (ended["eta"], ended["eta_reason"], ended["soonest_at"]) == (None, None, None)
        assert (waiting["eta"], waiting["eta_reason"]) == (None, "not in production yet: 1 job")
        assert running["eta"]["low_seconds"] > 0
        assert await got(it, "batches/main/b-0") == running
        monkeypatch.setattr("daemon.web.api.batches.MOST_ESTIMATED", 2)
        reasons = [each["eta_reason"] for each in await pages(it, "batches?limit=3")]
        assert [bool(each) and "more than 500 tracked" in each for each in reasons] == [False, False, True]
        assert (await got(it, "batches/main/b-0")) == running


async def test_all_jobs_that_fit_are_changed_if_they_are_as_many(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for n in range(4):
            it.track(f"j-{n}", batch="b" if n else None, tags=("tv",) * (n % 2))
        end(it, it.job("j-3").id, "SUCCEED")
        it.watched |= {("main", "j-1")}
        for path in ("jobs/ask?batch=b", "jobs/untrack?batch=b", "jobs/untrack?tag=tv", "jobs/ask?"):
            refused = await ask(it, "POST", f"{path}&expect=4")
            assert (refused.status, "nothing was changed" in refused.json()["detail"]) == (409, True)
        assert (it.hints, {row.tracking for row in it.jobs().values()}) == (
            [],
            {Tracking.ACTIVE, Tracking.FINISHED},
        )
        asked = await ask(it, "POST", "jobs/ask?batch=b&expect=2")
        assert (asked.json(), sorted(it.hints)) == ({"count": 2, "watched": 1}, [("main", "j-1"), ("main", "j-2")])
        assert (await ask(it, "POST", "jobs/untrack?batch=b&tag=tv&expect=1")).json() == {"count": 1}
        assert (await ask(it, "POST", "jobs/untrack?state=BLOCK&expect=0")).json() == {"count": 0}
        stopped = [row.job_id for row in it.jobs().values() if row.tracking is Tracking.STOPPED]
        assert stopped == ["j-1"]
        acts = await pages(it, "actions?limit=1")
        assert [(each["what"], each["subject"], each["count"]) for each in acts] == [
            ("untrack", "j-1", 1),
            ("ask", None, 2),
        ]


async def test_all_unsent_deliveries_that_fit_are_canceled(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        dead(it, it.track("j-1"))
        end(it, it.track("j-2", batch="b"), "FAILED")
        refused = await ask(it, "POST", "deliveries/cancel?channel=a&expect=1")
        assert (refused.status, (await got(it, "deliveries?status=canceled"))["items"]) == (409, [])
        fit = [each for each in await pages(it, "deliveries?channel=a") if each["status"] != "sent"]
        assert (await ask(it, "POST", f"deliveries/cancel?channel=a&expect={len(fit)}")).json() == {
            "count": len(fit)
        }
        assert {each["status"] for each in await pages(it, "deliveries?channel=a")} == {"canceled"}
        assert "canceled" not in {each["status"] for each in await pages(it, "deliveries?channel=b")}


async def test_actions_are_listed_by_project_and_subject(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:

        def work(tx: Transaction) -> None:
            for n in range(23):
                project = OTHER if n % 7 == 3 else MAIN
                tx.actions.note(Action.ASK, who=WHO, at=NOW, project=project, subject=f"j-{n % 5}", count=n)

        it.store.write_now(work)

        async def numbers(query: str) -> list[int]:
            return [each["count"] for each in await pages(it, f"actions?{query}")]

        assert await numbers("limit=5") == list(range(22, -1, -1))
        assert await numbers("project=other&limit=1") == await numbers("project=other") == [17, 10, 3]
        assert await numbers("subject=j-2&limit=2") == [22, 17, 12, 7, 2]
        assert await numbers("subject=j-2&project=other") == [17]
        assert await numbers("project=none") == []


@pytest.mark.parametrize("number", [14, pytest.param(200, marks=pytest.mark.long)])
async def test_the_api_tells_of_a_job_what_show_tells(
    tmp_path: Path, wrapd: Runner, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Every key and value, for jobs in many conditions, under one law and at one time."""
    monkeypatch.setattr("daemon.cli.outlook.learned", lambda _: law)
    rng = random.Random(number)
    async with desk(tmp_path) as it:
        law = it.durations = learned(seconds=600.0)
        it.store.write_now(lambda tx: [_some_job(tx, n, rng) for n in range(number)])
        for _ in range(number // 2):
            it.store.write_now(lambda tx: _some_try(tx, rng))
        await ask(it, "POST", "mutes", {**HOUR, "scope": "tag", "subject": "tv"})
        it.clock.advance(60.0)
        monkeypatch.setattr("daemon.cli.show.CLOCK", it.clock)
        monkeypatch.setattr("daemon.cli.standings.CLOCK", it.clock)
        reasons = set()
        for row in it.jobs().values():
            if rng.random() < 0.2:
                await ask(it, rng.choice(["DELETE", "PATCH"]), f"jobs/{row.project}/{row.job_id}", {"note": "x"})
            shown = told(wrapd, "show", row.job_id, "--project", row.project)
            assert await got(it, f"jobs/{row.project}/{row.job_id}") == shown
            reasons.add(shown["eta_reason"] or type(shown["eta"]))
        assert len(reasons) >= 5, reasons


def _some_job(tx: Transaction, n: int, rng: random.Random) -> None:
    """A job in a random condition."""
    project = OTHER if rng.random() < 0.1 else MAIN
    wanted = TrackRequest(
        project=project,
        kind=rng.choice(["avatar", "photo"]),
        job_id=JobId(f"j-{n}"),
        label=rng.choice([None, "Film", "片子"]),
        tags=rng.choice([(), ("tv",), ("a", "b")]),
        batch=rng.choice([None, "b-1", "b-2"]),
    )
    at = NOW - timedelta(seconds=rng.randrange(7200))
    tx.jobs.track(wanted, at=at)
    [row] = tx.jobs.find(wanted.job_id, project)
    states = rng.sample(["WAITING", "PROCESSING", "BLOCK", "THAWING"], rng.randrange(4))
    states += rng.choice([[], [], ["SUCCEED"], ["FAILED"], ["CANCELED"], ["PARTIAL_SUCCEED"]])
    for state in states:
        at += timedelta(seconds=rng.randrange(60))
        seen = Observation(
            state=state,
            created_at=rng.choice([None, at]),
            started_at=rng.choice([None, at - timedelta(seconds=30)]),
            asset=LINKS if state.endswith("SUCCEED") else Asset(),
        )
        move = judge(tx.jobs.find(wanted.job_id, project)[0].state, seen, at=at)
        assert isinstance(move, Moved)
        tx.jobs.record_move(row.id, move, seen, routing=BOTH, due_at=at)
    ended = states[-1:] and states[-1] not in ("WAITING", "PROCESSING", "BLOCK", "THAWING")
    if not ended and rng.random() < 0.2:
        tx.jobs.record_end(row.id, rng.choice([Event.LOST, Event.EXPIRED]), at=at, routing=BOTH, reason="gone")


def _some_try(tx: Transaction, rng: random.Random) -> None:
    """An attempt to send an alert."""
    claimed = tx.outbox.claim(rng.choice([A, B]), now=NOW)
    if claimed is not None:
        kind = rng.choice([AttemptOutcome.SENT, AttemptOutcome.DEAD, AttemptOutcome.HELD])
        due = NOW + timedelta(hours=1) if kind is AttemptOutcome.HELD else None
        tx.outbox.finish(claimed, Outcome(kind=kind, reason="said", status_code=200, due_at=due), at=NOW)
