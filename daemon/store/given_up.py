"""Dead deliveries: the operators' alert about them, which grows while it waits, and its withdrawal.

Owns these statements, for `Outbox`. An alert that is itself about dead deliveries causes no other one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, select, update

from daemon.domain.events import Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Target
from daemon.store import alerts
from daemon.store.mapping import plain
from daemon.store.ordering import gathers, is_
from daemon.store.rows import REPLACED, DeliveryStatus
from daemon.store.tables import DELIVERIES

_D = DELIVERIES.c
_WAITING = select(_D.id, _D.channel, _D.facts).where(
    _D.key >= bindparam("first", type_=Text), _D.key < bindparam("last", type_=Text), gathers(DELIVERIES)
)
_UPDATE = update(DELIVERIES).where(_D.id == bindparam("row"))
_HOLD = (
    update(DELIVERIES)
    .where(
        _D.id == bindparam("row"),
        _D.channel == bindparam("of_channel", type_=Text),  # a person may have moved it to another channel
        is_(DELIVERIES, DeliveryStatus.DEAD),
    )
    .values(status=plain(DeliveryStatus.HELD), due_at=bindparam("due", type_=_D.due_at.type))
)


def tell(
    connection: Connection,
    alert: OperatorAlert,
    targets: Iterable[Target],
    *,
    about: str,
    at: datetime,
    due_at: datetime,
) -> None:
    """Alert the operators to dead deliveries, from `due_at` on. A waiting alert whose key begins with `about` is
    updated instead: `deliveries` becomes the total, the other facts are those of the latest."""
    waiting = {row.channel: row for row in connection.execute(_WAITING, _range(about))}
    grown: list[dict[str, object]] = []
    new: list[Target] = []
    for target in targets:
        row = waiting.get(target.channel)
        if row is None:
            new.append(target)
        else:
            count = _count(row.facts) + _count(alert.facts)
            grown.append({"row": row.id, "facts": {**alert.facts, "deliveries": count}})
    if grown:
        connection.execute(_UPDATE, grown)
    alerts.write(connection, alerts.of_operators(alert, new), at=at, due_at=due_at)


def hold(
    connection: Connection,
    channel: ChannelName,
    deliveries: Sequence[int],
    *,
    about: str,
    at: datetime,
    due_at: datetime,
) -> None:
    """Hold these dead deliveries, which failed because of their channel, until `due_at`. A waiting alert whose key
    begins with `about` is reduced by as many, and canceled at zero."""
    if not deliveries:
        return
    rows = [{"row": row, "of_channel": channel, "due": due_at} for row in deliveries]
    count = connection.execute(_HOLD, rows).rowcount
    if count < 1:
        return
    for row in connection.execute(_WAITING, _range(about)).all():
        left = _count(row.facts) - count
        values: dict[str, object] = {"facts": {**row.facts, "deliveries": left}}
        if left < 1:
            values = {"status": DeliveryStatus.CANCELED, "due_at": at, "last_error": REPLACED}
        connection.execute(_UPDATE, {"row": row.id, **values})


def _range(about: str) -> dict[str, str]:
    return {"first": about, "last": f"{about}\x7f"}


def _count(facts: Mapping[str, Json]) -> int:
    found = facts.get("deliveries")
    return found if isinstance(found, int) else 1
