"""One log line for many of the same: what strangers cause must not fill the log.

Owns when such a line is due. The first is logged at once; those that follow are counted, and the next line says
how many they were.
"""

from dataclasses import dataclass

from daemon.clock import Clock
from daemon.logs import LogEvent, Logger

EVERY = 10.0
"""Seconds between two lines about the same."""


@dataclass(slots=True)
class _Told:
    at: float
    since: int
    fields: dict[str, object]


class Folding:
    """Folds warnings of one module into lines with a count, `times`."""

    def __init__(self, log: Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._told: dict[tuple[LogEvent, str | None], _Told] = {}

    def note(self, event: LogEvent, *, reason: str | None = None, **example: object) -> None:
        """It happened once more. Lines are folded by event and `reason`, so reasons must be few and ours; the
        other fields are those of one example."""
        fields = example if reason is None else {"reason": reason, **example}
        told = self._told.setdefault((event, reason), _Told(float("-inf"), 0, fields))
        told.since += 1
        told.fields = fields
        self._tell(event, told)

    def flush(self) -> None:
        """Log what was counted since its last line, where one is due: else the last count is never told."""
        for (event, _), told in self._told.items():
            if told.since:
                self._tell(event, told)

    def _tell(self, event: LogEvent, told: _Told) -> None:
        now = self._clock.monotonic()
        if now - told.at >= EVERY:
            self._log.warning(event, **told.fields, times=told.since)
            told.at, told.since = now, 0
