"""Deliveries that are being sent without an owner, or that cannot even be claimed.

Owns these statements, for `Outbox`. A delivery that has an owner is left alone. No statement here reads a complete
row: rows that cannot be read are what this module is for.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, insert, select, update

from daemon.domain.jobs import ChannelName
from daemon.store.ordering import is_, open_
from daemon.store.rows import AttemptOutcome, DeliveryStatus
from daemon.store.tables import ATTEMPTS, DELIVERIES

STOPPED_WHILE_SENDING = "wrapd stopped while it was being sent"
LEFT_WHILE_SENDING = "an error of wrapd's own left it while it was being sent"
LONGEST_SEND = timedelta(minutes=5)
"""A delivery sending for longer has no owner: a send ends by its deadline and is recorded soon after."""
DEFECTS = 3
"""Errors of wrapd's own after which a delivery is tried in its plainest form; one more makes it dead."""

Wait = Callable[[int], float]
"""Returns the seconds to wait after so many attempts."""

_D, _A = DELIVERIES.c, ATTEMPTS.c
_SENDING = and_(open_(DELIVERIES), is_(DELIVERIES, DeliveryStatus.SENDING))
BARE = (_D.id, _D.channel, _D.event, _D.attempts, _D.defects)
"""The columns that can always be read."""
_IN_FLIGHT = select(*BARE).where(_SENDING)
_CLOSE = (
    update(ATTEMPTS)
    .where(_A.delivery == bindparam("row"), _A.ended_at.is_(None))
    .values(outcome=AttemptOutcome.UNKNOWN)
)
_BACK = update(DELIVERIES).where(_D.id == bindparam("row"), _SENDING).values(possible_repeat=True)
_begun = select(1).where(
    _A.delivery == _D.id, _A.ended_at.is_(None), _A.started_at > bindparam("recent", type_=_A.started_at.type)
)
_LEFT = select(_D.id).where(
    _D.id.in_(bindparam("rows", expanding=True)),
    is_(DELIVERIES, DeliveryStatus.SENDING),
    ~_begun.correlate(DELIVERIES).exists(),
)
_POSTPONE = update(DELIVERIES).where(_D.id == bindparam("row"))
_TRIED = insert(ATTEMPTS)


class Left(Struct, frozen=True, kw_only=True):
    """A delivery that wrapd itself could not take, or abandoned while it was being sent: put off, or `dead`.
    `event` is as stored."""

    id: int
    channel: ChannelName
    event: str
    dead: bool


def recover(connection: Connection, *, at: datetime) -> int:
    """Make everything that was being sent due `at` again: after a stop nothing has an owner. Returns how many."""
    found = connection.execute(_IN_FLIGHT).all()
    _give_back(
        connection, [(row, DeliveryStatus.PENDING, at, row.defects) for row in found], at, STOPPED_WHILE_SENDING
    )
    return len(found)


def rescue(connection: Connection, owned: Collection[int], *, at: datetime, wait: Wait) -> tuple[Left, ...]:
    """Return to the queue what is being sent and not in `owned`, abandoned by an error of wrapd's own. It is due
    again after `wait`, marked as a possible repeat; after `DEFECTS` such errors one more makes it dead."""
    found = [row for row in connection.execute(_IN_FLIGHT) if row.id not in owned]
    changes = []
    for row in found:
        status = DeliveryStatus.DEAD if row.defects >= DEFECTS else DeliveryStatus.PENDING
        changes.append((row, status, at + timedelta(seconds=wait(row.attempts)), row.defects + 1))
    _give_back(connection, changes, at, LEFT_WHILE_SENDING)
    return tuple(
        Left(id=row.id, channel=ChannelName(row.channel), event=row.event, dead=status is DeliveryStatus.DEAD)
        for row, status, _, _ in changes
    )


def _give_back(
    connection: Connection, changes: Sequence[tuple[Any, DeliveryStatus, datetime, int]], at: datetime, reason: str
) -> None:
    """Close the attempts, and set each delivery's status, due time and number of defects."""
    if not changes:
        return
    connection.execute(_CLOSE, [{"row": row.id, "ended_at": at, "reason": reason} for row, *_ in changes])
    connection.execute(
        _BACK,
        [
            {"row": row.id, "status": status, "due_at": due_at, "defects": defects, "last_error": reason}
            for row, status, due_at, defects in changes
        ],
    )


def sending(connection: Connection) -> frozenset[int]:
    """Return the row ids of what is being sent."""
    return frozenset(row.id for row in connection.execute(_IN_FLIGHT))


def leave(connection: Connection, deliveries: Sequence[int], *, at: datetime) -> None:
    """Mark as dead those of the deliveries that have been sending for too long to have an owner: a person may
    retry or cancel them."""
    found = connection.execute(_LEFT, {"rows": deliveries, "recent": at - LONGEST_SEND}).scalars().all()
    if not found:
        return
    reason = LEFT_WHILE_SENDING
    connection.execute(_CLOSE, [{"row": row, "ended_at": at, "reason": reason} for row in found])
    dead = {"status": DeliveryStatus.DEAD, "last_error": reason, "possible_repeat": True}
    connection.execute(_POSTPONE, [{"row": row, **dead} for row in found])


def put_aside(connection: Connection, found: Any, *, now: datetime, wait: Wait, reason: str) -> Left:
    """Record an error of wrapd's own that kept a delivery from being claimed. It counts as an attempt and
    postpones the delivery; after `DEFECTS` of them one more makes it dead. `found` is a row of `BARE`."""
    n, defects = found.attempts + 1, found.defects + 1
    dead = defects > DEFECTS
    values = {
        "status": DeliveryStatus.DEAD if dead else DeliveryStatus.PENDING,
        "due_at": now + timedelta(seconds=wait(defects)),
        "attempts": n,
        "defects": defects,
        "last_error": reason,
    }
    connection.execute(_POSTPONE, {"row": found.id, **values})
    outcome = AttemptOutcome.DEAD if dead else AttemptOutcome.RETRY
    attempt = {"delivery": found.id, "n": n, "started_at": now, "ended_at": now}
    connection.execute(_TRIED, {**attempt, "outcome": outcome, "reason": reason})
    return Left(id=found.id, channel=ChannelName(found.channel), event=found.event, dead=dead)
