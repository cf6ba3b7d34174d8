"""Taking jobs up: what becomes of a request to track one, by what is known of it.

Owns these statements, for `Jobs`. Must never change what the service said of a job.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Boolean, Connection, bindparam, func, insert, or_, select, update

from daemon.domain.jobs import JobId, Tracking
from daemon.domain.routing import Routing
from daemon.store import batches, links
from daemon.store.mapping import plain
from daemon.store.rows import Known, TrackRequest, TrackResult
from daemon.store.tables import JOBS

T = TypeVar("T")

_C = JOBS.c
_CHUNK = 500
"""Values in one statement: some builds of SQLite take no more than 999."""

_RESULTS = {
    Tracking.ACTIVE: TrackResult.ALREADY,
    Tracking.FINISHED: TrackResult.FINISHED,
    Tracking.LOST: TrackResult.TAKEN_UP,
    Tracking.EXPIRED: TrackResult.TAKEN_UP,
    Tracking.STOPPED: TrackResult.TAKEN_UP,
}
_KNOWN = select(_C.id, _C.project, _C.job_id, _C.kind, _C.tracking, _C.state, _C.batch).where(
    _C.job_id.in_(bindparam("job_ids", expanding=True))
)
_GIVE = (
    update(JOBS)
    .where(_C.id == bindparam("row"))
    .values(
        kind=bindparam("new_kind"),
        changed=or_(_C.changed, bindparam("news", type_=Boolean)),
        **{
            name: func.coalesce(bindparam(f"new_{name}", type_=_C[name].type), _C[name])
            for name in ("label", "tags", "batch")
        },
    )
)
_TAKE_UP = (
    update(JOBS)
    .where(_C.id == bindparam("row"))
    .values(
        tracking=plain(Tracking.ACTIVE),
        tracked_at=bindparam("at", type_=_C.tracked_at.type),
        episode=_C.episode + 1,
        changed=True,
    )
)


def track_many(
    connection: Connection, requests: Iterable[TrackRequest], *, at: datetime, routing: Routing | None = None
) -> list[TrackResult]:
    """Track each of the jobs from `at` on, in its turn, with a few statements for hundreds of them. Where jobs
    come to a batch or leave it, and none in it is active, the end of the batch is told by `routing`."""
    touched: dict[batches.Batch, None] = {}
    results = [result for part in _apart(requests) for result in _track(connection, part, touched, at=at)]
    batches.changed(connection, touched, at=at, routing=routing)
    return results


def _track(
    connection: Connection, requests: Sequence[TrackRequest], touched: dict[batches.Batch, None], *, at: datetime
) -> list[TrackResult]:
    """Of several at once, no two about one job. Batches whose jobs are others by it are put into `touched`."""
    known = known_of(connection, (request.job_id for request in requests))
    results: list[TrackResult] = []
    added, given, taken_up, again = [], [], [], []
    for request in requests:
        job = known.get((request.project, request.job_id))
        touched |= {(request.project, batch): None for batch in _touched(request, job)}
        if job is None:
            added.append(_added(request, at=at))
            results.append(TrackResult.ADDED)
            continue
        result = _RESULTS[job.tracking]
        if _says_more(request, job):
            given.append(_given(request, job))
        if result is TrackResult.TAKEN_UP:
            taken_up.append({"row": job.id, "at": at})
        if result is not TrackResult.ALREADY:
            again.append(job.id)
        results.append(result)
    for statement, rows in ((insert(JOBS), added), (_GIVE, given), (_TAKE_UP, taken_up)):
        if rows:
            connection.execute(statement, rows)
    if again:
        links.restore(connection, again)
    return results


def _touched(request: TrackRequest, known: Known | None) -> list[str]:
    """The batches that have other jobs by the request, or an active one more."""
    before = None if known is None else known.batch
    after = request.batch or before
    again = known is not None and _RESULTS[known.tracking] is TrackResult.TAKEN_UP
    changes = (before, after) if after != before else (after,) if again else ()
    return [batch for batch in changes if batch is not None]


def known_of(connection: Connection, job_ids: Iterable[JobId]) -> dict[tuple[str, str], Known]:
    """The jobs of those ids in every project, by project and id."""
    return {
        (project, job_id): Known(id=row, kind=kind, tracking=Tracking(tracking), state=state, batch=batch)
        for part in chunks(job_ids)
        for row, project, job_id, kind, tracking, state, batch in connection.execute(_KNOWN, {"job_ids": part})
    }


def _added(request: TrackRequest, *, at: datetime) -> dict[str, Any]:
    return {
        "project": request.project,
        "kind": request.kind,
        "job_id": request.job_id,
        "label": request.label,
        "tags": request.tags,
        "batch": request.batch,
        "tracking": Tracking.ACTIVE,
        "tracked_at": at,
        "changed": True,
    }


def _says_more(request: TrackRequest, known: Known) -> bool:
    """Whether there may be anything to write of a job that is stored."""
    return request.kind != known.kind or not (request.label is request.batch is None and not request.tags)


def _given(request: TrackRequest, known: Known) -> dict[str, Any]:
    return {
        "row": known.id,
        "new_kind": request.kind,
        "new_label": request.label,
        "new_tags": request.tags or None,
        "new_batch": request.batch,
        "news": known.tracking is Tracking.ACTIVE and known.kind != request.kind,
    }


def _apart(requests: Iterable[TrackRequest]) -> Iterator[Sequence[TrackRequest]]:
    """Parts of a chunk at most, in order; the second request about a job finds what the first one stored."""
    part: dict[tuple[str, str], TrackRequest] = {}
    for request in requests:
        key = (request.project, request.job_id)
        if key in part or len(part) == _CHUNK:
            yield tuple(part.values())
            part.clear()
        part[key] = request
    if part:
        yield tuple(part.values())


def chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """The different values in their order, as many at a time as one statement takes."""
    every = list(dict.fromkeys(values))
    for start in range(0, len(every), _CHUNK):
        yield every[start : start + _CHUNK]
