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
            begin = _reached(datetime.combine(day, self.start), self.zone)
            last = day + timedelta(days=1) if self.end <= self.start else day
            finish = _reached(datetime.combine(last, self.end), self.zone)
            if begin <= at < finish:
                return finish
        return None


def _reached(local: datetime, zone: tzinfo) -> datetime:
    """The first moment (UTC) at which the clocks of `zone` show `local` or later: of a time that they skip, the
    moment of the skip; of one that they show twice, the first."""
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    # Clocks skip `local`. By the offset from before the skip it is `moment`, by the one from after it is earlier:
    # the skip lies between the two, on a whole second.
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
