"""How fast a channel may be sent to: what its service counts, and what the operator says.

A service counts by its token, whatever wrapd calls the channels that hold it, so these share a tally, kept as long
as the daemon runs. Lanes ask in threads of their own: what one has booked is under way for all. Moments are
monotonic seconds. Must never wait, and never show a key: it holds the token.
"""

import threading
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daemon.domain.jobs import ChannelName
from daemon.notify.services.base import Counted


@dataclass(slots=True)
class _Tally:
    """What is counted together: when messages went out, the first one first, at least as many as any bound asks
    for; how many are under way; of which channels it knows what was sent before."""

    sent: list[float] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    known: set[ChannelName] = field(default_factory=set)

    def wait(self, bound: Counted, now: float) -> float:
        """Seconds until one more keeps below the bound. One under way counts from its end, which is to come."""
        free = bound.most - self.under_way
        if free <= 0:
            return bound.seconds
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
        """The pace of a channel. What was counted under the same keys counts, whoever sent it."""
        with self._lock:
            pairs = [(bound, self._tallies.setdefault(bound.key, _Tally())) for bound in bounds]
            for bound, tally in pairs:
                tally.most = max(tally.most, bound.most)
        return Pace(channel, pairs, self._lock)


class Pace:
    """One channel's way to the tallies; made by `Paces`. It books before it claims a message, so that two channels
    never take the same place."""

    def __init__(
        self, channel: ChannelName, pairs: Sequence[tuple[Counted, _Tally]], lock: threading.Lock
    ) -> None:
        self._channel, self._pairs, self._lock = channel, pairs, lock
        self._tallies = list({id(tally): tally for _, tally in pairs}.values())
        self._booked = False

    def wait(self, now: float) -> float:
        """Seconds until the next one may go; 0: now."""
        with self._lock:
            return self._wait(now)

    def book(self, now: float) -> float:
        """The same; where it is 0 the next one's place is kept, until it is `sent` or the place is let `free`."""
        with self._lock:
            rest = self._wait(now)
            if rest <= 0 and not self._booked:
                self._booked = True
                self._shift(1)
            return rest

    def sent(self, now: float) -> None:
        """One was sent by `now`. Told at the end of a send: the service counts from when it got it."""
        with self._lock:
            self._free()
            for tally in self._tallies:
                tally.add([now])

    def free(self) -> None:
        """Nothing is to be sent now."""
        with self._lock:
            self._free()

    def before(self, moments: Sequence[float]) -> None:
        """When messages were sent to the channel before: where a tally does not know yet, they count."""
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
