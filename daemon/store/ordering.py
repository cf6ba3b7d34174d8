"""Which deliveries wait behind which: the conditions shared by claiming, counting and diverting.

Owns the meaning of a line: alerts about one job reach a channel in the order in which they were written, and so do
those of one project that are about no job. An alert that is still gathering blocks none. Runs no statements.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Text, and_, bindparam, not_, or_, type_coerce

from daemon.domain.events import Event
from daemon.store.mapping import plain
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES

FAR = timedelta(hours=2)
"""No delivery is put off for longer, except for quiet hours: one due later shows that the clock was set back."""
_QUIET = timedelta(hours=25)
"""The longest that quiet hours can last: a day, with an hour more for the change from summer time."""

_EVENTS = [plain(event) for event in Event]

CHANNEL = bindparam("channel", type_=Text)
MOMENT = DELIVERIES.c.due_at.type


def is_(table: FromClause, status: DeliveryStatus) -> ColumnElement[bool]:
    """It has this status."""
    return table.c.status == plain(status)


def same_line(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Two deliveries that must arrive in order: on one channel, about one job, or about no job but one project."""
    return and_(
        one.c.channel == other.c.channel,
        one.c.job.is_not_distinct_from(other.c.job),
        or_(other.c.job.is_not(None), one.c.project.is_not_distinct_from(other.c.project)),
    )


def before(earlier: FromClause, table: FromClause) -> ColumnElement[bool]:
    """`earlier` has to be sent before the delivery of `table`, which waits for it."""
    return and_(same_line(earlier, table), earlier.c.id < table.c.id, unsent(earlier), not_(gathers(earlier)))


def gathers(table: FromClause) -> ColumnElement[bool]:
    """It is gathering what it reports, and is due once that is over. Until then it blocks nothing."""
    return and_(
        table.c.event == plain(Event.DELIVERY_DEAD),
        table.c.status == plain(DeliveryStatus.PENDING),
        table.c.attempts == 0,
    )


def waits(table: FromClause, status: DeliveryStatus) -> ColumnElement[bool]:
    """It has this status, no mute keeps it, and this version of wrapd can send it."""
    return and_(is_(table, status), table.c.mute.is_(None), known(table))


def unsent(table: FromClause) -> ColumnElement[bool]:
    """It is to be sent or being sent, and this version of wrapd can send it. What a mute keeps blocks nothing."""
    return and_(open_(table), or_(table.c.mute.is_(None), is_(table, DeliveryStatus.SENDING)), known(table))


def open_(table: FromClause) -> ColumnElement[bool]:
    """It is to be sent or being sent, whatever its event, and even if a mute keeps it."""
    # Written as in the partial indexes: otherwise SQLite does not see that they apply.
    return or_(
        is_(table, DeliveryStatus.PENDING), is_(table, DeliveryStatus.SENDING), is_(table, DeliveryStatus.HELD)
    )


def known(table: FromClause) -> ColumnElement[bool]:
    """This version of wrapd knows its event. A newer one may have written others: those stay and block nothing."""
    return table.c.event.in_(_EVENTS)


def merges(table: FromClause) -> ColumnElement[bool]:
    """It may be sent in one message with others: alerts about jobs and batches, not operator alerts."""
    return or_(table.c.job.is_not(None), table.c.event == plain(Event.BATCH_FINISHED))


def due(table: FromClause) -> ColumnElement[bool]:
    """It is due at the parameter `now` of `times`."""
    return table.c.due_at <= bindparam("now", type_=MOMENT)


def too_far(table: FromClause) -> ColumnElement[bool]:
    """It is due later than anything is put off for, by `times`, so the clock was set back. Deliveries held back
    for quiet hours may be due a day ahead, and are put off from the end of those hours."""
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
    """Return the parameters of `due` and `too_far`."""
    return {"now": now, "far": now + FAR, "very_far": now + _QUIET + FAR}
