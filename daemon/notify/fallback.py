"""When another channel is told what a held one does not take, and what of it.

Must never decide whether a channel is held: the outbox says since when it is.
"""

from datetime import datetime, timedelta

from daemon.domain.jobs import ChannelName
from daemon.notify.settings import ChannelPlan
from daemon.store import Transaction


class Fallback:
    """The fallback of one channel; without one in its plan nothing is ever due."""

    def __init__(self, *, channel: ChannelName, plan: ChannelPlan, look_interval: float) -> None:
        self.to = plan.fallback
        self._channel = channel
        self._after = timedelta(seconds=plan.fallback_after)
        self._look_interval = look_interval
        self._again = float("-inf")

    def is_due(self, now: float, *, news: bool) -> bool:
        """Whether to look (`now`: monotonic seconds) if the channel is held for long enough: after some time, and
        at once where rows of it were written (`news`)."""
        if self.to is None or (now < self._again and not news):
            return False
        self._again = now + self._look_interval
        return True

    def is_wanted(self, tx: Transaction, *, now: datetime) -> bool:
        """Whether the channel has been held for so long that the other one is to be told."""
        since = tx.outbox.held_since(self._channel)
        return since is not None and now - since >= self._after

    def divert(self, tx: Transaction, *, at: datetime) -> int:
        """Copy what the channel has not taken to the other one, each once; how many were copied."""
        return 0 if self.to is None else tx.outbox.divert(self._channel, self.to, at=at)
