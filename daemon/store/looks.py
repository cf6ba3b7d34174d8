"""The bookkeeping of looks: how often each job was polled, when last and how, and when it is next.

Owns the table of it, and every read of a job together with it. The rows are small and apart from those of the
jobs, which are several times as long: a checkpoint writes jobs from all over the table, and each page that it
touches costs more than anything else about a look. Only tracked jobs have such a row: triggers (migration 0011)
add it to the job's own when the tracking ends or another project takes the job.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    Insert,
    Update,
    bindparam,
    case,
    func,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import sqlite

from daemon.store.rows import Bookkeeping
from daemon.store.tables import JOBS, LOOKS

_C, _L = JOBS.c, LOOKS.c
_NONE_YET = _L.job.is_(None)
_NOW = {
    "polls": _C.polls + func.coalesce(_L.polls, 0),
    "last_polled_at": func.coalesce(_L.last_polled_at, _C.last_polled_at),
    "asked_by": func.coalesce(_L.asked_by, _C.asked_by),
    **{
        name: case((_NONE_YET, _C[name]), else_=_L[name]) for name in ("last_error", "next_poll_at", "next_reason")
    },
}
JOB_ROWS = select(*(_NOW[each.key].label(each.key) if each.key in _NOW else each for each in _C)).select_from(
    JOBS.outerjoin(LOOKS, _L.job == _C.id)
)
"""The columns of the jobs, with what the looks since they were last tracked add: for `mapping.job_row`."""

# Bookkeeping is written as it comes, by the driver alone: SQLAlchemy would prepare the values of each row anew,
# which takes longer than to write it.
_COLUMNS = tuple(each.key for each in _L)
_NEW = {name: bindparam(f"new_{name}", type_=LOOKS.c[name].type) for name in _COLUMNS}
_NEW |= {name: bindparam(f"new_{name}", type_=BigInteger) for name in ("last_polled_at", "next_poll_at")}
_REASON = case((_NEW["next_poll_at"].is_not(None), _NEW["next_reason"]))
_WRITE = (
    update(LOOKS)
    .where(_L.job == _NEW["job"])
    .values(
        polls=_L.polls + _NEW["polls"],
        last_polled_at=func.coalesce(_NEW["last_polled_at"], type_coerce(_L.last_polled_at, BigInteger)),
        asked_by=func.coalesce(_NEW["asked_by"], _L.asked_by),
        next_reason=_REASON,
        **{name: _NEW[name] for name in ("next_poll_at", "last_error")},
    )
)
_FIRST = _NEW | {"job": _C.id, "next_reason": _REASON}
_ADD = (
    sqlite.insert(LOOKS)
    .from_select(list(_FIRST), select(*_FIRST.values()).where(_C.id == _NEW["job"]))
    .on_conflict_do_nothing()
)
_Statement = tuple[str, Callable[[Bookkeeping], Any]]


@lru_cache(maxsize=4)
def _compiled(dialect: Dialect) -> tuple[_Statement, _Statement]:
    """The statements as text, each with what puts bookkeeping in the order of its values."""

    def statement(of: Update | Insert) -> _Statement:
        compiled = of.compile(dialect=dialect)
        return compiled.string, attrgetter(*(name.removeprefix("new_") for name in compiled.positiontup or ()))

    return statement(_WRITE), statement(_ADD)


def write(connection: Connection, rows: Iterable[Bookkeeping]) -> None:
    """Write it, each page of the table once. Jobs that are not known are left out."""
    ordered = sorted(rows, key=attrgetter("job"))
    if not ordered:
        return
    (write_, its), (add, those) = _compiled(connection.dialect)
    if connection.exec_driver_sql(write_, list(map(its, ordered))).rowcount < len(ordered):
        connection.exec_driver_sql(add, list(map(those, ordered)))  # of jobs that have no row yet
