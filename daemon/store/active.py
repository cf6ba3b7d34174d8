"""The active jobs, in pages, as a start reads every one of them.

Each value that Python makes takes a twentieth of a page's time. So what jobs have in common is left out, and the
database does the arithmetic. Owns these statements, for `Jobs`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    Float,
    Text,
    and_,
    bindparam,
    case,
    literal_column,
    not_,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.sql.compiler import SQLCompiler

from daemon.domain.jobs import JobId, KindSource, Tracking
from daemon.domain.production import LONGEST, SKEW
from daemon.domain.states import State
from daemon.store.mapping import WATCHED, plain, watch_rows
from daemon.store.tables import JOBS
from daemon.store.watch_row import WatchRow

OrdinaryRow = tuple[int, JobId, str | None, float, int, float | None, float | None, float | None]
"""Of an ordinary job: row id; job id; its group, None if that is the page's `usual`; when wrapd saw it come into
its state (seconds of the caller's clock); the stamp of when its tracking began; when its production began, where
that is known, credible and another moment (seconds of the caller's clock); when the service last updated it (epoch
seconds); its expected length. A group is the project, the kind and the state, as the lines of one text."""
NO_GROUP = "\n\n"
"""The group of no job."""


class ActivePage(NamedTuple):
    """Some active jobs. Those in `rows` were answered under a kind that is no guess, and are in their first span
    of tracking. The few `others` come with all columns."""

    rows: Sequence[OrdinaryRow]
    others: Sequence[WatchRow]
    last: int
    """The highest row id; 0 without jobs."""
    usual: str
    """The group of the rows that name none."""
    following: str
    """What to take for it on the next page: the group of the last of `rows`."""


def parts_of(group: str) -> tuple[str, str, str]:
    """The project, the kind and the state of a group's jobs. Only the last, which is the service's word, could
    hold a line feed."""
    project, kind, state = group.split("\n", 2)
    return project, kind, state


_C = JOBS.c
_ON_PAGE = and_(_C.tracking == plain(Tracking.ACTIVE), _C.id > bindparam("after"))
_CREATED, _STARTED, _SINCE, _REPORTED = (
    type_coerce(each, BigInteger) for each in (_C.created_at, _C.started_at, _C.state_since, _C.reported_at)
)
# Any stamp is below, and any text above it: of a text, which only a person can have put there, SQLite's arithmetic
# would make 1970.
_NO_STAMP = literal_column(str(10**18), BigInteger())
_ORDINARY = and_(
    *(_C.state.is_not(None), _C.episode == literal_column("1"), _C.kind_source != plain(KindSource.GUESSED)),
    _SINCE < _NO_STAMP,
)


def _seconds(stamp: ColumnElement[int]) -> ColumnElement[float]:
    return stamp.op("/", return_type=Float())(literal_column("1e6"))


def _on_clock(stamp: ColumnElement[int]) -> ColumnElement[float]:
    return _seconds(stamp) - bindparam("ahead", type_=Float())


_SKEW, _LONGEST = (literal_column(str(each), BigInteger()) for each in (SKEW, LONGEST))
# The state first: it differs most often.
_USUAL = and_(*(_C[name] == bindparam(f"usual_{name}", type_=Text()) for name in ("state", "kind", "project")))
_BREAK = literal_column("'\n'", Text())
_GROUP = _C.project + _BREAK + _C.kind + _BREAK + _C.state
_PRODUCED = and_(
    _C.state == plain(State.PROCESSING),
    _STARTED != _SINCE,
    # as `is_credible` has it
    or_(_CREATED.is_(None), _CREATED - _STARTED <= _SKEW),
    (_SINCE - _STARTED).between(-_SKEW, _LONGEST),
)
# The columns of `OrdinaryRow`, without the stamp of tracking for other jobs.
_PAGE = (
    select(
        *(_C.id, _C.job_id, case((not_(_USUAL), _GROUP)), _on_clock(_SINCE), case((_ORDINARY, _C.tracked_at))),
        *(case((_PRODUCED, _on_clock(_STARTED))), _seconds(_REPORTED), _C.expected_length),
    )
    .where(_ON_PAGE)
    .order_by(_C.id)
    .limit(bindparam("most"))
)
_ASIDE = select(*WATCHED).where(_ON_PAGE, _C.id <= bindparam("last"), not_(_ORDINARY)).order_by(_C.id)

_tracked = itemgetter(4)


def active_page(connection: Connection, *, after: int, limit: int, ahead: float, usual: str) -> ActivePage:
    """Return up to `limit` active jobs with row ids above `after`. Epoch time is `ahead` seconds ahead of the
    caller's clock. Rows of the group `usual` do not name it."""
    ordinary, others = _compiled(connection.dialect)
    project, kind, state = parts_of(usual)
    usually = {"usual_project": project, "usual_kind": kind, "usual_state": state}
    rows = _as_stored(connection, ordinary, {"after": after, "most": limit, "ahead": ahead, **usually})
    last, aside = rows[-1][0] if rows else 0, list[WatchRow]()
    if not all(map(_tracked, rows)):
        rows = list(filter(_tracked, rows))
        aside = watch_rows(_as_stored(connection, others, {"after": after, "last": last}))
    following = rows[-1][2] if rows else None
    return ActivePage(rows, aside, last, usual, usual if following is None else following)


@lru_cache(maxsize=4)
def _compiled(dialect: Dialect) -> tuple[SQLCompiler, SQLCompiler]:
    return _PAGE.compile(dialect=dialect), _ASIDE.compile(dialect=dialect)


def _as_stored(connection: Connection, compiled: SQLCompiler, values: Mapping[str, Any]) -> Sequence[Any]:
    """Return rows as the driver makes them: SQLAlchemy's own take a third longer, which a start would notice."""
    given: Any = compiled.construct_params(values)
    if compiled.positiontup is not None:
        given = itemgetter(*compiled.positiontup)(given)
    with connection.exec_driver_sql(compiled.string, given) as result:
        assert result.cursor is not None, "it returns rows"
        rows: Sequence[Any] = result.cursor.fetchall()
    return rows
