"""Counts failed transactions and logs them at a limited rate.

While a disk is full, every job retries continuously; a line per retry would bury the cause.
"""

from daemon.clock import Clock
from daemon.logs import LogEvent, logger
from daemon.metrics import Metrics
from daemon.store import StoreError

log = logger(__name__)

_QUIET = 10.0
"""Seconds after a line during which further failures are logged at debug level only."""


class StoreErrors:
    """Failed transactions of one part: a project's poller, the watcher, or the operators' alerts."""

    def __init__(self, *, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._errors = metrics.store_errors
        self._logged_at = float("-inf")

    def note(self, error: StoreError, **facts: object) -> None:
        """Record that a transaction failed with `error`; `facts` say what it was about."""
        self._errors.inc()
        now = self._clock.monotonic()
        if now - self._logged_at < _QUIET:
            log.debug(LogEvent.DATABASE_FAILED, error=error, **facts)
            return
        self._logged_at = now
        log.error(LogEvent.DATABASE_FAILED, error=error, **facts)
