"""When to poll a job next, and why. Randomness and time are arguments.

The learned plan uses the area rule: poll when the expected undetected delay reaches the price of a request. In the
simulations it stayed within 2 % of the optimum for laws with one mode and within 14 % for several modes. The fixed
plan lets the gap grow with the time in the current state. Both keep the rails. Under either, frozen jobs and jobs
whose last query failed have their own pace. docs/polling.md explains both plans.
"""

from dataclasses import dataclass
from enum import StrEnum

from daemon.domain import backoff
from daemon.domain.states import State
from daemon.domain.survival import Law

_GROWTH = 0.1
"""The next gap as a share of the time in the current state (fixed plan)."""
_JITTER = 0.05
"""Maximum share by which gaps are shortened at random, so that jobs created together drift apart."""
_JUST_AFTER = 0.1
"""Seconds from the moment at which a job becomes stuck to the poll that reports it, as a margin for rounding."""
_DAY = 86400.0


class Strategy(StrEnum):
    """How single queries are planned (config: `polling.strategy`)."""

    LEARNED = "learned"
    FIXED = "fixed"


class Reason(StrEnum):
    """The reason for the time of the next query. The value is stored with the job; `WORDS` explains it."""

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
    Reason.FIRST: "it has not been queried yet",
    Reason.PRICE: "the expected undetected delay reaches the price of a request",
    Reason.SHORTEST: "the price is reached at once; polls are at least min_interval apart",
    Reason.LONGEST: "the price is not reached yet, but gaps are at most max_interval",
    Reason.STUCK: "if it still runs then, it takes longer than normal and is reported as stuck",
    Reason.FIXED: "the fixed strategy: a share of the time in its current state",
    Reason.BLOCKED: "it is frozen and polled slowly",
    Reason.RETRY: "the last query failed",
    Reason.DETAIL: "a list reported its end, but not all details that the alert needs",
    Reason.MISSING: "a list of chosen jobs did not contain it",
    Reason.NET: "the safety net behind the feed",
    Reason.LAST: "its time is up: one last query before wrapd gives up on it",
    Reason.HINT: "a callback from the service reported its end",
    Reason.UNKNOWN: "the service does not know it yet",
}
"""Each reason as a sentence without its full stop, for `wrapd explain`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rails:
    """Bounds of the gap between two polls of a job, in seconds (config: `[polling]`)."""

    min_interval: float = 1.0
    max_interval: float = 60.0
    blocked_interval: float = 600.0


_LONGEST, _SHORTEST, _PRICE = Reason.LONGEST, Reason.SHORTEST, Reason.PRICE  # looked up once, for the hot path


Planned = tuple[float, Reason]
"""Seconds from one poll to the next, with the reason. No named tuple: each answer makes one, and that would take
ten times as long."""


def next_gap(
    *, state: str | None, in_state: float, failures: int, floor: float, rails: Rails, spread: float
) -> float:
    """Seconds from one poll to the next under the fixed plan, and under either plan after failures or in BLOCK.

    `state` is the last reported state (None: no answer yet), held for `in_state` seconds. `failures` counts
    consecutive polls without an answer: each doubles the gap, up to the state's longest gap. `floor` is the
    minimum wait from Retry-After in seconds (0: none). `spread` is a random number in [0, 1).
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
    """Plan the next poll under the learned plan, after one that found the job running or waiting.

    `elapsed` is the production time in seconds at that poll, by the service's clock. It is 0 for a job that waits
    or whose state is unknown, because production may start right after the poll. `waited` is the time in seconds
    that a WAITING job had waited since its creation. None means not waiting or unknown; the latter is planned as
    if production started right after the poll, which costs more requests. `price` is the expected undetected delay
    in seconds that a request is worth; `spread` is a random number in [0, 1) that shortens the gap by up to 5 %.
    """
    longest = rails.max_interval
    gap = law.gap(elapsed, price) if waited is None else law.waiting_gap(waited, price, longest)
    late = law.stuck_after - elapsed
    if waited is None and 0.0 < late < longest and late < gap:
        # No jitter: an earlier poll could not report the job as stuck, and the next one may be a long gap away.
        return max(rails.min_interval, late + _JUST_AFTER), Reason.STUCK
    if gap >= longest:
        return longest * (1 - _JITTER * spread), _LONGEST
    if gap <= rails.min_interval:
        return rails.min_interval, _SHORTEST
    return max(rails.min_interval, gap * (1 - _JITTER * spread)), _PRICE


def undetected(law: Law, *, elapsed: float, seconds: float, waited: float | None = None) -> float:
    """Expected undetected delay in seconds, `seconds` after a poll; `elapsed` and `waited` as in `learned_gap`."""
    return law.area(elapsed, seconds) if waited is None else law.waiting_area(waited, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The figures behind a job's plan, for `wrapd explain`: times in seconds, a chance from 0 to 1."""

    elapsed: float  # production time at the last poll; 0 if the job was waiting
    waited: float | None  # time waited at the last poll; None if the job was not waiting
    ago: float  # time since the last poll
    ended: float  # chance that the job has ended since then
    delay: float  # its expected undetected delay so far
    price: float  # the delay at which a request is due
    reached_in: float  # time from now until the delay reaches the price; 0 if it has
    next_in: float  # time from now until the next poll, within the rails; 0 if it is due
    reason: Reason


def explain(
    *, law: Law, elapsed: float, ago: float, price: float, rails: Rails, waited: float | None = None
) -> Explanation:
    """Explain the learned plan of a job last polled `ago` seconds ago; see `learned_gap` for the other arguments.

    Leaves out jitter: the real poll comes earlier by up to 5 % of the gap.
    """
    gap, reason = learned_gap(law=law, elapsed=elapsed, price=price, rails=rails, spread=0.0, waited=waited)
    reached = law.gap(elapsed, price) if waited is None else law.waiting_gap(waited, price, _DAY)
    return Explanation(
        elapsed=elapsed,
        waited=waited,
        ago=ago,
        ended=law.ended(elapsed, ago) if waited is None else law.waiting_ended(waited, ago),
        delay=undetected(law, elapsed=elapsed, seconds=ago, waited=waited),
        price=price,
        reached_in=max(0.0, reached - ago),
        next_in=max(0.0, gap - ago),
        reason=reason,
    )
