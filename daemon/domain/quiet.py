"""Quiet hours: when a channel or route holds its alerts, and until when."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from daemon.domain.events import Event

URGENT = frozenset({Event.FAILED, Event.BLOCKED})
"""Events that quiet hours let through by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Hold all but `urgent` events daily from `start` to `end`, local times in `zone`.

    The period spans midnight unless `end` is after `start`. Equal times mean all day, which the config rejects.
    """

    start: time
    end: time
    zone: tzinfo
    urgent: frozenset[Event] = URGENT

    def until(self, at: datetime, event: Event) -> datetime | None:
        """The end (UTC) of the quiet hours that contain `at`; None if `event` may be sent now.

        >>> night = QuietHours(start=time(22), end=time(8), zone=UTC)
        >>> night.until(datetime(2026, 1, 1, 23, tzinfo=UTC), Event.SUCCEEDED)
        datetime.datetime(2026, 1, 2, 8, 0, tzinfo=datetime.timezone.utc)
        >>> night.until(datetime(2026, 1, 1, 23, tzinfo=UTC), Event.FAILED)
        """
        if event in self.urgent:
            return None
        local = at.astimezone(self.zone)
        # Yesterday's period may still be running. Both ends are local times, so the period is an hour longer or
        # shorter on nights when the clocks change.
        for day in (local.date() - timedelta(days=1), local.date()):
            begin = _reached(datetime.combine(day, self.start), self.zone)
            last = day + timedelta(days=1) if self.end <= self.start else day
            finish = _reached(datetime.combine(last, self.end), self.zone)
            if begin <= at < finish:
                return finish
        return None


def _reached(local: datetime, zone: tzinfo) -> datetime:
    """The first moment (UTC) at which clocks in `zone` show `local` or later.

    For a skipped local time this is the moment of the skip; for a repeated one, its first occurrence.
    """
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    # `local` is skipped. The offset before the skip puts it at `moment`, the offset after it puts it earlier. The
    # skip lies between the two on a whole second, so bisection finds it.
    early = local.replace(tzinfo=zone, fold=1).astimezone(UTC).replace(microsecond=0)
    late = moment + timedelta(seconds=1)
    while late - early > _SECOND:
        middle = early + (late - early) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).replace(tzinfo=None) < local:
            early = middle
        else:
            late = middle
    return late


_SECOND = timedelta(seconds=1)
