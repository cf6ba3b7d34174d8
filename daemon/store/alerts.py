"""Writing alerts into the outbox, in the transaction of the fact that causes them.

Owns the insertion of deliveries. Must never send, claim or judge one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import sqlite

from daemon.domain.events import Event, Json, Occurrence, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.store.mapping import plain
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES

_D = DELIVERIES.c

# The key makes an alert tell once: a second one is no fault.
_ADD = sqlite.insert(DELIVERIES).on_conflict_do_nothing(index_elements=[_D.key, _D.channel])
_TOLD = select(_D.id).where(_D.key == bindparam("of_key")).limit(1)
_HASTEN = (
    update(DELIVERIES)
    .where(
        _D.job == bindparam("of_job"),
        _D.status == plain(DeliveryStatus.PENDING),
        _D.attempts == 0,  # one that failed waits for its own time
        _D.due_at > bindparam("now", type_=_D.due_at.type),
    )
    .values(due_at=bindparam("now", type_=_D.due_at.type))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A delivery to be: `key` and `channel` together are told once."""

    key: str
    channel: ChannelName
    event: Event
    project: ProjectName | None
    facts: Mapping[str, Json]
    job: int | None = None
    transition: int | None = None


def of_job(
    occurrence: Occurrence,
    channels: Iterable[ChannelName],
    *,
    job: int,
    project: ProjectName,
    facts: Mapping[str, Json],
    transition: int | None = None,
) -> list[Alert]:
    """A job's event for each of the channels."""
    return [
        Alert(
            key=occurrence.key,
            channel=channel,
            event=occurrence.event,
            project=project,
            facts=facts,
            job=job,
            transition=transition,
        )
        for channel in channels
    ]


def of_operators(alert: OperatorAlert, channels: Iterable[ChannelName]) -> list[Alert]:
    """An event about wrapd itself for each of the channels."""
    return [
        Alert(key=alert.key, channel=channel, event=alert.event, project=alert.project, facts=alert.facts)
        for channel in channels
    ]


def add(connection: Connection, alerts: Iterable[Alert], *, at: datetime, due_at: datetime) -> list[ChannelName]:
    """Write the alerts that were not told yet; returns the channel of each one written."""
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
        "due_at": due_at,
        "created_at": at,
    }
    return connection.execute(_ADD, row).rowcount == 1


def told(connection: Connection, occurrence: Occurrence) -> bool:
    """Whether the occurrence was written for any channel."""
    return connection.execute(_TOLD, {"of_key": occurrence.key}).first() is not None


def hasten(connection: Connection, job: int, *, at: datetime) -> None:
    """Make the job's alerts due at `at` that wait for a later moment and were not tried yet."""
    connection.execute(_HASTEN, {"of_job": job, "now": at})
