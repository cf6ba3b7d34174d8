"""Moves everything of one project or channel to another, after a person renamed or removed it.

Owns these statements. Nothing is sent twice because of a move: what the target already has stays behind.
"""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import ColumnElement, Text, and_, bindparam, func, not_, or_, select, update

from daemon.domain.events import Event, batch_key
from daemon.domain.jobs import ChannelName, JobId, ProjectName, Tracking
from daemon.domain.routing import Routing
from daemon.store import batches, mutes, shares
from daemon.store.alerts import HELD_BACK
from daemon.store.mapping import TransactionPart, plain
from daemon.store.ordering import due, open_, same_line
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES, JOBS

NAMED = 20
"""Jobs that stay behind and are listed by name, at most."""

_C, _D = JOBS.c, DELIVERIES.c
_OLD, _NEW = bindparam("old", type_=Text), bindparam("new", type_=Text)
_twin = JOBS.alias("twin")
_has_twin = select(1).where(_twin.c.job_id == _C.job_id, _twin.c.project == _NEW).correlate(JOBS).exists()
_active = _C.tracking == plain(Tracking.ACTIVE)
_MOVABLE = and_(_C.project == _OLD, ~_has_twin)
_COUNT_JOBS = select(func.count(), func.count().filter(_active)).select_from(JOBS).where(_MOVABLE)
_TWINS = select(_C.job_id).where(_C.project == _OLD, _has_twin)
_BATCHES = select(_C.batch).where(_MOVABLE, _C.batch.is_not(None)).distinct().order_by(_C.batch)
_WITH_JOBS = (
    update(DELIVERIES).where(_D.job.in_(select(_C.id).where(_MOVABLE)), _D.project == _OLD).values(project=_NEW)
)
_MOVE_JOBS = (
    update(JOBS)
    .where(_MOVABLE)
    # Active jobs count as changed, so that the watch sees them; their next poll is not planned yet.
    .values(project=_NEW, changed=or_(_C.changed, _active), next_poll_at=None, next_reason=None)
)
_same = DELIVERIES.alias("same")
_AS = bindparam("as_key", type_=Text)
_MOVE_END = (
    update(DELIVERIES)
    .where(
        _D.id == bindparam("row"),
        ~select(1).where(_same.c.key == _AS, _same.c.channel == _D.channel).correlate(DELIVERIES).exists(),
    )
    .values(key=_AS, project=_NEW)
)


def _has(*statuses: DeliveryStatus) -> ColumnElement[bool]:
    return or_(*(_D.status == plain(each) for each in statuses))


_has_same = select(1).where(_same.c.key == _D.key, _same.c.channel == _NEW).correlate(DELIVERIES).exists()
_OPEN = _has(DeliveryStatus.PENDING, DeliveryStatus.HELD)
_DEAD = _has(DeliveryStatus.DEAD)
_SENDING = _has(DeliveryStatus.SENDING)
_COUNT_DELIVERIES = select(
    func.count().filter(not_(_SENDING), ~_has_same),
    func.count().filter(not_(_SENDING), _has_same),
    func.count().filter(_SENDING),
).where(_D.channel == _OLD, or_(_OPEN, _DEAD, _SENDING))
_MOVE_DELIVERIES = update(DELIVERIES).where(_D.channel == _OLD, ~_has_same).values(channel=_NEW)
_MOVE_DEAD = _MOVE_DELIVERIES.where(_DEAD)
# The attempts on the old channel say nothing about the new one, so deliveries start over there.
_EVENTS = select(_D.event).where(_D.channel == _OLD, _OPEN).distinct()
_MOVE_OPEN = _MOVE_DELIVERIES.where(_OPEN, _D.event == bindparam("of_event", type_=Text)).values(
    status=plain(DeliveryStatus.PENDING),
    due_at=bindparam("due", type_=_D.due_at.type),
    held_until=bindparam("until", type_=_D.held_until.type),
    tried_for=0.0,
    tried_at=None,
    defects=0,
)
_later = DELIVERIES.alias("later")
_hurries = select(1).where(same_line(_later, DELIVERIES), _later.c.id > _D.id, open_(_later), due(_later))
# Order is kept: what goes out now takes along what is held back for quiet hours ahead of it.
_FREE = (
    update(DELIVERIES)
    .where(_D.channel == _NEW, HELD_BACK, _hurries.correlate(DELIVERIES).exists())
    .values(due_at=bindparam("now", type_=_D.due_at.type))
)


class MovedJobs(Struct, frozen=True, kw_only=True):
    """What a move affects or affected: how many jobs, how many of them `active`, how many stay because the target
    has a job of the same id, and the first of those (at most `NAMED`)."""

    moved: int
    active: int
    stay: int
    twins: tuple[JobId, ...]


class MovedDeliveries(Struct, frozen=True, kw_only=True):
    """What a move affects or affected: how many deliveries, and how many stay because the target has the same ones
    (`twins`) or because they are being sent."""

    moved: int
    twins: int
    sending: int


class Moves(TransactionPart):
    """Moves, seen through one transaction."""

    def jobs_of(self, old: ProjectName, new: ProjectName) -> MovedJobs:
        """Return which jobs `jobs` would move."""
        names = {"old": old, "new": new}
        moved, active = self._connection.execute(_COUNT_JOBS, names).one()
        stay = self._connection.execute(select(func.count()).select_from(_TWINS.subquery()), names).scalar_one()
        twins = self._connection.execute(_TWINS.order_by(_C.id).limit(NAMED), names).scalars()
        return MovedJobs(moved=moved, active=active, stay=stay, twins=tuple(map(JobId, twins)))

    def jobs(self, old: ProjectName, new: ProjectName, *, at: datetime, routing: Routing) -> MovedJobs:
        """Move all jobs of `old`, including ended ones, to `new`, with their alerts. Active ones are changes for
        `Jobs.take_changes`. If the last active jobs of a batch stay behind, its end is announced by `routing`."""
        result = self.jobs_of(old, new)
        names = {"old": old, "new": new}
        found = self._connection.execute(_BATCHES, names).scalars().all()
        was_active = {batch: batches.is_active(self._connection, old, batch) for batch in found}
        self._connection.execute(_WITH_JOBS, names)
        self._connection.execute(_MOVE_JOBS, names)
        mutes.project_moved(self._connection, old, new)
        shares.project_moved(self._connection, old, new)
        for batch in found:
            self._move_ends(old, new, batch)
            # A batch that had ended is not announced again because `new` has a batch of the same name. A batch
            # with an active job now has not ended.
            if was_active[batch] or batches.is_active(self._connection, new, batch):
                batches.changed(self._connection, [(new, batch)], at=at, routing=routing)
        return result

    def _move_ends(self, old: ProjectName, new: ProjectName, batch: str) -> None:
        """Move the alerts of the batch's ends to keys of the other project, so that they are not sent again."""
        begins = batch_key(old, batch)
        for row in batches.end_alerts(self._connection, old, batch):
            key = batch_key(new, batch) + row.key.removeprefix(begins)
            self._connection.execute(_MOVE_END, {"row": row.id, "as_key": key, "new": new})

    def deliveries_of(self, old: ChannelName, new: ChannelName) -> MovedDeliveries:
        """Return which deliveries `deliveries` would move."""
        names = {"old": old, "new": new}
        moved, twins, sending = self._connection.execute(_COUNT_DELIVERIES, names).one()
        return MovedDeliveries(moved=moved, twins=twins, sending=sending)

    def deliveries(self, old: ChannelName, new: ChannelName, *, at: datetime, routing: Routing) -> MovedDeliveries:
        """Move what waits on `old` to `new`, due `at` or after the quiet hours of `new` by `routing`; dead ones
        stay dead. Sent deliveries stay with the channel that received them."""
        result = self.deliveries_of(old, new)
        names = {"old": old, "new": new}
        hours = routing.quiet.get(new)
        for event in self._connection.execute(_EVENTS, names).scalars().all():
            held_until = hours.until(at, Event(event)) if hours is not None and event in set(Event) else None
            values = {"of_event": event, "due": held_until or at, "until": held_until}
            self._connection.execute(_MOVE_OPEN, {**names, **values})
        self._connection.execute(_MOVE_DEAD, names)
        self._connection.execute(_FREE, {"new": new, "now": at})
        mutes.channel_moved(self._connection)
        return result
