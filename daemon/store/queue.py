"""The state of the queue: which channels are refused, what goes first, and how much is due.

Owns these statements, for display. `standing` costs the same however much is waiting.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Integer, bindparam, func, select

from daemon.domain.jobs import ChannelName
from daemon.store import fallback
from daemon.store.mapping import TransactionPart
from daemon.store.ordering import CHANNEL, before, due, is_, unsent, waits
from daemon.store.rows import DeliveryRow, DeliveryStatus, MuteRow, Refusal, Standing
from daemon.store.tables import DELIVERIES

DUE = 1000
"""Upper bound when counting the due deliveries of a channel."""

_D = DELIVERIES.c
_earlier = DELIVERIES.alias("earlier")
_FIRST = (
    select(func.min(_earlier.c.id)).where(before(_earlier, DELIVERIES)).correlate(DELIVERIES).scalar_subquery()
)
_AFTER = select(_D.id, _FIRST.label("first")).where(_D.id.in_(bindparam("rows", type_=Integer, expanding=True)))
_DUE = select(func.count()).select_from(
    select(_D.id)
    .where(_D.channel == CHANNEL, waits(DELIVERIES, DeliveryStatus.PENDING), due(DELIVERIES))
    .limit(DUE)
    .subquery()
)
_WAITING = select(func.count()).select_from(DELIVERIES).where(_D.channel == CHANNEL, unsent(DELIVERIES))
_WAITING_DUE = _WAITING.where(due(DELIVERIES))
_REASON = (
    select(_D.last_error)
    .where(_D.channel == CHANNEL, is_(DELIVERIES, DeliveryStatus.HELD) | is_(DELIVERIES, DeliveryStatus.SENDING))
    .where(_D.last_error.is_not(None))  # a probe may never have been tried before
    .order_by(_D.id)
    .limit(1)
)


class DeliveryQueue(TransactionPart):
    """The queue, seen through one transaction."""

    def refusals(self, channels: Iterable[ChannelName]) -> dict[ChannelName, Refusal]:
        """Return those of the channels that their services refuse."""
        found = {}
        for channel in channels:
            since = fallback.held_since(self._connection, channel)
            if since is not None:
                reason = self._connection.execute(_REASON, {"channel": channel}).scalar()
                found[channel] = Refusal(since=since, reason=reason)
        return found

    def waiting(self, channel: ChannelName, *, now: datetime | None = None) -> int:
        """Return how many deliveries of the channel are to be sent or being sent; with `now`, only those due."""
        if now is None:
            return int(self._connection.execute(_WAITING, {"channel": channel}).scalar_one())
        return int(self._connection.execute(_WAITING_DUE, {"channel": channel, "now": now}).scalar_one())

    def standing(self, rows: Sequence[DeliveryRow], *, now: datetime) -> Standing:
        """Return what keeps these deliveries waiting, for those that wait."""
        waiting = [row for row in rows if row.status in (DeliveryStatus.PENDING, DeliveryStatus.HELD)]
        channels = dict.fromkeys(row.channel for row in waiting)
        ids = [row.id for row in waiting]
        after = self._connection.execute(_AFTER, {"rows": ids}) if ids else ()
        return Standing(
            refusals=self.refusals(channels),
            after={row.id: row.first for row in after if row.first is not None},
            due={
                channel: self._connection.execute(_DUE, {"channel": channel, "now": now}).scalar_one()
                for channel in channels
            },
            mutes=self._mutes({row.mute for row in waiting if row.mute is not None}),
        )

    def _mutes(self, rows: Collection[int]) -> Mapping[int, MuteRow]:
        if not rows:
            return {}
        from daemon.store.mutes import Mutes  # noqa: PLC0415 - its statements take long to build, and are rarely used

        return Mutes(self._connection).get(rows)
