"""Batches: the single alert once all jobs of a batch have ended, and its withdrawal when jobs are added later.

Owns these statements, for `Jobs`. Costs nothing for jobs without a batch.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Text, bindparam, select, update

from daemon.domain.events import Event, Json, batch_key, batch_occurrence, membership
from daemon.domain.jobs import ChannelName, ProjectName, Tracking
from daemon.domain.routing import Routing, Subject
from daemon.domain.states import State
from daemon.store import alerts
from daemon.store.mapping import plain
from daemon.store.rows import REPLACED, DeliveryStatus
from daemon.store.tables import DELIVERIES, JOBS

BATCH_SETTLE = timedelta(seconds=10)
"""How long the alert of a batch's end waits: a caller that adds jobs one at a time may not be finished."""
MOST_FAILURES = 20
"""Failures listed by name in an alert."""
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
_END_ALERTS = (
    select(_D.id, _D.key, _D.channel, _D.project, _D.status, _D.attempts, _D.facts)
    .where(_D.key.between(bindparam("first", type_=Text), bindparam("last", type_=Text)))
    .order_by(_D.id)
)
_CANCEL = (
    update(DELIVERIES)
    .where(_D.id == bindparam("row"))
    .values(
        status=plain(DeliveryStatus.CANCELED), due_at=bindparam("at", type_=_D.due_at.type), last_error=REPLACED
    )
)

_END_WORDS: Mapping[str, str] = {
    State.SUCCEED: "succeeded",
    State.PARTIAL_SUCCEED: "partial",
    State.FAILED: "failed",
    State.CANCELED: "canceled",
}
_COUNTED = (*_END_WORDS.values(), Tracking.LOST.value, Tracking.EXPIRED.value, Tracking.STOPPED.value)
_FAILURES = ("failed", "lost", "expired", "canceled")
"""In the order in which an alert lists them."""


def changed(
    connection: Connection, batches: Iterable[Batch], *, at: datetime, routing: Routing | None
) -> list[ChannelName]:
    """Jobs were added to these batches or left them. Where a job is active again, the untried alerts of the
    batch's end are withdrawn. Otherwise the end is announced by `routing`, if given. Returns the channel of each
    alert."""
    alerted: list[ChannelName] = []
    for project, batch in batches:
        if is_active(connection, project, batch):
            untried = [row for row in end_alerts(connection, project, batch) if _is_untried(row)]
            _withdraw(connection, untried, at=at)
        elif routing is not None:
            alerted += finish(connection, project, batch, at=at, routing=routing)
    return alerted


def finish(
    connection: Connection, project: ProjectName, batch: str, *, at: datetime, routing: Routing
) -> list[ChannelName]:
    """Write the alert of the batch's end unless a job of it is active. Returns the channel of each alert.

    Nothing is written if people stopped all its jobs, or for a channel whose last alert was about the same jobs.
    Untried alerts about a different set of jobs are withdrawn.
    """
    if is_active(connection, project, batch):
        return []
    jobs = connection.execute(_MEMBERS, {"of_project": project, "of_batch": batch}).all()
    members = membership((job.id, job.episode) for job in jobs)
    rows = end_alerts(connection, project, batch)
    stale = [row for row in rows if _is_untried(row) and not _is_about(row, jobs, members)]
    _withdraw(connection, stale, at=at)
    ends = [end_word(job.tracking, job.state) for job in jobs]
    if all(end == Tracking.STOPPED for end in ends):
        return []
    gone = {row.id for row in stale}
    last = {row.channel: row for row in rows if row.status != DeliveryStatus.CANCELED and row.id not in gone}
    new = alerts.of(
        batch_occurrence(project, batch, members=members, after=rows[-1].id if rows else 0),
        _subject(project, batch, jobs),
        routing=routing,
        at=at,
        facts={**_facts(batch, jobs, ends, at=at), "members": members},
    )
    new = [each for each in new if each.channel not in last or not _is_about(last[each.channel], jobs, members)]
    return alerts.add(connection, new, at=at, due_at=at + BATCH_SETTLE)


def is_active(connection: Connection, project: ProjectName, batch: str) -> bool:
    """Return whether any job of the batch is active."""
    return connection.execute(_ACTIVE, {"of_project": project, "of_batch": batch}).first() is not None


def end_alerts(connection: Connection, project: ProjectName, batch: str) -> list[Any]:
    """Return the alerts about ends of the batch, oldest first."""
    key = batch_key(project, batch)
    found = connection.execute(_END_ALERTS, {"first": key, "last": f"{key}~"})
    # A batch name may contain the separator used in keys.
    return [row for row in found if row.project == project and row.facts.get("batch") == batch]


def _is_untried(row: Any) -> bool:
    return bool(row.status == DeliveryStatus.PENDING and row.attempts == 0)


def _is_about(row: Any, jobs: Sequence[Any], members: str) -> bool:
    """Return whether the alert is about exactly these jobs. The first release put their number and the sum of
    their episodes into the key instead."""
    if "members" in row.facts:
        return bool(row.facts["members"] == members)
    return bool(row.key.endswith(f"/{len(jobs)}/{sum(job.episode for job in jobs)}"))


def _withdraw(connection: Connection, rows: Sequence[Any], *, at: datetime) -> None:
    if rows:
        connection.execute(_CANCEL, [{"row": row.id, "at": at} for row in rows])


def subject(connection: Connection, project: ProjectName, batch: str) -> Subject | None:
    """Return the routing subject of the batch's end; None if the batch has no jobs."""
    jobs = connection.execute(_MEMBERS, {"of_project": project, "of_batch": batch}).all()
    return _subject(project, batch, jobs) if jobs else None


def end_word(tracking: str, state: str) -> str:
    """Return how a job ended, in the words of the facts; `active` if it has not."""
    return _END_WORDS[state] if tracking == Tracking.FINISHED else str(tracking)


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
    """Return the facts of the alert; times in ISO 8601, UTC. `ended` is the service's latest end time, or `at`."""
    counts = Counter(ends)
    failures = [(job, end) for job, end in zip(jobs, ends, strict=True) if end in _FAILURES]
    failures.sort(key=lambda each: _FAILURES.index(each[1]))  # stable: jobs that ended alike stay in row id order
    times = [job.ended_at or job.state_since for job in jobs if job.tracking == Tracking.FINISHED]
    return {
        "batch": batch,
        "jobs": len(jobs),
        **{name: counts[name] for name in _COUNTED},
        "failures": [_failure(job, end) for job, end in failures[:MOST_FAILURES]],
        "began": min(job.created_at or job.tracked_at for job in jobs).isoformat(),
        "ended": max(times, default=at).isoformat(),
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
