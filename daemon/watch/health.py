"""Whether a project's API can be reached, decided from what its requests gave. Pure."""

from dataclasses import dataclass
from typing import Literal

from daemon.domain import backoff

DOWN_AFTER = 30.0
"""Seconds without any answer after which a project is down."""
DOWN_FAILURES = 3
"""Failures in a row from which on one request at a time is sent, and that it takes to be down."""
_PROBE_BASE, _PROBE_CAP = 1.0, 30.0
"""Seconds between two probes while the project does not answer: at first, and at most."""

Change = Literal["down", "recovered"]


@dataclass(slots=True)
class ProjectHealth:
    """The circuit breaker of a project: counts failures in a row over all its requests. Moments are monotonic
    seconds."""

    failures: int = 0
    failing_since: float | None = None
    failed_at: float = 0.0
    """When the last request failed."""
    down: bool = False
    paused_until: float = 0.0
    """Nothing is sent before this."""
    _probes: int = 0

    @property
    def probing(self) -> bool:
        """Whether requests go one at a time: the API does not answer."""
        return self.down or self.failures >= DOWN_FAILURES

    def succeeded(self) -> Change | None:
        """Note a usable answer (one that says no such job is one)."""
        was_down, self.failures, self.failing_since, self.down = self.down, 0, None, False
        self._probes, self.paused_until = 0, 0.0
        return "recovered" if was_down else None

    def failed(self, now: float, *, spread: float, at_once: bool = False) -> Change | None:
        """Note a request without a usable answer. `spread` is a random number in [0, 1).

        `at_once`: no further request makes sense for now, whatever came before (the project is at fault).
        """
        self.failures += 1
        self.failed_at = now
        if self.failing_since is None:
            self.failing_since = now
        if (self.probing or at_once) and now >= self.paused_until:  # those that were under way count once
            self._probes += 1
            gap = backoff.delay(self._probes, base=_PROBE_BASE, cap=_PROBE_CAP, spread=spread)
            self.paused_until = now + gap
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
