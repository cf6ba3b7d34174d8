"""Clocks as arguments: wall-clock time (UTC) and monotonic seconds. Only this module reads the system's clocks."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The clocks that wrapd reads."""

    def now(self) -> datetime:
        """The wall clock as an aware datetime in UTC. It can be stepped, so never schedule by it."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back. Schedule by this."""
        ...


class SystemClock:
    """The system's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to, for tests and simulations."""

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
        """Step the wall clock forward or back, as an administrator or NTP does. No time passes."""
        self._now += timedelta(seconds=seconds)


STEP = 0.5
"""Seconds by which the two clocks must diverge to count as a step; smaller drift is simply followed."""
_TRIES = 10
_PROMPT = 0.05
"""Seconds within which both clocks must be read. A longer pause between the two reads would look like a step."""


class SteadyClock:
    """The wall clock without its steps: after a step, `now` continues as if none had happened until `accept`.

    Code that plans by the wall clock (moments in a database) checks `step`, moves its plans by that amount and
    accepts it. Thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base = self._read()

    def now(self) -> datetime:
        """The wall clock's time (UTC), minus the steps not yet accepted."""
        wall, passed = self._read()
        expected = self._expected(passed)
        if abs((wall - expected).total_seconds()) > STEP:
            return expected
        self._base = (wall, passed)
        return wall

    def monotonic(self) -> float:
        """The underlying clock's monotonic seconds."""
        return self._clock.monotonic()

    def step(self) -> float:
        """Seconds by which the wall clock was stepped since the last `accept`; 0 if it was not."""
        wall, passed = self._read()
        step = (wall - self._expected(passed)).total_seconds()
        return step if abs(step) > STEP else 0.0

    def agreed(self) -> float:
        """When the two clocks were last seen to agree (monotonic seconds)."""
        return self._base[1]

    def accept(self, step: float) -> None:
        """Follow a step of `step` seconds, once all plans have been moved by it."""
        wall, passed = self._base
        self._base = (wall + timedelta(seconds=step), passed)

    def _expected(self, passed: float) -> datetime:
        wall, then = self._base
        return wall + timedelta(seconds=passed - then)

    def _read(self) -> tuple[datetime, float]:
        """Read both clocks at the same moment."""
        for _ in range(_TRIES):
            before = self._clock.monotonic()
            wall = self._clock.now()
            if self._clock.monotonic() - before <= _PROMPT:
                break
        return wall, before


PATIENCE = 86400.0
"""Seconds for which a step must persist before anything is deleted by the new time."""
_DRIFT = 60.0
"""Seconds by which two readings of the same step may differ, because the two clocks drift apart."""


class PatientClock:
    """The wall clock for irreversible actions: follows a step only after it has persisted for `PATIENCE`. `last`
    is the latest moment known from before, if any: a wall clock far ahead of it is suspect as well."""

    def __init__(self, clock: Clock, *, last: datetime | None) -> None:
        self._steady = SteadyClock(clock)
        self._seen: tuple[float, float] | None = None
        if last is not None and (ahead := (clock.now() - last).total_seconds()) > PATIENCE:
            self._steady.accept(-ahead)
            self._seen = ahead, clock.monotonic()

    def now(self) -> datetime:
        """The wall clock's time (UTC), minus the steps that have not persisted long enough."""
        step, passed = self._steady.step(), self._steady.monotonic()
        if step == 0.0:
            self._seen = None
        elif self._seen is None or abs(step - self._seen[0]) > _DRIFT:
            self._seen = step, passed
        elif passed - self._seen[1] >= PATIENCE:
            self._steady.accept(step)
            self._seen = None
        return self._steady.now()
