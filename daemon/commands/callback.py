"""Tracking a job because a callback names it: a word that is not believed far.

Owns how far. A callback brings in unknown jobs and those that were given up, never one that a person stopped.
"""

from datetime import datetime

from daemon.commands.track import GUESS
from daemon.domain.jobs import JobId, KindSource, NamedBy, ProjectName, Tracking
from daemon.errors import WrapdError
from daemon.store import GIVEN_UP, TrackRequest, TrackResult, TrackRule, Transaction

MOST_UNCONFIRMED = 1000
"""Jobs of a project that only callbacks named, at most: until the service confirms one, it may be made up."""


class SignatureUsed(WrapdError):
    """The callback's signature has brought in another job: nothing was changed."""


class TooManyUnknown(WrapdError):
    """Too many jobs that only callbacks named wait for the service to confirm them: nothing was changed."""


def called_back(
    tx: Transaction,
    project: ProjectName,
    job_id: JobId,
    *,
    at: datetime,
    track_unknown: bool,
    signature: str | None = None,
) -> TrackResult | None:
    """Track the job where that is wanted, from `at` on; what became of it, None where it is not tracked. Each
    `signature` brings in one job. Raises SignatureUsed and TooManyUnknown."""
    rule = TrackRule(add=track_unknown, again=GIVEN_UP, change=False, most_unconfirmed=MOST_UNCONFIRMED)
    request = TrackRequest(
        project=project, kind=GUESS, job_id=job_id, kind_source=KindSource.GUESSED, named_by=NamedBy.CALLBACK
    )
    [tracked] = tx.jobs.take([request], at=at, rule=rule)
    if tracked.tracking is None and track_unknown:
        raise TooManyUnknown(f"{MOST_UNCONFIRMED} jobs that only callbacks named wait to be confirmed")
    brought_in = tracked.result in (TrackResult.ADDED, TrackResult.TAKEN_UP)
    if brought_in and signature is not None and not tx.signatures.use(signature, project, job_id, at):
        raise SignatureUsed("this signature was used for another job")
    return tracked.result if tracked.tracking is Tracking.ACTIVE else None
