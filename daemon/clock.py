"""Time as an argument: what the clock says (UTC) and how much time has passed (monotonic seconds).

Owns the only calls to the machine's clocks. Nothing else in wrapd may call them.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What wrapd needs to know of time."""

    def now(self) -> datetime:
        """The wall clock: an aware datetime in UTC. It can be stepped: never schedule by it."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; it never goes back. Schedule by this."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when it is told to: for tests and simulations."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does; no time passes."""
        self._now += timedelta(seconds=seconds)
