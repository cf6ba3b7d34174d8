"""Folds repeated log lines into one with a count, so that strangers cannot flood the log.

The first occurrence is logged at once. Later ones are counted, and the next line reports how many there were.
"""

from dataclasses import dataclass

from daemon.clock import Clock
from daemon.logs import LogEvent, Logger

EVERY = 10.0
"""Seconds between two lines of the same kind."""


@dataclass(slots=True)
class _Line:
    at: float
    since: int
    fields: dict[str, object]


class Folding:
    """Folds a module's warnings into lines with a count, `times`."""

    def __init__(self, log: Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lines: dict[tuple[LogEvent, str | None], _Line] = {}

    def note(self, event: LogEvent, *, reason: str | None = None, **example: object) -> None:
        """Count one occurrence, with an `example` of its fields. Lines are per event and (fixed) `reason`."""
        fields = example if reason is None else {"reason": reason, **example}
        line = self._lines.setdefault((event, reason), _Line(float("-inf"), 0, fields))
        line.since += 1
        line.fields = fields
        self._emit(event, line)

    def flush(self) -> None:
        """Log the counts that are due. Without this, the count after the last line would never be logged."""
        for (event, _), line in self._lines.items():
            if line.since:
                self._emit(event, line)

    def _emit(self, event: LogEvent, line: _Line) -> None:
        now = self._clock.monotonic()
        if now - line.at >= EVERY:
            self._log.warning(event, **line.fields, times=line.since)
            line.at, line.since = now, 0
