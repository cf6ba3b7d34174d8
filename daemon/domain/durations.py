"""How long production takes, learned from the jobs that ended and those that run: laws, ETA, and what is stuck.

Owns the fit. Pure: no clock, no I/O, no randomness; nothing is kept between fits. Must never judge a job's state.

A *class* is (project, kind), apart for jobs with and without a known length of speech. A class has a *scale*,
a + b * length by robust regression of relative errors, and a hazard of x = seconds ÷ scale, which is what its laws
are made of. Failures have a hazard of their own, in seconds, over all classes together: they come early and do not
depend on the length.

Hazard is events ÷ exposure, and both are counted *by the calendar*: what happened at a moment weighs
2^(-n ÷ 60) where n jobs of the class have ended since, be it an end or the mere running on of a job, and what lies
before the oldest end that is given weighs nothing. So a job that runs counts as evidence against an end at its age
in the same measure as the ends of that time count for one: 100,000 running jobs beside the last 200 ended ones do
not bend the hazard, and a service that grows slow shows in what runs before anything ends (docs/polling.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log

from daemon.domain.hazards import (
    EDGES,
    FAILURE_EDGES,
    LOW,
    SHAPE,
    Scale,
    Table,
    failure_hazard,
    hazard,
    learn_scale,
    median,
    pooled,
    tabulate,
)
from daemon.domain.samples import LIMIT, MOST, Life, Lives, Running, Sample
from daemon.domain.survival import Law

__all__ = ["ETA_FROM", "LIMIT", "ClassKey", "Durations", "Eta", "Law", "Running", "Sample", "eta", "fit"]

ClassKey = tuple[str, str]
"""Project and kind."""

ETA_FROM = 10
"""Finished jobs of a kind below which there is no ETA rather than a wrong one, and nothing is stuck."""

_UNKNOWN = Scale(base=40.0, slope=2.0, level=180.0)
"""The scale before anything is known."""
_SHARED = 40
"""Newest ends of each class from which the scale comes that a new class begins with."""
_ENOUGH = 8
"""Ends with a length from which a class has its own line, and ends without one from which those stand alone."""
_SLOW_SHARE, _SLOW_JOBS = 0.05, 2.0
"""The share of ends that is taken for slow, and for how many of them the tail of the pseudo-jobs counts."""
_MOST_PARTS = 1000
"""Classes whose parts are kept, those included of which nothing is known."""
_LATTICE = 30.0
"""Laws are made for scales e^(n ÷ 30): a scale is off by at most 1.7 %."""
_STUCK_SHARE, _STUCK_TIMES = 0.006, 2.0
"""A job is stuck beyond all but this share of its class, and so many times the median. The share is below 1 %
because it is learned from few slow jobs, and an alert must not be wrong."""
_STUCK_FADE, _STUCK_OTHERS = 240.0, 0.7
"""For that, ends fade slower (half after so many), and those of other classes count for so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eta:
    """Seconds that remain: 10 % of the jobs like it end before `low`, half before `median`, 90 % before `high`."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Part:
    """What the laws of a class are made of, and those that were made."""

    scale: Scale
    sized: bool
    hazard: list[float]
    failures: list[float]
    stuck: float  # in x; inf: too little is known
    laws: dict[int, Law] = field(default_factory=dict)


class Durations:
    """What is known of production times. Immutable but for its caches; not for two threads at once."""

    __slots__ = ("_counts", "_fit", "_plain", "_sized")

    def __init__(self, lives: Mapping[ClassKey, Lives]) -> None:
        self._counts = {key: sum(life.succeeded for life in each.all) for key, each in lives.items()}
        self._fit = _Fit(lives)
        self._sized: dict[ClassKey, _Part] = {}
        self._plain: dict[ClassKey, _Part] = {}
        for key, each in lives.items():
            for sized in {life.length is not None for life in each.all}:
                self._part(key, sized=sized)

    def law(self, key: ClassKey, length: float | None) -> Law:
        """The law of a job of the class with `length` seconds of speech (None: not known). A cached one costs
        under 1 µs, a new one some 100 µs."""
        if length is not None and not 0.0 <= length < MOST:
            length = None
        part = self._plain.get(key) if length is None else self._sized.get(key)
        if part is None:
            part = self._part(key, sized=length is not None)
        scale = part.scale
        unit = scale.base + scale.slope * length if part.sized and length is not None else scale.level
        step = round(log(unit) * _LATTICE)
        law = part.laws.get(step)
        if law is None:
            law = part.laws[step] = _law(part, exp(step / _LATTICE))
        return law

    def finished(self, key: ClassKey) -> int:
        """Jobs of the class that succeeded, of the last `LIMIT` that finished."""
        return self._counts.get(key, 0)

    def _part(self, key: ClassKey, *, sized: bool) -> _Part:
        part = self._fit.part(key, sized=sized)
        if len(self._sized) + len(self._plain) < _MOST_PARTS:
            (self._sized if sized else self._plain)[key] = part
        return part


def eta(durations: Durations, key: ClassKey, length: float | None, elapsed: float) -> Eta | None:
    """What remains for a job in production for `elapsed` seconds; None below `ETA_FROM` finished jobs of its kind,
    and for a job that has run longer than anything that is known."""
    if durations.finished(key) < ETA_FROM:
        return None
    law = durations.law(key, length)
    low, middle, high = (law.remaining(elapsed, share) for share in (0.1, 0.5, 0.9))
    if low is None or middle is None or high is None:
        return None
    return Eta(median=middle, low=low, high=high)


def fit(
    finished: Mapping[ClassKey, Sequence[Sample]],
    running: Mapping[ClassKey, Sequence[Running]],
    *,
    now: float | None = None,
) -> Durations:
    """Learn from the last finished jobs of each class (newest first, `LIMIT` of them) and those in production.

    Where 50 finished jobs of a class are given or more, what lies before the oldest of them is taken as not known;
    where fewer are, they are taken as all there were. `now` (epoch seconds; None: the newest end) is when the
    running ones were counted. Where a class has finished jobs and no running ones are given, the finished ones
    speak alone. Times that are no number or not above zero are left out. 2 classes with 200 finished and 200
    running jobs each cost some 7 ms.
    """
    if now is None:
        now = max((each.ended for samples in finished.values() for each in samples), default=0.0)
    keys = sorted({*finished, *running})
    return Durations({key: Lives(finished.get(key, ()), running.get(key, ()), now) for key in keys})


@dataclass(frozen=True, slots=True)
class _Draft:
    """A class before the pool is mixed in."""

    scale: Scale
    table: Table


class _Fit:
    """What is learned from lives. The parts for jobs without a length cost nothing where none is asked for."""

    def __init__(self, lives: Mapping[ClassKey, Lives]) -> None:
        self._lives = lives
        self._drafts: dict[tuple[ClassKey, bool], _Draft] = {}
        self._failures = failure_hazard(life for each in lives.values() for life in each.all)
        newest = [life for each in lives.values() for life in [one for one in each.all if one.succeeded][:_SHARED]]
        line = learn_scale(newest, _UNKNOWN, sized=True)
        self._shared = learn_scale(newest, line, sized=False)

    def part(self, key: ClassKey, *, sized: bool) -> _Part:
        """What the laws of a class are made of; the pool of all for a class of which nothing is known."""
        if key not in self._lives:
            pool = pooled(self._draft(other, sized=sized).table for other in self._lives)
            return _Part(self._shared, sized, hazard(None, pool), self._failures, inf)
        if sized and self._better_plain(self._lives[key]):
            sized = False
        own = self._draft(key, sized=sized)
        others = [self._draft(other, sized=sized).table for other in self._lives if other != key]
        pool = pooled(others, own.table if self._lives[key].cut_off else None)
        return _Part(own.scale, sized, hazard(own.table, pool), self._failures, _stuck(own.table, others))

    @staticmethod
    def _better_plain(lives: Lives) -> bool:
        done = [life for life in lives.all if life.succeeded]
        return sum(life.length is not None for life in done) < min(_ENOUGH, len(done))

    def _draft(self, key: ClassKey, *, sized: bool) -> _Draft:
        draft = self._drafts.get((key, sized))
        if draft is None:
            lives = _choose(self._lives[key].all, sized=sized)
            scale = learn_scale(lives, self._shared, sized=sized)
            draft = self._drafts[key, sized] = _Draft(scale, tabulate(lives, scale, sized=sized))
        return draft


def _choose(lives: list[Life], *, sized: bool) -> list[Life]:
    """The lives with a length; or those without one, or all while those are few."""
    if sized:
        return [life for life in lives if life.length is not None]
    without = [life for life in lives if life.length is None]
    return without if sum(life.succeeded for life in without) >= 2 * _ENOUGH else lives


def _stuck(own: Table, others: Sequence[Table]) -> float:
    """The x beyond which a job of the class is stuck. What runs now has no part in it: a job that hangs must not
    make it normal to hang.

    The slowest 5 % of the ends are taken for a power law (by Hill's estimate), so that a quantile in their midst
    does not rest on two or three of them.
    """
    if len(own.spots) < ETA_FROM:
        return inf
    values = _faded(own.spots, 1.0)
    least = _STUCK_TIMES * median(values)
    for other in others:
        values += _faded(other.spots, _STUCK_OTHERS)
    values.sort(reverse=True)
    slow = _SLOW_SHARE * sum(weight for _, weight in values)
    start, i = values[0][0], 0
    beyond = 0.0
    while beyond < slow:
        start = values[i][0]
        beyond += values[i][1]
        i += 1
    bend = _SLOW_JOBS / SHAPE + sum(weight * log(value / start) for value, weight in values[:i])
    return max(least, start * exp(log(_SLOW_SHARE / _STUCK_SHARE) * bend / (_SLOW_JOBS + slow)))


def _faded(spots: Sequence[float], times: float) -> list[tuple[float, float]]:
    return [(spot, times * 2.0 ** (-i / _STUCK_FADE)) for i, spot in enumerate(spots)]


def _law(part: _Part, scale: float) -> Law:
    """Both hazards on the pieces of x, and on those of the failures before the first of them ends."""
    rates = part.failures
    early = [edge for edge in FAILURE_EDGES[1:] if edge < LOW * scale]
    edges = [0.0, *early, *(edge * scale for edge in EDGES[1:])]
    relative = [part.hazard[0]] * len(early) + part.hazard
    last = len(FAILURE_EDGES) - 1
    both = []
    i = 0
    for k in range(len(edges) - 1):
        start = begin = edges[k]
        end = edges[k + 1]
        mass = 0.0
        while i < last and FAILURE_EDGES[i + 1] <= end:
            mass += rates[i] * (FAILURE_EDGES[i + 1] - start)
            i += 1
            start = FAILURE_EDGES[i]
        mass += rates[i] * (end - start)
        both.append(relative[k] / scale + mass / (end - begin))
    both.append(relative[-1] / scale + rates[i])
    return Law(edges, both, stuck_after=part.stuck * scale)
