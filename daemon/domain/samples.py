"""Job lives, weighted by calendar time, as evidence for production times.

Owns the weight of each past moment and leaves estimation to other modules. Times are in seconds.
`daemon.domain.durations` explains why the weights follow the calendar.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

LIMIT = 200
"""Number of the newest finished jobs used per class."""
LEAST = 1e-3
"""Shorter production times, in seconds, are rejected as mistakes."""
MOST = 1e8
"""Larger times (seconds; three years) and sample weights (jobs) are rejected as mistakes."""
_FADE = 60.0
"""Number of later ends that halves the weight of an observation."""
_CUT_FROM = 50
"""With at least this many ends, the time before the oldest one counts as unobserved. The threshold is below
`LIMIT` because callers fetch `LIMIT` rows and drop the unusable ones. With fewer ends, the history counts as
complete."""
_AROUND = 0.1
"""A sampled running job represents ages within this share of its own."""
_GROUP = 8
"""Number of consecutive ends with the same weight: few steps keep each life's list of changes short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A finished job."""

    seconds: float  # production time by the service's clock
    length: float | None  # expected seconds of speech; None if unknown
    failed: bool  # FAILED, or CANCELED during production
    ended: float  # epoch seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A job in production. In a sample of the running jobs, `weight` is the number of jobs that it represents."""

    seconds: float  # production time as of the last answer that reported the job running
    length: float | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One job as evidence: its weight at each age while running, and the weight of its end."""

    length: float | None
    seconds: float
    first: float  # weight at age 0
    changes: list[tuple[float, float]]  # (age, change of the weight at that age)
    last: float  # weight at its end, or at its present age
    ended: bool
    failed: bool

    @property
    def succeeded(self) -> bool:
        return self.ended and not self.failed


class Lives:
    """The lives of one (project, kind): finished jobs, newest end first, then running ones."""

    __slots__ = ("all", "cut_off")

    def __init__(self, samples: Sequence[Sample], running: Sequence[Running], now: float) -> None:
        usable = [each for each in samples[:LIMIT] if LEAST < each.seconds < MOST and isfinite(each.ended)]
        usable.sort(key=lambda each: -each.ended)
        calendar = _Calendar([each.ended for each in usable])
        self.all = [calendar.life(each.ended, each.seconds, each.length, failed=each.failed) for each in usable]
        self.cut_off = calendar.cut_off
        """Whether the time before the oldest end is unobserved, so that lives may begin after age 0."""
        if calendar.cut_off and not running:
            # Ends since the cut-off are balanced by the exposure of all jobs that ran since. Without the running
            # jobs that exposure is incomplete and the hazard too high: each finished life gets its end's weight.
            self.all = [replace(each, first=each.last, changes=[]) for each in self.all]
            self.cut_off = False
        for live in running:
            if LEAST < live.seconds < MOST and 0.0 < live.weight < MOST:
                life = calendar.life(now, live.seconds, live.length, times=live.weight)
                self.all.append(_smoothed(life) if live.weight > 1.0 else life)


def _smoothed(life: Life) -> Life:
    """Spread a sampled life that the calendar cuts to a sliver over all ages around it.

    Otherwise a few heavy slivers would leave ages between them without exposure, and with too high a hazard.
    """
    if life.first or not life.changes or life.seconds - life.changes[0][0] > 2 * _AROUND * life.seconds:
        return life
    weight = mass = 0.0
    ages = [age for age, _ in life.changes] + [life.seconds]
    for (age, change), after in zip(life.changes, ages[1:], strict=True):
        weight += change
        mass += weight * (after - age)
    low, high = life.seconds * (1 - _AROUND), life.seconds * (1 + _AROUND)
    density = mass / (high - low)  # the exposure stays the same
    return replace(life, changes=[(low, density), (high, -density)], last=0.0)


class _Calendar:
    """The weight of each moment: 2^(-n ÷ 60) if n jobs ended after it, and 0 before a cut-off."""

    def __init__(self, ends: Sequence[float]) -> None:
        """`ends`: epoch seconds, newest first."""
        cuts = [ends[i] for i in range(_GROUP, len(ends), _GROUP)]
        weights = [2.0 ** (-(i + 0.5) * _GROUP / _FADE) for i in range(len(cuts) + 1)]
        self.cut_off = len(ends) >= _CUT_FROM
        if self.cut_off:
            cuts.append(ends[-1])
            weights.append(0.0)
        self._cuts = cuts[::-1]  # oldest first; weights[i] applies in (cuts[i - 1], cuts[i]]
        self._weights = weights[::-1]

    def life(
        self, until: float, seconds: float, length: float | None, *, failed: bool | None = None, times: float = 1.0
    ) -> Life:
        """The life of a job that ran for `seconds` up to `until` and ended then, unless `failed` is None."""
        cuts, weights = self._cuts, self._weights
        start = until - seconds
        i, k = bisect_left(cuts, start), bisect_left(cuts, until)
        changes = [(cuts[j] - start, (weights[j + 1] - weights[j]) * times) for j in range(i, k)]
        last = weights[k] * times
        if failed is not None and last == 0.0:  # the oldest end lies on the cut-off: keep it
            last = weights[k + 1] * times
            changes.append((seconds, last))
        known = length is not None and 0.0 <= length < MOST
        return Life(
            length=length if known else None,
            seconds=seconds,
            first=weights[i] * times,
            changes=changes,
            last=last,
            ended=failed is not None,
            failed=bool(failed),
        )
