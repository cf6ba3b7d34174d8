"""The wall clock was set: what waits is moved by as much, so that it waits no longer and no shorter for it.

Owns these statements, for `Outbox`. Must never touch what was written since, by the clock as it is now, and never
what is over.
"""

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Connection, and_, bindparam, case, not_, or_, select, type_coerce, update

from daemon.domain.routing import Routing
from daemon.store import quiet
from daemon.store.ordering import MOMENT, open_
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import ATTEMPTS, DELIVERIES

FRESH = timedelta(seconds=15)
"""What is written is due within this, but for quiet hours: at once, or after a batch has settled."""

_MICROSECOND = timedelta(microseconds=1)
_D, _A = DELIVERIES.c, ATTEMPTS.c
_due_at, _tried_at = (type_coerce(column, BigInteger) for column in (_D.due_at, _D.tried_at))
_STEP = bindparam("step", type_=BigInteger)
_KEPT = and_(_D.held_until.is_not(None), _D.attempts == 0)
_WRITTEN_SINCE = _D.due_at.between(bindparam("first", type_=MOMENT), bindparam("last", type_=MOMENT))
_WAITS = and_(
    _D.due_at > bindparam("after", type_=MOMENT),
    not_(_WRITTEN_SINCE),
    or_(bindparam("all", type_=BigInteger) == 1, not_(_KEPT)),
)
_MOVE = (
    update(DELIVERIES)
    .where(open_(DELIVERIES), or_(_WAITS, _D.tried_at.is_not(None)))
    .values(
        due_at=type_coerce(case((_WAITS, _due_at + _STEP), else_=_due_at), MOMENT),
        tried_at=type_coerce(_tried_at + _STEP, MOMENT),
    )
)
_LAST_WRITTEN = select(_D.created_at).order_by(_D.id.desc()).limit(1)
_LAST_TRIED = select(_A.started_at, _A.ended_at).order_by(_A.id.desc()).limit(1)
_BOUND = (
    update(DELIVERIES)
    .where(open_(DELIVERIES), DELIVERIES.c.status != DeliveryStatus.SENDING, _D.held_until.is_(None))
    .where(_D.due_at > bindparam("furthest", type_=MOMENT))
    .values(due_at=bindparam("now", type_=MOMENT))
)


def move(connection: Connection, step: float, *, now: datetime, window: float, routing: Routing | None) -> None:
    """The wall clock was set by `step` seconds, within the last `window` seconds; it shows `now`. What is kept for
    quiet hours waits for their end by the new time, if there is a `routing`."""
    by = timedelta(seconds=step)
    before = now - by
    if routing is not None:
        quiet.renew(connection, routing, before=before, at=now)
    # Rows that others wrote or freed since then are due about now, by the new time. After a small step they cannot
    # be told from the others: they move with them, by seconds.
    small = abs(by) <= FRESH
    first = now - timedelta(seconds=window)
    connection.execute(
        _MOVE,
        {
            "step": by // _MICROSECOND,
            "after": min(now, before) if small else before if step > 0 else now,
            "first": now if small else first,
            "last": now - _MICROSECOND if small else now + FRESH,
            "all": int(routing is None),
        },
    )


def set_back_by(connection: Connection, *, now: datetime) -> float:
    """By how many seconds the clock was set back at least, while wrapd was off: something was written later than
    `now`. 0: nothing was."""
    last = last_written(connection)
    return 0.0 if last is None else max(0.0, (last - now).total_seconds())


def last_written(connection: Connection) -> datetime | None:
    """When something was last written or tried; None: nothing was."""
    moments: list[datetime | None] = [connection.execute(_LAST_WRITTEN).scalar_one_or_none()]
    moments += connection.execute(_LAST_TRIED).one_or_none() or ()
    return max((moment for moment in moments if moment is not None), default=None)


def bound(connection: Connection, *, now: datetime, longest: timedelta) -> None:
    """Nothing waits for longer than `longest`, but for quiet hours: what is due later is due now."""
    connection.execute(_BOUND, {"now": now, "furthest": now + longest})
