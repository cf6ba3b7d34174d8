"""Jobs as evidence of how long production takes: each job's life, weighted by the calendar.

Owns what a moment of the past counts for. Never estimates anything. Times are seconds; see daemon.domain.durations
for why the calendar decides.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

LIMIT = 200
"""Finished jobs of a class that are looked at, newest first."""
LEAST = 1e-3
"""Seconds of production below which a time is a mistake."""
MOST = 1e8
"""Seconds (three years), and jobs for which one stands, above which a figure is a mistake."""
_FADE = 60.0
"""Ends after which what was seen counts half."""
_CUT_FROM = 50
"""Ends from which what lies before the oldest is taken as not known. `LIMIT` would be too many: a caller asks for
so many rows and drops those that teach nothing. For fewer, all ends are taken as known, and lives as whole."""
_AROUND = 0.1
"""A job that stands for many stands for ages so far around its own, as a share of it."""
_GROUP = 8
"""Ends that share one weight: the calendar is cut at every eighth end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A finished job."""

    seconds: float  # of production, by the service's own times
    length: float | None  # expected seconds of speech; None: not known
    failed: bool  # it FAILED or was CANCELED in production
    ended: float  # epoch seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A job in production. `weight` is for how many jobs it stands, where only a sample of them is given."""

    seconds: float  # of production so far, as of the last answer that said so
    length: float | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One job as evidence: how much its running counts at each age, and its end."""

    length: float | None
    seconds: float
    first: float  # weight at age 0
    changes: list[tuple[float, float]]  # (age, by how much its weight changes there)
    last: float  # weight at its end, or at the age that it has now
    ended: bool
    failed: bool

    @property
    def succeeded(self) -> bool:
        return self.ended and not self.failed


class Lives:
    """The lives of one (project, kind), newest end first, then those that run."""

    __slots__ = ("all", "cut_off")

    def __init__(self, samples: Sequence[Sample], running: Sequence[Running], now: float) -> None:
        usable = [each for each in samples[:LIMIT] if LEAST < each.seconds < MOST and isfinite(each.ended)]
        usable.sort(key=lambda each: -each.ended)
        calendar = _Calendar([each.ended for each in usable])
        self.all = [calendar.life(each.ended, each.seconds, each.length, failed=each.failed) for each in usable]
        self.cut_off = calendar.cut_off
        """Lives begin where the calendar does, and not at age 0."""
        if calendar.cut_off and not running:
            self.all = [replace(each, first=each.last, changes=[]) for each in self.all]
            self.cut_off = False
        for live in running:
            if LEAST < live.seconds < MOST and 0.0 < live.weight < MOST:
                life = calendar.life(now, live.seconds, live.length, times=live.weight)
                self.all.append(_smoothed(life) if live.weight > 1.0 else life)


def _smoothed(life: Life) -> Life:
    """A sampled job whose life the calendar cuts to a sliver: the sliver stands for all ages around it, lest few
    samples leave holes between them."""
    if life.first or not life.changes or life.seconds - life.changes[0][0] > 2 * _AROUND * life.seconds:
        return life
    weight = mass = 0.0
    ages = [age for age, _ in life.changes] + [life.seconds]
    for (age, change), after in zip(life.changes, ages[1:], strict=True):
        weight += change
        mass += weight * (after - age)
    low, high = life.seconds * (1 - _AROUND), life.seconds * (1 + _AROUND)
    even = mass / (high - low)
    return replace(life, changes=[(low, even), (high, -even)], last=0.0)


class _Calendar:
    """What a moment counts for: 2^(-n ÷ 60) where n jobs ended after it; nothing before the oldest."""

    def __init__(self, ends: Sequence[float]) -> None:
        """`ends`: newest first."""
        cuts = [ends[i] for i in range(_GROUP, len(ends), _GROUP)]
        weights = [2.0 ** (-(i + 0.5) * _GROUP / _FADE) for i in range(len(cuts) + 1)]
        self.cut_off = len(ends) >= _CUT_FROM
        if self.cut_off:
            cuts.append(ends[-1])
            weights.append(0.0)
        self._cuts = cuts[::-1]  # oldest first; weights[i] rules from after cuts[i - 1] up to cuts[i]
        self._weights = weights[::-1]

    def life(
        self, until: float, seconds: float, length: float | None, *, failed: bool | None = None, times: float = 1.0
    ) -> Life:
        """A job that ran for `seconds` up to `until`; it ended then unless `failed` is None."""
        cuts, weights = self._cuts, self._weights
        start = until - seconds
        i, k = bisect_left(cuts, start), bisect_left(cuts, until)
        changes = [(cuts[j] - start, (weights[j + 1] - weights[j]) * times) for j in range(i, k)]
        last = weights[k] * times
        if failed is not None and last == 0.0:  # the oldest end itself, at the edge of the calendar
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
