"""Shifts what waits after the wall clock was set, so that it waits neither longer nor shorter.

Owns these statements, for `Outbox`. Leaves alone what was written since then, by the new time, and what is done.
"""

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Connection, and_, bindparam, case, not_, or_, select, type_coerce, update

from daemon.domain.routing import Routing
from daemon.store import quiet
from daemon.store.ordering import MOMENT, open_
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import ATTEMPTS, DELIVERIES

FRESH = timedelta(seconds=15)
"""New deliveries are due within this, except for quiet hours: at once, or after a batch has settled."""

_MICROSECOND = timedelta(microseconds=1)
_D, _A = DELIVERIES.c, ATTEMPTS.c
_due_at, _tried_at = (type_coerce(column, BigInteger) for column in (_D.due_at, _D.tried_at))
_STEP = bindparam("step", type_=BigInteger)
_HELD_BACK = and_(_D.held_until.is_not(None), _D.attempts == 0)
_WRITTEN_SINCE = _D.due_at.between(bindparam("first", type_=MOMENT), bindparam("last", type_=MOMENT))
_WAITS = and_(
    _D.due_at > bindparam("after", type_=MOMENT),
    not_(_WRITTEN_SINCE),
    or_(bindparam("all", type_=BigInteger) == 1, not_(_HELD_BACK)),
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
    """Shift due times after the wall clock was set by `step` seconds, within the last `window` seconds, to `now`.
    With `routing`, what is held back for quiet hours waits for their end by the new time."""
    by = timedelta(seconds=step)
    before = now - by
    if routing is not None:
        quiet.renew(connection, routing, before=before, at=now)
    # Rows written or released since the step are due about now by the new time, and must not be shifted. After a
    # small step they cannot be told apart, and are shifted with the others, by seconds.
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
    """Return by how many seconds at least the clock was set back while wrapd was off, judged by a row written
    later than `now`. 0: there is none."""
    last = last_written(connection)
    return 0.0 if last is None else max(0.0, (last - now).total_seconds())


def last_written(connection: Connection) -> datetime | None:
    """Return when something was last written or tried; None if nothing was."""
    moments: list[datetime | None] = [connection.execute(_LAST_WRITTEN).scalar_one_or_none()]
    moments += connection.execute(_LAST_TRIED).one_or_none() or ()
    return max((moment for moment in moments if moment is not None), default=None)


def bound(connection: Connection, *, now: datetime, longest: timedelta) -> None:
    """Make due now what is due after more than `longest`, except for quiet hours."""
    connection.execute(_BOUND, {"now": now, "furthest": now + longest})
