"""Quiet hours after a change of the config or the clock: what is held back waits for the hours in force now.

Owns these statements, for `Outbox`. The order of each line is kept, and no alert waits longer than before unless
the wall clock was set.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing, Subject
from daemon.store import batches
from daemon.store.alerts import HELD_BACK, quiet_channels
from daemon.store.ordering import known, open_
from daemon.store.tables import DELIVERIES, JOBS

_D, _C = DELIVERIES.c, JOBS.c
_ROWS = (
    select(
        *(_D.id, _D.channel, _D.event, _D.job, _D.project, _D.facts, _D.due_at),
        *(_C.kind, _C.tags, _C.batch, _C.label),
    )
    .select_from(DELIVERIES.outerjoin(JOBS, JOBS.c.id == _D.job))
    .where(
        open_(DELIVERIES), known(DELIVERIES), HELD_BACK
    )  # by the index of unsent rows: ORDER BY would read all deliveries
)
_MOMENT = _D.due_at.type
_FREE = update(DELIVERIES).where(_D.id == bindparam("row")).values(due_at=bindparam("due", type_=_MOMENT))
_KEEP = _FREE.values(held_until=bindparam("due", type_=_MOMENT))


def shorten(connection: Connection, routing: Routing, *, at: datetime) -> int:
    """Release what is held back for quiet hours at their end by `routing`, or `at` if none are in force then.
    Returns how many alerts were changed. An alert that is no longer routed to its channel keeps its time while the
    channel can have quiet hours at all."""
    return _retime(connection, routing, before=at, at=at, longer=False)


def renew(connection: Connection, routing: Routing, *, before: datetime, at: datetime) -> int:
    """Adjust what is held back after the wall clock was set from `before` to `at`: it waits for the end of the
    quiet hours in force now, which may be later, or is due `at` if there are none."""
    return _retime(connection, routing, before=before, at=at, longer=True)


def _retime(connection: Connection, routing: Routing, *, before: datetime, at: datetime, longer: bool) -> int:
    free: list[dict[str, object]] = []
    kept: list[dict[str, object]] = []
    quiet = quiet_channels(routing)
    first: dict[tuple[object, ...], datetime] = {}
    rows = connection.execute(_ROWS, {"now": before}).all()
    for row in sorted(rows, key=lambda row: -row.id):  # from the last: none may be due after one behind it
        line = (row.channel, row.job, row.project if row.job is None else None)
        own = row.due_at + (at - before)  # used if it is no longer routed to the channel
        end = _end(connection, row, routing, quiet, at=at, own=own)
        due = end if longer else min(row.due_at, end)
        first[line] = due = min(due, first.get(line, due))
        if due != row.due_at:
            (free if due <= at else kept).append({"row": row.id, "due": due})
    for statement, changes in ((_FREE, free), (_KEEP, kept)):
        if changes:
            connection.execute(statement, changes)
    return len(free) + len(kept)


def _end(
    connection: Connection,
    row: Any,
    routing: Routing,
    quiet: frozenset[ChannelName],
    *,
    at: datetime,
    own: datetime,
) -> datetime:
    """Return until when the alert has to wait by `routing`; `own` if routing does not say."""
    if row.channel not in quiet:
        return at
    subject = _subject(connection, row)
    targets = () if subject is None else routing.targets(subject, at=at)
    ends = [target.held_until or at for target in targets if target.channel == row.channel]
    end: datetime = ends[0] if ends else own
    return end


def _subject(connection: Connection, row: Any) -> Subject | None:
    event = Event(row.event)
    if event is Event.BATCH_FINISHED:
        return batches.subject(connection, ProjectName(row.project), str(row.facts["batch"]))
    return Subject(
        event=event,
        project=row.project,
        kind=row.kind,
        tags=tuple(row.tags or ()),
        batch=row.batch,
        label=row.label,
    )
