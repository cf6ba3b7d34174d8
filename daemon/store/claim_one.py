"""The common claim as a single query: the channel is not held, and a due delivery is first in its line.

Owns this statement, for `Outbox`, which tries its other queries if this one finds nothing. The query joins the job
and the transition that the message needs: each further statement would cost a twentieth of a send.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, insert, select, update

from daemon.domain.jobs import ChannelName
from daemon.store.mapping import delivery_of, job_of, plain
from daemon.store.ordering import CHANNEL, before, due, waits
from daemon.store.rows import Claimed, DeliveryStatus, TransitionRow
from daemon.store.tables import ATTEMPTS, DELIVERIES, JOBS, TRANSITIONS

_D = DELIVERIES.c
_earlier = DELIVERIES.alias("earlier")
_held = DELIVERIES.alias("held_row")
# `deliveries_due` returns the channel's pending rows in order of `due_at`, so the LIMIT stops at the first with
# nothing ahead of it, which `deliveries_order` answers. Both hold unsent rows only, however many were sent. The
# transaction has the write lock from its start, so no other claim can take the row before `_TAKE`.
_DUE = (
    select(DELIVERIES, JOBS, TRANSITIONS)
    .select_from(
        DELIVERIES.outerjoin(JOBS, JOBS.c.id == _D.job).outerjoin(TRANSITIONS, TRANSITIONS.c.id == _D.transition)
    )
    .where(
        _D.channel == CHANNEL,
        waits(DELIVERIES, DeliveryStatus.PENDING),
        due(DELIVERIES),
        ~select(1).where(_held.c.channel == CHANNEL, waits(_held, DeliveryStatus.HELD)).exists(),
        ~select(1).where(before(_earlier, DELIVERIES)).correlate(DELIVERIES).exists(),
    )
    .order_by(_D.due_at, _D.id)
    .limit(bindparam("most", type_=Integer))
)
_TAKE = (
    update(DELIVERIES)
    .where(_D.id == bindparam("row"))
    .values(status=plain(DeliveryStatus.SENDING), attempts=bindparam("attempt"))
)
_BEGIN = (
    insert(ATTEMPTS)
    .values(delivery=bindparam("row"), n=bindparam("attempt"), started_at=bindparam("now"))
    .inline()
)
_NAMES = tuple(tuple(table.c.keys()) for table in (DELIVERIES, JOBS, TRANSITIONS))


def take(connection: Connection, channel: ChannelName, *, now: datetime, most: int = 1) -> tuple[Claimed, ...]:
    """Claim the `most` earliest due deliveries, each of another line, and open the next attempt of each; () if the
    channel is held or nothing is due."""
    rows = connection.execute(_DUE, {"channel": channel, "now": now, "most": most}).all()
    if not rows:
        return ()
    taken = [_claimed(tuple(row)) for row in rows]
    values = [{"row": each.delivery.id, "attempt": each.attempt, "now": now} for each in taken]
    connection.execute(_TAKE, values)
    connection.execute(_BEGIN, values)
    return tuple(taken)


def _claimed(values: tuple[Any, ...]) -> Claimed:
    delivery, job, move = _parts(values)
    attempt = delivery["attempts"] + 1
    delivery |= {"attempts": attempt, "status": DeliveryStatus.SENDING}
    return Claimed(
        delivery=delivery_of(delivery),
        job=None if job["id"] is None else job_of(job),
        move=None if move["id"] is None else TransitionRow(**move),
        attempt=attempt,
        channel_held=False,
    )


def _parts(values: tuple[Any, ...]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Split a joined row into the columns of the three tables, whose names overlap."""
    first, second = len(_NAMES[0]), len(_NAMES[0]) + len(_NAMES[1])
    delivery, job, move = _NAMES
    return (
        dict(zip(delivery, values[:first], strict=True)),
        dict(zip(job, values[first:second], strict=True)),
        dict(zip(move, values[second:], strict=True)),
    )
