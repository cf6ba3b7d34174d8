"""Deletes old rows: deliveries that are done, then the jobs that have none left.

Owns these statements. What is unsent, what a person may still want to send, and jobs that are tracked are never
deleted.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Delete, Integer, Select, Table, Text, and_, bindparam, delete, or_, select, update

from daemon.domain.jobs import Tracking
from daemon.store import learned
from daemon.store.mapping import TransactionPart, plain
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import ACTIONS, DELIVERIES, DISCOVERIES, JOBS, LINKS, MUTES, SENT_COUNTS

_D, _C, _L = DELIVERIES.c, JOBS.c, LINKS.c
_MOMENT = _D.created_at.type
_BEFORE = bindparam("before", type_=_MOMENT)
_MOST = bindparam("most", type_=Integer)

# Index steps as in `learned`: each channel, then its old rows through `deliveries_by_status`.
_CHANNEL = bindparam("of_channel", type_=Text)
_NEXT_CHANNEL = select(_D.channel).where(_D.channel > _CHANNEL).order_by(_D.channel).limit(1)
_active = select(1).where(JOBS.c.id == _D.job, JOBS.c.tracking == plain(Tracking.ACTIVE))
_DONE = {
    status: select(_D.id)
    .where(
        _D.channel == _CHANNEL,
        _D.status == plain(status),
        _D.created_at < _BEFORE,
        _D.due_at < _BEFORE,
        or_(_D.sent_at.is_(None), _D.sent_at < _BEFORE),
        # While the job is active, the row's key is what prevents sending the alert twice.
        ~_active.correlate(DELIVERIES).exists(),
    )
    .limit(_MOST)
    for status in (DeliveryStatus.SENT, DeliveryStatus.CANCELED)
}

_has_delivery = select(1).where(_D.job == _C.id)
_other = JOBS.alias("other")
_mates = select(1).where(
    _other.c.batch == _C.batch, _other.c.project == _C.project, _other.c.tracking == plain(Tracking.ACTIVE)
)
_PROJECT, _KIND = bindparam("of_project", type_=Text), bindparam("of_kind", type_=Text)
_forgotten = and_(
    _C.tracked_at < _BEFORE,
    or_(_C.state_since.is_(None), _C.state_since < _BEFORE),
    or_(_C.last_polled_at.is_(None), _C.last_polled_at < _BEFORE),
    ~_has_delivery.correlate(JOBS).exists(),
    or_(_C.batch.is_(None), ~_mates.correlate(JOBS).exists()),  # a batch counts its jobs when it ends
)
# Through `jobs_finished`. A job that still has a delivery is passed over: its deliveries are deleted first.
_ENDED = (
    select(_C.id)
    .where(
        _C.tracking == plain(Tracking.FINISHED),
        _C.project == _PROJECT,
        _C.kind == _KIND,
        _C.state_since < _BEFORE,
        _forgotten,
    )
    .limit(_MOST)
)
# Through `jobs_by_change`, by its first two columns.
_GIVEN_UP = {
    tracking: select(_C.id)
    .where(
        _C.project == _PROJECT,
        _C.tracking == plain(tracking),
        _C.changed.is_(False),  # the daemon has seen that tracking was stopped
        _forgotten,
    )
    .limit(_MOST)
    for tracking in (Tracking.LOST, Tracking.EXPIRED, Tracking.STOPPED)
}
_NEXT_PROJECT = select(_C.project).where(_C.project > _PROJECT).order_by(_C.project).limit(1)
_LINKS = select(_L.id).where(_L.expires_at < _BEFORE, _L.revoked_at.is_(None)).order_by(_L.expires_at).limit(_MOST)
_DISCOVERIES = select(DISCOVERIES.c.id).where(DISCOVERIES.c.ended_at < _BEFORE).limit(_MOST)
_ACTIONS = select(ACTIONS.c.id).where(ACTIONS.c.at < _BEFORE).limit(_MOST)
_MUTES = select(MUTES.c.id).where(MUTES.c.ended_at < _BEFORE).limit(_MOST)

_UNCOUNT = (
    update(SENT_COUNTS)
    .where(SENT_COUNTS.c.channel == _CHANNEL)
    .values(n=SENT_COUNTS.c.n - bindparam("n", type_=Integer))
)

_Step = tuple[Select[Any], Delete, dict[str, str]]


class Retention(TransactionPart):
    """Retention, seen through one transaction."""

    def prune(self, *, before: datetime, limit: int = 500) -> int:
        """Delete up to `limit` rows that were done before that moment: sent and canceled deliveries with their
        attempts, then untracked jobs without deliveries (with their transitions, picture and link), then expired
        links, discoveries, actions and ended mutes. Returns how many; 0: nothing is old."""
        count = 0
        for query, forget, names in self._steps():
            if count >= limit:
                break
            values = {**names, "before": before, "most": limit - count}
            ids = self._connection.execute(query, values).scalars().all()
            if ids:
                self._connection.execute(forget, [{"row": row} for row in ids])
                if query is _DONE[DeliveryStatus.SENT]:
                    self._connection.execute(_UNCOUNT, {**names, "n": len(ids)})
            count += len(ids)
        return count

    def _steps(self) -> Iterator[_Step]:
        """Yield the queries to run, one class of rows after the other, with the statement that deletes what they
        find."""
        for channel in self._walk(_NEXT_CHANNEL, "of_channel"):
            for query in _DONE.values():
                yield query, _forget(DELIVERIES), {"of_channel": channel}
        for project, kind in learned.classes(self._connection, None):
            yield _ENDED, _forget(JOBS), {"of_project": project, "of_kind": kind}
        for owner in self._walk(_NEXT_PROJECT, "of_project"):
            for query in _GIVEN_UP.values():
                yield query, _forget(JOBS), {"of_project": owner}
        yield _LINKS, _forget(LINKS), {}
        yield _DISCOVERIES, _forget(DISCOVERIES), {}
        yield _ACTIONS, _forget(ACTIONS), {}
        yield _MUTES, _forget(MUTES), {}

    def _walk(self, step: Select[Any], name: str) -> Iterator[str]:
        """Yield the distinct values of a column, each by an index step from the one before."""
        value = ""  # sorts before all names: none is empty
        while (found := self._connection.execute(step, {name: value}).scalar_one_or_none()) is not None:
            value = found
            yield value


def _forget(table: Table) -> Delete:
    return delete(table).where(table.c.id == bindparam("row"))
