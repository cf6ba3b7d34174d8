"""A batch: how many of its jobs ended, and how. The comments are what docs/cli.md says of the keys: they may grow,
none goes or changes its meaning. Pure.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daemon.domain.durations import Eta
from daemon.domain.text import stamp
from daemon.views.jobs import Remaining, remaining

if TYPE_CHECKING:  # SQLAlchemy is slow to import, and most commands show something
    from daemon.store import BatchRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch, in `batches --json`."""

    project: str  # name of the project in the config
    batch: str  # what `track --batch` said
    jobs: int  # how many belong to it
    ended: int  # those of them that are not tracked any more: the sum of the next seven
    succeeded: int  # SUCCEED
    partial: int  # PARTIAL_SUCCEED
    failed: int  # FAILED
    canceled: int  # CANCELED
    lost: int  # the service does not know them
    expired: int  # they did not end in time
    stopped: int  # untracked by a person
    # until its last job ends, as in a job; null where all have ended, where a job is not in production, and where
    eta: Remaining | None  # a job has no `eta` of its own
    eta_reason: str | None  # why a batch that has not ended has no `eta`, in words
    # the moment before which its last job ends with a chance of 1 in 10 at most, even if all that are not in
    soonest_at: str | None  # production were to begin now; null where all have ended or nobody can say


def batch(
    row: "BatchRow", *, now: datetime, eta: Eta | None, eta_reason: str | None, soonest: float | None
) -> Batch:
    """A batch, with what remains until its last end as of `now`; `soonest` is in seconds."""
    return Batch(
        project=row.project,
        batch=row.batch,
        jobs=row.jobs,
        ended=row.ended,
        **{way: row.ends.get(way, 0) for way in WAYS},
        eta=remaining(eta, now=now),
        eta_reason=eta_reason,
        soonest_at=None if soonest is None else stamp(now + timedelta(seconds=soonest)),
    )


WAYS = ("succeeded", "partial", "failed", "canceled", "lost", "expired", "stopped")
"""The ways in which a job of a batch ends; checked against the store's own by a test."""
