"""Production times learned from ended and running jobs: laws, ETAs, and when a job is stuck.

Owns the fit and keeps nothing between fits. Judging a job's state is left to others.

A *class* is (project, kind), split into jobs with and without a known length of speech. A class has a *scale*,
a + b * length by robust regression of relative errors, and a hazard of x = seconds ÷ scale from which its laws are
built. Failures have one hazard in seconds over all classes, because they come early whatever the length.

The hazard is events ÷ exposure. Both are weighted *by the calendar*: an end, and a job's running time, at a moment
counts 2^(-n ÷ 60) if n jobs of the class have ended since, and 0 before the oldest known end. A running job thus
counts against an end at its age as much as the ends of that time count for one. 100,000 running jobs next to the
last 200 ends do not bias the hazard, and a service that becomes slow shows before anything ends (docs/polling.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log

from daemon.domain import hazards
from daemon.domain.hazards import Scale, Table
from daemon.domain.samples import LIMIT, MOST, Life, Lives, Running, Sample
from daemon.domain.survival import Law

__all__ = ["ETA_FROM", "LIMIT", "ClassKey", "Durations", "Eta", "Law", "Running", "Sample", "eta", "fit"]

ClassKey = tuple[str, str]
"""Project and kind."""

ETA_FROM = 10
"""Minimum number of finished jobs of a kind for an ETA, and for a job to count as stuck."""

_UNKNOWN = Scale(base=40.0, slope=2.0, level=180.0)
"""The scale before any job has ended."""
_SHARED = 40
"""Number of each class's newest ends that make up the initial scale of a new class."""
_ENOUGH = 8
"""Ends with a length from which a class has its own line; twice as many ends without one stand alone."""
_SLOW_SHARE, _SLOW_JOBS = 0.05, 2.0
"""Share of ends that count as slow, and the number of slow jobs by which the pseudo-jobs' tail is weighted."""
_MOST_PARTS = 1000
"""Maximum number of classes whose parts are cached, unknown classes included."""
_LATTICE = 30.0
"""Laws are built for scales e^(n ÷ 30), so that jobs of similar length share one: off by at most 1.7 %."""
_STUCK_SHARE, _STUCK_TIMES = 0.006, 2.0
"""A job is stuck beyond all but this share of its class, and beyond this multiple of the median. The share is
below 1 % because it is estimated from few slow jobs and false alerts are worse than late ones."""
_STUCK_FADE, _STUCK_OTHERS = 240.0, 0.7
"""For the stuck limit, this many later ends halve a weight, and ends of other classes have this weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eta:
    """Seconds remaining: of similar jobs 10 % end before `low`, half before `median`, and 90 % before `high`."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Part:
    """The fitted parameters of a class, and its laws so far."""

    scale: Scale
    sized: bool
    hazard: list[float]
    failures: list[float]
    stuck: float  # in x; inf if too little is known
    laws: dict[int, Law] = field(default_factory=dict)


class Durations:
    """The learned production times. Immutable except for its caches; not safe for concurrent threads."""

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
        """The law of a job of the class with `length` seconds of speech (None: unknown).

        Takes under 1 µs if cached, about 100 µs otherwise.
        """
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
        """Number of succeeded jobs among the class's last `LIMIT` finished ones."""
        return self._counts.get(key, 0)

    def _part(self, key: ClassKey, *, sized: bool) -> _Part:
        part = self._fit.part(key, sized=sized)
        if len(self._sized) + len(self._plain) < _MOST_PARTS:
            (self._sized if sized else self._plain)[key] = part
        return part


def eta(durations: Durations, key: ClassKey, length: float | None, elapsed: float) -> Eta | None:
    """The ETA of a job in production for `elapsed` seconds; None with fewer than `ETA_FROM` finished jobs of its
    kind, and for a job older than its law covers."""
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
    """Learn from the last finished jobs of each class (newest first, up to `LIMIT`) and the jobs in production.

    With 50 or more finished jobs of a class, the time before the oldest one counts as unobserved; with fewer, they
    count as the entire history. `now` (epoch seconds; None: the newest end) is when the running jobs were counted.
    If a class has no running jobs, its finished ones are used alone. Non-finite and non-positive times are
    ignored. 2 classes with 200 finished and 200 running jobs each take about 7 ms.
    """
    if now is None:
        now = max((each.ended for samples in finished.values() for each in samples), default=0.0)
    keys = sorted({*finished, *running})
    return Durations({key: Lives(finished.get(key, ()), running.get(key, ()), now) for key in keys})


@dataclass(frozen=True, slots=True)
class _Draft:
    """A class before pooling."""

    scale: Scale
    table: Table


class _Fit:
    """A fit of lives. Parts are computed on demand: most fits need none for jobs without a length."""

    def __init__(self, lives: Mapping[ClassKey, Lives]) -> None:
        self._lives = lives
        self._drafts: dict[tuple[ClassKey, bool], _Draft] = {}
        self._failures = hazards.failure_hazard(life for each in lives.values() for life in each.all)
        newest = [life for each in lives.values() for life in [one for one in each.all if one.succeeded][:_SHARED]]
        line = hazards.learn_scale(newest, _UNKNOWN, sized=True)
        self._shared = hazards.learn_scale(newest, line, sized=False)

    def part(self, key: ClassKey, *, sized: bool) -> _Part:
        """The parameters of a class; an unknown class gets the pool of all classes."""
        if key not in self._lives:
            pool = hazards.pooled(self._draft(other, sized=sized).table for other in self._lives)
            return _Part(self._shared, sized, hazards.hazard(None, pool), self._failures, inf)
        if sized and self._better_plain(self._lives[key]):
            sized = False
        own = self._draft(key, sized=sized)
        others = [self._draft(other, sized=sized).table for other in self._lives if other != key]
        pool = hazards.pooled(others, own.table if self._lives[key].cut_off else None)
        return _Part(own.scale, sized, hazards.hazard(own.table, pool), self._failures, _stuck(own.table, others))

    @staticmethod
    def _better_plain(lives: Lives) -> bool:
        done = [life for life in lives.all if life.succeeded]
        return sum(life.length is not None for life in done) < min(_ENOUGH, len(done))

    def _draft(self, key: ClassKey, *, sized: bool) -> _Draft:
        draft = self._drafts.get((key, sized))
        if draft is None:
            lives = _choose(self._lives[key].all, sized=sized)
            scale = hazards.learn_scale(lives, self._shared, sized=sized)
            draft = self._drafts[key, sized] = _Draft(scale, hazards.tabulate(lives, scale, sized=sized))
        return draft


def _choose(lives: list[Life], *, sized: bool) -> list[Life]:
    """The lives with a length if `sized`, else those without one, or all lives as long as those are few."""
    if sized:
        return [life for life in lives if life.length is not None]
    without = [life for life in lives if life.length is None]
    return without if sum(life.succeeded for life in without) >= 2 * _ENOUGH else lives


def _stuck(own: Table, others: Sequence[Table]) -> float:
    """The x beyond which a job of the class is stuck. Running jobs do not count, or hung ones would raise it.

    Fits a power law to the slowest 5 % of the ends (Hill's estimate), so that a quantile among them does not
    depend on two or three jobs.
    """
    if len(own.spots) < ETA_FROM:
        return inf
    values = _faded(own.spots, 1.0)
    least = _STUCK_TIMES * hazards.median(values)
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
    bend = _SLOW_JOBS / hazards.SHAPE + sum(weight * log(value / start) for value, weight in values[:i])
    return max(least, start * exp(log(_SLOW_SHARE / _STUCK_SHARE) * bend / (_SLOW_JOBS + slow)))


def _faded(spots: Sequence[float], times: float) -> list[tuple[float, float]]:
    return [(spot, times * 2.0 ** (-i / _STUCK_FADE)) for i, spot in enumerate(spots)]


def _law(part: _Part, scale: float) -> Law:
    """Combine both hazards on the pieces of x, the first of them split at the edges of the failures' hazard."""
    rates, ends = part.failures, hazards.FAILURE_EDGES
    early = [edge for edge in ends[1:] if edge < hazards.LOW * scale]
    edges = [0.0, *early, *(edge * scale for edge in hazards.EDGES[1:])]
    relative = [part.hazard[0]] * len(early) + part.hazard
    last = len(ends) - 1
    both = []
    i = 0
    for k in range(len(edges) - 1):
        start = begin = edges[k]
        end = edges[k + 1]
        mass = 0.0
        while i < last and ends[i + 1] <= end:
            mass += rates[i] * (ends[i + 1] - start)
            i += 1
            start = ends[i]
        mass += rates[i] * (end - start)
        both.append(relative[k] / scale + mass / (end - begin))
    both.append(relative[-1] / scale + rates[i])
    return Law(edges, both, stuck_after=part.stuck * scale)
