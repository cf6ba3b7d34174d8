"""Lists of jobs and deliveries for people: filters, orders, search, and which index serves them.

A list is read off an index that keeps its order (`paging`). Filters that this index does not cover are checked row
by row. Where only a few rows match such a filter (`FEW`), they are found through its own index and sorted. Where
many do, a page examines at most `EXAMINED` rows: it may be short or empty although more follow. So a page takes no
longer with more rows.

Owns these statements. Changes no rows.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
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
from daemon.store.paging import ALL, ARMS, Arm, Checks, Place, Run, combinations, is_value, walk
from daemon.store.rows import DeliveryRow, DeliveryStatus, JobRow, to_stamp
from daemon.store.tables import DELIVERIES, JOB_COUNTS, JOB_TAGS, JOBS

T = TypeVar("T")
U = TypeVar("U")

FEW = 500
"""Rows sorted at most where no index keeps the requested order."""
EXAMINED = 1_000
"""Rows examined for one page where a filter is checked row by row, or of a search. A search compares texts in
Python: SQLite folds the case of ASCII only, and no index finds part of a word, let alone two Chinese characters of
one."""

_J = JOBS.c
_N = JOB_COUNTS.c
_D = DELIVERIES.c
_SINCE = type_coerce(_J.state_since, BigInteger)
_CREATED = type_coerce(_D.created_at, BigInteger)
_BY_TRACKING = (_J.project, _J.tracking, _J.state)
"""The columns of `jobs_by_tracking` and `jobs_by_change`, and beyond the batch those of `jobs_by_batch` and
`jobs_by_batch_change`. Which combinations of them exist is read off `job_counts`."""
_BY_STATUS = (_D.channel, _D.status)
_BY_EVENT = (_D.project, _D.event)
_ids: Any = bindparam("ids", expanding=True)
_WHOLE_JOBS, _WHOLE_DELIVERIES = JOB_ROWS.where(_J.id.in_(_ids)), select(DELIVERIES).where(_D.id.in_(_ids))
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
    `JobSort.CHANGED`. No index has the `kind`: it is checked row by row."""

    project: ProjectName | None
    kind: str | None
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


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """Some rows of a list. `after` is where the next page begins, None if there is none. `searched` is how many
    rows a search examined for it."""

    rows: list[T]
    after: Place | None
    searched: int = 0

    def of(self, rows: list[U]) -> "Page[U]":
        """Return this page with its rows replaced."""
        return Page(rows=rows, after=self.after, searched=self.searched)


class _Search(Struct, frozen=True):
    """A search for any of `parts`, which are folded, in the text of each row."""

    text: ColumnElement[str]
    parts: Collection[str]

    def finds(self, text: str) -> bool:
        found = folded(text)
        return any(part in found for part in self.parts)


def _page(
    connection: Connection,
    runs: Sequence[Run],
    get: Callable[[Sequence[int]], Mapping[int, T]],
    *,
    rising: bool,
    after: Place | None,
    limit: int,
    whole: bool,
    search: _Search | None = None,
) -> Page[T]:
    """Return at most `limit` rows beyond `after`; `get` returns rows by their ids. If `whole`, it is only short at
    the end of the list."""
    most = limit
    if search is not None:
        runs = [[replace(arm, text=search.text) for arm in run] for run in runs]
    if search is not None or any(arm.checks for run in runs for arm in run):
        most = ALL if whole else max(limit, EXAMINED)
    found: list[int] = []
    looked, last = 0, after
    with walk(connection, runs, rising=rising, after=after, most=most) as rows:
        for last, text in rows:
            looked += 1
            if text is not None and (search is None or search.finds(text)):
                found.append(last.id)
                if len(found) == limit:
                    break
    of = get(found)
    return Page(
        rows=[of[each] for each in found],
        after=last if len(found) == limit or looked == most else None,
        searched=0 if search is None else looked,
    )


# Jobs


def jobs(
    connection: Connection,
    sort: JobSort,
    *,
    limit: int,
    after: Place | None = None,
    search: str | None = None,
    whole: bool = False,
    **fit: Unpack[JobFilter],
) -> Page[JobRow]:
    """Return a page for `Jobs.page`."""
    return _page(
        connection,
        job_runs(connection, sort, **fit),
        lambda ids: {row.id: row for row in map(job_row, _by_ids(connection, _WHOLE_JOBS, ids))},
        rising=sort is JobSort.OLDEST and fit.get("since") is None,
        after=after,
        limit=limit,
        whole=whole,
        search=None if search is None else _search_jobs(search),
    )


def job_runs(connection: Connection, sort: JobSort = JobSort.NEWEST, **fit: Unpack[JobFilter]) -> list[Run]:
    """Return the matching jobs in the form that `paging` reads."""
    given: dict[str, Any] = {name: value for name, value in fit.items() if value is not None}
    changed, tag = sort is JobSort.CHANGED or "since" in given, given.pop("tag", None)
    kind = given.pop("kind", None)
    of_kind: Checks = () if kind is None else (func.coalesce(_J.kind, "") == kind,)
    if tag is None:
        return _checked(_job_runs(connection, given, changed=changed), of_kind)
    has_tag, tagged = _has_tag(_J.id, tag), JOB_TAGS.c.tag == tag
    if changed or given:  # the index of tags does not keep every order: sort a small group, check a large one
        group = [select(JOB_TAGS.c.job).where(tagged)]
        if _are_few(connection, group):
            return _sorted_jobs(_J.id.in_(_one(group)), (*_checks(given), *of_kind), changed=changed)
        runs = _job_runs(connection, given, changed=changed)
        if given:
            others = [arm.ids() for run in runs for arm in run]
            if _are_few(connection, others):
                return _sorted_jobs(_J.id.in_(_one(others)), (has_tag, *of_kind), changed=changed)
        if changed or "batch" in given:
            return _checked(runs, (has_tag, *of_kind))
    of = JOB_TAGS.join(JOBS, _J.id == JOB_TAGS.c.job)
    return [[Arm(id=JOB_TAGS.c.job, where=(tagged,), checks=(*_checks(given), *of_kind), of=of)]]


def _job_runs(connection: Connection, given: Mapping[str, Any], *, changed: bool) -> list[Run]:
    """Return arms of the index for these filters, which covers them; by the last change first those that have one,
    then those that were not answered yet."""
    wheres: list[Checks] = [()]
    if given.keys() - {"since"}:
        batch = (_J.batch == given["batch"],) if "batch" in given else ()
        wheres = [
            (*batch, *(is_value(column, value) for column, value in zip(_BY_TRACKING, values, strict=True)))
            for values in connection.execute(_combinations(given))
            if values[-1] is not None or "since" not in given
        ]
    if not changed:
        return [[Arm(id=_J.id, where=where) for where in wheres]]
    later = to_stamp(given["since"]) <= _SINCE if "since" in given else _SINCE.is_not(None)
    timed = [Arm(id=_J.id, at=_SINCE, where=(*where, later)) for where in wheres]
    new = () if "since" in given else (Arm(id=_J.id, where=(*where, _J.state_since.is_(None))) for where in wheres)
    return [timed, list(new)]


def _checked(runs: list[Run], checks: Checks) -> list[Run]:
    return [[replace(arm, checks=checks) for arm in run] for run in runs]


def _combinations(given: Mapping[str, Any]) -> Select[Any]:
    """Select the combinations of project, tracking and state that jobs have, with the values that are given."""
    columns = {"project": _N.project, "tracking": _N.tracking, "state": func.nullif(_N.state, "")}
    query = select(*columns.values()).where(_N.n > 0)
    return query.where(*(column == given[name] for name, column in columns.items() if name in given))


def _sorted_jobs(chosen: ColumnElement[bool], checks: Checks, *, changed: bool) -> list[Run]:
    """Return runs of a few jobs, which the database sorts."""
    if not changed:
        return [[Arm(id=_J.id, where=(chosen,), checks=checks)]]
    answered, new = _J.state_since.is_not(None), _J.state_since.is_(None)
    return [
        [Arm(id=_J.id, at=_SINCE, where=(chosen,), checks=(answered, *checks))],
        [Arm(id=_J.id, where=(chosen,), checks=(new, *checks))],
    ]


def _checks(given: Mapping[str, Any]) -> Checks:
    """Return the conditions to check on each row. The coalesce keeps SQLite from choosing another index, after
    which it would have to sort."""
    found = [
        func.coalesce(_J[name], "") == given[name]
        for name in ("project", "tracking", "state", "batch")
        if name in given
    ]
    if "since" in given:
        found.append(func.coalesce(_SINCE, 0) >= to_stamp(given["since"]))
    return tuple(found)


def _has_tag(job: ColumnElement[Any], tag: str) -> ColumnElement[bool]:
    return select(1).where(JOB_TAGS.c.tag == tag, JOB_TAGS.c.job == job).correlate_except(JOB_TAGS).exists()


def _search_jobs(text: str) -> _Search:
    """Return a search for `text` in the id, label, name, batch or tags."""
    return _Search(_joined(*_JOB_TEXTS, type_coerce(_J.tags, Text)), {folded(text), folded(to_json(text)[1:-1])})


# Deliveries


def deliveries(
    connection: Connection,
    sort: DeliverySort,
    *,
    limit: int,
    after: Place | None = None,
    search: str | None = None,
    whole: bool = False,
    **fit: Unpack[DeliveryFilter],
) -> Page[DeliveryRow]:
    """Return a page for `Outbox.page`."""
    return _page(
        connection,
        delivery_runs(connection, **fit),
        lambda ids: {row.id: row for row in map(delivery_row, _by_ids(connection, _WHOLE_DELIVERIES, ids))},
        rising=sort is DeliverySort.OLDEST,
        after=after,
        limit=limit,
        whole=whole,
        search=None if search is None else _search_deliveries(search),
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
        for ids in _delivery_sources(connection, given):
            if _are_few(connection, ids):
                at = _CREATED if by_status or by_event else None
                checks = _delivery_checks(connection, given, set())
                return [[Arm(id=_D.id, at=at, where=(_D.id.in_(_one(ids)),), checks=checks)]]
    if by_status or by_event:
        columns = _BY_STATUS if by_status else _BY_EVENT
        checks = _delivery_checks(connection, given, {"since", *(str(column.key) for column in columns)})
        return [_arms(connection, columns, given, id_=_D.id, at=_CREATED, checks=checks)]
    return [[Arm(id=_D.id, checks=_delivery_checks(connection, given, set()))]]


def _delivery_sources(connection: Connection, given: Mapping[str, Any]) -> Iterator[list[Select[Any]]]:
    """Return, for each filter that may match few, the statements that find them through its own index."""
    if "batch" in given:
        yield _of_batch(connection, given["batch"])
    if "tag" in given:
        yield [
            select(_D.id)
            .join_from(JOB_TAGS, DELIVERIES, _D.job == JOB_TAGS.c.job)
            .where(JOB_TAGS.c.tag == given["tag"])
        ]
    for columns in (_BY_STATUS, _BY_EVENT):
        if not given.keys().isdisjoint(str(column.key) for column in columns):
            yield [arm.ids() for arm in _arms(connection, columns, given, id_=_D.id, checks=())]


def _of_batch(connection: Connection, batch: str) -> list[Select[Any]]:
    """Return the alerts about the batch's jobs and those about its end."""
    of_jobs = select(_D.id).join_from(JOBS, DELIVERIES, _D.job == _J.id).where(_J.batch == batch)
    ends = [select(_D.id).where(_D.key.between(key, f"{key}~")) for key in _keys_of(connection, batch)]
    return [of_jobs, *ends]


def _keys_of(connection: Connection, batch: str) -> list[str]:
    """Return the key prefixes of the batch's ends, one for each project that has jobs of it."""
    found = combinations(connection, (_J.batch, _J.project), {"batch": batch})
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


def _search_deliveries(text: str) -> _Search:
    """Return a search for `text` in the last error, or in the job's id, label, name or batch."""
    of_job = select(_joined(*_JOB_TEXTS)).where(_J.id == _D.job).correlate_except(JOBS).scalar_subquery()
    return _Search(_joined(_D.last_error, of_job), {folded(text)})


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
    for start in range(0, len(ids), ARMS):
        some = _one(ids[start : start + ARMS]).limit(FEW + 1 - found).subquery()
        found += connection.execute(select(func.count()).select_from(some)).scalar_one()
        if found > FEW:
            return False
    return True


def _one(ids: Sequence[Select[Any]]) -> Any:
    if not ids:
        return []
    return ids[0] if len(ids) == 1 else union_all(*ids)


def _by_ids(connection: Connection, query: Select[Any], ids: Sequence[int]) -> Iterator[Any]:
    """Return the rows of one of the queries above with these row ids, unordered."""
    for part in chunks(ids):
        yield from connection.execute(query, {"ids": part}).all()


def _joined(*columns: ColumnElement[Any]) -> ColumnElement[str]:
    """Join all texts, one a line: in a search, each column costs time on every row."""
    one, *others = (func.coalesce(column, "") for column in columns)
    return reduce(lambda text, column: text.concat("\n").concat(column), others, one)
