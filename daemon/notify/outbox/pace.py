"""How fast a channel may be sent to: no more than so many messages in any minute. Pure, but for what it remembers.

Must never send or wait by itself.
"""

import math
from collections import deque

MINUTE = 60.0


class Pace:
    """At most `per_minute` messages (above 0) within any 60 seconds; of less than one a minute, one within as many
    seconds as that takes. None: no bound. `gap` is how many seconds lie between two at least: services count
    within a second too. Moments are monotonic seconds."""

    def __init__(self, per_minute: float | None, *, gap: float = 0.0) -> None:
        self._most = 0 if per_minute is None else max(1, math.floor(per_minute))
        self.window = 0.0 if per_minute is None else MINUTE * self._most / per_minute
        """Seconds within which no more than `most` are sent; 0 where there is no bound."""
        self._sent: deque[float] = deque(maxlen=self._most)
        self._gap, self._last = gap, -math.inf

    def follow(self, other: "Pace") -> None:
        """Go on after another pace of the same channel: what it counted counts here."""
        self._sent.extend(other._sent)
        self._last = other._last

    def wait(self, now: float) -> float:
        """Seconds until the next one may go; 0: now."""
        rest = max(0.0, self._last + self._gap - now)
        if not self._most or len(self._sent) < self._most:
            return rest
        return max(rest, self._sent[0] + self.window - now)

    def sent(self, now: float, *, messages: int = 1) -> None:
        """So many were sent by `now`. Told at the end of a send: the service counts from when it got one."""
        if messages:
            self._last = now
        for _ in range(min(messages, self._most)):
            self._sent.append(now)
