"""Judges from the latest progress of the daemon's parts whether it is healthy. Pure."""

from collections.abc import Callable

from msgspec import Struct


class Part(Struct, frozen=True, kw_only=True):
    """A part that must make progress: when it last did (monotonic seconds, None: never), its longest pause."""

    name: str
    last: float | None
    limit: float


class Health(Struct, frozen=True, kw_only=True):
    """The answer of a probe: `stalled` names the parts that pause too long, each with its pause in seconds."""

    stalled: dict[str, float | None]

    @property
    def ok(self) -> bool:
        return not self.stalled


def judge_health(parts: list[Part], *, now: float, started: float) -> Health:
    """Name the parts whose pause exceeds their limit. The pause of a part that never ran counts from the start."""
    stalled: dict[str, float | None] = {}
    for part in parts:
        pause = now - (started if part.last is None else part.last)
        if pause > part.limit:
            stalled[part.name] = round(pause, 1)
    return Health(stalled=stalled)


class Probes(Struct, frozen=True, kw_only=True):
    """The judgements that the web server exposes: alive (ticks run) and ready (results are also stored)."""

    alive: Callable[[], Health]
    ready: Callable[[], Health]
