"""Writes alerts into the outbox, in the transaction of the fact that causes them.

Owns the insertion of deliveries, and what an alert does to those waiting ahead of it: the latest alert of a
recurring event replaces those that wait for a pause to end (`domain.damping` decides how long it is). Sending,
claiming and judging deliveries belong to other modules.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Row,
    Text,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from daemon.domain import damping
from daemon.domain.events import RESENT, Event, Json, Occurrence, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing, Subject, Target
from daemon.store.mapping import plain
from daemon.store.rows import REPLACED, DeliveryStatus, JobRow
from daemon.store.tables import DELIVERIES

_D = DELIVERIES.c
_PENDING = _D.status == plain(DeliveryStatus.PENDING)

# The key makes an alert unique on its channel: inserting it a second time is not an error.
_ADD_BY_HAND = sqlite.insert(DELIVERIES).on_conflict_do_nothing(index_elements=[_D.key, _D.channel])
_EXISTS = select(_D.id).where(_D.key == bindparam("of_key")).limit(1)
_NOW = bindparam("now", type_=_D.due_at.type)
_HASTEN = (
    update(DELIVERIES)
    .where(
        _D.job == bindparam("of_job"),
        _PENDING,
        _D.attempts == 0,  # a failed one waits for its own retry time
        _D.due_at > _NOW,
        or_(_D.held_until.is_(None), _D.held_until <= _NOW),
    )
    .values(due_at=_NOW)
)
HELD_BACK = and_(_PENDING, _D.attempts == 0, _D.held_until.is_not(None), _D.due_at > _NOW)
"""Deliveries held back for quiet hours at the parameter `now` that have not been tried yet."""
_ON_CHANNEL = _D.channel == bindparam("of_channel", type_=Text)
_FREE_JOB = update(DELIVERIES).where(_D.job == bindparam("of_job"), _ON_CHANNEL, HELD_BACK).values(due_at=_NOW)
_FREE_PROJECT = (
    update(DELIVERIES)
    .where(_D.job.is_(None), _ON_CHANNEL, _D.project.is_not_distinct_from(bindparam("of_project")), HELD_BACK)
    .values(due_at=_NOW)
)

_COUNTED = 16
"""Past deliveries considered for each event: more do not lengthen the pause."""
_ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED, Event.LOST, Event.EXPIRED})
_COMES_AND_GOES = sorted({each for event in Event for each in damping.group(event)})

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
    select(_D.id, _D.facts, _D.due_at, _D.sent_at, _D.mute, _WAITS.label("waits"))
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


class Alert(Struct, frozen=True, kw_only=True):
    """A delivery to be written, at most once for each `key` and `channel`. With `held_until` it waits for the end
    of quiet hours. With `overtakes`, deliveries ahead of it that are held back for quiet hours go out with it.
    One requested `by_hand` is sent although a mute covers it."""

    key: str
    channel: ChannelName
    event: Event
    project: ProjectName | None
    facts: Mapping[str, Json]
    job: int | None = None
    transition: int | None = None
    held_until: datetime | None = None
    overtakes: bool = False
    by_hand: bool = False


def of_job(
    occurrence: Occurrence,
    known: JobRow,
    *,
    routing: Routing,
    at: datetime,
    facts: Mapping[str, Json],
    transition: int | None = None,
) -> list[Alert]:
    """Return alerts of a job's event, one for each channel that routing selects."""
    subject = known.subject(occurrence.event)
    return of(occurrence, subject, routing=routing, at=at, facts=facts, job=known.id, transition=transition)


def of(
    occurrence: Occurrence,
    subject: Subject,
    *,
    routing: Routing,
    at: datetime,
    facts: Mapping[str, Json],
    job: int | None = None,
    transition: int | None = None,
) -> list[Alert]:
    """Return alerts of the event about `subject`, one for each channel that routing selects."""
    return [
        Alert(
            key=occurrence.key,
            channel=target.channel,
            event=occurrence.event,
            project=subject.project,
            facts=facts,
            job=job,
            transition=transition,
            held_until=target.held_until,
            overtakes=target.held_until is None and has_quiet_hours(routing, target.channel),
        )
        for target in routing.targets(subject, at=at)
    ]


def of_operators(alert: OperatorAlert, channels: Iterable[ChannelName | Target]) -> list[Alert]:
    """Return alerts of an event about wrapd itself. A channel given by name only is alerted at once."""
    targets = [each if isinstance(each, Target) else Target(channel=each) for each in channels]
    return [
        Alert(
            key=alert.key,
            channel=target.channel,
            event=alert.event,
            project=alert.project,
            facts=alert.facts,
            held_until=target.held_until,
            overtakes=target.held_until is None,
        )
        for target in targets
    ]


def has_quiet_hours(routing: Routing, channel: ChannelName) -> bool:
    """Return whether any alert for the channel may be held back for quiet hours."""
    return channel in routing.quiet or any(
        route.quiet is not None and channel in route.channels for route in routing.routes
    )


def quiet_channels(routing: Routing) -> frozenset[ChannelName]:
    """Return the channels on which any alert may be held back for quiet hours."""
    by_route = (route.channels for route in routing.routes if route.quiet is not None)
    return frozenset(routing.quiet).union(*by_route)


def write(connection: Connection, alerts: Iterable[Alert], *, at: datetime, due_at: datetime) -> list[ChannelName]:
    """Write the alerts that do not exist yet, due `due_at` or at the end of their quiet hours. Returns the channel
    of each one written."""
    return [alert.channel for alert in alerts if _write(connection, alert, at=at, due_at=due_at)]


def _write(connection: Connection, alert: Alert, *, at: datetime, due_at: datetime) -> bool:
    row = {
        "key": alert.key,
        "channel": alert.channel,
        "event": alert.event,
        "job": alert.job,
        "project": alert.project,
        "transition": alert.transition,
        "facts": alert.facts,
        "status": DeliveryStatus.PENDING,
        "due_at": due_at if alert.held_until is None else max(due_at, alert.held_until),
        "created_at": at,
        "held_until": alert.held_until,
    }
    about = {
        "for_channel": alert.channel,
        "for_project": alert.project,
        "for_job": alert.job,
        "for_batch": alert.facts.get("batch") if alert.event is Event.BATCH_FINISHED else None,
    }
    done = connection.execute(_ADD_BY_HAND, row) if alert.by_hand else connection.execute(_add(), row | about)
    if done.rowcount != 1:
        return False
    if alert.overtakes:
        _release(connection, alert, at=due_at)
    return True


def _release(connection: Connection, alert: Alert, *, at: datetime) -> None:
    """Release what is held back ahead of this alert, so that the order of the line is kept."""
    if alert.job is None:
        values = {"of_project": alert.project, "of_channel": alert.channel, "now": at}
        connection.execute(_FREE_PROJECT, values)
    else:
        connection.execute(_FREE_JOB, {"of_job": alert.job, "of_channel": alert.channel, "now": at})


def add(connection: Connection, rows: Iterable[Alert], *, at: datetime, due_at: datetime) -> list[ChannelName]:
    """Like `write`, for any event. Recurring events are damped. Other alerts about the same thing do not wait
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
    """Like `write`; these alerts wait neither for a pause nor for a damped alert ahead of them."""
    alerted: list[ChannelName] = []
    of_jobs: dict[int, tuple[Alert, list[ChannelName]]] = {}  # one query for each job, whatever its channels
    for alert in rows:
        written = write(connection, [alert], at=at, due_at=due_at)
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
    written = write(connection, [alert], at=at, due_at=at)
    if written:
        _unblock(connection, alert, written, at=at, ends=frozenset())
    return bool(written)


def _add_damped(
    connection: Connection, alert: Alert, group: frozenset[Event], *, at: datetime, due_at: datetime
) -> list[ChannelName]:
    """Write the alert in place of the waiting ones, with how many it stands for, due when its pause ends."""
    found = [row for event in sorted(group) for row in _of_group(connection, alert, event)]
    waiting = [row for row in found if row.waits and (row.due_at > at or row.mute is not None)]
    sent = [row.sent_at or row.due_at for row in found if row not in waiting]
    times = 1 + sum(_times(row.facts) for row in waiting)
    if times > 1 and sent:
        since = max(min(each, at) for each in sent)
        alert = replace(alert, facts={**alert.facts, "times": times, "times_since": since.isoformat()})
    written = write(connection, [alert], at=at, due_at=max(due_at, damping.tell_at(sent, at=at)))
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


def exists(connection: Connection, occurrence: Occurrence) -> bool:
    """Return whether the occurrence was written for any channel."""
    return connection.execute(_EXISTS, {"of_key": occurrence.key}).first() is not None


def hasten(connection: Connection, job: int, *, at: datetime) -> None:
    """Make the job's untried alerts due at `at` if they are due later, except those held back for quiet hours."""
    connection.execute(_HASTEN, {"of_job": job, "now": at})


@cache
def _add() -> Insert:
    """Insert an alert, under the mute that covers it. Built once something is written: it takes as long as half a
    command that only reads."""
    from daemon.store import mutes  # noqa: PLC0415 - as above

    about = mutes.About(
        channel=bindparam("for_channel", type_=Text),
        project=bindparam("for_project", type_=Text),
        job=bindparam("for_job", type_=BigInteger),
        batch=bindparam("for_batch", type_=Text),
    )
    adding = sqlite.insert(DELIVERIES).values(mute=mutes.covering(about))
    return adding.on_conflict_do_nothing(index_elements=[_D.key, _D.channel])
