"""The stream of changes: what changed, in the order of commits, for whoever waits for it or shows it.

Owns reading and pruning it; triggers write it (migration 0009). A change says only which row or name it is about:
what there is to know of that is read when it is shown.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import BindParameter, Connection, Integer, bindparam, delete, func, select

from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.store.mapping import TransactionPart, chunks, plain
from daemon.store.tables import CHANGES, DELIVERIES, JOBS, TRANSITIONS
from daemon.store.writer import Look

if TYPE_CHECKING:
    import sqlite3

KEPT = 10_000
"""The newest changes, which are kept for those who resume."""

_H, _J, _D = CHANGES.c, JOBS.c, DELIVERIES.c
# Run in each transaction of a daemon, where it spares SQLAlchemy's part of the work.
_SINCE = 'SELECT id, kind, "row", name FROM changes WHERE id > ? ORDER BY id LIMIT ?'
_LATEST, _OLDEST = select(func.max(_H.id)), select(func.min(_H.id))
_FORGET = delete(CHANGES).where(_H.id <= bindparam("up_to", type_=Integer))
_ROWS: BindParameter[Any] = bindparam("rows", expanding=True)
_VERSION = (
    select(func.coalesce(func.max(TRANSITIONS.c.seq), 0)).where(TRANSITIONS.c.job == _J.id).scalar_subquery()
)
_JOBS = select(_J.id, _J.project, _J.job_id, _VERSION, _J.state, _J.tracking != plain(Tracking.ACTIVE)).where(
    _J.id.in_(_ROWS)
)
_STATUSES = select(_D.id, _D.status).where(_D.id.in_(_ROWS))


class ChangeRow(NamedTuple):
    """A change. `kind` is job, delivery, channel, project, pause, mute, token or discovery; `row` (a row id) or
    `name` says which one. A job's `name` is "track" if the watch has to take it up or drop it; a delivery's is its
    channel if that has news: something to send, or to send earlier."""

    id: int
    kind: str
    row: int | None
    name: str | None


class JobNews(NamedTuple):
    """What live events say of a job. `version` is the number of its transitions; `ended`: it is not tracked."""

    project: ProjectName
    job_id: JobId
    version: int
    state: str | None
    ended: bool


class Changes(TransactionPart):
    """The stream, seen through one transaction.

    A cursor is a place in it: all changes up to there are known. On SQLite that is an id: writers take turns, so
    ids are in the order of commits. On PostgreSQL they are not: a lower id may be committed later. There `latest`
    and `since` have to stop below the oldest transaction under way: a column with `pg_current_xact_id()`, compared
    with `pg_snapshot_xmin(pg_current_snapshot())`.
    """

    def latest(self) -> int:
        """Return the cursor of now; 0 if nothing has changed yet."""
        return cast("int | None", self._connection.execute(_LATEST).scalar()) or 0

    def since(self, cursor: int, *, limit: int) -> list[ChangeRow]:
        """Return the first `limit` changes beyond the cursor. Each one's `id` is the cursor after it."""
        found = self._connection.exec_driver_sql(_SINCE, (cursor, limit))
        return list(map(ChangeRow._make, found))

    def reaches(self, cursor: int) -> bool:
        """Return whether all changes beyond the cursor are still here. False also for a cursor of another
        database, which lies ahead of everything."""
        oldest = cast("int | None", self._connection.execute(_OLDEST).scalar()) or 1
        return oldest - 1 <= cursor <= self.latest()

    def jobs(self, rows: Iterable[int]) -> dict[int, JobNews]:
        """Return what events say of jobs, by row id; missing ones are left out."""
        found = (self._connection.execute(_JOBS, {"rows": part}) for part in chunks(rows))
        return {
            row: JobNews(project, job_id, version, state, bool(ended))
            for each in found
            for row, project, job_id, version, state, ended in each
        }

    def statuses(self, deliveries: Iterable[int]) -> dict[int, str]:
        """Return the status of deliveries, by row id; missing ones are left out."""
        found = (self._connection.execute(_STATUSES, {"rows": part}) for part in chunks(deliveries))
        return {row: status for each in found for row, status in each}

    def prune(self, *, keep: int = KEPT, limit: int = 5000) -> int:
        """Delete up to `limit` of the changes before the newest `keep` (at least one, so that no id is used
        again). Returns how many; 0: none is left."""
        oldest = cast("int | None", self._connection.execute(_OLDEST).scalar())
        up_to = self.latest() - keep
        if oldest is None or oldest > up_to:
            return 0
        return self._connection.execute(_FORGET, {"up_to": min(up_to, oldest + limit - 1)}).rowcount


def _since(connection: Connection, cursor: int, *, limit: int) -> list[ChangeRow]:
    """Do as `Changes.since` within a transaction: only a statement of SQLAlchemy's begins one."""
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    return list(map(ChangeRow._make, driver.execute(_SINCE, (cursor, limit))))


def follower(tell: Callable[[list[ChangeRow], int], None], *, after: int, most: int) -> Look:
    """Return a look for `Writer`, which calls `tell` as `Store.follow` says."""
    cursor = after

    def look(connection: Connection) -> Callable[[], None] | None:
        rows = _since(connection, cursor, limit=most + 1)
        if not rows:
            return None
        last = rows[-1].id if len(rows) <= most else Changes(connection).latest()

        def committed() -> None:
            nonlocal cursor
            cursor = last
            tell(rows, last)

        return committed

    return look
