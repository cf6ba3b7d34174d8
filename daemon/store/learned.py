"""What is learned from jobs: how the ended ones went, the age of the oldest tracked one, expected lengths.

Owns these statements, for `Jobs`. They read no more than requested: the table keeps every job ever tracked.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, Text, bindparam, func, select, type_coerce, update
from sqlalchemy.types import BigInteger

from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import State
from daemon.store.mapping import finished_rows, plain
from daemon.store.rows import FinishedRow, from_stamp
from daemon.store.tables import JOBS, TRANSITIONS

Finished: TypeAlias = dict[tuple[ProjectName, str], list[FinishedRow]]

_C = JOBS.c
_FINISHED = _C.tracking == plain(Tracking.FINISHED)
_PROJECT, _KIND = bindparam("of_project", type_=Text), bindparam("of_kind", type_=Text)
# Index steps from one class to the next. A DISTINCT, or comparing both columns at once, would scan the whole
# index.
_NEXT_KIND = (
    select(_C.project, _C.kind)
    .where(_FINISHED, _C.project == _PROJECT, _C.kind > _KIND)
    .order_by(_C.project, _C.kind)
    .limit(1)
)
_NEXT_PROJECT = (
    select(_C.project, _C.kind).where(_FINISHED, _C.project > _PROJECT).order_by(_C.project, _C.kind).limit(1)
)
_WAS_BLOCKED = (
    select(1).where(TRANSITIONS.c.job == _C.id, TRANSITIONS.c.after == plain(State.BLOCK)).correlate(JOBS).exists()
)
# Times are read as numbers, as for the watch.
_LAST = (
    select(
        _C.state,
        *(
            type_coerce(column, BigInteger)
            for column in (_C.created_at, _C.started_at, _C.ended_at, _C.reported_at, _C.state_since)
        ),
        _C.expected_length,
        _WAS_BLOCKED,
    )
    .where(_FINISHED, _C.project == _PROJECT, _C.kind == _KIND)
    .order_by(_C.state_since.desc(), _C.id.desc())
    .limit(bindparam("most"))
)
_OLDEST = select(func.min(type_coerce(_C.created_at, BigInteger))).where(
    _C.project == _PROJECT, _C.tracking == plain(Tracking.ACTIVE), _C.created_at.is_not(None)
)
_EXPECT = update(JOBS).where(_C.id == bindparam("row")).values(expected_length=bindparam("seconds"))


def finished(connection: Connection, project: ProjectName | None, *, limit: int) -> Finished:
    """Return the last `limit` ended jobs of each project and kind, newest first; of one project or of all."""
    return {
        (owner, kind): last_finished(connection, owner, kind, limit=limit)
        for owner, kind in classes(connection, project)
    }


def last_finished(connection: Connection, project: ProjectName, kind: str, *, limit: int) -> list[FinishedRow]:
    """Return the last `limit` ended jobs of one project and kind, newest first."""
    rows = connection.execute(_LAST, {"of_project": project, "of_kind": kind, "most": limit}).all()
    return finished_rows(rows, project=project, kind=kind)


def classes(connection: Connection, project: ProjectName | None) -> Iterator[tuple[ProjectName, str]]:
    """Return every (project, kind) that has ended jobs."""
    steps = (_NEXT_KIND, _NEXT_PROJECT) if project is None else (_NEXT_KIND,)
    owner, kind = project or "", ""  # sorts before all names: none is empty
    while (found := _first(connection, steps, owner, kind)) is not None:
        owner, kind = found
        yield ProjectName(owner), kind


def _first(
    connection: Connection, steps: Iterable[Select[Any]], project: str, kind: str
) -> tuple[str, str] | None:
    """Return the row of the first step that finds one."""
    for step in steps:
        row = connection.execute(step, {"of_project": project, "of_kind": kind}).one_or_none()
        if row is not None:
            return row[0], row[1]
    return None


def oldest_created(connection: Connection, project: ProjectName) -> datetime | None:
    """Return the smallest `created_at` of the project's active jobs."""
    stamp = connection.execute(_OLDEST, {"of_project": project}).scalar_one()
    return None if stamp is None else from_stamp(stamp)


def expect(connection: Connection, lengths: Mapping[int, float]) -> None:
    """Store expected lengths of jobs in seconds, by row id."""
    if lengths:
        connection.execute(_EXPECT, [{"row": row, "seconds": seconds} for row, seconds in lengths.items()])
