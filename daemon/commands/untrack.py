"""Stop tracking jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.domain.routing import Routing
from daemon.store import JobRow, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What became of a job that was not to be tracked any more; `tracking` is how it stood before."""

    project: ProjectName
    job_id: JobId
    tracking: Tracking
    stopped: bool


def untrack(
    tx: Transaction, jobs: Sequence[JobRow], *, at: datetime, routing: Routing | None = None
) -> list[Stopped]:
    """Stop tracking the jobs, and take wrapd's own links to them back. The end of a batch that comes by it is told
    by `routing`."""
    return [
        Stopped(
            project=job.project,
            job_id=job.job_id,
            tracking=job.tracking,
            stopped=tx.jobs.untrack(job.project, job.job_id, at=at, routing=routing) > 0,
        )
        for job in jobs
    ]
