"""Whether a channel's next alert goes out by itself, together with others, or a little later with them. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

MOST = 100
"""Alerts in one message at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How a channel stands. `recent` counts its alerts about jobs that were written within the last window, sent
    or not, but for those that quiet hours keep; `due` those that could go out now; `oldest` is since when the
    first of these could; `from_quiet` counts those of them that had waited for the end of quiet hours."""

    recent: int
    due: int
    oldest: datetime | None
    from_quiet: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """One alert, one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """All that is due in one message, `MOST` at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Nothing before `seconds` have passed: more is to come."""

    seconds: float


Decision: TypeAlias = Single | Together | Later


def decide(waiting: Waiting, *, above: int, window: float, now: datetime) -> Decision:
    """What becomes of what is due. Above `above` alerts within `window` seconds, they are told together once the
    first of them has waited for the window; 0: never. What waited for quiet hours to end is told together.

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
