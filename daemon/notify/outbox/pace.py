"""How fast a channel may be sent to, by its service's documented limits and the operator's.

A service counts by token, so all channels with the same token share a tally, kept as long as the daemon runs.
Lanes call from threads of their own: a place that one has booked counts for all. Times are monotonic seconds. It
never waits, and shows no key: keys hold the token.
"""

import threading
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daemon.domain.jobs import ChannelName
from daemon.notify.services.base import Counted


@dataclass(slots=True)
class _Tally:
    """What one service counts together. `sent` holds the last `most` send times, ascending, so that every bound on
    the tally can be checked; `known` holds the channels whose earlier sends were already added."""

    sent: list[float] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    known: set[ChannelName] = field(default_factory=set)

    def wait(self, bound: Counted, now: float) -> float:
        """Seconds until one more message keeps the bound. One in flight counts from its end, which is to come, so
        it takes a place for at least `bound.seconds` from now."""
        free = bound.most - self.under_way
        if free <= 0:
            return bound.seconds
        # One more fits once fewer than `free` sends lie in the window: once the free-th last has left it.
        return 0.0 if len(self.sent) < free else max(0.0, self.sent[-free] + bound.seconds - now)

    def add(self, moments: Iterable[float]) -> None:
        for moment in moments:
            insort(self.sent, moment)
        del self.sent[: -self.most]


class Paces:
    """The tallies of all channels."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self._lock = threading.Lock()

    def of(self, channel: ChannelName, bounds: Sequence[Counted]) -> "Pace":
        """The pace of a channel. Sends of other channels under the same keys count too."""
        with self._lock:
            pairs = [(bound, self._tallies.setdefault(bound.key, _Tally())) for bound in bounds]
            for bound, tally in pairs:
                tally.most = max(tally.most, bound.most)
        return Pace(channel, pairs, self._lock)


class Pace:
    """One channel's view of its tallies; made by `Paces`. A lane books before it claims a message, so that two
    channels never take the same place."""

    def __init__(
        self, channel: ChannelName, pairs: Sequence[tuple[Counted, _Tally]], lock: threading.Lock
    ) -> None:
        self._channel, self._pairs, self._lock = channel, pairs, lock
        self._tallies = list({id(tally): tally for _, tally in pairs}.values())
        self._booked = False

    def wait(self, now: float) -> float:
        """Seconds until the next message may be sent; 0: now."""
        with self._lock:
            return self._wait(now)

    def book(self, now: float) -> float:
        """The same; at 0 a place is booked until `sent` or `free`."""
        with self._lock:
            rest = self._wait(now)
            if rest <= 0 and not self._booked:
                self._booked = True
                self._shift(1)
            return rest

    def sent(self, now: float) -> None:
        """Count a message. Call it at the end of a send: the service may count from any moment until then."""
        with self._lock:
            self._free()
            for tally in self._tallies:
                tally.add([now])

    def free(self) -> None:
        """Release the booked place: nothing is sent now."""
        with self._lock:
            self._free()

    def before(self, moments: Sequence[float]) -> None:
        """Count messages sent to the channel before, in each tally that does not know of them yet."""
        with self._lock:
            for tally in self._tallies:
                if self._channel not in tally.known:
                    tally.known.add(self._channel)
                    tally.add(moments)

    def _wait(self, now: float) -> float:
        if self._booked:
            return 0.0
        return max((tally.wait(bound, now) for bound, tally in self._pairs), default=0.0)

    def _free(self) -> None:
        if self._booked:
            self._booked = False
            self._shift(-1)

    def _shift(self, by: int) -> None:
        for tally in self._tallies:
            tally.under_way += by
