"""The common claim as a single query: the channel is not held, and a due delivery is first in its line.

Owns this statement, for `Outbox`, which tries its other queries if this one finds nothing. The query joins the job
and the transition that the message needs: each further statement would cost a twentieth of a send.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from daemon.domain.jobs import ChannelName
from daemon.store.mapping import delivery_of, job_of, plain
from daemon.store.ordering import CHANNEL, before, due, waits
from daemon.store.rows import Claimed, DeliveryStatus, TransitionRow
from daemon.store.tables import ATTEMPTS, DELIVERIES, JOBS, TRANSITIONS

_D = DELIVERIES.c
_earlier = DELIVERIES.alias("earlier")
_held = DELIVERIES.alias("held_row")
# `deliveries_due` returns the channel's pending rows in order of `due_at`, so LIMIT 1 stops at the first one with
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
    .limit(1)
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


def take(connection: Connection, channel: ChannelName, *, now: datetime) -> Claimed | None:
    """Claim the earliest due delivery and open its next attempt; None if the channel is held or nothing is due."""
    row = connection.execute(_DUE, {"channel": channel, "now": now}).one_or_none()
    if row is None:
        return None
    delivery, job, move = _parts(tuple(row))
    attempt = delivery["attempts"] + 1
    delivery |= {"attempts": attempt, "status": DeliveryStatus.SENDING}
    connection.execute(_TAKE, {"row": delivery["id"], "attempt": attempt})
    connection.execute(_BEGIN, {"row": delivery["id"], "attempt": attempt, "now": now})
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
