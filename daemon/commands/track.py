"""Tracking jobs: the one way in, for people, tools and the service's list. (For callbacks: `callback`.)

Owns what is assumed where nothing is said. Everything is looked up and stored in the transaction that is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from daemon.commands.wanted import Wanted
from daemon.domain.jobs import JobId, KindSource, NamedBy, ProjectName, Tracking
from daemon.domain.routing import Routing
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
    wanted: Sequence[Wanted],
    *,
    at: datetime,
    routing: Routing | None = None,
    retrack: bool = False,
) -> list[Done]:
    """Track the jobs from `at` on, and say what became of each, in their order. One that is named more than once
    is taken as one; what is said last holds. `retrack`: jobs that have ended are looked at again. The end of a
    batch that comes by it is told by `routing`."""
    merged: dict[tuple[ProjectName, JobId], Wanted] = {}
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


def _merged(first: Wanted, then: Wanted) -> Wanted:
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


def _request(wanted: Wanted) -> TrackRequest:
    return TrackRequest(
        project=wanted.project,
        kind=wanted.kind or GUESS,
        job_id=wanted.job_id,
        label=wanted.label,
        tags=wanted.tags,
        batch=wanted.batch,
        kind_source=KindSource.GUESSED if wanted.kind is None else KindSource.GIVEN,
    )
