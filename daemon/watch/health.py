"""Whether a project's API can be reached, decided from what its requests gave. Pure."""

from dataclasses import dataclass
from typing import Literal

DOWN_AFTER = 30.0
"""Seconds without any answer after which a project is down."""
DOWN_FAILURES = 3
"""Failures in a row that it takes besides."""

Change = Literal["down", "recovered"]


@dataclass(slots=True)
class ProjectHealth:
    """Counts failures in a row over all requests of a project."""

    failures: int = 0
    failing_since: float | None = None
    down: bool = False

    def succeeded(self) -> Change | None:
        """Note a usable answer (one that says no such job is one)."""
        was_down, self.failures, self.failing_since, self.down = self.down, 0, None, False
        return "recovered" if was_down else None

    def failed(self, now: float) -> Change | None:
        """Note a request without a usable answer at `now` (monotonic seconds)."""
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = now
        if self.down or self.failures < DOWN_FAILURES or now - self.failing_since < DOWN_AFTER:
            return None
        self.down = True
        return "down"


@dataclass(slots=True)
class Overload:
    """Whether jobs wait longer for their turn than they should, for long enough to tell somebody."""

    limit: float
    """Seconds of lateness that are too much."""
    patience: float
    """Seconds for which it must last."""
    late_since: float | None = None
    told: bool = False

    def note(self, lateness: float, now: float) -> bool:
        """Note how late the most overdue job is (seconds). True once for each time that it lasts."""
        if lateness <= self.limit:
            self.late_since = None
            self.told = self.told and lateness > self.limit / 2
            return False
        if self.late_since is None:
            self.late_since = now
        if self.told or now - self.late_since < self.patience:
            return False
        self.told = True
        return True
