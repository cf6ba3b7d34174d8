"""Writes alerts of recurring events: the latest replaces those still waiting for a pause to end.

Owns what happens to the waiting ones; `domain.damping` decides how long the pause is. Keeps no state besides the
deliveries themselves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Text, and_, bindparam, literal_column, or_, select, update

from daemon.domain import damping
from daemon.domain.events import RESENT, Event
from daemon.domain.jobs import ChannelName
from daemon.store import alerts
from daemon.store.alerts import Alert
from daemon.store.mapping import plain
from daemon.store.rows import REPLACED, DeliveryStatus
from daemon.store.tables import DELIVERIES

_D = DELIVERIES.c
_COUNTED = 16
"""Past deliveries considered for each event: more do not lengthen the pause."""
_ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED, Event.LOST, Event.EXPIRED})
_COMES_AND_GOES = sorted({each for event in Event for each in damping.group(event)})

_ON_CHANNEL = _D.channel == bindparam("of_channel", type_=Text)
_OF_JOB = _D.job == bindparam("of_job")
_OF_PROJECT = and_(_D.job.is_(None), _D.project.is_not_distinct_from(bindparam("of_project", type_=Text)))
_WAITS = and_(_D.status == plain(DeliveryStatus.PENDING), _D.attempts == 0)
_LATER = _D.due_at > bindparam("now", type_=_D.due_at.type)
# Built once: ends of jobs pass here, and building the statement on each call would cost more than running it.
_BLOCKING = select(_D.id, _D.channel).where(
    _WAITS, _LATER, _D.held_until.is_(None), _D.event.in_([plain(each) for each in _COMES_AND_GOES])
)
_JOB_BLOCKING = _BLOCKING.where(_OF_JOB)
_PROJECT_BLOCKING = _BLOCKING.where(_ON_CHANNEL, _OF_PROJECT)
# The plus keeps SQLite off the channel indexes, which lead to everything the channel was ever sent.
_LATEST = (
    select(_D.id, _D.facts, _D.due_at, _D.sent_at, _WAITS.label("waits"))
    .where(literal_column("+deliveries.channel", Text) == bindparam("of_channel", type_=Text))
    .where(_D.status != plain(DeliveryStatus.CANCELED))
    .limit(_COUNTED)
)
_JOB_LATEST = (
    _LATEST.where(_OF_JOB, _D.event == bindparam("of_event", type_=Text))
    .where(or_(_D.key < RESENT, _D.key > f"{RESENT}~"))  # what people resend does not hold back news
    .order_by(_D.id.desc())
)
_PROJECT_LATEST = _LATEST.where(
    _D.key >= bindparam("first", type_=Text), _D.key < bindparam("last", type_=Text)
).order_by(_D.key.desc())
_ROW = _D.id == bindparam("row")
_CANCEL = update(DELIVERIES).where(_ROW).values(status=plain(DeliveryStatus.CANCELED), last_error=REPLACED)
_RELEASE = update(DELIVERIES).where(_ROW).values(due_at=bindparam("now", type_=_D.due_at.type))


def add(connection: Connection, rows: Iterable[Alert], *, at: datetime, due_at: datetime) -> list[ChannelName]:
    """Like `alerts.add`, for any event. Recurring events are damped. Other alerts about the same thing do not wait
    for the damped ones ahead of them."""
    alerted: list[ChannelName] = []
    at_once: list[Alert] = []
    for alert in rows:
        group = damping.group(alert.event)
        if group:
            alerted += _add_damped(connection, alert, group, at=at, due_at=due_at)
        else:
            at_once.append(alert)
    return alerted + add_at_once(connection, at_once, at=at, due_at=due_at)


def add_at_once(
    connection: Connection, rows: Iterable[Alert], *, at: datetime, due_at: datetime
) -> list[ChannelName]:
    """Like `alerts.add`; these alerts wait neither for a pause nor for a damped alert ahead of them."""
    alerted: list[ChannelName] = []
    of_jobs: dict[int, tuple[Alert, list[ChannelName]]] = {}  # one query for each job, whatever its channels
    for alert in rows:
        written = alerts.add(connection, [alert], at=at, due_at=due_at)
        alerted += written
        if written and alert.job is None:
            _unblock(connection, alert, written, at=at)
        elif written and alert.job is not None:
            of_jobs.setdefault(alert.job, (alert, []))[1].extend(written)
    for alert, channels in of_jobs.values():
        _unblock(connection, alert, channels, at=at)
    return alerted


def add_again(connection: Connection, alert: Alert, *, at: datetime) -> bool:
    """Write an alert that a person resends, due `at`. It is no news, so the alerts waiting ahead stay valid."""
    written = alerts.add(connection, [alert], at=at, due_at=at)
    if written:
        _unblock(connection, alert, written, at=at, ends=frozenset())
    return bool(written)


def _add_damped(
    connection: Connection, alert: Alert, group: frozenset[Event], *, at: datetime, due_at: datetime
) -> list[ChannelName]:
    """Write the alert in place of the waiting ones, with how many it stands for, due when its pause ends."""
    found = [row for event in sorted(group) for row in _of_group(connection, alert, event)]
    waiting = [row for row in found if row.waits and row.due_at > at]
    sent = [row.sent_at or row.due_at for row in found if row not in waiting]
    times = 1 + sum(_times(row.facts) for row in waiting)
    if times > 1 and sent:
        since = max(min(each, at) for each in sent)
        alert = replace(alert, facts={**alert.facts, "times": times, "times_since": since.isoformat()})
    written = alerts.add(connection, [alert], at=at, due_at=max(due_at, damping.tell_at(sent, at=at)))
    if written and waiting:  # a duplicate was not written and replaces nothing
        connection.execute(_CANCEL, [{"row": row.id} for row in waiting])
    return written


def _times(facts: object) -> int:
    times = facts.get("times") if isinstance(facts, dict) else None
    return times if isinstance(times, int) else 1


def _of_group(connection: Connection, alert: Alert, event: Event) -> Sequence[Row[Any]]:
    """Return the latest deliveries of `event` about the same thing on the same channel."""
    if alert.job is not None:
        values = {"of_channel": alert.channel, "of_job": alert.job, "of_event": str(event)}
        return connection.execute(_JOB_LATEST, values).all()
    first = f"project/{alert.project}/{event}/"
    return connection.execute(
        _PROJECT_LATEST, {"of_channel": alert.channel, "first": first, "last": f"{first}\x7f"}
    ).all()


def _unblock(
    connection: Connection,
    alert: Alert,
    channels: Sequence[ChannelName],
    *,
    at: datetime,
    ends: frozenset[Event] = _ENDS,
) -> None:
    """Keep damped alerts ahead on these channels from blocking this one. If the job has ended (by one of `ends`),
    they are void and canceled; otherwise they go out now, since order is kept."""
    query = _PROJECT_BLOCKING if alert.job is None else _JOB_BLOCKING
    about: dict[str, object] = {"of_job": alert.job}
    if alert.job is None:
        about = {"of_channel": alert.channel, "of_project": alert.project}
    rows = connection.execute(query, {"now": at, **about})
    found = [row.id for row in rows if row.channel in channels]
    if not found:
        return
    if alert.event in ends:
        connection.execute(_CANCEL, [{"row": row} for row in found])
    else:
        connection.execute(_RELEASE, [{"row": row, "now": at} for row in found])
