"""Whether the daemon makes progress, decided from what its parts last did. Pure."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that must go on: when it last did (monotonic seconds, None: never) and how long it may pause."""

    name: str
    last: float | None
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the probes answer: `stalled` names the parts that pause for too long, with their pause in seconds."""

    stalled: dict[str, float | None]

    @property
    def ok(self) -> bool:
        return not self.stalled


def judge_health(parts: list[Part], *, now: float, started: float) -> Health:
    """Name the parts without progress for longer than their limit. A part that never ran is given its limit
    from the start of the daemon on."""
    stalled: dict[str, float | None] = {}
    for part in parts:
        pause = now - (started if part.last is None else part.last)
        if pause > part.limit:
            stalled[part.name] = round(pause, 1)
    return Health(stalled=stalled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What the web server asks of the daemon: alive (ticks run) and ready (it also stores what it sees)."""

    alive: Callable[[], Health]
    ready: Callable[[], Health]
