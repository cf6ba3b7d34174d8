"""The simulated service's own time, and how it is written.

Owns the skew between the service's clock and the machine's. Never reads a clock other than the one it was given.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from math import floor

from daemon.clock import Clock

MONTH = 30 * 86_400.0
"""Seconds: how far back a list without `create_since` looks."""


class SimTime:
    """`now()` is what the service believes the wall clock says (epoch seconds); `monotonic()` moves its jobs."""

    def __init__(self, clock: Clock, skew: Callable[[], float]) -> None:
        self._clock = clock
        self._skew = skew
        self.monotonic = clock.monotonic

    def now(self) -> float:
        """Epoch seconds by the service's clock, a simulated skew included."""
        return self._clock.now().timestamp() + self._skew()


def iso(epoch: float) -> str:
    """Epoch seconds as the service writes times: `2022-11-30T06:59:56Z`, whole seconds, cut off.

    >>> iso(1669791596.9)
    '2022-11-30T06:59:56Z'
    """
    return _iso(floor(epoch))


@lru_cache(maxsize=16_384)
def _iso(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def iso_exact(epoch: float) -> str:
    """Epoch seconds in ISO 8601 with microseconds: how the control endpoints tell the truth."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def http_date(epoch: float) -> str:
    """Epoch seconds as a Date header writes them."""
    moment = time.gmtime(epoch)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.tm_mon - 1]
    return f"{day}, {moment.tm_mday:02} {month} {time.strftime('%Y %H:%M:%S GMT', moment)}"


def parse_iso(text: str) -> float:
    """Epoch seconds of an ISO 8601 time; one without an offset is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
