"""Whether a channel's due alerts go out singly, as one digest now, or as one digest later."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

MOST = 100
"""Maximum number of alerts in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A channel's backlog. `recent` counts its job alerts written within the last window, sent or not, except
    those held by quiet hours. `due` counts alerts that could go out now, `oldest` is when the first of them became
    due, and `from_quiet` counts those that were held by quiet hours."""

    recent: int
    due: int
    oldest: datetime | None
    from_quiet: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """Send one alert in its own message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Send all due alerts, at most `MOST`, in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Send nothing for `seconds`: more alerts are expected."""

    seconds: float


Decision: TypeAlias = Single | Together | Later


def decide(waiting: Waiting, *, above: int, window: float, now: datetime) -> Decision:
    """Decide how to send the due alerts. With more than `above` alerts (0: no limit) within `window` seconds, they
    go out together once the first has waited for the window. Alerts held by quiet hours also go out together.

    >>> at = datetime(2026, 1, 1)
    >>> decide(Waiting(recent=3, due=2, oldest=at, from_quiet=0), above=6, window=60, now=at)
    Single()
    >>> decide(Waiting(recent=9, due=3, oldest=at, from_quiet=0), above=6, window=60, now=at)
    Later(seconds=60.0)
    >>> later = datetime(2026, 1, 1, 0, 2)
    >>> decide(Waiting(recent=9, due=3, oldest=at, from_quiet=0), above=6, window=60, now=later)
    Together()
    """
    if above <= 0 or waiting.due == 0 or waiting.oldest is None:
        return Single()
    if waiting.from_quiet > 1:
        return Together()
    if max(waiting.recent, waiting.due) <= above:
        return Single()
    left = window - (now - waiting.oldest).total_seconds()
    if 0 < left <= window and waiting.due < MOST:
        return Later(seconds=left)
    return Together() if waiting.due > 1 else Single()
