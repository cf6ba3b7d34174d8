"""Jobs that ended over some weeks, for the statistics to show."""

from datetime import datetime, timedelta

from daemon.domain.jobs import Asset, JobId, Observation, ProjectName
from daemon.domain.transitions import Moved
from daemon.store import TrackRequest, Transaction
from tests.support.store import BOTH
from tests.support.web import MAIN, NOW, OTHER, Desk, learned

STATES = (
    "SUCCEED",
    "SUCCEED",
    "SUCCEED",
    "SUCCEED",
    "FAILED",
    "SUCCEED",
    "CANCELED",
    "SUCCEED",
    "PARTIAL_SUCCEED",
)
DELAYS = (0.4, 0.8, 1.5, 1.5, 4.0, 8.0, 25.0, 45.0, 130.0, 900.0)
"""Seconds until wrapd sees an end."""


def end(
    tx: Transaction,
    job_id: str,
    state: str,
    *,
    at: datetime,
    took: float = 300.0,
    delay: float = 1.0,
    project: ProjectName = MAIN,
    kind: str = "avatar",
) -> None:
    """A job whose end wrapd sees `at`, `delay` seconds late, after `took` seconds of production."""
    ended = at - timedelta(seconds=delay)
    begun = ended - timedelta(seconds=took)
    wanted = TrackRequest(project=project, kind=kind, job_id=JobId(job_id))
    tx.jobs.track(wanted, at=begun - timedelta(seconds=60))
    [row] = tx.jobs.find(JobId(job_id), project)
    seen = Observation(
        state=state,
        asset=Asset(asset_name=job_id),
        created_at=begun - timedelta(seconds=30),
        started_at=begun,
        ended_at=ended,
        reported_at=ended,
    )
    moved = Moved(before=None, after=state, observed_at=at, reported_at=ended)
    tx.jobs.record_move(row.id, moved, seen, routing=BOTH, due_at=at)


def fill_days(it: Desk, *, days: int = 40) -> None:
    """Some jobs of two projects and three kinds on most of the last days."""
    it.durations = learned(seconds=400.0)

    def work(tx: Transaction) -> None:
        number = 0
        for ago in range(days):
            for _ in range((ago * 7 + 3) % 9):
                number += 1
                end(
                    tx,
                    f"ended-{number}",
                    STATES[number * 5 % len(STATES)],
                    at=NOW - timedelta(days=ago, minutes=number % 50),
                    took=240.0 + number * 37 % 400,
                    delay=DELAYS[number * 3 % len(DELAYS)],
                    project=OTHER if number % 4 == 0 else MAIN,
                    kind=("avatar", "photo", "avatar", "picture_modeling")[number % 4],
                )

    it.store.write_now(work)
