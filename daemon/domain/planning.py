"""When to ask about a job next, and why. Pure functions: randomness and time come as arguments.

Two plans: learned (the area rule: ask when the expected undetected delay reaches the price of a request) and fixed
(the longer a job has been in its state, the longer the gap). Both keep the rails; a frozen job and one whose last
query failed are asked at their own pace under either. docs/polling.md explains them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from daemon.domain import backoff
from daemon.domain.states import State
from daemon.domain.survival import Law

_GROWTH = 0.1
"""The next gap as a share of the time that the job has been in its state."""
_JITTER = 0.05
"""Share by which gaps are shortened at random, so that jobs created together drift apart."""
_JUST_AFTER = 0.1
"""Seconds after the moment from which a job is stuck, so that the look that tells so is surely beyond it."""
_DAY = 86400.0


class Strategy(StrEnum):
    """How single jobs are planned (config: `polling.strategy`)."""

    LEARNED = "learned"
    FIXED = "fixed"


class Reason(StrEnum):
    """Why a job is asked about when it is. The value is stored with the job; `WORDS` has it for people."""

    FIRST = "first"
    PRICE = "price"
    SHORTEST = "shortest"
    LONGEST = "longest"
    STUCK = "stuck"
    FIXED = "fixed"
    BLOCKED = "blocked"
    RETRY = "retry"
    DETAIL = "detail"
    MISSING = "missing"
    NET = "net"
    LAST = "last"
    HINT = "hint"
    UNKNOWN = "unknown"


WORDS: dict[Reason, str] = {
    Reason.FIRST: "it was never asked about",
    Reason.PRICE: "the expected undetected delay reaches the price of a request",
    Reason.SHORTEST: "the price is reached at once; no two looks are closer than min_interval",
    Reason.LONGEST: "the price is not reached yet, but no gap is longer than max_interval",
    Reason.STUCK: "from then on it takes longer than is normal, and is told to be stuck if it still runs",
    Reason.FIXED: "the fixed strategy: a share of the time that it has been in its state",
    Reason.BLOCKED: "it is frozen, and is asked at a slow pace",
    Reason.RETRY: "the last query failed",
    Reason.DETAIL: "a list tells of its end, but not all that the alert needs",
    Reason.MISSING: "a list that was asked about it did not hold it",
    Reason.NET: "the safety net behind the feed",
    Reason.LAST: "its time is over: one last look before it is given up",
    Reason.HINT: "a callback of the service says that it ended",
    Reason.UNKNOWN: "the service does not know it yet",
}
"""Each reason as the end of "it is asked because …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rails:
    """The bounds of a gap between two looks at a job, in seconds (config: `[polling]`)."""

    min_interval: float = 1.0
    max_interval: float = 60.0
    blocked_interval: float = 600.0


class Planned(NamedTuple):
    """Seconds from a look to the next one, and what decided."""

    gap: float
    reason: Reason


def next_gap(
    *, state: str | None, in_state: float, failures: int, floor: float, rails: Rails, spread: float
) -> float:
    """Seconds from a look at a job to the next one: the fixed plan, and that of failures and BLOCK under either.

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


def learned_gap(
    *, law: Law, elapsed: float, price: float, rails: Rails, spread: float, waited: float | None = None
) -> Planned:
    """The learned plan: seconds from a look that found the job running (or waiting) to the next one.

    `elapsed` is the seconds of production at that look by the service's own times; 0 for a job that waits or whose
    state is unknown: it may have started right after the look. `waited` is for how many seconds a job in WAITING
    had waited at that look, since it was made (None: it does not wait, or that is not known: then it is planned as
    if it started right after the look, which asks more). `price` is how many seconds of expected undetected delay
    a request is worth; `spread` a random number in [0, 1) that shortens the gap by up to 5 %.
    """
    longest = rails.max_interval
    gap = law.gap(elapsed, price) if waited is None else law.waiting_gap(waited, price, longest)
    late = law.stuck_after - elapsed
    if 0.0 < late < min(gap, longest) and waited is None:
        return Planned(max(rails.min_interval, late + _JUST_AFTER), Reason.STUCK)
    if gap >= longest:
        return Planned(longest * (1 - _JITTER * spread), Reason.LONGEST)
    if gap <= rails.min_interval:
        return Planned(rails.min_interval, Reason.SHORTEST)
    return Planned(max(rails.min_interval, gap * (1 - _JITTER * spread)), Reason.PRICE)


def undetected(law: Law, *, elapsed: float, seconds: float, waited: float | None = None) -> float:
    """Expected undetected delay of a job, `seconds` after a look that found it as `learned_gap` says."""
    return law.area(elapsed, seconds) if waited is None else law.waiting_area(waited, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job is asked about when it is: numbers for `wrapd explain`. Seconds, and a chance from 0 to 1."""

    elapsed: float  # production time at the last look; 0 where it waited
    waited: float | None  # how long it had waited at the last look; None where it did not
    ago: float  # since the last look
    ended: float  # the chance that it has ended since
    delay: float  # its expected undetected delay so far
    price: float  # at which it is worth a request
    reached_in: float  # from now until the delay reaches the price; 0: it is reached
    next_in: float  # from now until it is due, within the rails; 0: it is due
    reason: Reason

    @property
    def words(self) -> str:
        """The reason as the end of "it is asked because …"."""
        return WORDS[self.reason]


def explain(
    *, law: Law, elapsed: float, ago: float, price: float, rails: Rails, waited: float | None = None
) -> Explanation:
    """The learned plan of a job that was last seen `ago` seconds ago, as `learned_gap` says of that look.

    Jitter is left out: the real look comes up to 5 % of the gap earlier.
    """
    planned = learned_gap(law=law, elapsed=elapsed, price=price, rails=rails, spread=0.0, waited=waited)
    reached = law.gap(elapsed, price) if waited is None else law.waiting_gap(waited, price, _DAY)
    return Explanation(
        elapsed=elapsed,
        waited=waited,
        ago=ago,
        ended=law.ended(elapsed, ago) if waited is None else law.waiting_ended(waited, ago),
        delay=undetected(law, elapsed=elapsed, seconds=ago, waited=waited),
        price=price,
        reached_in=max(0.0, reached - ago),
        next_in=max(0.0, planned.gap - ago),
        reason=planned.reason,
    )
