"""Quiet hours: when a channel or a route is not to be disturbed, and until when. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from daemon.domain.events import Event

URGENT = frozenset({Event.FAILED, Event.BLOCKED})
"""Events that pass by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Every day from `start` to `end` (local times in `zone`; over midnight where `end` is not after `start`), all
    but `urgent` events wait. `start` equal to `end`: the whole day, which a config must not ask for."""

    start: time
    end: time
    zone: tzinfo
    urgent: frozenset[Event] = URGENT

    def until(self, at: datetime, event: Event) -> datetime | None:
        """When the quiet hours end (UTC) that `at` lies in; None where `event` may be told now.

        >>> night = QuietHours(start=time(22), end=time(8), zone=UTC)
        >>> night.until(datetime(2026, 1, 1, 23, tzinfo=UTC), Event.SUCCEEDED)
        datetime.datetime(2026, 1, 2, 8, 0, tzinfo=datetime.timezone.utc)
        >>> night.until(datetime(2026, 1, 1, 23, tzinfo=UTC), Event.FAILED)
        """
        if event in self.urgent:
            return None
        local = at.astimezone(self.zone)
        # Yesterday's may last until now. Both ends are local times: on the night when clocks change, the quiet
        # hours are an hour longer or shorter, as they are for people.
        for day in (local.date() - timedelta(days=1), local.date()):
            begin = datetime.combine(day, self.start, self.zone).astimezone(UTC)
            last = day + timedelta(days=1) if self.end <= self.start else day
            finish = datetime.combine(last, self.end, self.zone).astimezone(UTC)
            if begin <= at < finish:
                return finish
        return None
