"""Which deliveries wait behind which: the conditions that claiming, counting and diverting share.

Owns the meaning of a line: alerts about one job reach a channel in the order in which they were written, those
about no job in the order of their project's; one that gathers what it tells of stands before none. Must never run
a statement.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Text, and_, bindparam, not_, or_, type_coerce

from daemon.domain.events import Event
from daemon.store.mapping import plain
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES

FAR = timedelta(hours=2)
"""No delivery is put off for longer, but for quiet hours: one due later than this shows that the clock was set
back."""
_QUIET = timedelta(hours=25)
"""Quiet hours are no longer than a day: the longest has an hour more."""

_EVENTS = [plain(event) for event in Event]

CHANNEL = bindparam("channel", type_=Text)
MOMENT = DELIVERIES.c.due_at.type


def is_(table: FromClause, status: DeliveryStatus) -> ColumnElement[bool]:
    """Its status is this one."""
    return table.c.status == plain(status)


def same_line(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Two deliveries that arrive in order: on one channel, about one job, or about no job but one project."""
    return and_(
        one.c.channel == other.c.channel,
        one.c.job.is_not_distinct_from(other.c.job),
        or_(other.c.job.is_not(None), one.c.project.is_not_distinct_from(other.c.project)),
    )


def before(earlier: FromClause, table: FromClause) -> ColumnElement[bool]:
    """The one is to be sent before the other, which waits for that."""
    return and_(same_line(earlier, table), earlier.c.id < table.c.id, unsent(earlier), not_(gathers(earlier)))


def gathers(table: FromClause) -> ColumnElement[bool]:
    """It gathers what it tells of, and is due when that is over: until then it keeps nothing back."""
    return and_(
        table.c.event == plain(Event.DELIVERY_DEAD),
        table.c.status == plain(DeliveryStatus.PENDING),
        table.c.attempts == 0,
    )


def waits(table: FromClause, status: DeliveryStatus) -> ColumnElement[bool]:
    """It has this status, and may be sent by this wrapd."""
    return and_(is_(table, status), known(table))


def unsent(table: FromClause) -> ColumnElement[bool]:
    """It is still to be sent, or is being sent, by this wrapd."""
    return and_(open_(table), known(table))


def open_(table: FromClause) -> ColumnElement[bool]:
    """It is still to be sent, or is being sent, whatever it tells."""
    # Written as the partial indexes have it, or SQLite does not see that they fit.
    return or_(
        is_(table, DeliveryStatus.PENDING), is_(table, DeliveryStatus.SENDING), is_(table, DeliveryStatus.HELD)
    )


def known(table: FromClause) -> ColumnElement[bool]:
    """Its event is one that this wrapd can tell: a newer one may have written others, which stay as they are and
    keep nothing back."""
    return table.c.event.in_(_EVENTS)


def merges(table: FromClause) -> ColumnElement[bool]:
    """It may be told together with others: alerts about jobs and batches, not those for the operators."""
    return or_(table.c.job.is_not(None), table.c.event == plain(Event.BATCH_FINISHED))


def due(table: FromClause) -> ColumnElement[bool]:
    """Its time has come, by `times`."""
    return table.c.due_at <= bindparam("now", type_=MOMENT)


def too_far(table: FromClause) -> ColumnElement[bool]:
    """It is due later than anything is put off for, by `times`: the clock was set back. What was kept for quiet
    hours may lie a day ahead, and is put off from their end on."""
    due_at, held_until = (type_coerce(table.c[name], BigInteger) for name in ("due_at", "held_until"))
    return and_(
        table.c.due_at > bindparam("far", type_=MOMENT),
        or_(
            table.c.held_until.is_(None),
            due_at > held_until + FAR // timedelta(microseconds=1),
            table.c.due_at > bindparam("very_far", type_=MOMENT),
        ),
    )


def times(now: datetime) -> dict[str, Any]:
    """The parameters of `due` and `too_far`."""
    return {"now": now, "far": now + FAR, "very_far": now + _QUIET + FAR}
