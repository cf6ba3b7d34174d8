"""Channels that refuse messages: since when, and sending what waits for one of them elsewhere as well.

Owns these statements, for `Outbox`, and the times at which messages to a channel were sent. A diverted delivery is
a copy: the original stays with its own channel.
"""

import contextlib
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, case, func, or_, select

from daemon.domain.jobs import ChannelName
from daemon.store.alerts import Alert, add_at_once
from daemon.store.mapping import delivery_row, plain
from daemon.store.ordering import CHANNEL, due, is_, known, unsent
from daemon.store.rows import AttemptOutcome, DeliveryRow, DeliveryStatus
from daemon.store.tables import ATTEMPTS, DELIVERIES

DIVERTED = 500
"""Deliveries diverted in one transaction at most."""

_D, _A = DELIVERIES.c, ATTEMPTS.c
_last, _later = ATTEMPTS.alias("last"), ATTEMPTS.alias("later")
_refused = select(1).where(
    _last.c.delivery == _D.id, _last.c.n == _D.attempts - 1, _last.c.outcome == plain(AttemptOutcome.HELD)
)
_dead_since = select(1).where(
    _later.c.delivery == _A.delivery, _later.c.n > _A.n, _later.c.outcome == plain(AttemptOutcome.DEAD)
)
# The oldest refusal among what the channel still holds, found through `deliveries_by_status`.
_HELD_SINCE = (
    select(func.min(_A.ended_at))
    .select_from(DELIVERIES.join(ATTEMPTS, _A.delivery == _D.id))
    .where(
        _D.channel == CHANNEL,
        or_(is_(DELIVERIES, DeliveryStatus.HELD), is_(DELIVERIES, DeliveryStatus.SENDING)),
        known(DELIVERIES),
        _D.mute.is_(None),
        # A delivery being sent while the channel is held is the probe: it counts if its last attempt was refused.
        or_(is_(DELIVERIES, DeliveryStatus.HELD), _refused.correlate(DELIVERIES).exists()),
        _A.outcome == plain(AttemptOutcome.HELD),
        ~_dead_since.correlate(ATTEMPTS).exists(),  # a person has revived it since
    )
)
_elsewhere = DELIVERIES.alias("elsewhere")
_BY_ID = select(DELIVERIES).where(_D.id == bindparam("row"))
_copies = select(1).where(_elsewhere.c.key == _D.key, _elsewhere.c.channel == bindparam("other", type_=Text))
_WAITS = (
    select(DELIVERIES)
    .where(
        _D.channel == CHANNEL,
        unsent(DELIVERIES),
        or_(due(DELIVERIES), _D.attempts > 0),  # untried ones that are not due would wait on a healthy channel too
        ~_copies.correlate(DELIVERIES).exists(),
    )
    .order_by(_D.id)
    .limit(DIVERTED)
)
# Attempts have no index by time, but their row ids rise with it: step back from the newest one to the last before
# `since`, and read the ids above that.
_BEFORE = (
    select(_A.id)
    .where(_A.started_at < bindparam("since", type_=_A.started_at.type))
    .order_by(_A.id.desc())
    .limit(1)
    .scalar_subquery()
)
_OWNER = select(_D.channel).where(_D.id == _A.delivery).correlate(ATTEMPTS).scalar_subquery()
_SENT = (
    # All attempts of one message have the same start, so DISTINCT counts the message once.
    select(_A.started_at, _A.shared, case((_A.shared > 1, 0), else_=_A.id).label("own"))
    .where(_A.id > func.coalesce(_BEFORE, 0), _OWNER == CHANNEL)
    .distinct()
    .subquery()
)
_SENT_SINCE = select(_SENT.c.started_at).order_by(_SENT.c.started_at)


def held_since(connection: Connection, channel: ChannelName) -> datetime | None:
    """Return since when the channel has refused what it still holds; None if it is not held."""
    moment: datetime | None = connection.execute(_HELD_SINCE, {"channel": channel}).scalar_one()
    return moment


def divert(connection: Connection, channel: ChannelName, to: ChannelName, *, at: datetime) -> int:
    """Copy what waits on the held `channel` to the channel `to`, due `at`, with `diverted_from` among the facts:
    each delivery once, up to `DIVERTED` of them. Returns how many were written."""
    if held_since(connection, channel) is None:
        return 0
    found = connection.execute(_WAITS, {"channel": channel, "other": to, "now": at})
    return copy(connection, map(delivery_row, found), to, at=at)


def copy_readable(connection: Connection, deliveries: Iterable[int], to: ChannelName, *, at: datetime) -> int:
    """Do what `copy` does, by row ids. Dead deliveries that cannot be read are skipped."""
    rows = []
    for delivery in deliveries:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            rows += [delivery_row(row) for row in connection.execute(_BY_ID, {"row": delivery})]
    return copy(connection, rows, to, at=at)


def copy(connection: Connection, rows: Iterable[DeliveryRow], to: ChannelName, *, at: datetime) -> int:
    """Copy the deliveries to the channel `to`, due `at`, each once. Returns how many were written."""
    copies = [
        Alert(
            key=row.key,
            channel=to,
            event=row.event,
            project=row.project,
            facts={**row.facts, "diverted_from": row.channel},
            job=row.job,
            transition=row.transition,
            overtakes=True,
        )
        for row in rows
    ]
    return len(add_at_once(connection, copies, at=at, due_at=at))


def sent_since(connection: Connection, channel: ChannelName, *, since: datetime) -> tuple[datetime, ...]:
    """Return when messages to the channel were started since then. A digest counts as one message."""
    return tuple(connection.execute(_SENT_SINCE, {"channel": channel, "since": since}).scalars())
