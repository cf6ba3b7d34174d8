"""When to ask about a job next. One pure function: randomness and time come as arguments.

The plan of this release is simple: the longer a job has been in its state, the longer the next gap, between the
rails. A frozen job is asked at its own, slower pace.
"""

from dataclasses import dataclass

from daemon.domain import backoff
from daemon.domain.states import State

_GROWTH = 0.1
"""The next gap as a share of the time that the job has been in its state."""
_JITTER = 0.05
"""Share by which gaps are shortened at random, so that jobs created together drift apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rails:
    """The bounds of a gap between two looks at a job, in seconds (config: `[polling]`)."""

    min_interval: float = 1.0
    max_interval: float = 60.0
    blocked_interval: float = 600.0


def next_gap(
    *, state: str | None, in_state: float, failures: int, floor: float, rails: Rails, spread: float
) -> float:
    """Seconds from a look at a job to the next one.

    `state` is what the last answer said (None: no answer yet) and `in_state` for how many seconds it has been
    so. `failures` counts polls in a row without an answer: the gap doubles with each, up to the state's longest
    gap. `floor` is what the service asked to wait at least (Retry-After, seconds; 0 for none). `spread` is a
    random number in [0, 1).
    """
    longest = rails.blocked_interval if state == State.BLOCK else rails.max_interval
    if failures:
        gap = backoff.delay(failures, base=rails.min_interval, cap=longest, spread=spread)
    else:
        shortest = min(rails.max_interval, longest) if state == State.BLOCK else rails.min_interval
        gap = min(longest, max(shortest, in_state * _GROWTH)) * (1 - _JITTER * spread)
    return max(gap, floor)
