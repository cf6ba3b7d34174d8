"""When another channel is told what a held one does not take, and what of it.

Owns for how long a channel has been held, by a clock that does not jump. Must never decide whether it is: the lane
does.
"""

from datetime import datetime

from daemon.domain.jobs import ChannelName
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
