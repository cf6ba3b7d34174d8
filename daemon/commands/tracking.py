"""Starts and stops tracking jobs, for users, tools, the service's list and callbacks.

Owns the defaults, and the limited trust in callbacks: a callback can add unknown jobs and resume jobs that were
given up, but not one that a user stopped. Everything happens in the given transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from daemon.commands.entries import JobEntry
from daemon.commands.noting import note_jobs
from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import JobId, KindSource, NamedBy, ProjectName, Tracking
from daemon.domain.routing import Routing
from daemon.errors import WrapdError
from daemon.metastudio.kinds import AVATAR
from daemon.store import GIVEN_UP, TrackOutcome, TrackRequest, TrackResult, TrackRule, Transaction

GUESS = AVATAR.name
"""The kind to try first for a job of unknown kind."""
_USUAL = GIVEN_UP | {Tracking.STOPPED}
_RULE = TrackRule(again=_USUAL)
_RETRACK = TrackRule(again=_USUAL | {Tracking.FINISHED})
_ONLY_NEW = TrackRule(again=frozenset(), change=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of tracking one job."""

    project: ProjectName
    job_id: JobId
    tracked: TrackOutcome


def track(
    tx: Transaction,
    wanted: Sequence[JobEntry],
    *,
    at: datetime,
    who: Actor,
    routing: Routing | None = None,
    retrack: bool = False,
) -> list[Done]:
    """Track the jobs from `at` on. Returns a result for each, in order. Entries for the same job are merged, later
    values first. `retrack`: also track ended jobs again. `routing` applies to the end of a batch caused by
    this."""
    merged: dict[tuple[ProjectName, JobId], JobEntry] = {}
    for each in wanted:
        key = (each.project, each.job_id)
        merged[key] = each if key not in merged else _merged(merged[key], each)
    requests = [_request(each) for each in merged.values()]
    results = tx.jobs.take(requests, at=at, routing=routing, rule=_RETRACK if retrack else _RULE)
    tracked = dict(zip(merged, results, strict=True))
    done = []
    for each in wanted:
        key = (each.project, each.job_id)
        done.append(Done(project=each.project, job_id=each.job_id, tracked=tracked[key]))
        tracked[key] = _known_now(tracked[key])
    changed = sum(each.tracked.result is not TrackResult.ALREADY or bool(each.tracked.changes) for each in done)
    batches = {each.batch for each in merged.values()}
    subject = next(iter(batches)) if len(batches) == 1 else None
    note_jobs(tx, Action.TRACK, merged, who=who, at=at, count=changed, subject=subject)
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
    """Track jobs of the service's list, with their kinds, from `at` on. Returns a result for each. Known jobs are
    not changed, except that a guessed kind is now confirmed."""
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
    """The result for a further entry of the same job."""
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
"""Maximum number of unconfirmed jobs of a project, known only from callbacks: they may be made up."""


class SignatureUsed(WrapdError):
    """The callback's signature was already used for another job; nothing was changed."""


class TooManyUnknown(WrapdError):
    """Too many jobs known only from callbacks wait for confirmation by the service; nothing was changed."""


def called_back(
    tx: Transaction,
    project: ProjectName,
    job_id: JobId,
    *,
    at: datetime,
    track_unknown: bool,
    signature: str | None = None,
) -> TrackResult | None:
    """Track the job of a callback from `at` on; an unknown job only if `track_unknown`. Returns the result, None
    if it is not tracked. Each `signature` can add one job. Raises SignatureUsed and TooManyUnknown."""
    rule = TrackRule(add=track_unknown, again=GIVEN_UP, change=False, most_unconfirmed=MOST_UNCONFIRMED)
    request = TrackRequest(
        project=project, kind=GUESS, job_id=job_id, kind_source=KindSource.GUESSED, named_by=NamedBy.CALLBACK
    )
    [tracked] = tx.jobs.take([request], at=at, rule=rule)
    if tracked.tracking is None and track_unknown:
        raise TooManyUnknown(f"{MOST_UNCONFIRMED} jobs known only from callbacks wait for confirmation")
    brought_in = tracked.result in (TrackResult.ADDED, TrackResult.TAKEN_UP)
    if brought_in and signature is not None and not tx.signatures.use(signature, project, job_id, at):
        raise SignatureUsed("this signature was already used for another job")
    return tracked.result if tracked.tracking is Tracking.ACTIVE else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The result of untracking one job; `tracking` is its value before."""

    project: ProjectName
    job_id: JobId
    tracking: Tracking
    stopped: bool


def untrack(
    tx: Transaction, jobs: Sequence[int], *, at: datetime, who: Actor, routing: Routing | None = None
) -> list[Stopped]:
    """Stop tracking the jobs with these row ids, and revoke wrapd's own links to them. `routing` applies to the
    end of a batch caused by this."""
    known = tx.labels.of(jobs)
    stopped = tx.jobs.stop(jobs, at=at, routing=routing)
    about = [(job.project, job.job_id) for job in known]
    note_jobs(tx, Action.UNTRACK, about, who=who, at=at, count=len(stopped))
    return [
        Stopped(project=job.project, job_id=job.job_id, tracking=job.tracking, stopped=job.id in stopped)
        for job in known
    ]
