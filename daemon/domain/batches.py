"""The ETA of a batch: when its last job ends.

Each job in production ends by its own law (`durations`), given how long it has run. Jobs are assumed to end
independently, so P(all ended within t) is the product of P(job i ended within t), and the band is where that
product is 10 %, 50 % and 90 %. The band of one job is that job's own, and another job never makes it earlier.

If the service as a whole becomes slow, all its jobs are late together and the last end comes after the band, until
enough slow jobs have ended for the laws to reflect it.

The time that a job waits for production is unknown: it depends on the service's queue, and waits learned in
another queue would be wrong by as much as the queues differ. So a batch with a job that is not in production has
no band, only a bound: even if those jobs all began now, only 1 of 10 such batches would end within `soonest`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log

from daemon.domain.durations import ETA_FROM, Durations, Eta
from daemon.domain.production import Unended
from daemon.domain.survival import Law

_LOW, _MEDIAN, _HIGH = 0.1, 0.5, 0.9
_EXACT = 1e-6
"""Tolerance of log(-log(chance)): some millionths of the band's width."""
_ROUNDS = 100
"""Maximum number of false-position steps; five or six usually suffice."""
_LEAST = 1e-300
"""Replaces 0 in logarithms."""

_Known = Mapping[tuple[Law, float], int]
"""Numbers of jobs by law and elapsed seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEnd:
    """Seconds until the last job of a batch ends; `not_begun` and `unknown` say why there is no `eta`."""

    eta: Eta | None
    soonest: float | None
    """The batch ends sooner with a chance of at most 10 %; None if no job has a law."""
    not_begun: int
    """Number of jobs not known to be in production."""
    unknown: int
    """Number of jobs in production without an ETA of their own."""


def last_end(durations: Durations, jobs: Iterable[Unended]) -> LastEnd:
    """Estimate when the last of `jobs` ends. 50,000 different jobs take about 2 s."""
    known: defaultdict[tuple[Law, float], int] = defaultdict(int)
    unknown = not_begun = 0
    for key, length, elapsed in jobs:
        law = None if durations.finished(key) < ETA_FROM else durations.law(key, length)
        if law is not None and law.remaining(elapsed or 0.0, _HIGH) is not None:  # else it has no ETA of its own
            known[law, elapsed or 0.0] += 1
        elif elapsed is not None:
            unknown += 1
        not_begun += elapsed is None
    if not known:
        return LastEnd(eta=None, soonest=None, not_begun=not_begun, unknown=unknown)
    soonest = _all_ended(known, _LOW)
    band = None
    if not (unknown or not_begun):
        band = Eta(low=soonest, median=_all_ended(known, _MEDIAN), high=_all_ended(known, _HIGH))
    return LastEnd(eta=band, soonest=soonest, not_begun=not_begun, unknown=unknown)


def _all_ended(known: _Known, share: float) -> float:
    """Seconds within which all have ended with the chance `share`.

    Over time log(-log(chance)) falls almost linearly, as it does in the limit for the maximum of many variables,
    so false positions (the Illinois variant) converge quickly.
    """
    goal = log(-log(share))

    def above(seconds: float) -> float:
        missing = -sum(
            count * log(max(law.ended(elapsed, seconds), _LEAST)) for (law, elapsed), count in known.items()
        )
        return log(max(missing, _LEAST)) - goal

    # All jobs end no sooner than the slowest one.
    low = high = max(law.remaining(elapsed, share) or 0.0 for law, elapsed in known)
    at_low = at_high = above(low)
    if at_low < _EXACT:
        return low
    while at_high > 0.0:
        low, at_low = high, at_high
        high = 1.5 * high + 1.0
        at_high = above(high)
    kept = 0
    for _ in range(_ROUNDS):
        middle = low + (high - low) * at_low / (at_low - at_high)
        off = above(middle)
        if abs(off) < _EXACT:
            return middle
        if off > 0.0:
            low, at_low = middle, off
            at_high /= 2.0 if kept > 0 else 1.0
            kept = 1
        else:
            high, at_high = middle, off
            at_low /= 2.0 if kept < 0 else 1.0
            kept = -1
    return high
