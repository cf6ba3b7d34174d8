"""Claims several deliveries for one message: counts what is waiting, and claims it together.

Owns these statements, for `Outbox`. Keeps the order of each line, and leaves operator alerts alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Connection,
    Table,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from daemon.domain.digests import Waiting
from daemon.domain.jobs import ChannelName
from daemon.store.mapping import delivery_row, job_row, plain, plain_row
from daemon.store.ordering import CHANNEL, before, due, merges, unsent, waits
from daemon.store.rows import Claimed, DeliveryRow, DeliveryStatus, TransitionRow, from_stamp
from daemon.store.tables import ATTEMPTS, DELIVERIES, JOBS, TRANSITIONS

COUNTED = 1000
"""Upper bound when counting deliveries: more do not change whether they are merged into a digest."""
MOST = 500
"""Deliveries claimed together at most: the values that one statement takes."""

_D = DELIVERIES.c
_WRITTEN = [plain(status) for status in DeliveryStatus if status is not DeliveryStatus.CANCELED]
# One range of `deliveries_by_status` for each status, ending at COUNTED.
_RECENT = select(func.count()).select_from(
    select(_D.id)
    .where(
        _D.channel == CHANNEL,
        _D.status.in_(_WRITTEN),  # one index search each; a "not canceled" would scan them all
        _D.created_at > bindparam("since", type_=_D.created_at.type),
        _D.created_at < bindparam("until", type_=_D.created_at.type),  # the clock may have been set back
        merges(DELIVERIES),
        or_(_D.held_until.is_(None), due(DELIVERIES)),  # held for quiet hours: not traffic
        _D.mute.is_(None),
    )
    .limit(COUNTED)
    .subquery()
)
_earlier = DELIVERIES.alias("earlier")
_goes_too = and_(waits(_earlier, DeliveryStatus.PENDING), due(_earlier), merges(_earlier))
_before = before(_earlier, DELIVERIES)
_CLAIMABLE = (
    _D.channel == CHANNEL,
    waits(DELIVERIES, DeliveryStatus.PENDING),
    due(DELIVERIES),
    merges(DELIVERIES),
    # A delivery may go only if everything ahead of it in its line goes with it.
    ~select(1).where(_before, ~_goes_too).correlate(DELIVERIES).exists(),
)
_due_at, _created_at = (type_coerce(column, BigInteger) for column in (_D.due_at, _D.created_at))
_ready = (
    # A delivery that was tried before has been waiting since it was written.
    select(
        case((_D.attempts == 0, _due_at), else_=_created_at).label("since"),
        func.coalesce(_D.held_until, _D.unmuted_at).label("kept"),
    )
    .where(*_CLAIMABLE)
    .order_by(_D.due_at, _D.id)
    .limit(COUNTED)
    .subquery()
)
_READY = select(func.count(), func.min(_ready.c.since), func.count(_ready.c.kept)).select_from(_ready)
_FIRST = select(DELIVERIES).where(*_CLAIMABLE).order_by(_D.due_at, _D.id).limit(bindparam("most"))
# Not restricted to the channel: with it SQLite would take the channel's index and scan all that waits there.
_OF_JOBS = select(DELIVERIES).where(_D.job.in_(bindparam("jobs", expanding=True)), unsent(DELIVERIES))
_OF_PROJECTS = select(DELIVERIES).where(_D.job.is_(None), unsent(DELIVERIES))
_TAKE = (
    update(DELIVERIES)
    .where(_D.id == bindparam("row"))
    .values(status=plain(DeliveryStatus.SENDING), attempts=bindparam("attempt"))
)
_BEGIN = insert(ATTEMPTS)


def waiting(connection: Connection, channel: ChannelName, *, now: datetime, window: float) -> Waiting:
    """Return what is waiting on the channel. Counts stop at `COUNTED`."""
    by = timedelta(seconds=window)
    span = {"since": now - by, "until": now + by}
    recent = connection.execute(_RECENT, {"channel": channel, "now": now, **span}).scalar_one()
    ready, oldest, kept = connection.execute(_READY, {"channel": channel, "now": now}).one()
    return Waiting(
        recent=recent, due=ready, oldest=None if oldest is None else from_stamp(oldest), from_quiet=kept
    )


def take(connection: Connection, channel: ChannelName, *, now: datetime, most: int) -> tuple[Claimed, ...]:
    """Claim up to `most` due deliveries in id order, and open an attempt for each."""
    most = min(most, MOST)
    found = connection.execute(_FIRST, {"channel": channel, "now": now, "most": most})
    first = {row.id: delivery_row(row) for row in found}
    if not first:
        return ()
    # `_FIRST` is ordered by due time, and a retried delivery may be due later than one behind it in its line.
    # Fetching the predecessors before sorting by id keeps `most` from cutting between them.
    earlier = _before_them(connection, first.values())
    rows = sorted((first | earlier).values(), key=lambda row: row.id)[:most]
    taken = [replace(row, status=DeliveryStatus.SENDING, attempts=row.attempts + 1) for row in rows]
    connection.execute(_TAKE, [{"row": row.id, "attempt": row.attempts} for row in taken])
    connection.execute(
        _BEGIN,
        [{"delivery": row.id, "n": row.attempts, "started_at": now, "shared": len(taken)} for row in taken],
    )
    return _claimed(connection, taken)


def _before_them(connection: Connection, rows: Iterable[DeliveryRow]) -> dict[int, DeliveryRow]:
    """Return what is ahead of these in their lines."""
    last: defaultdict[tuple[object, ...], int] = defaultdict(int)
    for row in rows:
        last[_line(row)] = max(last[_line(row)], row.id)
    found: list[Any] = []
    if jobs := sorted({row.job for row in rows if row.job is not None}):
        found += connection.execute(_OF_JOBS, {"jobs": jobs})
    if any(row.job is None for row in rows):
        found += connection.execute(_OF_PROJECTS)
    return {row.id: delivery_row(row) for row in found if row.id < last[_line(row)]}


def _line(row: Any) -> tuple[object, ...]:
    return (row.channel, row.job, row.project if row.job is None else None)


def _claimed(connection: Connection, taken: Sequence[DeliveryRow]) -> tuple[Claimed, ...]:
    jobs = _by_id(connection, JOBS, (row.job for row in taken))
    moves = _by_id(connection, TRANSITIONS, (row.transition for row in taken))
    return tuple(
        Claimed(
            delivery=row,
            job=None if row.job is None else job_row(jobs[row.job]),
            move=None if row.transition is None else plain_row(TransitionRow, moves[row.transition]),
            attempt=row.attempts,
        )
        for row in taken
    )


def _by_id(connection: Connection, table: Table, wanted: Iterable[int | None]) -> dict[int, Any]:
    ids = sorted({row for row in wanted if row is not None})
    query = select(table).where(table.c.id.in_(ids))
    return {row.id: row for row in connection.execute(query)} if ids else {}
