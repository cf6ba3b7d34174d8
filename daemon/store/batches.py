"""Batches: the one alert that every job of a batch has ended, and taking it back when more jobs come.

Owns these statements, for `Jobs`. Must cost nothing for jobs without a batch.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Text, bindparam, select, update

from daemon.domain.events import Event, Json, batch_occurrence
from daemon.domain.jobs import ChannelName, ProjectName, Tracking
from daemon.domain.routing import Routing, Subject
from daemon.domain.states import State
from daemon.store import alerts
from daemon.store.mapping import plain
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES, JOBS

BATCH_SETTLE = timedelta(seconds=10)
"""How long the end of a batch waits: whoever hands over jobs one by one may not be through."""
MOST_FAILURES = 20
"""Failures that are told by name."""
_MOST_ERROR = 300

Batch = tuple[ProjectName, str]

_C, _D = JOBS.c, DELIVERIES.c
_PROJECT, _BATCH = bindparam("of_project", type_=Text), bindparam("of_batch", type_=Text)
_ACTIVE = (
    select(_C.id).where(_C.batch == _BATCH, _C.project == _PROJECT, _C.tracking == plain(Tracking.ACTIVE)).limit(1)
)
_MEMBERS = (
    select(
        *(_C.id, _C.job_id, _C.kind, _C.tags, _C.label, _C.asset_name, _C.tracking, _C.state, _C.episode),
        *(_C.created_at, _C.tracked_at, _C.ended_at, _C.state_since, _C.error_code, _C.error_msg),
    )
    .where(_C.batch == _BATCH, _C.project == _PROJECT)
    .order_by(_C.id)
)
# Of a project's alerts about no job, those that are unsent are few.
_UNTRIED = select(_D.id, _D.facts).where(
    _D.job.is_(None),
    _D.status == plain(DeliveryStatus.PENDING),
    _D.project == _PROJECT,
    _D.event == plain(Event.BATCH_FINISHED),
    _D.attempts == 0,
)
_CANCEL = (
    update(DELIVERIES)
    .where(_D.id == bindparam("row"))
    .values(status=plain(DeliveryStatus.CANCELED), due_at=bindparam("at", type_=_D.due_at.type))
)

_WORDS = {
    State.SUCCEED: "succeeded",
    State.PARTIAL_SUCCEED: "partial",
    State.FAILED: "failed",
    State.CANCELED: "canceled",
}
_COUNTED = (*_WORDS.values(), Tracking.LOST.value, Tracking.EXPIRED.value, Tracking.STOPPED.value)
_FAILURES = ("failed", "lost", "expired", "canceled")
"""In the order in which they are told."""


def finish(
    connection: Connection, project: ProjectName, batch: str, *, at: datetime, routing: Routing
) -> list[ChannelName]:
    """Write that the batch has ended, if no job of it is active any more; returns the channel of each alert.

    Nothing is written where all its jobs were stopped by people, nor twice for the same jobs.
    """
    names = {"of_project": project, "of_batch": batch}
    if connection.execute(_ACTIVE, names).first() is not None:
        return []
    jobs = connection.execute(_MEMBERS, names).all()
    ends = [_end(job) for job in jobs]
    if all(end == Tracking.STOPPED for end in ends):
        return []
    occurrence = batch_occurrence(project, batch, jobs=len(jobs), episodes=sum(int(job.episode) for job in jobs))
    rows = alerts.of(
        occurrence,
        _subject(project, batch, jobs),
        routing=routing,
        at=at,
        facts=_facts(batch, jobs, ends, at=at),
    )
    return alerts.add(connection, rows, at=at, due_at=at + BATCH_SETTLE)


def reopen(connection: Connection, batches: Collection[Batch], *, at: datetime) -> int:
    """Cancel the alerts that these batches have ended, as far as none was tried yet. Returns how many."""
    rows = [
        {"row": row, "at": at}
        for project in {project for project, _ in batches}
        for row, facts in connection.execute(_UNTRIED, {"of_project": project})
        if (project, facts["batch"]) in batches
    ]
    if rows:
        connection.execute(_CANCEL, rows)
    return len(rows)


def subject(connection: Connection, project: ProjectName, batch: str) -> Subject | None:
    """What the end of a batch is about, as far as routes ask; None where it has no jobs."""
    jobs = connection.execute(_MEMBERS, {"of_project": project, "of_batch": batch}).all()
    return _subject(project, batch, jobs) if jobs else None


def _end(job: Any) -> str:
    """How a job ended, in the words of the facts."""
    return _WORDS[job.state] if job.tracking == Tracking.FINISHED else str(job.tracking)


def _subject(project: ProjectName, batch: str, jobs: Sequence[Any]) -> Subject:
    kinds = {job.kind for job in jobs}
    shared = set(jobs[0].tags).intersection(*(job.tags for job in jobs))
    return Subject(
        event=Event.BATCH_FINISHED,
        project=project,
        batch=batch,
        kind=jobs[0].kind if len(kinds) == 1 else None,
        tags=tuple(tag for tag in jobs[0].tags if tag in shared),
    )


def _facts(batch: str, jobs: Sequence[Any], ends: Sequence[str], *, at: datetime) -> Mapping[str, Json]:
    """What the alert tells; times in ISO 8601, UTC. `ended` is the last end that the service told, or `at`."""
    counts = Counter(ends)
    failures = [(job, end) for job, end in zip(jobs, ends, strict=True) if end in _FAILURES]
    failures.sort(key=lambda each: _FAILURES.index(each[1]))  # stable: by their row ids
    told = [job.ended_at or job.state_since for job in jobs if job.tracking == Tracking.FINISHED]
    return {
        "batch": batch,
        "jobs": len(jobs),
        **{name: counts[name] for name in _COUNTED},
        "failures": [_failure(job, end) for job, end in failures[:MOST_FAILURES]],
        "began": min(job.created_at or job.tracked_at for job in jobs).isoformat(),
        "ended": max(told, default=at).isoformat(),
        "observed_at": at.isoformat(),
    }


def _failure(job: Any, end: str) -> Mapping[str, Json]:
    error = job.error_msg or job.error_code
    return {
        "job_id": job.job_id,
        "name": job.asset_name or job.label or job.job_id,
        "event": end,
        "state": job.state,
        "error": None if error is None else error[:_MOST_ERROR],
    }
