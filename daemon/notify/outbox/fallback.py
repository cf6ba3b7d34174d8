"""When another channel is told what a held one does not take, and what of it.

Owns for how long a channel has been held, by a clock that does not jump. Must never decide whether it is: the lane
does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Target
from daemon.notify.outbox.settings import ChannelPlan
from daemon.store import Transaction


class Fallback:
    """The fallback of one channel; without one in its plan nothing is ever due."""

    def __init__(self, *, channel: ChannelName, plan: ChannelPlan, look_interval: float) -> None:
        self.to = plan.fallback
        self._channel = channel
        self._after = plan.fallback_after
        self._held_from: float | None = None
        self._look_interval = look_interval
        self._again = float("-inf")

    def held(self, now: float, *, seconds: float = 0.0) -> None:
        """The channel is held, for so many seconds already; `now`: monotonic seconds."""
        if self._held_from is None:
            self._held_from = now - max(0.0, seconds)

    def follow(self, other: "Fallback") -> None:
        """Go on where another one of the same channel ended: it is held for as long."""
        self._held_from = other._held_from

    def freed(self) -> None:
        """It is not held any more."""
        self._held_from = None

    def is_due(self, now: float, *, news: bool) -> bool:
        """Whether to look (`now`: monotonic seconds) if the channel is held for long enough: after some time, and
        at once where rows of it were written (`news`)."""
        if self.to is None or (now < self._again and not news):
            return False
        self._again = now + self._look_interval
        return self._held_from is not None and now - self._held_from >= self._after

    def divert(self, tx: Transaction, *, at: datetime) -> int:
        """Copy what the channel has not taken to the other one, each once; how many were copied."""
        return 0 if self.to is None else tx.outbox.divert(self._channel, self.to, at=at)


GATHER = 10.0
"""Seconds in which dead ones are gathered before the first alert about them."""
PAUSE = 600.0
"""Seconds between two alerts about dead ones of one channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An alert about dead deliveries, to be told in `wait` seconds; where another one about the same channel still
    waits, it becomes a part of that."""

    alert: OperatorAlert
    wait: float


class DeadLetters:
    """The dead deliveries of one channel; `fallback` is told in its place."""

    def __init__(self, channel: ChannelName, *, fallback: ChannelName | None) -> None:
        self.fallback = fallback
        self.about = f"channel/{channel}/dead/"
        """What the keys of all alerts about them begin with."""
        self._channel = channel
        self._told_at = float("-inf")

    def follow(self, other: "DeadLetters") -> None:
        """Go on where those of the same channel ended: they were told of when they were."""
        self._told_at = other._told_at

    def notice(self, dead: Sequence[tuple[int, str]], *, reason: str, at: datetime, now: float) -> Notice | None:
        """The alert about these, by row id and event; None where there is nothing to tell. `now`: monotonic
        seconds."""
        told = [row for row, event in dead if event != Event.DELIVERY_DEAD]
        if not told:
            return None
        if now >= self._told_at:
            self._told_at = max(now + GATHER, self._told_at + PAUSE)
        facts: dict[str, Json] = {
            "channel": self._channel,
            "reason": reason,
            "deliveries": len(told),
            "observed_at": at.isoformat(),
        }
        key = f"{self.about}{told[0]}/{int(at.timestamp() * 1000)}"
        alert = OperatorAlert(event=Event.DELIVERY_DEAD, key=key, facts=facts)
        return Notice(alert=alert, wait=max(0.0, self._told_at - now))

    def take_back(self) -> None:
        """Some were not dead after all: the next alert need not wait for the pause after one that told of them."""
        self._told_at = float("-inf")

    def write(
        self,
        tx: Transaction,
        rows: Sequence[int],
        notice: Notice | None,
        *,
        operators: Sequence[Target],
        at: datetime,
    ) -> None:
        """Tell `operators`, and copy `rows` (ids) to the fallback, each once."""
        if self.fallback is not None:
            tx.outbox.copy(rows, self.fallback, at=at)
        if notice is not None:
            due_at = at + timedelta(seconds=notice.wait)
            tx.outbox.tell_dead(notice.alert, about=self.about, channels=operators, at=at, due_at=due_at)
