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


STEP = 0.5
"""Seconds by which the wall clock must differ from what has passed to count as set; less is followed silently."""
_TRIES = 10
_PROMPT = 0.05
"""Seconds that reading both clocks may take: a longer pause between them would look like a step."""


class SteadyClock:
    """The wall clock without its steps: once it is set, `now` goes on as if it had not been, until `accept`.

    Who plans by the wall clock (moments in a database) uses this one, watches `step`, moves what was planned by as
    much, and accepts it. Safe in any thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base = self._read()

    def now(self) -> datetime:
        """The wall clock's time (UTC), less the steps since the last `accept`."""
        wall, passed = self._read()
        expected = self._expected(passed)
        if abs((wall - expected).total_seconds()) > STEP:
            return expected
        self._base = (wall, passed)
        return wall

    def monotonic(self) -> float:
        """As the clock beneath."""
        return self._clock.monotonic()

    def step(self) -> float:
        """By how many seconds the wall clock was set since the last `accept`; 0: it was not."""
        wall, passed = self._read()
        step = (wall - self._expected(passed)).total_seconds()
        return step if abs(step) > STEP else 0.0

    def agreed(self) -> float:
        """When the two clocks were last seen to agree (monotonic seconds)."""
        return self._base[1]

    def accept(self, step: float) -> None:
        """What was planned has been moved by `step` seconds: go on from there."""
        wall, passed = self._base
        self._base = (wall + timedelta(seconds=step), passed)

    def _expected(self, passed: float) -> datetime:
        wall, then = self._base
        return wall + timedelta(seconds=passed - then)

    def _read(self) -> tuple[datetime, float]:
        """Both clocks at one moment."""
        for _ in range(_TRIES):
            before = self._clock.monotonic()
            wall = self._clock.now()
            if self._clock.monotonic() - before <= _PROMPT:
                break
        return wall, before


PATIENCE = 86400.0
"""Seconds for which a wall clock that was set must stay so before anything is deleted by it."""
_DRIFT = 60.0
"""Seconds by which two looks at one step may differ: the clocks do not run quite alike."""


class PatientClock:
    """The wall clock for what cannot be undone: a step is followed only after it has lasted for `PATIENCE`. `last`
    is the latest moment that is known from before, if any: a wall clock far beyond it may be false too."""

    def __init__(self, clock: Clock, *, last: datetime | None) -> None:
        self._steady = SteadyClock(clock)
        self._seen: tuple[float, float] | None = None
        if last is not None and (ahead := (clock.now() - last).total_seconds()) > PATIENCE:
            self._steady.accept(-ahead)
            self._seen = ahead, clock.monotonic()

    def now(self) -> datetime:
        """The wall clock's time (UTC), less the steps that it has not kept to for long enough."""
        step, passed = self._steady.step(), self._steady.monotonic()
        if step == 0.0:
            self._seen = None
        elif self._seen is None or abs(step - self._seen[0]) > _DRIFT:
            self._seen = step, passed
        elif passed - self._seen[1] >= PATIENCE:
            self._steady.accept(step)
            self._seen = None
        return self._steady.now()
