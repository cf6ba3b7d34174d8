"""When an event that is no end is told that comes again and again: at once, or after a pause that grows. Pure.

A state that comes and goes is told at once when it comes and when it goes; what follows waits, and only the latest
of it is told when the pause ends, with how many there were.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from daemon.domain.events import Event

AT_ONCE = 2
"""Messages about one thing that go out without a pause: it came, it went."""
FIRST, LONGEST = timedelta(minutes=10), timedelta(hours=2)
"""The first pause, which doubles each time, and the longest."""
MEMORY = timedelta(hours=24)
"""How long a message counts."""

_GROUPS = (
    frozenset({Event.BLOCKED, Event.UNBLOCKED}),
    frozenset({Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.AUTH_FAILED}),
    frozenset({Event.OVERLOADED}),
)


def group(event: Event) -> frozenset[Event]:
    """The events that come and go together with `event`; empty for one that is always told at once."""
    return next((each for each in _GROUPS if event in each), frozenset())


def tell_at(told: Sequence[datetime], *, at: datetime) -> datetime:
    """When an event that happened `at` is told. `told` are the moments at which others of its group were told
    about the same thing.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> tell_at([noon], at=noon) == noon
    True
    >>> (tell_at([noon, noon], at=noon) - noon).total_seconds()
    600.0
    >>> (tell_at([noon] * 9, at=noon) - noon).total_seconds()
    7200.0
    """
    recent = [min(moment, at) for moment in told if at - moment < MEMORY]
    if len(recent) < AT_ONCE:
        return at
    pause = min(LONGEST, FIRST * (1 << min(len(recent) - AT_ONCE, 16)))
    return max(at, max(recent) + pause)
