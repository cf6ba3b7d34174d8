"""Taking jobs up: what a request to track one does, given what is known of it. Also finding the kinds of jobs
whose kind was guessed, and ending tracking.

Owns these statements, for `Jobs`. Neither what the service reported of a job nor a known kind is replaced.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from daemon.domain.jobs import JobId, KindSource, NamedBy, Tracking
from daemon.domain.routing import Routing
from daemon.store import batches, links
from daemon.store.labels import add_tags, put_tags
from daemon.store.mapping import CHUNK, chunks, plain
from daemon.store.mutes import words_changed
from daemon.store.rows import (
    Change,
    Known,
    TrackOutcome,
    TrackRequest,
    TrackResult,
    TrackRule,
)
from daemon.store.tables import BATCHES, JOBS

_Key = tuple[str, str]

_C = JOBS.c

_TRUST = (NamedBy.PERSON, NamedBy.SERVICE, NamedBy.CALLBACK)
"""Who named a job, most trusted first."""
_LEFT = {Tracking.ACTIVE: TrackResult.ALREADY, Tracking.FINISHED: TrackResult.FINISHED}
_KNOWN = select(
    *(_C.id, _C.project, _C.job_id, _C.kind, _C.tracking, _C.state, _C.batch, _C.label, _C.tags),
    *(_C.kind_source, _C.named_by),
).where(_C.job_id.in_(bindparam("job_ids", expanding=True)))
_VALUES = ("label", "tags", "batch")
_GIVE = (
    update(JOBS)
    .where(_C.id == bindparam("row"))
    .values(
        kind=bindparam("new_kind"),
        kind_source=bindparam("new_source"),
        named_by=bindparam("new_named"),
        changed=or_(_C.changed, bindparam("news", type_=Boolean)),
        **{name: func.coalesce(bindparam(f"new_{name}", type_=_C[name].type), _C[name]) for name in _VALUES},
    )
)
_AGAIN = {
    "tracking": plain(Tracking.ACTIVE),
    "tracked_at": bindparam("at", type_=_C.tracked_at.type),
    "episode": _C.episode + 1,
    "kind_tries": 0,
    "changed": True,
}
_TAKE_UP = update(JOBS).where(_C.id == bindparam("row")).values(_AGAIN)
# The service may have reverted the end, so the job becomes like one not answered yet. Its end stays in the
# transitions.
_ASK_AGAIN = (
    update(JOBS)
    .where(_C.id == bindparam("row"))
    .values(
        **_AGAIN,
        state=None,
        state_since=None,
        kind_source=plain(KindSource.FOUND),
        error_code=None,
        error_msg=None,
        seen_at=None,
        reminded_at=None,
    )
)
_ARE_ACTIVE = and_(_C.id.in_(bindparam("rows", expanding=True)), _C.tracking == plain(Tracking.ACTIVE))
_ACTIVE_OF = select(_C.id, _C.project, _C.batch).where(_ARE_ACTIVE)
_STOP = (
    update(JOBS)
    .where(_ARE_ACTIVE)
    .values(tracking=plain(Tracking.STOPPED), changed=True, next_poll_at=None, next_reason=None)
)
_UNCONFIRMED = (
    select(_C.id)
    .where(
        _C.project == bindparam("of_project"),
        _C.tracking == plain(Tracking.ACTIVE),
        _C.kind_source == plain(KindSource.GUESSED),
        _C.named_by == plain(NamedBy.CALLBACK),
    )
    .limit(bindparam("most"))
)

_ADD_BATCH = sqlite.insert(BATCHES).from_select(
    ["batch", "project", "newest"],
    select(bindparam("new_batch", type_=Text), _C.project, _C.id).where(
        _C.job_id == bindparam("of_job", type_=Text), _C.project == bindparam("of_project", type_=Text)
    ),
)
# A new job has the highest row id of all, so the last one of a batch is its newest.
_BATCHED = _ADD_BATCH.on_conflict_do_update(
    index_elements=[BATCHES.c.batch, BATCHES.c.project], set_={"newest": _ADD_BATCH.excluded.newest}
)


def track_many(
    connection: Connection,
    requests: Iterable[TrackRequest],
    *,
    at: datetime,
    routing: Routing | None = None,
    rule: TrackRule | None = None,
) -> list[TrackOutcome]:
    """Track each of the jobs from `at` on, in order, with a few statements for hundreds of them. If jobs enter or
    leave a batch and none in it is active, its end is announced by `routing`."""
    rule = rule or TrackRule()
    touched: dict[batches.Batch, None] = {}
    results = []
    for part in _distinct(requests):
        plan = _plan(connection, part, rule, at=at)
        _write(connection, plan, at=at)
        touched.update(plan.touched)
        results += plan.results
    batches.changed(connection, touched, at=at, routing=routing)
    return results


def stop_many(
    connection: Connection, jobs: Iterable[int], *, at: datetime, routing: Routing | None = None
) -> set[int]:
    """Stop tracking the jobs of these row ids, and revoke wrapd's own links to them. If they were the last active
    ones of a batch, its end is announced by `routing`. Returns those that were active."""
    stopped: set[int] = set()
    touched: dict[batches.Batch, None] = {}
    for part in chunks(jobs):
        links.revoke(connection, part, at=at)
        for row, project, batch in connection.execute(_ACTIVE_OF, {"rows": part}).all():
            stopped.add(row)
            if batch is not None:
                touched[project, batch] = None
        connection.execute(_STOP, {"rows": part})
    if routing is not None:
        for project, batch in touched:
            batches.finish(connection, project, batch, at=at, routing=routing)
    return stopped


@dataclass(slots=True)
class _Plan:
    """What to write for some requests, at most one for each job."""

    results: list[TrackOutcome] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)
    given: list[dict[str, Any]] = field(default_factory=list)
    taken_up: list[int] = field(default_factory=list)
    asked_again: list[int] = field(default_factory=list)
    reopened: list[int] = field(default_factory=list)
    """Jobs whose links become live again."""
    touched: dict[batches.Batch, None] = field(default_factory=dict)
    """Batches whose members change, or that gain an active job."""


def _plan(connection: Connection, requests: Sequence[TrackRequest], rule: TrackRule, *, at: datetime) -> _Plan:
    known = known_of(connection, (request.job_id for request in requests))
    found = {(each.project, each.job_id): known.get((each.project, each.job_id)) for each in requests}
    again = [job.id for job in found.values() if job is not None and job.tracking is not Tracking.ACTIVE]
    closed = links.revoked(connection, again) if again and rule.change else set()
    plan = _Plan()
    for request in requests:
        job = found[request.project, request.job_id]
        if job is None:
            _plan_new(connection, plan, request, rule, at=at)
        else:
            _plan_known(plan, request, job, rule, closed=job.id in closed)
    return plan


def _plan_new(
    connection: Connection, plan: _Plan, request: TrackRequest, rule: TrackRule, *, at: datetime
) -> None:
    if not rule.add or _too_many(connection, request, rule):
        plan.results.append(
            TrackOutcome(
                result=None, kind=request.kind, kind_source=request.kind_source, tracking=None, state=None
            )
        )
        return
    plan.added.append(_added(request, at=at))
    if request.batch is not None:
        plan.touched[request.project, request.batch] = None
    plan.results.append(
        TrackOutcome(
            result=TrackResult.ADDED,
            kind=request.kind,
            kind_source=request.kind_source,
            tracking=Tracking.ACTIVE,
            state=None,
        )
    )


def _too_many(connection: Connection, request: TrackRequest, rule: TrackRule) -> bool:
    if rule.most_unconfirmed is None:
        return False
    most = {"of_project": request.project, "most": rule.most_unconfirmed}
    return len(connection.execute(_UNCONFIRMED, most).all()) >= rule.most_unconfirmed


def _plan_known(plan: _Plan, request: TrackRequest, job: Known, rule: TrackRule, *, closed: bool) -> None:
    again = job.tracking in rule.again
    active = again or job.tracking is Tracking.ACTIVE
    kind, source, kind_change = _kind(request, job)
    named_by = min(request.named_by, job.named_by, key=_TRUST.index)
    label, new_tags, batch = _new_values(request, job) if rule.change else (None, None, None)
    words = {Change.LABEL: label, Change.TAGS: new_tags, Change.BATCH: batch}
    changes = [change for change, value in words.items() if value is not None]
    changes += [] if kind_change is None else [kind_change]
    if (kind, source, named_by) != (job.kind, job.kind_source, job.named_by) or label or new_tags or batch:
        plan.given.append(
            {
                "row": job.id,
                "new_kind": kind,
                "new_source": source,
                "new_named": named_by,
                "new_label": label,
                "new_tags": new_tags,
                "new_batch": batch,
                "news": active and (kind, source, named_by) != (job.kind, job.kind_source, job.named_by),
            }
        )
    if again:
        (plan.asked_again if job.tracking is Tracking.FINISHED else plan.taken_up).append(job.id)
    if closed:
        plan.reopened.append(job.id)
        changes.append(Change.LINK)
    _note_batches(plan, request, job, batch=batch, again=again)
    plan.results.append(
        TrackOutcome(
            result=TrackResult.TAKEN_UP if again else _LEFT.get(job.tracking),
            kind=kind,
            kind_source=source,
            tracking=Tracking.ACTIVE if again else job.tracking,
            state=job.state,
            changes=tuple(changes),
        )
    )


def _note_batches(plan: _Plan, request: TrackRequest, job: Known, *, batch: str | None, again: bool) -> None:
    """Note the batch that the job leaves and the one that it is in now."""
    now = batch or job.batch
    if now is not None and (again or batch is not None):
        plan.touched[request.project, now] = None
    if batch is not None and job.batch is not None:
        plan.touched[request.project, job.batch] = None


def _kind(request: TrackRequest, job: Known) -> tuple[str, KindSource, Change | None]:
    """Return the job's kind after the request, how it is known, and the change."""
    if request.kind_source is KindSource.GUESSED:
        return job.kind, job.kind_source, None
    if request.kind == job.kind:
        known = KindSource.FOUND in (request.kind_source, job.kind_source)
        return job.kind, KindSource.FOUND if known else request.kind_source, None
    answered = job.state is not None or job.kind_source is KindSource.FOUND
    if answered and request.kind_source is KindSource.GIVEN:
        return job.kind, job.kind_source, Change.KIND_KEPT
    return request.kind, request.kind_source, Change.KIND


def _new_values(request: TrackRequest, job: Known) -> tuple[str | None, tuple[str, ...] | None, str | None]:
    """Return the label, tags and batch that the request changes; None for those that it does not."""
    return (
        request.label if request.label not in (None, job.label) else None,
        request.tags if request.tags and request.tags != job.tags else None,
        request.batch if request.batch not in (None, job.batch) else None,
    )


def _write(connection: Connection, plan: _Plan, *, at: datetime) -> None:
    statements: Mapping[Any, list[dict[str, Any]]] = {
        insert(JOBS): plan.added,
        _GIVE: plan.given,
        _TAKE_UP: [{"row": row, "at": at} for row in plan.taken_up],
        _ASK_AGAIN: [{"row": row, "at": at} for row in plan.asked_again],
    }
    for statement, rows in statements.items():
        if rows:
            connection.execute(statement, rows)
    newest = {(row["project"], row["batch"]): row["job_id"] for row in plan.added if row["batch"] is not None}
    for (project, batch), job_id in newest.items():
        connection.execute(_BATCHED, {"of_project": project, "new_batch": batch, "of_job": job_id})
    add_tags(connection, ((row["project"], row["job_id"], row["tags"]) for row in plan.added))
    put_tags(connection, {row["row"]: row["new_tags"] for row in plan.given if row["new_tags"]})
    moved = [row["row"] for row in plan.given if row["new_tags"] or row["new_batch"]]
    if moved:
        words_changed(connection, moved, at=at)
    if plan.reopened:
        links.restore(connection, plan.reopened)


def known_of(connection: Connection, job_ids: Iterable[JobId]) -> dict[_Key, Known]:
    """Return the jobs with those ids in every project, by project and id."""
    return {
        (row.project, row.job_id): Known(
            id=row.id,
            kind=row.kind,
            tracking=Tracking(row.tracking),
            state=row.state,
            batch=row.batch,
            label=row.label,
            tags=row.tags,
            kind_source=KindSource(row.kind_source),
            named_by=NamedBy(row.named_by),
        )
        for part in chunks(job_ids)
        for row in connection.execute(_KNOWN, {"job_ids": part})
    }


def _added(request: TrackRequest, *, at: datetime) -> dict[str, Any]:
    return {
        "project": request.project,
        "kind": request.kind,
        "job_id": request.job_id,
        "label": request.label,
        "tags": request.tags,
        "batch": request.batch,
        "kind_source": request.kind_source,
        "named_by": request.named_by,
        "tracking": Tracking.ACTIVE,
        "tracked_at": at,
        "changed": True,
    }


def _distinct(requests: Iterable[TrackRequest]) -> Iterator[Sequence[TrackRequest]]:
    """Split requests into chunks without repeated jobs, so that a second request about a job finds what the first
    one stored."""
    part: dict[_Key, TrackRequest] = {}
    for request in requests:
        key = (request.project, request.job_id)
        if key in part or len(part) == CHUNK:
            yield tuple(part.values())
            part.clear()
        part[key] = request
    if part:
        yield tuple(part.values())


_FOUND = (
    update(JOBS)
    .where(_C.id == bindparam("row"), _C.kind_source == plain(KindSource.GUESSED))
    .values(
        kind=bindparam("new_kind"),
        kind_source=plain(KindSource.FOUND),
        # The watch must poll under the right kind. An untracked job stays unchanged.
        changed=case((_C.tracking == plain(Tracking.ACTIVE), True), else_=_C.changed),
    )
)
_TRIED = update(JOBS).where(_C.id == bindparam("row")).values(kind_tries=bindparam("tries"))


def found_kinds(connection: Connection, kinds: Mapping[int, str]) -> None:
    """Store the kinds that the service reported, by row id, for jobs whose kind was guessed."""
    if kinds:
        connection.execute(_FOUND, [{"row": row, "new_kind": kind} for row, kind in kinds.items()])


def tried_kinds(connection: Connection, tries: Mapping[int, int]) -> None:
    """Store how many rounds of asking failed, by row id."""
    if tries:
        connection.execute(_TRIED, [{"row": row, "tries": number} for row, number in tries.items()])
