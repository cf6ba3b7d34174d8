"""Stop tracking jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.domain.routing import Routing
from daemon.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What became of a job that was not to be tracked any more; `tracking` is how it stood before."""

    project: ProjectName
    job_id: JobId
    tracking: Tracking
    stopped: bool


def untrack(
    tx: Transaction, jobs: Sequence[int], *, at: datetime, routing: Routing | None = None
) -> list[Stopped]:
    """Stop tracking the jobs of these row ids, and take wrapd's own links to them back. The end of a batch that
    comes by it is told by `routing`."""
    known = tx.labels.of(jobs)
    stopped = tx.jobs.stop(jobs, at=at, routing=routing)
    return [
        Stopped(project=job.project, job_id=job.job_id, tracking=job.tracking, stopped=job.id in stopped)
        for job in known
    ]
