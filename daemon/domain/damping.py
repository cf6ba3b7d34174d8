"""Damping: growing pauses between alerts about a condition that keeps coming and going.

The first onset and the first recovery are sent at once. Later events wait; when the pause ends, only the latest is
sent, with the number of events that it stands for.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from daemon.domain.events import Event

AT_ONCE = 2
"""Messages sent without a pause: one onset and one recovery."""
FIRST, LONGEST = timedelta(minutes=10), timedelta(hours=2)
"""The first pause, which doubles with each message, and its maximum."""
MEMORY = timedelta(hours=24)
"""How long an earlier message counts."""

_GROUPS = (
    frozenset({Event.BLOCKED, Event.UNBLOCKED}),
    frozenset({Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.AUTH_FAILED}),
    frozenset({Event.OVERLOADED}),
)


def group(event: Event) -> frozenset[Event]:
    """The events that are damped together with `event`; empty if `event` is never damped."""
    return next((each for each in _GROUPS if event in each), frozenset())


def tell_at(sent: Sequence[datetime], *, at: datetime) -> datetime:
    """When to send an event that happened `at`; `sent` are the times of its group's messages on the same subject.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> tell_at([noon], at=noon) == noon
    True
    >>> (tell_at([noon, noon], at=noon) - noon).total_seconds()
    600.0
    >>> (tell_at([noon] * 9, at=noon) - noon).total_seconds()
    7200.0
    """
    recent = [min(moment, at) for moment in sent if at - moment < MEMORY]
    if len(recent) < AT_ONCE:
        return at
    pause = min(LONGEST, FIRST * (1 << min(len(recent) - AT_ONCE, 16)))
    return max(at, max(recent) + pause)
