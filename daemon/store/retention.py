"""Deletes old rows: deliveries that are done, then the jobs that have none left.

Owns these statements. What is unsent, what a person may still want to send, and jobs that are tracked are never
deleted.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Integer,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from daemon.domain.jobs import Tracking
from daemon.store import learned
from daemon.store.access_tables import SHARES
from daemon.store.mapping import TransactionPart, plain
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import ACTIONS, DELIVERIES, DISCOVERIES, JOBS, LINKS, MUTES, SENT_COUNTS

_D, _C, _L = DELIVERIES.c, JOBS.c, LINKS.c
_MOMENT = _D.created_at.type
_BEFORE = bindparam("before", type_=_MOMENT)
_MOST = bindparam("most", type_=Integer)


class _Old(NamedTuple):
    """Rows to delete: a query of some of their ids, and one of how many there are at most."""

    some: Select[Any]
    number: Select[Any]


def _old(row_id: Column[Any], *which: ColumnElement[bool], free: ColumnElement[bool] | None = None) -> _Old:
    """`free` are those that nothing holds any more. The others are counted too: what holds them goes first."""
    some = select(row_id).where(*which) if free is None else select(row_id).where(free, *which)
    return _Old(some.limit(_MOST), select(func.count()).where(*which).select_from(row_id.table))


# Index steps as in `learned`: each channel, then its old rows through `deliveries_by_status`.
_CHANNEL = bindparam("of_channel", type_=Text)
_NEXT_CHANNEL = select(_D.channel).where(_D.channel > _CHANNEL).order_by(_D.channel).limit(1)
_active = select(1).where(JOBS.c.id == _D.job, JOBS.c.tracking == plain(Tracking.ACTIVE))
_DONE = {
    status: _old(
        _D.id,
        _D.channel == _CHANNEL,
        _D.status == plain(status),
        _D.created_at < _BEFORE,
        _D.due_at < _BEFORE,
        or_(_D.sent_at.is_(None), _D.sent_at < _BEFORE),
        # While the job is active, the row's key is what prevents sending the alert twice.
        ~_active.correlate(DELIVERIES).exists(),
    )
    for status in (DeliveryStatus.SENT, DeliveryStatus.CANCELED)
}

_bare = ~select(1).where(_D.job == _C.id).correlate(JOBS).exists()
_other = JOBS.alias("other")
_mates = select(1).where(
    _other.c.batch == _C.batch, _other.c.project == _C.project, _other.c.tracking == plain(Tracking.ACTIVE)
)
_PROJECT, _KIND = bindparam("of_project", type_=Text), bindparam("of_kind", type_=Text)
_forgotten = and_(
    _C.tracked_at < _BEFORE,
    or_(_C.state_since.is_(None), _C.state_since < _BEFORE),
    or_(_C.last_polled_at.is_(None), _C.last_polled_at < _BEFORE),
    or_(_C.batch.is_(None), ~_mates.correlate(JOBS).exists()),  # a batch counts its jobs when it ends
)
# Through `jobs_finished`. A job that still has a delivery is passed over: its deliveries are deleted first.
_ENDED = _old(
    _C.id,
    _C.tracking == plain(Tracking.FINISHED),
    _C.project == _PROJECT,
    _C.kind == _KIND,
    _C.state_since < _BEFORE,
    _forgotten,
    free=_bare,
)
# Through `jobs_by_change`, by its first two columns.
_GIVEN_UP = {
    tracking: _old(
        _C.id,
        _C.project == _PROJECT,
        _C.tracking == plain(tracking),
        _C.changed.is_(False),  # the daemon has seen that tracking was stopped
        _forgotten,
        free=_bare,
    )
    for tracking in (Tracking.LOST, Tracking.EXPIRED, Tracking.STOPPED)
}
_NEXT_PROJECT = select(_C.project).where(_C.project > _PROJECT).order_by(_C.project).limit(1)
_LINKS = _old(_L.id, _L.expires_at < _BEFORE, _L.revoked_at.is_(None))
_DISCOVERIES = _old(DISCOVERIES.c.id, DISCOVERIES.c.ended_at < _BEFORE)
_ACTIONS = _old(ACTIONS.c.id, ACTIONS.c.at < _BEFORE)
_MUTES = _old(MUTES.c.id, MUTES.c.ended_at < _BEFORE)
_SHARES = _old(SHARES.c.id, SHARES.c.expires_at < _BEFORE)

_UNCOUNT = (
    update(SENT_COUNTS)
    .where(SENT_COUNTS.c.channel == _CHANNEL)
    .values(n=SENT_COUNTS.c.n - bindparam("n", type_=Integer))
)

_Step = tuple[_Old, Delete, dict[str, str]]


class Retention(TransactionPart):
    """Retention, seen through one transaction."""

    def prune(self, *, before: datetime, limit: int = 500) -> int:
        """Delete up to `limit` rows that were done before that moment: sent and canceled deliveries with their
        attempts, then untracked jobs without deliveries (with their transitions, picture and link), then expired
        links, discoveries, actions, ended mutes and expired shares. Returns how many; 0: nothing is old."""
        count = 0
        for old, forget, names in self._steps():
            if count >= limit:
                break
            values = {**names, "before": before, "most": limit - count}
            ids = self._connection.execute(old.some, values).scalars().all()
            if ids:
                self._connection.execute(forget, [{"row": row} for row in ids])
                if old is _DONE[DeliveryStatus.SENT]:
                    self._connection.execute(_UNCOUNT, {**names, "n": len(ids)})
            count += len(ids)
        return count

    def old(self, *, before: datetime) -> int:
        """Return how many rows `prune` would delete, called until nothing is old; a few more, if jobs have later
        deliveries."""
        return sum(
            self._connection.execute(old.number, {**names, "before": before}).scalar_one()
            for old, _, names in self._steps()
        )

    def _steps(self) -> Iterator[_Step]:
        """Yield what to delete, one class of rows after the other, with the statement that does."""
        for channel in self._walk(_NEXT_CHANNEL, "of_channel"):
            for old in _DONE.values():
                yield old, _forget(DELIVERIES), {"of_channel": channel}
        for project, kind in learned.classes(self._connection, None):
            yield _ENDED, _forget(JOBS), {"of_project": project, "of_kind": kind}
        for owner in self._walk(_NEXT_PROJECT, "of_project"):
            for old in _GIVEN_UP.values():
                yield old, _forget(JOBS), {"of_project": owner}
        yield _LINKS, _forget(LINKS), {}
        yield _DISCOVERIES, _forget(DISCOVERIES), {}
        yield _ACTIONS, _forget(ACTIONS), {}
        yield _MUTES, _forget(MUTES), {}
        yield _SHARES, _forget(SHARES), {}

    def _walk(self, step: Select[Any], name: str) -> Iterator[str]:
        """Yield the distinct values of a column, each by an index step from the one before."""
        value = ""  # sorts before all names: none is empty
        while (found := self._connection.execute(step, {name: value}).scalar_one_or_none()) is not None:
            value = found
            yield value


def _forget(table: Table) -> Delete:
    return delete(table).where(table.c.id == bindparam("row"))
