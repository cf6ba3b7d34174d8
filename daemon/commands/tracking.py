"""Tracking jobs, and stopping that: the one way in, for people, tools, the service's list, and for callbacks, who
are not believed far.

Owns what is assumed where nothing is said, and what a callback may do: it brings in unknown jobs and those that
were given up, never one that a person stopped. Everything is looked up and stored in the transaction that is
given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from daemon.commands.entries import JobEntry
from daemon.domain.jobs import JobId, KindSource, NamedBy, ProjectName, Tracking
from daemon.domain.routing import Routing
from daemon.errors import WrapdError
from daemon.metastudio.kinds import AVATAR
from daemon.store import GIVEN_UP, TrackOutcome, TrackRequest, TrackResult, TrackRule, Transaction

GUESS = AVATAR.name
"""The kind under which a job is asked about first whose kind nobody named."""
_USUAL = GIVEN_UP | {Tracking.STOPPED}
_RULE = TrackRule(again=_USUAL)
_LOOK_AGAIN = TrackRule(again=_USUAL | {Tracking.FINISHED})
_ONLY_NEW = TrackRule(again=frozenset(), change=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a job that was to be tracked."""

    project: ProjectName
    job_id: JobId
    tracked: TrackOutcome


def track(
    tx: Transaction,
    wanted: Sequence[JobEntry],
    *,
    at: datetime,
    routing: Routing | None = None,
    retrack: bool = False,
) -> list[Done]:
    """Track the jobs from `at` on, and say what became of each, in their order. One that is named more than once
    is taken as one; what is said last holds. `retrack`: jobs that have ended are looked at again. The end of a
    batch that comes by it is told by `routing`."""
    merged: dict[tuple[ProjectName, JobId], JobEntry] = {}
    for each in wanted:
        key = (each.project, each.job_id)
        merged[key] = each if key not in merged else _merged(merged[key], each)
    requests = [_request(each) for each in merged.values()]
    results = tx.jobs.take(requests, at=at, routing=routing, rule=_LOOK_AGAIN if retrack else _RULE)
    tracked = dict(zip(merged, results, strict=True))
    done = []
    for each in wanted:
        key = (each.project, each.job_id)
        done.append(Done(project=each.project, job_id=each.job_id, tracked=tracked[key]))
        tracked[key] = _known_now(tracked[key])
    return done


def discovered(
    tx: Transaction,
    project: ProjectName,
    kinds: Mapping[JobId, str],
    *,
    at: datetime,
    tags: tuple[str, ...] = (),
    batch: str | None = None,
) -> dict[JobId, TrackOutcome]:
    """Track the jobs that the service's list holds, each of its kind, from `at` on; what became of each. Known
    ones are left as they are, but what was only guessed of them is known now."""
    requests = [
        TrackRequest(
            project=project,
            kind=kind,
            job_id=job_id,
            tags=tags,
            batch=batch,
            kind_source=KindSource.FOUND,
            named_by=NamedBy.SERVICE,
        )
        for job_id, kind in kinds.items()
    ]
    return dict(zip(kinds, tx.jobs.take(requests, at=at, rule=_ONLY_NEW), strict=True))


def _merged(first: JobEntry, then: JobEntry) -> JobEntry:
    return replace(
        first,
        kind=then.kind or first.kind,
        label=then.label or first.label,
        tags=then.tags or first.tags,
        batch=then.batch or first.batch,
    )


def _known_now(tracked: TrackOutcome) -> TrackOutcome:
    """What is said of a job where the same request names it once more."""
    result = TrackResult.ALREADY if tracked.tracking is Tracking.ACTIVE else tracked.result
    return replace(tracked, result=result, changes=())


def _request(wanted: JobEntry) -> TrackRequest:
    return TrackRequest(
        project=wanted.project,
        kind=wanted.kind or GUESS,
        job_id=wanted.job_id,
        label=wanted.label,
        tags=wanted.tags,
        batch=wanted.batch,
        kind_source=KindSource.GUESSED if wanted.kind is None else KindSource.GIVEN,
    )


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
