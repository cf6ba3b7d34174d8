"""The simulated service's clock, and the formats of its times.

Owns the skew between the service's clock and the machine's. Reads no clock except the one it was given.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from math import floor

from daemon.clock import Clock

MONTH = 30 * 86_400.0
"""How far back a list without `create_since` goes, in seconds."""


class SimTime:
    """`now()` is the service's wall clock (epoch seconds); `monotonic()` (seconds) drives the jobs' timelines."""

    def __init__(self, clock: Clock, skew: Callable[[], float]) -> None:
        self._clock = clock
        self._skew = skew
        self.monotonic = clock.monotonic

    def now(self) -> float:
        """Return the epoch seconds of the service's clock, including a simulated skew."""
        return self._clock.now().timestamp() + self._skew()


def iso(epoch: float) -> str:
    """Format epoch seconds like the service, truncated to seconds: `2022-11-30T06:59:56Z`.

    >>> iso(1669791596.9)
    '2022-11-30T06:59:56Z'
    """
    return _iso(floor(epoch))


@lru_cache(maxsize=16_384)
def _iso(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def iso_exact(epoch: float) -> str:
    """Format epoch seconds in ISO 8601 with microseconds, as the control endpoints do."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def http_date(epoch: float) -> str:
    """Format epoch seconds for a Date header."""
    return formatdate(epoch, usegmt=True)


def parse_iso(text: str) -> float:
    """Return the epoch seconds of an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
