"""A database for a test: real files, a clock that the test moves, and shortcuts for writing the usual rows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.clock import ManualClock
from daemon.domain.actions import actor
from daemon.domain.jobs import Asset, ChannelName, JobId, Observation, ProjectName
from daemon.domain.routing import Routing, routing
from daemon.domain.transitions import Moved, judge
from daemon.store import Recorded, Store, TrackRequest, Transaction

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
PROJECT = ProjectName("main")
WHO = actor("cli", "tester")
A, B = ChannelName("a"), ChannelName("b")
BOTH = routing([], operators=None, channels=[A, B])
SILENT = Routing(routes=(), operators=())


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def open_store(folder: Path, *, daemon: bool = False) -> Store:
    return Store.open(url_of(folder / "wrapd.db"), clock=ManualClock(NOW), daemon=daemon)


def request(
    job_id: str = "job-1", *, project: str = PROJECT, kind: str = "avatar", **more: object
) -> TrackRequest:
    return TrackRequest(project=ProjectName(project), kind=kind, job_id=JobId(job_id), **more)  # type: ignore[arg-type]


def track(tx: Transaction, job_id: str = "job-1", **more: object) -> int:
    """Track a job; return its row id."""
    wanted = request(job_id, **more)
    tx.jobs.track(wanted, at=NOW)
    return tx.jobs.find(wanted.job_id, wanted.project)[0].id


def move(before: str | None, seen: Observation, *, at: datetime = NOW) -> Moved:
    verdict = judge(before, seen, at=at)
    assert isinstance(verdict, Moved)
    return verdict


def record(
    tx: Transaction,
    job: int,
    state: str,
    *,
    at: datetime = NOW,
    due_at: datetime | None = None,
    routes: Routing = BOTH,
    asset: Asset | None = None,
) -> Recorded | None:
    """Record that a job moved on to `state` from its current one."""
    known = tx.jobs.get(job)
    assert known is not None
    seen = Observation(state=state, asset=asset or Asset())
    return tx.jobs.record_move(job, move(known.state, seen, at=at), seen, routing=routes, due_at=due_at or at)
