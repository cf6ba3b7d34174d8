"""Lists of jobs and deliveries for people: filters, orders, search, and which index serves them.

A list is read off an index that keeps its order (`paging`). Filters that this index does not cover are checked row
by row. Where only a few rows match such a filter (`FEW`), they are found through its own index and sorted. So a
list takes no longer with more rows, with one exception: if more than `FEW` rows match such a filter but are all
far down the list, or match no other filter, the rows ahead of them are scanned.

Owns these statements. Changes no rows.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    func,
    or_,
    select,
    type_coerce,
    union_all,
)

from daemon.domain.events import batch_key
from daemon.domain.jobs import ChannelName, ProjectName, Tracking
from daemon.domain.text import folded
from daemon.store.columns import to_json
from daemon.store.looks import JOB_ROWS
from daemon.store.mapping import chunks, delivery_row, job_row
from daemon.store.paging import Arm, Checks, Place, Run, combinations, is_value, places
from daemon.store.rows import DeliveryRow, DeliveryStatus, JobRow, to_stamp
from daemon.store.tables import DELIVERIES, JOB_TAGS, JOBS

T = TypeVar("T")
U = TypeVar("U")

FEW = 10_000
"""Rows sorted at most where no index keeps the requested order."""
SEARCHED_AT_ONCE = 5_000
"""Rows examined for one page of a search. They are compared in Python: SQLite folds the case of ASCII only, and no
index finds part of a word, let alone two Chinese characters of one."""

_J = JOBS.c
_D = DELIVERIES.c
_SINCE = type_coerce(_J.state_since, BigInteger)
_CREATED = type_coerce(_D.created_at, BigInteger)
_BY_TRACKING = (_J.project, _J.tracking, _J.state)
"""The columns of `jobs_by_tracking` and `jobs_by_change`."""
_TRACKING = {str(column.key) for column in _BY_TRACKING}
_BY_BATCH = (_J.batch, _J.project, _J.tracking)
_BY_STATUS = (_D.channel, _D.status)
_BY_EVENT = (_D.project, _D.event)
_JOB_TEXTS = (_J.job_id, _J.label, _J.asset_name, _J.batch)


class JobSort(StrEnum):
    """The order of a list of jobs."""

    NEWEST = "newest"  # last tracked first
    OLDEST = "oldest"
    CHANGED = "changed"  # last change of state first; jobs not answered yet come last


class DeliverySort(StrEnum):
    """The order of a list of deliveries."""

    NEWEST = "newest"  # last written first: by time, or by row id where no index has the time
    OLDEST = "oldest"


class JobFilter(TypedDict, total=False):
    """Filters of jobs; None matches anything. `since`: the state changed then or later, which sorts the list by
    `JobSort.CHANGED`."""

    project: ProjectName | None
    tracking: Tracking | None
    state: str | None
    tag: str | None
    batch: str | None
    since: datetime | None


class DeliveryFilter(TypedDict, total=False):
    """Filters of deliveries; None matches anything. `job` and `jobs` are row ids. `since`: written then or later.
    `batch` and `tag` are those of the job, or of the batch whose end it announces."""

    status: DeliveryStatus | None
    channel: ChannelName | None
    event: str | None
    project: ProjectName | None
    job: int | None
    jobs: Sequence[int] | None
    batch: str | None
    tag: str | None
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows of a list. `after` is where the next page begins, None if there is none. `searched` is how many
    rows a search examined for it."""

    rows: list[T]
    after: Place | None
    searched: int = 0

    def of(self, rows: list[U]) -> "Page[U]":
        """Return this page with its rows replaced."""
        return Page(rows=rows, after=self.after, searched=self.searched)


def _page(
    connection: Connection,
    runs: Sequence[Run],
    get: Callable[[Sequence[int]], Mapping[int, T]],
    *,
    rising: bool,
    after: Place | None,
    limit: int,
    search: Callable[[Sequence[int]], set[int]] | None = None,
) -> Page[T]:
    """Return at most `limit` rows beyond `after`; `get` returns rows by their ids, `search` the matching ids."""
    most = limit if search is None else max(limit, SEARCHED_AT_ONCE)
    found = places(connection, runs, rising=rising, after=after, limit=most)
    ends = len(found) < most
    if search is not None:
        fit = search([place.id for place in found])
        hits = [index for index, place in enumerate(found) if place.id in fit]
        if len(hits) > limit:  # the next page begins after the last row shown, not after the last one read
            ends, found = False, found[: hits[limit - 1] + 1]
    searched, last = len(found), found[-1] if found else None
    chosen = found if search is None else [place for place in found if place.id in fit]
    rows = get([place.id for place in chosen])
    return Page(
        rows=[rows[place.id] for place in chosen],
        after=None if ends else last,
        searched=0 if search is None else searched,
    )


# Jobs


def jobs(
    connection: Connection,
    sort: JobSort,
    *,
    limit: int,
    after: Place | None,
    search: str | None,
    **fit: Unpack[JobFilter],
) -> Page[JobRow]:
    """Return a page for `Jobs.page`."""
    return _page(
        connection,
        job_runs(connection, sort, **fit),
        lambda ids: {row.id: job_row(row) for row in _by_ids(connection, JOB_ROWS, _J.id, ids)},
        rising=sort is JobSort.OLDEST and fit.get("since") is None,
        after=after,
        limit=limit,
        search=None if search is None else _search_jobs(connection, search),
    )


def job_runs(connection: Connection, sort: JobSort = JobSort.NEWEST, **fit: Unpack[JobFilter]) -> list[Run]:
    """Return the matching jobs in the form that `paging` reads."""
    given = {name: value for name, value in fit.items() if value is not None}
    changed = sort is JobSort.CHANGED or "since" in given
    # The indexes of batches and tags do not keep every order: sort a small group, check the rows of a large one.
    groups = given.keys() & {"batch", "tag"}
    if groups and (changed or len(given) > 1):
        for ids in _job_sources(connection, given):
            if _are_few(connection, ids):
                return _sorted_jobs(_J.id.in_(_one(ids)), _checks(given, set()), changed=changed)
    if changed:
        arms = list(_tracking_arms(connection, given, at=_SINCE, checks=_checks(given, {*_TRACKING, "since"})))
        return [[arm for arm in arms if arm.at is not None], [arm for arm in arms if arm.at is None]]
    if "tag" in given:
        of = JOB_TAGS.join(JOBS, _J.id == JOB_TAGS.c.job)
        has_tag = JOB_TAGS.c.tag == given["tag"]
        return [[Arm(id=JOB_TAGS.c.job, where=(has_tag,), checks=_checks(given, {"tag"}), of=of)]]
    if "batch" in given:
        checks = _checks(given, {str(column.key) for column in _BY_BATCH})
        return [_arms(connection, _BY_BATCH, given, id_=_J.id, checks=checks)]
    if given:
        return [list(_tracking_arms(connection, given, at=None, checks=()))]
    return [[Arm(id=_J.id)]]


def _tracking_arms(
    connection: Connection,
    given: Mapping[str, Any],
    *,
    at: ColumnElement[int] | None,
    checks: Checks,
) -> Iterator[Arm]:
    """Return arms of `jobs_by_tracking`, or of `jobs_by_change` if `at` is given. Jobs without a state have no
    time."""
    for values in combinations(connection, _BY_TRACKING, given):
        where = tuple(is_value(_J[name], value) for name, value in values.items())
        if at is None:
            yield Arm(id=_J.id, where=where, checks=checks)
        elif values["state"] is None:
            if "since" not in given:
                yield Arm(id=_J.id, where=(*where, _J.state_since.is_(None)), checks=checks)
        else:
            later = (at >= to_stamp(given["since"]),) if "since" in given else ()
            yield Arm(id=_J.id, at=at, where=(*where, *later), checks=checks)


def _sorted_jobs(chosen: ColumnElement[bool], checks: Checks, *, changed: bool) -> list[Run]:
    """Return runs of a few jobs, which the database sorts."""
    if not changed:
        return [[Arm(id=_J.id, where=(chosen,), checks=checks)]]
    answered, new = _J.state_since.is_not(None), _J.state_since.is_(None)
    return [
        [Arm(id=_J.id, at=_SINCE, where=(chosen,), checks=(answered, *checks))],
        [Arm(id=_J.id, where=(chosen,), checks=(new, *checks))],
    ]


def _job_sources(connection: Connection, given: Mapping[str, Any]) -> Iterator[list[Select[Any]]]:
    """Return, for each filter that may match few jobs, the statements that find them through its own index."""
    if "batch" in given:
        yield [select(_J.id).where(_J.batch == given["batch"])]
    if "tag" in given:
        yield [select(JOB_TAGS.c.job).where(JOB_TAGS.c.tag == given["tag"])]
    if not given.keys().isdisjoint({*_TRACKING, "since"}):
        at = _SINCE if "since" in given else None
        yield [arm.ids() for arm in _tracking_arms(connection, given, at=at, checks=())]


def _checks(given: Mapping[str, Any], held: Collection[str]) -> Checks:
    """Return the conditions to check on each row, except those that the index has `held`. The coalesce keeps
    SQLite from choosing another index, after which it would have to sort."""
    left = {name: value for name, value in given.items() if name not in held}
    found = [
        func.coalesce(_J[name], "") == left[name]
        for name in ("project", "tracking", "state", "batch")
        if name in left
    ]
    if "tag" in left:
        found.append(_has_tag(_J.id, left["tag"]))
    if "since" in left:
        found.append(func.coalesce(_SINCE, 0) >= to_stamp(left["since"]))
    return tuple(found)


def _has_tag(job: ColumnElement[Any], tag: str) -> ColumnElement[bool]:
    return select(1).where(JOB_TAGS.c.tag == tag, JOB_TAGS.c.job == job).correlate_except(JOB_TAGS).exists()


def _search_jobs(connection: Connection, text: str) -> Callable[[Sequence[int]], set[int]]:
    """Return a search, among jobs by row id, for `text` in their id, label, name, batch or tags."""
    query = select(_J.id, _joined(*_JOB_TEXTS, type_coerce(_J.tags, Text)))
    return _search(connection, query, _J.id, {folded(text), folded(to_json(text)[1:-1])})


# Deliveries


def deliveries(
    connection: Connection,
    sort: DeliverySort,
    *,
    limit: int,
    after: Place | None,
    search: str | None,
    **fit: Unpack[DeliveryFilter],
) -> Page[DeliveryRow]:
    """Return a page for `Outbox.page`."""
    return _page(
        connection,
        delivery_runs(connection, **fit),
        lambda ids: {row.id: delivery_row(row) for row in _by_ids(connection, select(DELIVERIES), _D.id, ids)},
        rising=sort is DeliverySort.OLDEST,
        after=after,
        limit=limit,
        search=None if search is None else _search_deliveries(connection, search),
    )


def delivery_runs(connection: Connection, **fit: Unpack[DeliveryFilter]) -> list[Run]:
    """Return the matching deliveries in the form that `paging` reads."""
    given: dict[str, Any] = {name: value for name, value in fit.items() if value is not None}
    if "job" in given:
        given["jobs"] = [given.pop("job")]
    if "jobs" in given:
        checks = _delivery_checks(connection, given, set())
        return [[Arm(id=_D.id, where=(_D.job == job,), checks=checks) for job in given["jobs"]]]
    by_event = not given.keys().isdisjoint({"event", "project"})
    by_status = not given.keys().isdisjoint({"status", "channel"}) or (not by_event and "since" in given)
    if (by_status and by_event) or not given.keys().isdisjoint({"batch", "tag"}):
        for counted, ids in _delivery_sources(connection, given):
            if _are_few(connection, counted):
                at = _CREATED if by_status or by_event else None
                checks = _delivery_checks(connection, given, set())
                return [[Arm(id=_D.id, at=at, where=(_D.id.in_(_one(ids)),), checks=checks)]]
    if by_status or by_event:
        columns = _BY_STATUS if by_status else _BY_EVENT
        checks = _delivery_checks(connection, given, {"since", *(str(column.key) for column in columns)})
        return [_arms(connection, columns, given, id_=_D.id, at=_CREATED, checks=checks)]
    return [[Arm(id=_D.id, checks=_delivery_checks(connection, given, set()))]]


def _delivery_sources(
    connection: Connection, given: Mapping[str, Any]
) -> Iterator[tuple[list[Select[Any]], list[Select[Any]]]]:
    """Return what to count in order to see that a filter matches few, and the statements that find them. A job has
    few deliveries, so counting jobs is enough."""
    if "batch" in given:
        yield [select(_J.id).where(_J.batch == given["batch"])], _of_batch(connection, given["batch"])
    if "tag" in given:
        jobs = select(JOB_TAGS.c.job).where(JOB_TAGS.c.tag == given["tag"])
        yield [jobs], [select(_D.id).where(_D.job.in_(jobs))]
    for columns in (_BY_STATUS, _BY_EVENT):
        if not given.keys().isdisjoint(str(column.key) for column in columns):
            ids = [arm.ids() for arm in _arms(connection, columns, given, id_=_D.id, checks=())]
            yield ids, ids


def _of_batch(connection: Connection, batch: str) -> list[Select[Any]]:
    """Return the alerts about the batch's jobs and those about its end."""
    jobs = select(_J.id).where(_J.batch == batch)
    ends = [select(_D.id).where(_D.key.between(key, f"{key}~")) for key in _keys_of(connection, batch)]
    return [select(_D.id).where(_D.job.in_(jobs)), *ends]


def _keys_of(connection: Connection, batch: str) -> list[str]:
    """Return the key prefixes of the batch's ends, one for each project that has jobs of it."""
    found = combinations(connection, _BY_BATCH[:2], {"batch": batch})
    return [batch_key(ProjectName(each["project"]), batch) for each in found]


def _delivery_checks(connection: Connection, given: Mapping[str, Any], held: Collection[str]) -> Checks:
    """Like `_checks`, for deliveries."""
    left = {name: value for name, value in given.items() if name not in held}
    found = [
        func.coalesce(_D[name], "") == left[name]
        for name in ("channel", "status", "project", "event")
        if name in left
    ]
    if "since" in left:
        found.append(func.coalesce(_CREATED, 0) >= to_stamp(left["since"]))
    if "tag" in left:
        found.append(_has_tag(_D.job, left["tag"]))
    if "batch" in left:
        of_job = select(1).where(_J.id == _D.job, func.coalesce(_J.batch, "") == left["batch"])
        ends = [func.coalesce(_D.key, "").between(key, f"{key}~") for key in _keys_of(connection, left["batch"])]
        found.append(or_(of_job.correlate_except(JOBS).exists(), *ends))
    return tuple(found)


def _search_deliveries(connection: Connection, text: str) -> Callable[[Sequence[int]], set[int]]:
    """Return a search, among deliveries by row id, for `text` in their last error, or in their job's id, label,
    name or batch."""
    query = select(_D.id, _joined(_D.last_error, *_JOB_TEXTS)).outerjoin(JOBS, _J.id == _D.job)
    return _search(connection, query, _D.id, {folded(text)})


# Both


def _arms(
    connection: Connection,
    columns: Sequence[ColumnElement[Any]],
    given: Mapping[str, Any],
    *,
    id_: ColumnElement[int],
    at: ColumnElement[int] | None = None,
    checks: Checks,
) -> list[Arm]:
    later = (at >= to_stamp(given["since"]),) if at is not None and "since" in given else ()
    found = []
    for values in combinations(connection, columns, given):
        where = [is_value(column, values[str(column.key)]) for column in columns]
        found.append(Arm(id=id_, at=at, where=(*where, *later), checks=checks))
    return found


def _are_few(connection: Connection, ids: Sequence[Select[Any]]) -> bool:
    found = 0
    for each in ids:
        some = each.limit(FEW + 1 - found).subquery()
        found += connection.execute(select(func.count()).select_from(some)).scalar_one()
        if found > FEW:
            return False
    return True


def _one(ids: Sequence[Select[Any]]) -> Any:
    if not ids:
        return []
    return ids[0] if len(ids) == 1 else union_all(*ids)


def _by_ids(
    connection: Connection, query: Select[Any], id_: ColumnElement[int], ids: Sequence[int]
) -> Iterator[Any]:
    """Return the rows of `query` with these row ids, unordered."""
    for part in chunks(ids):
        yield from connection.execute(query.where(id_.in_(part))).all()


def _joined(*columns: ColumnElement[Any]) -> ColumnElement[str]:
    """Join all texts, one a line: in a search, each column costs time on every row."""
    one, *others = (func.coalesce(column, "") for column in columns)
    return reduce(lambda text, column: text.concat("\n").concat(column), others, one)


def _search(
    connection: Connection, query: Select[Any], id_: ColumnElement[int], parts: Collection[str]
) -> Callable[[Sequence[int]], set[int]]:
    return lambda ids: {
        row for row, text in _by_ids(connection, query, id_, ids) if any(part in folded(text) for part in parts)
    }
