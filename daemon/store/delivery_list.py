"""Deliveries and their attempts, for reading.

Owns these statements and changes nothing; `outbox` does.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Unpack

from sqlalchemy import Select, bindparam, func, literal, select, union_all

from daemon.domain.jobs import ChannelName
from daemon.store import lists, paging
from daemon.store.lists import DeliveryFilter, DeliverySort
from daemon.store.mapping import TransactionPart, attempt_row, chunks, delivery_row, named
from daemon.store.ordering import CHANNEL, is_
from daemon.store.rows import AttemptRow, DeliveryRow, DeliveryStatus
from daemon.store.tables import ATTEMPTS, DELIVERIES, GIVEN_UP_COUNTS, SENT_COUNTS

_D = DELIVERIES.c
_Deliveries = list[DeliveryRow]
_Attempts = list[AttemptRow]
_IS_SENT = literal(DeliveryStatus.SENT.value)
_COUNTED = sorted([DeliveryStatus.SENT.value, DeliveryStatus.DEAD.value, DeliveryStatus.CANCELED.value])
"""Statuses whose counts are kept."""
LATEST = 100
"""Sent deliveries of a channel among which the last one to be sent is sought."""


def _between(low: str | None, high: str | None) -> Select[Any]:
    bounds = [_D.status > literal(low)] if low is not None else []
    bounds += [_D.status < literal(high)] if high is not None else []
    return (
        select(_D.channel, _D.status, func.count())
        .where(_D.channel.in_(bindparam("channels", expanding=True)), *bounds)
        .group_by(_D.channel, _D.status)
    )


# The ranges of `deliveries_by_status` around them, also with statuses of a newer wrapd; a NOT IN would read all.
_OTHERS = union_all(*(_between(low, high) for low, high in pairwise([None, *_COUNTED, None])))
_NEWEST_SENT = (
    select(_D.sent_at)
    .where(_D.channel == CHANNEL, is_(DELIVERIES, DeliveryStatus.SENT))
    .order_by(_D.created_at.desc())
    .limit(LATEST)
    .subquery()
)
_LAST_SENT = select(func.max(_NEWEST_SENT.c.sent_at))
_some: Any = bindparam("deliveries", expanding=True)
_ATTEMPTS_OF = select(ATTEMPTS).where(ATTEMPTS.c.delivery.in_(_some)).order_by(ATTEMPTS.c.delivery, ATTEMPTS.c.n)
_GIVEN_UP = select(GIVEN_UP_COUNTS).where(GIVEN_UP_COUNTS.c.n > 0)
_SENT = select(SENT_COUNTS.c.channel, _IS_SENT, SENT_COUNTS.c.n).where(SENT_COUNTS.c.n > 0)


class DeliveryList(TransactionPart):
    """The deliveries, seen through one transaction."""

    def attempts(self, delivery: int) -> _Attempts:
        """Return the attempts of a delivery, first to last."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.delivery == delivery).order_by(ATTEMPTS.c.n)
        return [attempt_row(row) for row in self._connection.execute(query)]

    def attempts_of(self, deliveries: Sequence[int]) -> dict[int, _Attempts]:
        """Return the attempts of each of these deliveries, first to last; deliveries never tried are left out."""
        found: dict[int, _Attempts] = {}
        for part in chunks(deliveries):
            for row in map(attempt_row, self._connection.execute(_ATTEMPTS_OF, {"deliveries": part}).all()):
                found.setdefault(row.delivery, []).append(row)
        return found

    def get(self, delivery: int) -> DeliveryRow | None:
        """Return the delivery of that row id."""
        row = self._connection.execute(select(DELIVERIES).where(_D.id == delivery)).first()
        return None if row is None else delivery_row(row)

    def counts(
        self, channels: Collection[ChannelName] | None = None
    ) -> dict[tuple[ChannelName, DeliveryStatus], int]:
        """Return how many deliveries each channel has, by status, at least of these channels (None: of all); pairs
        without any are left out. What is sent or was given up is not counted but kept, so that this takes no
        longer for more of it."""
        if channels is None:
            channels = [each["channel"] for each in paging.combinations(self._connection, (_D.channel,), {})]
        found = [
            row
            for query in (_OTHERS, _GIVEN_UP, _SENT)
            for row in self._connection.execute(query, {"channels": list(channels)} if query is _OTHERS else None)
        ]
        return {(ChannelName(channel), named(DeliveryStatus, status)): count for channel, status, count in found}

    def page(
        self,
        *,
        limit: int,
        after: paging.Place | None = None,
        sort: DeliverySort = DeliverySort.NEWEST,
        search: str | None = None,
        **fit: Unpack[DeliveryFilter],
    ) -> lists.Page[DeliveryRow]:
        """Return the first `limit` matching deliveries beyond `after`. A page examines a bounded number of rows,
        so with `search`, or with filters that no single index covers, it may be short or empty although more
        follow."""
        return lists.deliveries(self._connection, sort, limit=limit, after=after, search=search, **fit)

    def list(self, *, limit: int = paging.ALL, **fit: Unpack[DeliveryFilter]) -> _Deliveries:
        """Return the matching deliveries, latest first."""
        return lists.deliveries(self._connection, DeliverySort.NEWEST, limit=limit, whole=True, **fit).rows

    def last_sent(self, channel: ChannelName) -> datetime | None:
        """Return when the channel last accepted one of its `LATEST` newest deliveries that it accepted."""
        moment: datetime | None = self._connection.execute(_LAST_SENT, {"channel": channel}).scalar_one()
        return moment

    def count(self, *, most: int, **fit: Unpack[DeliveryFilter]) -> paging.RowCount:
        """Count the matching deliveries, up to `most`; see `paging.count`."""
        return paging.count(self._connection, lists.delivery_runs(self._connection, **fit), most=most)
