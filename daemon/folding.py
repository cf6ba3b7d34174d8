"""Folds repeated log lines into one with a count, so that strangers cannot flood the log.

The first occurrence is logged at once. Later ones are counted, and the next line reports how many there were.
"""

from dataclasses import dataclass

from daemon.clock import Clock
from daemon.logs import LogEvent, Logger

EVERY = 10.0
"""Seconds between two lines of the same kind."""


@dataclass(slots=True)
class _Told:
    at: float
    since: int
    fields: dict[str, object]


class Folding:
    """Folds a module's warnings into lines with a count, `times`."""

    def __init__(self, log: Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._told: dict[tuple[LogEvent, str | None], _Told] = {}

    def note(self, event: LogEvent, *, reason: str | None = None, **example: object) -> None:
        """Count one occurrence. Lines are folded by event and `reason`, so reasons must be a small fixed set. The
        other fields describe one example."""
        fields = example if reason is None else {"reason": reason, **example}
        told = self._told.setdefault((event, reason), _Told(float("-inf"), 0, fields))
        told.since += 1
        told.fields = fields
        self._tell(event, told)

    def flush(self) -> None:
        """Log the counts that are due. Without this, the count after the last line would never be logged."""
        for (event, _), told in self._told.items():
            if told.since:
                self._tell(event, told)

    def _tell(self, event: LogEvent, told: _Told) -> None:
        now = self._clock.monotonic()
        if now - told.at >= EVERY:
            self._log.warning(event, **told.fields, times=told.since)
            told.at, told.since = now, 0
