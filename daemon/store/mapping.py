"""Builds the rows of `rows.py` from what the database returns. Runs no statements."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Text, literal_column, type_coerce

from daemon.domain.events import Event
from daemon.domain.jobs import Asset, KindSource, NamedBy, ProjectName, Tracking
from daemon.domain.states import State
from daemon.store.rows import (
    AttemptOutcome,
    AttemptRow,
    DeliveryRow,
    DeliveryStatus,
    FinishedRow,
    JobRow,
    from_stamp,
)
from daemon.store.tables import JOBS
from daemon.store.watch_row import WatchRow

if TYPE_CHECKING:
    from daemon.domain.production import Unended

_ASSET = ("asset_id", "asset_name", "cover_url", "preview_url", "download_url")
_JOB_COLUMNS = tuple(each.key for each in JOBS.c)
_in_order = itemgetter(*JobRow._fields)
E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

WATCHED = (
    JOBS.c.id,
    JOBS.c.project,
    JOBS.c.kind,
    JOBS.c.job_id,
    JOBS.c.state,
    type_coerce(JOBS.c.state_since, BigInteger),
    type_coerce(JOBS.c.tracked_at, BigInteger),
    JOBS.c.episode,
    JOBS.c.tracking,
    type_coerce(JOBS.c.created_at, BigInteger),
    type_coerce(JOBS.c.started_at, BigInteger),
    type_coerce(JOBS.c.reported_at, BigInteger),
    JOBS.c.expected_length,
    JOBS.c.kind_source,
    JOBS.c.named_by,
    JOBS.c.kind_tries,
)
"""The columns of `WatchRow` in its order. Times are read as numbers, since the start reads every active job."""
PACED = (
    *(JOBS.c.project, JOBS.c.kind, JOBS.c.state),
    *(type_coerce(each, BigInteger) for each in (JOBS.c.state_since, JOBS.c.created_at, JOBS.c.started_at)),
    JOBS.c.expected_length,
)
"""Those that `unended_jobs` takes, in its order. No more, and none converted: a list reads hundreds of jobs."""


class TransactionPart:
    """A part of a transaction: statements on the same tables. Valid as long as the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


_as_watch_row = partial(tuple.__new__, WatchRow)


def plain(value: StrEnum) -> ColumnElement[str]:
    """Return one of our own values as a literal of the statement: SQLite cannot tell that a partial index applies
    if the value is a parameter."""
    return literal_column(f"'{value}'", Text)


@lru_cache(maxsize=1000)  # several in each row of a list
def named(names: type[E], value: str) -> E:
    """Return the enum member with that value. A newer wrapd may have written an unknown value: it becomes an extra
    member, equal to none of the others, so that it can be shown as it is."""
    try:
        return names(value)
    except ValueError:
        other = str.__new__(names, value)
        other._name_, other._value_ = "OTHER", value
        return other


def job_row(row: Row[Any]) -> JobRow:
    """Return a complete row of the jobs, whose columns are in the order of the table."""
    return job_of(dict(zip(_JOB_COLUMNS, row, strict=True)))


def job_of(values: dict[str, Any]) -> JobRow:
    """Do the same from columns by name; `values` is changed."""
    values["asset"] = Asset(**{name: values[name] for name in _ASSET})
    values["tracking"] = named(Tracking, values["tracking"])
    values["kind_source"] = named(KindSource, values["kind_source"])
    values["named_by"] = named(NamedBy, values["named_by"])
    return JobRow._make(_in_order(values))  # by keywords it takes eight times as long


def watch_rows(rows: Iterable[Any]) -> list[WatchRow]:
    """Return rows of `WATCHED`, as they are stored."""
    return list(map(_as_watch_row, rows))


def unended_jobs(rows: Iterable[Any], at: int) -> "Iterator[tuple[Any, Unended]]":
    """Yield tracked jobs as an estimate reads them, as of the stamp `at`, each with the column before `PACED`."""
    from daemon.domain.production import Unended, elapsed_at  # noqa: PLC0415 - only estimates pay for it

    running = State.PROCESSING.value  # looked up once for hundreds of rows
    for first, project, kind, state, seen, created, started, length in rows:
        elapsed = elapsed_at(at, started, created, seen) if state == running else None
        yield first, Unended((project, kind), length, elapsed)


def finished_rows(rows: Iterable[Any], *, project: ProjectName, kind: str) -> list[FinishedRow]:
    """Return rows of `FinishedRow`'s columns except the first two, in its order, with times as stored."""
    return [
        FinishedRow(
            project=project,
            kind=kind,
            state=sys.intern(state),
            created_at=None if created is None else from_stamp(created),
            started_at=None if started is None else from_stamp(started),
            ended_at=None if ended is None else from_stamp(ended),
            reported_at=None if reported is None else from_stamp(reported),
            state_since=from_stamp(since),
            expected_length=length,
            blocked=bool(blocked),
        )
        for state, created, started, ended, reported, since, length, blocked in rows
    ]


def plain_row(kind: type[T], row: Row[Any]) -> T:
    """Return a complete row of a table whose columns `kind` takes as they are."""
    return kind(**row._mapping)


def delivery_row(row: Row[Any]) -> DeliveryRow:
    """Return a complete row of the deliveries."""
    return delivery_of(dict(row._mapping))


def delivery_of(values: dict[str, Any]) -> DeliveryRow:
    """Do the same from columns by name; `values` is consumed."""
    values["event"] = named(Event, values["event"])
    values["status"] = named(DeliveryStatus, values["status"])
    return DeliveryRow(**values)


def attempt_row(row: Row[Any]) -> AttemptRow:
    """Return a complete row of the attempts."""
    values = dict(row._mapping)
    del values["id"]
    values["outcome"] = None if values["outcome"] is None else named(AttemptOutcome, values["outcome"])
    return AttemptRow(**values)


CHUNK = 500
"""Values in one statement: some builds of SQLite accept no more than 999."""


def chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Yield the distinct values in order, in parts of one statement's worth."""
    every = list(dict.fromkeys(values))
    for start in range(0, len(every), CHUNK):
        yield every[start : start + CHUNK]
