"""The views of a batch, of a share of one, and of the end of other jobs. docs/cli.md is generated from the
comments. Pure."""

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.text import stamp
from daemon.views.jobs import Remaining, remaining
from daemon.views.outlooks import BatchOutlook

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.domain.shares import BatchShare
    from daemon.store import BatchRow


class Batch(Struct, frozen=True, kw_only=True):
    """A batch, in `batches --json`."""

    project: str  # name of the project in the config
    batch: str  # the name given by `track --batch`
    jobs: int  # number of its jobs
    ended: int  # number of them that are no longer tracked: the sum of the next seven
    succeeded: int  # SUCCEED
    partial: int  # PARTIAL_SUCCEED
    failed: int  # FAILED
    canceled: int  # CANCELED
    lost: int  # the service does not know them
    expired: int  # they did not end in time
    stopped: int  # untracked by a user
    # until its last job ends, as in a job; null if all have ended, if a job is not in production, or if a job
    eta: Remaining | None  # has no `eta` of its own
    eta_reason: str | None  # why an unfinished batch has no `eta`, in words
    # time before which its last job ends with a probability of at most 1 in 10, even if production of all waiting
    soonest_at: str | None  # jobs began now; null if all have ended or it is not known


class Ending(Struct, frozen=True, kw_only=True):
    """When the last of some tracked jobs ends, in the API."""

    jobs: int  # number of those that fit, are tracked and are not frozen; if too many fit, at least so many do
    eta: Remaining | None  # as in a batch
    eta_reason: str | None  # as in a batch
    soonest_at: str | None  # as in a batch


def ending(jobs: int, expected: BatchOutlook) -> Ending:
    """The view of the last end of so many jobs."""
    return Ending(
        jobs=jobs,
        eta=remaining(expected.eta, now=expected.at),
        eta_reason=expected.reason,
        soonest_at=_soonest(expected),
    )


def batch(row: "BatchRow", expected: BatchOutlook) -> Batch:
    """The view of a batch, with the time until its last end."""
    return Batch(
        project=row.project,
        batch=row.batch,
        jobs=row.jobs,
        ended=row.ended,
        **{way: row.ends.get(way, 0) for way in WAYS},
        eta=remaining(expected.eta, now=expected.at),
        eta_reason=expected.reason,
        soonest_at=_soonest(expected),
    )


def _soonest(expected: BatchOutlook) -> str | None:
    return None if expected.soonest is None else stamp(expected.ends_at(expected.soonest))


WAYS = ("succeeded", "partial", "failed", "canceled", "lost", "expired", "stopped")
"""The ways in which a job of a batch ends; a test checks them against the store's own."""


class Share(Struct, frozen=True, kw_only=True):
    """A share of a batch. Its address is in no answer but that which made it."""

    id: int  # its number
    project: str  # name of the project in the config
    batch: str  # name of the batch
    status: str  # open, expired or revoked
    created_at: str | None  # when it was made
    created_by: str  # by whom: `cli:USER`, `token:NAME` or `session:NAME`
    expires_at: str | None  # until when its address works
    revoked_at: str | None  # when it was revoked, or null
    used_at: str | None  # when its address was last opened, to the minute, or null


def share(kept: "BatchShare", *, now: datetime) -> Share:
    """The view of a share as of `now`."""
    return Share(
        id=kept.id,
        project=kept.project,
        batch=kept.batch,
        status="revoked" if kept.revoked_at is not None else "expired" if kept.expires_at <= now else "open",
        created_at=stamp(kept.created_at),
        created_by=kept.created_by,
        expires_at=stamp(kept.expires_at),
        revoked_at=stamp(kept.revoked_at),
        used_at=stamp(kept.used_at),
    )
