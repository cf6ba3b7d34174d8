"""Starts and stops tracking jobs, for users, tools, the service's list and callbacks; pauses and resumes projects.

Owns the defaults, and the limited trust in callbacks: a callback can add unknown jobs and resume jobs that were
given up, but not one that a user stopped. Everything happens in the given transaction.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from daemon.commands.entries import JobEntry
from daemon.commands.noting import note_jobs
from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import JobId, KindSource, NamedBy, ProjectName, Tracking
from daemon.domain.routing import Routing
from daemon.domain.text import note
from daemon.errors import WrapdError
from daemon.metastudio.kinds import AVATAR
from daemon.store import GIVEN_UP, PauseRow, TrackOutcome, TrackRequest, TrackResult, TrackRule, Transaction

GUESS = AVATAR.name
"""The kind to try first for a job of unknown kind."""
_USUAL = GIVEN_UP | {Tracking.STOPPED}
_RULE = TrackRule(again=_USUAL)
_RETRACK = TrackRule(again=_USUAL | {Tracking.FINISHED})
_ONLY_NEW = TrackRule(again=frozenset(), change=False)


class Done(Struct, frozen=True, kw_only=True):
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
    step: Callable[[int, int], None] | None = None,
) -> list[Done]:
    """Track the jobs from `at` on. Returns a result for each, in order. Entries for the same job are merged, later
    values first. `retrack`: also track ended jobs again. `routing` applies to the end of a batch caused by
    this. `step` is called with the number of jobs done and of all."""
    merged: dict[tuple[ProjectName, JobId], JobEntry] = {}
    for each in wanted:
        key = (each.project, each.job_id)
        merged[key] = each if key not in merged else _merged(merged[key], each)
    requests = [_request(each) for each in merged.values()]
    told = requests if step is None else _told(requests, step)
    results = tx.jobs.take(told, at=at, routing=routing, rule=_RETRACK if retrack else _RULE)
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


def _told(requests: Sequence[TrackRequest], step: Callable[[int, int], None]) -> Iterator[TrackRequest]:
    for done, request in enumerate(requests):
        step(done, len(requests))
        yield request


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


class Stopped(Struct, frozen=True, kw_only=True):
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


def note_asked(tx: Transaction, jobs: Sequence[int], *, who: Actor, at: datetime) -> None:
    """Record that a person has these jobs (row ids) asked about now: an action for each project, which names the
    job if it is one. The daemon asks."""
    found: defaultdict[ProjectName, list[JobId]] = defaultdict(list)
    for job in tx.labels.of(jobs):
        found[job.project].append(job.job_id)
    for project, ids in found.items():
        subject = ids[0] if len(ids) == 1 else None
        tx.actions.note(Action.ASK, who=who, at=at, project=project, subject=subject, count=len(ids))


def pause(
    tx: Transaction, project: ProjectName, *, who: Actor, at: datetime, comment: str | None = None
) -> tuple[PauseRow, bool]:
    """Pause the project from `at` on. Returns its pause, and whether that is new: a paused project keeps the one
    it has. Raises ValueError for a comment that is too long."""
    said = note(comment or "") or None
    new = tx.pauses.begin(project, at=at, who=who, comment=said)
    if new:
        details = None if said is None else {"comment": said}
        tx.actions.note(Action.PAUSE, who=who, at=at, project=project, subject=project, details=details)
    return tx.pauses.all()[project], new


def resume(tx: Transaction, project: ProjectName, *, who: Actor, at: datetime) -> PauseRow | None:
    """Resume the project. Returns the pause that this ends; None if there is none."""
    ended = tx.pauses.all().get(project)
    if ended is not None:
        tx.pauses.end(project)
        seconds = max(0.0, (at - ended.at).total_seconds())
        tx.actions.note(
            Action.RESUME, who=who, at=at, project=project, subject=project, details={"seconds": round(seconds, 3)}
        )
    return ended
