"""The jobs: tracking, the fact that one moved or ended, and the bookkeeping of the watch.

Owns every statement that writes jobs and transitions; a transition is written together with the alerts that it
causes. Must never decide what a state means: domain/ does.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

from sqlalchemy import (
    Boolean,
    Connection,
    Select,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.types import BigInteger

from daemon.domain.events import Event, Json, OperatorAlert, events_of, job_occurrence
from daemon.domain.jobs import ChannelName, JobId, Observation, ProjectName, Tracking
from daemon.domain.routing import Routing
from daemon.domain.transitions import Moved
from daemon.store import alerts
from daemon.store.mapping import job_row, plain, watch_rows
from daemon.store.rows import JobRow, Known, Look, Recorded, TrackRequest, TrackResult, WatchRow
from daemon.store.tables import JOBS, TRANSITIONS, to_json

T = TypeVar("T")

_C = JOBS.c
_CHUNK = 500
"""Values in one statement: some builds of SQLite take no more than 999."""
_Jobs = list[JobRow]
_Watched = list[WatchRow]
_Channels = list[ChannelName]
_Results = list[TrackResult]

_RESULTS = {
    Tracking.ACTIVE: TrackResult.ALREADY,
    Tracking.FINISHED: TrackResult.FINISHED,
    Tracking.LOST: TrackResult.TAKEN_UP,
    Tracking.EXPIRED: TrackResult.TAKEN_UP,
    Tracking.STOPPED: TrackResult.TAKEN_UP,
}
_ENDS = {Event.LOST: Tracking.LOST, Event.EXPIRED: Tracking.EXPIRED}
_LINKS = ("cover_url", "preview_url")

_ACTIVE = _C.tracking == plain(Tracking.ACTIVE)
# Times come as numbers here: 100,000 rows are read at the start.
_WATCHED = (
    _C.id,
    _C.project,
    _C.kind,
    _C.job_id,
    _C.state,
    type_coerce(_C.state_since, BigInteger),
    type_coerce(_C.tracked_at, BigInteger),
    _C.episode,
    _C.tracking,
)
_PAGE = select(*_WATCHED).where(_ACTIVE, _C.id > bindparam("after")).order_by(_C.id).limit(bindparam("most"))
_CHANGED = select(*_WATCHED).where(_C.changed == literal_column("1")).order_by(_C.id).limit(bindparam("most"))
_TAKEN = update(JOBS).where(_C.id == bindparam("row")).values(changed=False)
_BY_ID = select(JOBS).where(_C.id == bindparam("id"))
_KNOWN = select(_C.id, _C.project, _C.job_id, _C.kind, _C.tracking, _C.state).where(
    _C.job_id.in_(bindparam("job_ids", expanding=True))
)
_NAMES = select(_C.id, _C.job_id).where(_C.id.in_(bindparam("rows", expanding=True)))
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
_MOVE = update(JOBS).where(_C.id == bindparam("row"), _C.state.is_not_distinct_from(bindparam("was")), _ACTIVE)
_NEXT_SEQ = select(func.coalesce(func.max(TRANSITIONS.c.seq), 0) + 1).where(TRANSITIONS.c.job == bindparam("job"))
_LOOKED = (
    update(JOBS)
    .where(_C.id == bindparam("row"))
    .values(
        polls=_C.polls + bindparam("more"),
        last_polled_at=func.coalesce(bindparam("polled", type_=_C.last_polled_at.type), _C.last_polled_at),
        # A job that has ended since has no next poll, whatever the checkpoint still says.
        next_poll_at=case((_ACTIVE, bindparam("next", type_=_C.next_poll_at.type)), else_=null()),
        last_error=bindparam("error"),
    )
)


class Jobs:
    """The jobs, seen through one transaction. A `job` argument is a row id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def track(self, request: TrackRequest, *, at: datetime) -> TrackResult:
        """Track a job from `at` on, whether it is known or not. A job that is lost, expired or stopped is taken
        up again in the state that it had. Added and taken-up jobs are changes for `take_changes`."""
        return self.track_many([request], at=at)[0]

    def track_many(self, requests: Iterable[TrackRequest], *, at: datetime) -> _Results:
        """What `track` does, for each in its turn, with a few statements for hundreds of them. The write lock is
        held until all are stored: whoever has more than some thousands gives them to several transactions."""
        return [result for part in _apart(requests) for result in self._track(part, at=at)]

    def known(self, project: ProjectName, job_ids: Iterable[JobId]) -> dict[JobId, Known]:
        """Those of the jobs that the project has."""
        found = self._known(job_ids)
        return {JobId(job_id): job for (owner, job_id), job in found.items() if owner == project}

    def names(self, jobs: Iterable[int]) -> dict[int, JobId]:
        """The job ids of row ids; a row that there is not is left out."""
        return {
            row: JobId(job_id)
            for part in _chunks(jobs)
            for row, job_id in self._connection.execute(_NAMES, {"rows": part})
        }

    def untrack(self, project: ProjectName | None, job_id: JobId, *, at: datetime) -> int:
        """Stop tracking the job, in every project where `project` is None. Returns how many were stopped."""
        del at  # the schema does not keep when
        stop = update(JOBS).where(_C.job_id == job_id, _ACTIVE)
        if project is not None:
            stop = stop.where(_C.project == project)
        values = {"tracking": Tracking.STOPPED, "changed": True, "next_poll_at": None}
        return self._connection.execute(stop.values(values)).rowcount

    def active(self, *, after: int = 0, limit: int = 5000) -> _Watched:
        """A page of the active jobs: up to `limit` with row ids above `after`, in their order."""
        return watch_rows(self._connection.execute(_PAGE, {"after": after, "most": limit}).all())

    def take_changes(self, *, limit: int = 1000) -> _Watched:
        """The jobs that were tracked, taken up or stopped since the last call, by row id: each is given once.
        Nothing is written where there are none."""
        rows = watch_rows(self._connection.execute(_CHANGED, {"most": limit}))
        if rows:
            self._connection.execute(_TAKEN, [{"row": row.id} for row in rows])
        return rows

    def record_move(
        self,
        job: int,
        move: Moved,
        seen: Observation,
        *,
        routing: Routing,
        due_at: datetime,
        operator_alerts: Sequence[OperatorAlert] = (),
    ) -> Recorded | None:
        """Write a transition, what the answer says, and the alerts that it causes (due at `due_at`; operators'
        at once). A terminal state ends tracking. What the answer lacks erases nothing.

        None, and nothing is written: the job is not active, or not in the state that `move` starts from.
        """
        known = self.get(job)
        if known is None:
            return None
        values = _observed(known, seen, at=move.observed_at)
        values |= {"state": move.after, "state_since": move.observed_at}
        values |= {"tracking": Tracking.FINISHED, "next_poll_at": None} if move.ends else {}
        # The columns to set come as parameters: a statement made anew each time costs more than all the rest.
        if self._connection.execute(_MOVE, {**values, "row": job, "was": move.before}).rowcount != 1:
            return None
        transition = self._add_transition(job, move)
        told = self._tell_move(known, move, transition, routing=routing, due_at=due_at)
        for alert in operator_alerts:
            rows = alerts.of_operators(alert, routing.channels_for(alert.event))
            told += alerts.add(self._connection, rows, at=move.observed_at, due_at=move.observed_at)
        return _recorded(transition, told)

    def record_end(
        self, job: int, event: Event, *, at: datetime, routing: Routing, reason: str
    ) -> Recorded | None:
        """End tracking because the service does not know the job (`lost`) or time is up (`expired`), with the
        alerts, due `at`. None where the job is not active. Raises ValueError for any other event."""
        tracking = _ENDS.get(event)
        if tracking is None:
            raise ValueError(f"{event} does not end tracking")
        known = self.get(job)
        end = update(JOBS).where(_C.id == job, _ACTIVE).values(tracking=tracking, next_poll_at=None)
        if known is None or self._connection.execute(end).rowcount != 1:
            return None
        facts = _facts(state=known.state, before=None, observed_at=at, reported_at=None)
        rows = alerts.of_job(
            job_occurrence(job, event, episode=known.episode),
            routing.channels_for(event),
            job=job,
            project=known.project,
            facts={**facts, "reason": reason},
        )
        return _recorded(None, alerts.add(self._connection, rows, at=at, due_at=at))

    def set_download_url(self, job: int, url: str | None, *, at: datetime) -> None:
        """Keep the finished file's link (None: there is none to have; a known one stays), and make the job's
        alerts that were waiting for it due `at`."""
        if url is not None:
            fetched = func.coalesce(_C.links_at, bindparam("fetched", at, type_=_C.links_at.type))
            keep = update(JOBS).where(_C.id == job).values(download_url=url, links_at=fetched)
            self._connection.execute(keep)
        alerts.hasten(self._connection, job, at=at)

    def checkpoint(self, rows: Iterable[Look]) -> None:
        """Add bookkeeping. A few thousand rows at a time leave the writer free for what is urgent."""
        looks = [
            {
                "row": look.job,
                "more": look.polls,
                "polled": look.last_polled_at,
                "next": look.next_poll_at,
                "error": look.last_error,
            }
            for look in rows
        ]
        if looks:
            self._connection.execute(_LOOKED, looks)

    def find(self, job_id: JobId, project: ProjectName | None = None) -> _Jobs:
        """The job, in every project where `project` is None."""
        query = select(JOBS).where(_C.job_id == job_id).order_by(_C.id)
        return self._rows(query if project is None else query.where(_C.project == project))

    def get(self, job: int) -> JobRow | None:
        """A job by its row id."""
        row = self._connection.execute(_BY_ID, {"id": job}).one_or_none()
        return None if row is None else job_row(row)

    def counts(self) -> dict[tuple[ProjectName, Tracking], int]:
        """How many jobs each project has, by tracking; pairs without any are left out."""
        query = select(_C.project, _C.tracking, func.count()).group_by(_C.project, _C.tracking)
        return {
            (ProjectName(project), Tracking(tracking)): count
            for project, tracking, count in self._connection.execute(query)
        }

    def list(
        self,
        *,
        project: ProjectName | None = None,
        tracking: Tracking | None = None,
        state: str | None = None,
        tag: str | None = None,
        batch: str | None = None,
        limit: int | None = None,
    ) -> _Jobs:
        """The jobs that fit all that is given, the latest tracked first."""
        query = select(JOBS).order_by(_C.id.desc())
        for column, value in ((_C.project, project), (_C.state, state), (_C.batch, batch)):
            query = query if value is None else query.where(column == value)
        if tracking is not None:
            query = query.where(_C.tracking == plain(tracking))
        if tag is not None:
            # Inside a text of JSON a quotation mark never follows a bracket or a comma without a backslash.
            text = to_json(tag)
            query = query.where((func.instr(_C.tags, f"[{text}") == 1) | (func.instr(_C.tags, f",{text}") > 0))
        return self._rows(query if limit is None else query.limit(limit))

    def _track(self, requests: Sequence[TrackRequest], *, at: datetime) -> _Results:
        """Of several at once, no two about one job."""
        known = self._known(request.job_id for request in requests)
        results: _Results = []
        added, given, taken_up = [], [], []
        for request in requests:
            job = known.get((request.project, request.job_id))
            if job is None:
                added.append(_added(request, at=at))
                results.append(TrackResult.ADDED)
                continue
            result = _RESULTS[job.tracking]
            if _says_more(request, job):
                given.append(_given(request, job))
            if result is TrackResult.TAKEN_UP:
                taken_up.append({"row": job.id, "at": at})
            results.append(result)
        for statement, rows in ((insert(JOBS), added), (_GIVE, given), (_TAKE_UP, taken_up)):
            if rows:
                self._connection.execute(statement, rows)
        return results

    def _known(self, job_ids: Iterable[JobId]) -> dict[tuple[str, str], Known]:
        """The jobs of those ids in every project, by project and id."""
        return {
            (project, job_id): Known(id=row, kind=kind, tracking=Tracking(tracking), state=state)
            for part in _chunks(job_ids)
            for row, project, job_id, kind, tracking, state in self._connection.execute(_KNOWN, {"job_ids": part})
        }

    def _tell_move(
        self, known: JobRow, move: Moved, transition: int, *, routing: Routing, due_at: datetime
    ) -> _Channels:
        facts = _facts(
            state=move.after, before=move.before, observed_at=move.observed_at, reported_at=move.reported_at
        )
        told: _Channels = []
        for event in events_of(move):
            occurrence = job_occurrence(known.id, event, transition=transition, episode=known.episode)
            rows = alerts.of_job(
                occurrence,
                routing.channels_for(event),
                job=known.id,
                project=known.project,
                facts=facts,
                transition=transition,
            )
            told += alerts.add(self._connection, rows, at=move.observed_at, due_at=due_at)
        return told

    def _add_transition(self, job: int, move: Moved) -> int:
        row = {
            "job": job,
            "seq": self._connection.execute(_NEXT_SEQ, {"job": job}).scalar_one(),
            "before": move.before,
            "after": move.after,
            "observed_at": move.observed_at,
            "reported_at": move.reported_at,
        }
        key = self._connection.execute(insert(TRANSITIONS), row).inserted_primary_key
        return cast("tuple[int]", key)[0]

    def _rows(self, query: Select[Any]) -> _Jobs:
        return [job_row(row) for row in self._connection.execute(query)]


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


def _chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    every = list(dict.fromkeys(values))
    for start in range(0, len(every), _CHUNK):
        yield every[start : start + _CHUNK]


def _observed(known: JobRow, seen: Observation, *, at: datetime) -> dict[str, Any]:
    """The columns that the answer has something for."""
    links = {name: getattr(seen.asset, name) for name in _LINKS}
    values = {
        "reported_at": seen.reported_at,
        "created_at": seen.created_at,
        "started_at": seen.started_at,
        "ended_at": seen.ended_at,
        "duration": seen.duration,
        "asset_id": seen.asset.asset_id,
        "asset_name": seen.asset.asset_name,
        "download_url": seen.asset.download_url,
        **links,
        "error_code": seen.error_code,
        "error_msg": seen.error_msg,
    }
    if any(links.values()):
        # A link that stays is older: then the time that is known stays too, and no link is thought to live on.
        stays = any(url is None and getattr(known.asset, name) is not None for name, url in links.items())
        values["links_at"] = (known.links_at if stays else None) or at
    return {name: value for name, value in values.items() if value is not None}


def _facts(
    *, state: str | None, before: str | None, observed_at: datetime, reported_at: datetime | None
) -> dict[str, Json]:
    """What an alert tells as of then; times in ISO 8601, UTC."""
    return {
        "state": state,
        "before": before,
        "observed_at": observed_at.isoformat(),
        "reported_at": None if reported_at is None else reported_at.isoformat(),
    }


def _recorded(transition: int | None, told: Sequence[ChannelName]) -> Recorded:
    return Recorded(transition=transition, deliveries=len(told), channels=tuple(dict.fromkeys(told)))
