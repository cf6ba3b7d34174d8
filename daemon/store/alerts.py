"""Writes alerts into the outbox, in the transaction of the fact that causes them.

Owns the insertion of deliveries, and what an alert does to those waiting ahead of it. Sending, claiming and
judging deliveries belong to other modules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Text, and_, bindparam, or_, select, update
from sqlalchemy.dialects import sqlite

from daemon.domain.events import Event, Json, Occurrence, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing, Subject, Target
from daemon.store.mapping import plain
from daemon.store.rows import DeliveryStatus, JobRow
from daemon.store.tables import DELIVERIES

_D = DELIVERIES.c
_PENDING = _D.status == plain(DeliveryStatus.PENDING)

# The key makes an alert unique on its channel: inserting it a second time is not an error.
_ADD = sqlite.insert(DELIVERIES).on_conflict_do_nothing(index_elements=[_D.key, _D.channel])
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A delivery to be written, at most once for each `key` and `channel`. With `held_until` it waits for the end
    of quiet hours. With `overtakes`, deliveries ahead of it that are held back for quiet hours go out with it."""

    key: str
    channel: ChannelName
    event: Event
    project: ProjectName | None
    facts: Mapping[str, Json]
    job: int | None = None
    transition: int | None = None
    held_until: datetime | None = None
    overtakes: bool = False


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
    subject = Subject(
        event=occurrence.event,
        project=known.project,
        kind=known.kind,
        tags=known.tags,
        batch=known.batch,
        label=known.label,
    )
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


def add(connection: Connection, alerts: Iterable[Alert], *, at: datetime, due_at: datetime) -> list[ChannelName]:
    """Write the alerts that do not exist yet, due `due_at` or at the end of their quiet hours. Returns the channel
    of each one written."""
    return [alert.channel for alert in alerts if _add(connection, alert, at=at, due_at=due_at)]


def _add(connection: Connection, alert: Alert, *, at: datetime, due_at: datetime) -> bool:
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
    if connection.execute(_ADD, row).rowcount != 1:
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


def exists(connection: Connection, occurrence: Occurrence) -> bool:
    """Return whether the occurrence was written for any channel."""
    return connection.execute(_EXISTS, {"of_key": occurrence.key}).first() is not None


def hasten(connection: Connection, job: int, *, at: datetime) -> None:
    """Make the job's untried alerts due at `at` if they are due later, except those held back for quiet hours."""
    connection.execute(_HASTEN, {"of_job": job, "now": at})
