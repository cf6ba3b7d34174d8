"""When the last job of a batch ends: the law behind the band, for commands, messages and pages alike. Pure.

The last end is the maximum of what remains of each job's production. Each job that is in production ends by its
own law (`durations`), given for how long it has run, and the jobs are taken to end independently of each other: so
P(all have ended within t) is the product of P(job i has ended within t), and the band is where that product is
10 %, 50 % and 90 %. The band of one job is that job's own; one job more never makes it earlier.

Independence is an assumption. A service that grows slow as a whole makes all its jobs late together: then the last
end comes after the band, until the jobs that end slowly have taught the laws so.

Nothing is known of how long a job waits before its production: the queue in front of it is the service's, and
learning it from jobs that waited in another queue would be wrong by as much as the queues differ. So a batch of
which a job is not in production has no band. What is known is a bound: were each such job to begin just now, 1 of
10 such batches would have ended within `soonest`, and in truth they end later.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import log

from daemon.domain.durations import ClassKey, Durations, Eta, eta
from daemon.domain.survival import Law

_LOW, _MEDIAN, _HIGH = 0.1, 0.5, 0.9
_EXACT = 1e-6
"""How far the logarithm of -log(chance) may be off: some millionths of the band's width."""
_ROUNDS = 100
"""False positions at most; five or six are enough."""
_LEAST = 1e-300
"""Stands for 0 where a logarithm is taken."""

_Running = Counter[tuple[Law, float]]
"""The jobs in production, by their laws and the seconds that each has run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unended:
    """A job that has not ended. `length` is its seconds of speech, `elapsed` its seconds in production, None where
    it is not in production or nobody knows since when."""

    key: ClassKey
    length: float | None
    elapsed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEnd:
    """Seconds until the last job of a batch ends; without `eta` nobody can say, because of so many jobs."""

    eta: Eta | None
    soonest: float | None
    """The batch ends sooner with a chance of 10 % at most; None where nothing is known of any job."""
    not_begun: int
    """Jobs that are not in production, as far as wrapd knows."""
    unknown: int
    """Jobs in production that have no ETA of their own."""


def last_end(durations: Durations, jobs: Iterable[Unended]) -> LastEnd:
    """When the last of `jobs` ends, by what was learned. 50,000 different jobs cost some 2 s."""
    running: _Running = Counter()
    waiting: _Running = Counter()
    unknown = not_begun = 0
    for job in jobs:
        not_begun += job.elapsed is None
        if eta(durations, job.key, job.length, job.elapsed or 0.0) is None:
            unknown += job.elapsed is not None
            continue
        begun = running if job.elapsed is not None else waiting
        begun[durations.law(job.key, job.length), job.elapsed or 0.0] += 1
    known = running + waiting
    if not known:
        return LastEnd(eta=None, soonest=None, not_begun=not_begun, unknown=unknown)
    soonest = _all_ended(known, _LOW)
    band = None
    if not (unknown or not_begun):
        band = Eta(low=soonest, median=_all_ended(known, _MEDIAN), high=_all_ended(known, _HIGH))
    return LastEnd(eta=band, soonest=soonest, not_begun=not_begun, unknown=unknown)


def _all_ended(running: _Running, share: float) -> float:
    """Seconds within which all have ended with the chance `share`.

    Over time the logarithm of -log(chance) falls in nearly a straight line, as for the maximum of many it does in
    the limit: false positions (the Illinois way) find where it comes to that of `share`.
    """
    goal = log(-log(share))

    def above(seconds: float) -> float:
        missing = -sum(
            count * log(max(law.ended(elapsed, seconds), _LEAST)) for (law, elapsed), count in running.items()
        )
        return log(max(missing, _LEAST)) - goal

    # Not before the slowest alone.
    low = high = max(law.remaining(elapsed, share) or 0.0 for law, elapsed in running)
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
