"""Rows in an order that an index keeps, read page by page, however many there are.

An index over some columns and then a time keeps the rows of each *combination* of these columns in order of time.
A list of one combination is read off directly. A list of several is merged by the database on the fly, which reads
no more rows than requested. So one index serves all filters on its leading columns, alone or together.
Combinations are few, as are projects, states, channels and events.

Owns no table. Sorts no rows unless they were counted first.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

ALL = 2**62
"""More rows than can exist."""
LOOKED = 10_000
"""Rows examined, in each arm, to count those that match."""
_READ_AT_ONCE = 100
"""Rows that the driver hands over at a time."""
ARMS = 100
"""Combinations merged by one statement: SQLite accepts 500."""
_AT, _ID = "sort_at", "sort_id"


class Place(NamedTuple):
    """Where a row is in a list: in which of its runs, and at which time (None: the run is sorted by id alone)."""

    run: int
    at: int | None
    id: int


Checks = tuple[ColumnElement[bool], ...]


class Arm(Struct, frozen=True, kw_only=True):
    """Rows that one index returns in order: by `at` (a number; None: by id alone), then by `id`. The index covers
    the conditions of `where`; the `checks` are evaluated on each row."""

    id: ColumnElement[int]
    at: ColumnElement[int] | None = None
    where: Checks = ()
    checks: Checks = ()
    of: FromClause | None = None  # the join, where there are several tables
    text: ColumnElement[str] | None = None  # what a search compares

    def ids(self) -> Select[Any]:
        """Select the row ids, unordered."""
        query = select(self.id.label(_ID)).where(*self.where, *self.checks)
        return query if self.of is None else query.select_from(self.of)

    def counted(self, most: int) -> Select[int, int]:
        """Select how many of its rows were examined and how many of those match, up to `most`."""
        if not self.checks:
            some = self.ids().limit(most).subquery()
            return select(func.count(), func.count()).select_from(some)
        rows = select(self.id, case((and_(*self.checks), 1), else_=None).label("fits")).where(*self.where)
        looked = (rows if self.of is None else rows.select_from(self.of)).limit(LOOKED).subquery()
        return select(func.count(), func.count(looked.c.fits)).select_from(looked)

    def query(self, *, rising: bool, after: Place | None) -> Select[Any]:
        """Select its rows beyond `after`: time, id, and the text of those that pass the checks, else null; without
        what it does not have."""
        columns: list[ColumnElement[Any]] = [self.id.label(_ID)]
        if self.at is not None:
            columns.insert(0, self.at.label(_AT))
        if self.checks or self.text is not None:
            text = literal("") if self.text is None else self.text
            columns.append((case((and_(*self.checks), text)) if self.checks else text).label("fits"))
        query = select(*columns).where(*self.where)
        query = query if self.of is None else query.select_from(self.of)
        if after is None:
            return query
        if self.at is None:
            return query.where(self.id > after.id if rising else self.id < after.id)
        mine, other = tuple_(self.at, self.id), (after.at, after.id)
        return query.where(mine > other if rising else mine < other)


Run = Sequence[Arm]
"""Arms sorted by the same columns, all with the same checks and text. A list shows one run after the other."""


@contextmanager
def walk(
    connection: Connection, runs: Sequence[Run], *, rising: bool, after: Place | None, most: int
) -> Iterator[Iterator[tuple[Place, str | None]]]:
    """Yield the first `most` rows beyond `after`, latest first, or oldest first if `rising`, each with its text
    (None: it does not pass the checks). Rows are read as they are asked for, and no more."""
    with ExitStack() as open_:

        def rows() -> Iterator[tuple[Place, str | None]]:
            for number, run in enumerate(runs):
                if run and (after is None or after.run <= number):
                    beyond = after if after is not None and after.run == number else None
                    yield from _merged(connection, run, number, open_, rising=rising, after=beyond, most=most)

        yield islice(rows(), most)


def _merged(
    connection: Connection,
    run: Run,
    number: int,
    open_: ExitStack,
    *,
    rising: bool,
    after: Place | None,
    most: int,
) -> Iterator[tuple[Place, str | None]]:
    timed, shows = run[0].at is not None, bool(run[0].checks) or run[0].text is not None
    parts = []
    for start in range(0, len(run), ARMS):
        arms = [arm.query(rising=rising, after=after) for arm in run[start : start + ARMS]]
        query = arms[0] if len(arms) == 1 else union_all(*arms)
        columns = query.selected_columns
        sides = [columns[name].asc() if rising else columns[name].desc() for name in [_AT, _ID][not timed :]]
        ordered = query.order_by(*sides).limit(most).execution_options(yield_per=_READ_AT_ONCE)
        found = connection.execute(ordered)
        open_.callback(found.close)
        parts.append(map(tuple, chain.from_iterable(found.partitions())))
    for row in parts[0] if len(parts) == 1 else heapq.merge(*parts, reverse=not rising):
        at, row_id = row[:2] if timed else (None, row[0])
        yield Place(number, at, row_id), row[-1] if shows else ""


class RowCount(NamedTuple):
    """How many rows there are. If not `whole`, there may be more."""

    rows: int
    whole: bool


def count(connection: Connection, runs: Iterable[Run], *, most: int) -> RowCount:
    """Count the rows, up to `most` and as far as `LOOKED` allows."""
    found, whole = 0, True
    for arm in chain.from_iterable(runs):
        if found < most:
            looked, fit = connection.execute(arm.counted(most - found)).one()
            found += fit
            whole = whole and (not arm.checks or looked < LOOKED)
    return RowCount(min(found, most), whole and found < most)


def combinations(
    connection: Connection,
    columns: Sequence[ColumnElement[Any]],
    given: Mapping[str, object],
    where: tuple[ColumnElement[bool], ...] = (),
) -> Iterator[dict[str, Any]]:
    """Yield the values that these columns have together, given some of them (by name) and the condition `where`.
    Each is found by a step along an index that begins with these columns: a DISTINCT would scan all of it. Given
    values are yielded without checking that they exist."""
    if not columns:
        yield {}
        return
    column, *rest = columns
    name = str(column.key)
    for value in [given[name]] if name in given else _different(connection, column, where):
        for others in combinations(connection, rest, given, (*where, is_value(column, value))):
            yield {name: value, **others}


def _different(
    connection: Connection, column: ColumnElement[Any], where: tuple[ColumnElement[bool], ...]
) -> Iterator[object]:
    if getattr(column, "nullable", False):
        query = select(column).where(*where, column.is_(None)).limit(1)
        if connection.execute(query).first() is not None:
            yield None
    last, step = "", _step(column, where)  # it sorts before all values: none is empty
    while (found := connection.execute(step, {"last": last}).first()) is not None:
        (last,) = found
        yield last


@lru_cache(maxsize=1000)
def _step(column: ColumnElement[Any], where: Checks) -> Select[Any]:
    """Select the value that comes after `last`. Kept, since a list takes a dozen steps."""
    return select(column).where(*where, column > bindparam("last", type_=column.type)).order_by(column).limit(1)


@lru_cache(maxsize=1000)
def is_value(column: ColumnElement[Any], value: object) -> ColumnElement[bool]:
    """`column` has this value, which may be NULL. Kept, since a list of a few arms makes hundreds."""
    return column.is_(None) if value is None else column == value
