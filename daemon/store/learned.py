"""What is learned from the jobs: how those that ended went, how old the oldest tracked one is, expected lengths.

Owns these statements, for `Jobs`. Must never read more of the table than is asked for: it holds every job there
ever was.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, Text, bindparam, func, select, type_coerce, update
from sqlalchemy.types import BigInteger

from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import State
from daemon.store.mapping import finished_rows, plain
from daemon.store.rows import FinishedRow
from daemon.store.tables import JOBS, TRANSITIONS, from_stamp

Finished: TypeAlias = dict[tuple[ProjectName, str], list[FinishedRow]]

_C = JOBS.c
_FINISHED = _C.tracking == plain(Tracking.FINISHED)
_PROJECT, _KIND = bindparam("of_project", type_=Text), bindparam("of_kind", type_=Text)
# Steps along the index, from one class to the next: a DISTINCT would walk all of it, and so would a comparison of
# both columns at once.
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
# Times come as numbers, as for the watch.
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
    """The last `limit` that ended of each project and kind, the newest first; of one project, or of all."""
    return {
        (owner, kind): finished_rows(
            connection.execute(_LAST, {"of_project": owner, "of_kind": kind, "most": limit}).all(),
            project=owner,
            kind=kind,
        )
        for owner, kind in classes(connection, project)
    }


def classes(connection: Connection, project: ProjectName | None) -> Iterator[tuple[ProjectName, str]]:
    """Every (project, kind) that has jobs which ended."""
    steps = (_NEXT_KIND, _NEXT_PROJECT) if project is None else (_NEXT_KIND,)
    owner, kind = project or "", ""  # no name is empty: this comes before all
    while (found := _first(connection, steps, owner, kind)) is not None:
        owner, kind = found
        yield ProjectName(owner), kind


def _first(
    connection: Connection, steps: Iterable[Select[Any]], project: str, kind: str
) -> tuple[str, str] | None:
    """The first step's row that there is."""
    for step in steps:
        row = connection.execute(step, {"of_project": project, "of_kind": kind}).one_or_none()
        if row is not None:
            return row[0], row[1]
    return None


def oldest_created(connection: Connection, project: ProjectName) -> datetime | None:
    """The least `created_at` of the project's active jobs."""
    stamp = connection.execute(_OLDEST, {"of_project": project}).scalar_one()
    return None if stamp is None else from_stamp(stamp)


def expect(connection: Connection, lengths: Mapping[int, float]) -> None:
    """Store the expected lengths of jobs, by row id."""
    if lengths:
        connection.execute(_EXPECT, [{"row": row, "seconds": seconds} for row, seconds in lengths.items()])
