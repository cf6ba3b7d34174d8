"""What is done about deliveries that are given up: another channel is told in their place, the operators are told
how many there are and why, in one alert for many.

Owns which of them one alert tells of. Must never tell of an alert that is itself about dead ones: two channels
that take nothing would tell of each other for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Target
from daemon.store import DeliveryRow, Transaction

GATHER = 10.0
"""Seconds in which dead ones are gathered before the first alert about them."""
PAUSE = 600.0
"""Seconds between two alerts about dead ones of one channel."""
_SURELY = 1.0
"""Seconds before its time in which an alert is not added to any more: it may be on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An alert about dead deliveries, to be told in `wait` seconds; of an equal key that still waits, it becomes a
    part."""

    alert: OperatorAlert
    wait: float


class DeadLetters:
    """The dead deliveries of one channel; `fallback` is told in its place."""

    def __init__(self, channel: ChannelName, *, fallback: ChannelName | None) -> None:
        self.fallback = fallback
        self._key: str | None = None
        self._channel = channel
        self._told_at = float("-inf")

    def notice(self, dead: Sequence[tuple[int, str]], *, reason: str, at: datetime, now: float) -> Notice | None:
        """The alert about these, by row id and event; None where there is nothing to tell. `now`: monotonic
        seconds."""
        told = [row for row, event in dead if event != Event.DELIVERY_DEAD]
        if not told:
            return None
        if self._key is None or now > self._told_at - _SURELY:
            self._told_at = max(now + GATHER, self._told_at + PAUSE)
            self._key = f"channel/{self._channel}/dead/{told[0]}/{int(at.timestamp() * 1000)}"
        facts: dict[str, Json] = {
            "channel": self._channel,
            "reason": reason,
            "deliveries": len(told),
            "observed_at": at.isoformat(),
        }
        alert = OperatorAlert(event=Event.DELIVERY_DEAD, key=self._key, facts=facts)
        return Notice(alert=alert, wait=max(0.0, self._told_at - now))

    def take_back(self) -> str | None:
        """Some were not dead after all: the key of the last alert about them, which is not added to any more."""
        key, self._key, self._told_at = self._key, None, float("-inf")
        return key

    def write(
        self,
        tx: Transaction,
        rows: Sequence[DeliveryRow],
        notice: Notice | None,
        *,
        operators: Sequence[Target],
        at: datetime,
    ) -> None:
        """Tell `operators`, and copy `rows` to the fallback, each once."""
        if self.fallback is not None:
            tx.outbox.copy(rows, self.fallback, at=at)
        if notice is not None:
            due_at = at + timedelta(seconds=notice.wait)
            tx.outbox.tell_dead(notice.alert, channels=operators, at=at, due_at=due_at)
