"""How the commands show running jobs: ETA in jobs and show, explain, stats. With a real database, without a
daemon."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.domain.events import Json
from daemon.domain.jobs import JobId, Observation, ProjectName
from daemon.domain.planning import Reason
from daemon.domain.routing import Routing
from daemon.domain.transitions import Moved
from daemon.errors import Exit
from daemon.store import Bookkeeping, Store, TrackRequest, to_stamp
from tests.support.cli_runner import Runner

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PROJECT = ProjectName("main")
STATUS: dict[str, Json] = {
    "feed": "trial",
    "feed_reason": None,
    "feed_again_at": None,
    "batch": "auto",
    "batch_size": 100,
    "batch_reason": None,
    "price": 1.0,
    "pressure": 1.5,
    "rate": 10.0,
    "usage": 0.25,
    "jobs": 30,
    "late_seconds": 0.0,
    "up": True,
}


@dataclass
class Desk:
    """`desk("jobs")` runs a command at `clock`; the methods write what a daemon would have written."""

    run: Runner
    clock: ManualClock
    store: Store

    def __call__(self, *args: str) -> str:
        result = self.run(*args)
        assert (result.status, result.err) == (0, "")
        return result.out

    def document(self, *args: str) -> Any:
        return json.loads(self(*args, "--json"))

    def job(self, job_id: str, *states: str, kind: str = "avatar", took: float = 0.0, ago: float = 0.0) -> int:
        """Write a job that went through the states; it started `ago` + `took` seconds ago and ended `ago` seconds
        ago."""
        begun = self.clock.now() - timedelta(seconds=ago + took)

        def work(tx: Any) -> int:
            tx.jobs.track(TrackRequest(project=PROJECT, kind=kind, job_id=JobId(job_id)), at=begun)
            (row,) = tx.jobs.find(JobId(job_id))
            before = None
            for state in states:
                running = state in ("WAITING", "PROCESSING", "BLOCK")
                at = begun if running else begun + timedelta(seconds=took)
                seen = Observation(
                    state=state,
                    created_at=begun,
                    started_at=None if state == "WAITING" else begun,
                    ended_at=None if running else at,
                )
                move = Moved(before=before, after=state, observed_at=at, reported_at=at)
                tx.jobs.record_move(row.id, move, seen, routing=Routing(routes=(), operators=()), due_at=at)
                before = state
            return int(row.id)

        return self.store.write_now(work)

    def finished(self, count: int, *, kind: str = "avatar") -> None:
        """Write this many jobs that took from 100 s to 200 s."""
        for number in range(count):
            took = 100 + 100 * number / max(1, count - 1)
            self.job(
                f"{kind}-{number}", "PROCESSING", "SUCCEED", kind=kind, took=took, ago=60.0 * (count - number)
            )

    def looked(self, job: int, *, ago: float, next_in: float, reason: Reason, by: str = "single") -> None:
        now = self.clock.now()
        look = Bookkeeping(
            job=job,
            last_polled_at=to_stamp(now - timedelta(seconds=ago)),
            next_poll_at=to_stamp(now + timedelta(seconds=next_in)),
            polls=3,
            last_error=None,
            asked_by=by,
            next_reason=reason,
        )
        self.store.write_now(lambda tx: tx.jobs.checkpoint([look]))

    def told(self, **facts: Json) -> None:
        self.store.write_now(lambda tx: tx.statuses.set(PROJECT, {**STATUS, **facts}, self.clock.now()))


@pytest.fixture(params=[False])
def desk(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Desk]:
    """`request.param`: whether a daemon holds the database."""
    clock = ManualClock(NOW)
    for module in ("jobs", "show", "explain", "stats"):
        monkeypatch.setattr(f"daemon.cli.{module}.CLOCK", clock)
    runner = Runner(tmp_path, capsys)
    store = Store.open(f"sqlite:///{runner.database}", clock=clock, daemon=request.param)
    yield Desk(runner, clock, store)
    store.close()


running = pytest.mark.parametrize("desk", [True], indirect=True)


def plain(text: str) -> dict[str, str]:
    """Return name and value of each line; lines without a name continue the previous value."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        match = re.fullmatch(r"  (.{10}) (.*)", line)
        if match:
            name = match[1].strip() or name
            found[name] = f"{found[name]}; {match[2]}" if match[1].strip() == "" else match[2]
    return found


def test_a_running_job_has_an_eta_from_ten_finished_ones_on(desk: Desk) -> None:
    desk.finished(9)
    desk.job("run", "WAITING", "PROCESSING", took=30)
    (job,) = desk.document("jobs", "--state", "PROCESSING")
    assert job["eta"] is None
    assert job["eta_reason"] == "fewer than 10 finished jobs of this kind (9 so far)"
    assert "no estimate: fewer than 10 finished jobs of this kind (9 so far)" in desk("show", "run")
    desk.job("avatar-9", "PROCESSING", "SUCCEED", took=150)
    (job,) = desk.document("jobs", "--state", "PROCESSING")
    eta = job["eta"]
    assert job["eta_reason"] is None
    assert 40 < eta["low_seconds"] < 95 < eta["median_seconds"] < 145 < eta["high_seconds"] < 260
    for name, seconds in (("ends_at", "median_seconds"), ("low_at", "low_seconds"), ("high_at", "high_seconds")):
        ahead = datetime.fromisoformat(eta[name]) - NOW
        assert ahead.total_seconds() == pytest.approx(eta[seconds], abs=0.1)
    assert desk.document("show", "run")["eta"] == eta
    row = next(line for line in desk("jobs").splitlines() if "  run " in line)
    assert re.search(r"PROCESSING  30s  -     in \dm  \d+s-\dm ", row), row
    assert re.search(r"ends +in about \dm\d*s?, 2026-03-01 12:0\d:\d\d UTC", desk("show", "run"))


@running
def test_next_is_soon_only_where_somebody_asks(desk: Desk) -> None:
    for name, next_in in (("due", -5.0), ("ahead", 90.0)):
        desk.looked(desk.job(name, "PROCESSING", took=30), ago=5, next_in=next_in, reason=Reason.PRICE)
    desk.job("ended", "SUCCEED")
    header, *rows = (line.split() for line in desk("jobs").splitlines())
    assert [header[2], *(row[2] for row in rows)] == ["NEXT", "-", "in", "soon"]
    desk.store.close()
    assert [line.split()[2] for line in desk("jobs").splitlines()] == ["NEXT", "-", "-", "-"]


def test_finished_jobs_of_another_kind_teach_no_eta(desk: Desk) -> None:
    desk.finished(30, kind="photo")
    desk.job("run", "PROCESSING", took=30)
    (job,) = desk.document("jobs", "--state", "PROCESSING")
    assert job["eta_reason"] == "fewer than 10 finished jobs of this kind (none so far)"


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ((), "the service has not answered for it yet"),
        (("WAITING",), "its production has not begun"),
        (("PROCESSING", "BLOCK"), "it is frozen"),
        (("THAWING",), "wrapd does not know its state"),
        (("PROCESSING", "FAILED"), None),
        (("PROCESSING", "PARTIAL_SUCCEED"), None),
    ],
)
def test_a_job_that_is_not_produced_has_no_eta(desk: Desk, states: tuple[str, ...], reason: str | None) -> None:
    desk.finished(12)
    desk.job("one", *states, took=10)
    document = desk.document("show", "one")
    assert (document["eta"], document["eta_reason"]) == (None, reason)


def test_explain_weighs_the_delay_against_the_price(desk: Desk) -> None:
    desk.finished(40)
    job = desk.job("run", "WAITING", "PROCESSING", took=120)
    desk.looked(job, ago=10, next_in=5, reason=Reason.PRICE, by="ids")
    desk.told()
    told = desk.document("explain", "run")
    assert (told["finished"], told["asked_by"], told["next_reason"]) == (40, "ids", "price")
    assert told["elapsed"] == 110
    assert 0 < told["delay"] < 10 * told["ended"] < 10
    assert told["price"] == pytest.approx(1.5 / 30)
    assert told["shared_by"] == 30
    assert 90 < told["typical_low"] < told["typical_median"] < told["typical_high"] < 220
    assert told["as_of"] == "2026-03-01T12:00:00.000Z"
    assert told["daemon_running"] is False
    assert told["watch"] == STATUS
    assert told["next_reason_text"] == "the expected undetected delay reaches the price of a request"
    lines = plain(desk("explain", "run"))
    assert lines["job"] == "run (avatar) of project main"
    assert lines["last poll"].startswith("10s ago, 2026-03-01 11:59:50 UTC, together with others")
    assert lines["then"] == "it had been in production for 1m50s"
    assert re.fullmatch(r"[\d.]+ % probability that it has ended; expected delay [\d.]+ s", lines["since then"])
    assert lines["next poll"].startswith("none: no daemon uses this database")
    assert "8 of 10 take" in lines["similar"]
    assert lines["feed"].startswith("on trial")


@running
def test_explain_tells_when_and_why_it_is_asked_next(desk: Desk) -> None:
    desk.finished(40)
    job = desk.job("run", "PROCESSING", took=120)
    desk.looked(job, ago=2, next_in=4, reason=Reason.LONGEST)
    desk.told(pressure=1.0)
    lines = plain(desk("explain", "run"))
    assert lines["next poll"] == "in 4s, 2026-03-01 12:00:04 UTC"
    assert lines["because"].startswith("the price is not reached yet")
    assert "daemon" not in lines


def test_explain_of_a_job_whose_news_the_feed_carries(desk: Desk) -> None:
    desk.finished(40)
    desk.looked(desk.job("run", "PROCESSING", took=120), ago=10, next_in=5, reason=Reason.NET)
    desk.looked(
        desk.job("card", "PROCESSING", kind="business_card", took=120), ago=1, next_in=5, reason=Reason.PRICE
    )
    desk.told(feed="trusted", feed_carries_news=True)
    told = desk.document("explain", "run")
    assert (told["by_feed"], told["shared_by"], told["price"]) == (True, 1, 1.5)
    assert "the feed is polled instead" in desk("explain", "run")
    assert desk.document("explain", "card")["by_feed"] is False, "no list holds it"


@running
def test_what_the_daemon_has_not_noted_yet_is_not_made_up(desk: Desk) -> None:
    """The notes are up to 30 s old: the job was polled since, so no current probability is shown."""
    desk.finished(40)
    job = desk.job("run", "PROCESSING", took=150)
    desk.looked(job, ago=28, next_in=-26, reason=Reason.PRICE)
    desk.told()
    told = desk.document("explain", "run")
    assert told["as_of"] == "2026-03-01T11:59:34.000Z"
    assert told["ended"] < 0.3
    lines = plain(desk("explain", "run"))
    assert "probability that it had ended" in lines["2s later"]
    assert lines["next poll"] == "was due 26s ago; the daemon records its polls every 30 s"


@running
def test_explain_of_jobs_that_no_law_plans(desk: Desk) -> None:
    desk.finished(12)
    frozen = desk.job("frozen", "PROCESSING", "BLOCK", took=60)
    desk.looked(frozen, ago=5, next_in=300, reason=Reason.BLOCKED)
    told = desk.document("explain", "frozen")
    assert (told["ended"], told["delay"], told["price"], told["price_in"]) == (None, None, None, None)
    assert plain(desk("explain", "frozen"))["because"] == "it is frozen and polled slowly"
    desk.job("new")
    lines = plain(desk("explain", "new"))
    assert lines["next poll"] == "soon: the daemon has not recorded its plan yet"
    assert "last poll" not in lines
    desk.job("old", "PROCESSING", "SUCCEED", took=100, ago=5)
    lines = plain(desk("explain", "old"))
    assert lines["next poll"] == "none: tracking ended (finished)"
    assert lines["noticed"] == "0 s after its end, by the service's clock"


def test_explain_of_nothing_known(desk: Desk) -> None:
    desk.job("run", "PROCESSING", took=10)
    lines = plain(desk("explain", "run"))
    assert lines["similar"].startswith("no finished job of this kind known")
    assert lines["similar"].endswith("a guess until some have finished")
    assert desk.run("explain", "none").status == Exit.UNKNOWN
    assert desk.run("explain", "-").status == Exit.USAGE


def test_stats_tell_of_each_project(desk: Desk) -> None:
    desk.run.config.write_text(
        desk.run.config.read_text() + '[projects.other]\nregion = "cn-east-3"\nauth = { method = "token", '
        'token = { env = "NOT_SET" } }\n'
    )
    desk.finished(21)
    desk.job("a", "PROCESSING", took=5)
    desk.job("b", "WAITING")
    desk.job("c", "WAITING")
    desk.job("d")
    desk.job("bad", "PROCESSING", "FAILED", took=1)
    desk.told()
    main, other = desk.document("stats")
    assert main["states"] == {"WAITING": 2, "PROCESSING": 1, "new": 1}
    assert main["ended"] == {"finished": 22}
    assert main["watch"] == STATUS
    assert main["production"] == [
        {"kind": "avatar", "finished": 21, "median_seconds": 150, "low_seconds": 110, "high_seconds": 190}
    ]
    assert (other["project"], other["states"], other["watch"], other["production"]) == ("other", {}, None, [])
    text = desk("stats")
    lines = plain(text.partition("\n\n")[0])
    assert lines["jobs"].startswith("4 tracked: 2 WAITING, 1 ")
    assert lines["price"] == "1 s of delay for a request, raised 1.5 times because the budget is short"
    assert lines["requests"] == "at most 10 per second; 25 % of the budget used recently"
    assert lines["daemon"] == "does not run; it reported this 0s ago"
    assert "avatar" in text
    assert "1m50s-3m10s" in text
    assert "has never run on this project" in text
    assert len(desk.document("stats", "--project", "other")) == 1
    assert desk.run("stats", "--project", "mian").status == Exit.UNKNOWN


@running
@pytest.mark.parametrize(
    ("facts", "name", "says"),
    [
        (
            {
                "feed": "distrusted",
                "feed_reason": "it missed an end",
                "feed_again_at": "2026-03-01T12:09:00+00:00",
            },
            "feed",
            "distrusted: it missed an end; tried again in 9m",
        ),
        ({"feed": "trusted"}, "feed", "trusted: it reports all ends"),
        ({"feed": "off"}, "feed", "not used"),
        ({"batch": "off"}, "lists", "not used: each job is queried individually"),
        (
            {"batch_size": 1, "batch_reason": "it ignores job_ids"},
            "lists",
            "each job is queried individually: it ignores job_ids",
        ),
        ({"late_seconds": 75.5}, "late", "the most overdue job has waited for 1m15s"),
        ({"up": False}, "service", "does not answer; retrying"),
        ({"feed": 3, "price": "x", "rate": None, "feed_again_at": "soon"}, "price", "not known"),
        ({"feed": "\x1b[31mred"}, "feed", "[31mred"),
    ],
)
def test_how_a_project_stands_in_words(desk: Desk, facts: dict[str, Json], name: str, says: str) -> None:
    desk.told(**facts)
    assert plain(desk("stats"))[name] == says


@running
def test_what_the_daemon_said_long_ago_is_told_as_such(desk: Desk) -> None:
    desk.told()
    desk.clock.advance(3600)
    assert plain(desk("stats"))["daemon"].startswith("runs, but reported this 1h ago")


def test_stats_tell_of_discovery(desk: Desk) -> None:
    def mark(tx: Any) -> None:
        row = tx.discoveries.ask(PROJECT, {"until": NOW.isoformat()}, NOW)
        tx.discoveries.finish(row, at=NOW, found=9, added=7)

    desk.store.write_now(mark)
    desk.clock.advance(60)
    assert plain(desk("stats"))["discovery"] == "recorded 1m ago: 7 jobs added since the record before"
    assert desk.document("stats")[0]["discovered_at"] == "2026-03-01T12:00:00.000Z"
