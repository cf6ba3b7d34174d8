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
from daemon.domain.hazards import ETA_FROM, Pooled, Scale, Table
from daemon.domain.samples import LIMIT, MOST, Ends, Lives, Running, Sample
from daemon.domain.survival import Law

__all__ = ["ETA_FROM", "LIMIT", "ClassKey", "Durations", "Eta", "Law", "Running", "Sample", "eta", "fit"]

ClassKey = tuple[str, str]
"""Project and kind."""

_UNKNOWN = Scale(base=40.0, slope=2.0, level=180.0)
"""The scale before any job has ended."""
_SHARED, _SHARED_IN_ALL, _SHARED_LEAST = 40, 400, 5
"""Newest ends of a class that count for the initial scale of a new class: at most so many, fewer where there are
many classes (so many in all), but at least so many."""
_ENOUGH = 8
"""Ends with a length from which a class has its own line; twice as many ends without one stand alone."""
_MOST_PARTS = 1000
"""Maximum number of parts that are cached, those of unknown classes included."""
_MOST_FOUND = 5000
"""Maximum number of lengths whose laws are kept at hand; the watch knows some hundred of a class."""
_LATTICE = 30.0
"""Laws are built for scales e^(n ÷ 30), so that jobs of similar length share one: off by at most 1.7 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eta:
    """Seconds remaining: of similar jobs 10 % end before `low`, half before `median`, and 90 % before `high`."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Draft:
    """A class before pooling."""

    scale: Scale
    table: Table


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The jobs of a class, and what was computed from them alone."""

    lives: Lives
    done: Ends
    sized: bool  # enough of the successes have a length for a line of their own
    failures: list[float]
    drafts: dict[bool, _Draft] = field(default_factory=dict)  # by whether lengths count

    @staticmethod
    def of(lives: Lives) -> "_Evidence":
        done = lives.successes()
        known = len(done.lengths) - done.lengths.count(None)
        sized = known >= min(_ENOUGH, len(done.lengths))
        return _Evidence(lives, done, sized, hazards.count_failures(lives))


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
    """The learned production times. Immutable except for its caches; not safe for concurrent threads.

    Classes of `before` that are not in `lives` keep their parts, so that a refit costs what its classes with news
    cost.
    """

    __slots__ = ("_evidence", "_failures", "_found", "_parts", "_pools", "_shared")

    def __init__(self, lives: Mapping[ClassKey, Lives], before: "Durations | None" = None) -> None:
        kept: dict[ClassKey, _Evidence] = {} if before is None else before._evidence
        self._evidence: dict[ClassKey, _Evidence] = kept | {key: _Evidence.of(each) for key, each in lives.items()}
        every = self._evidence.values()
        self._failures = hazards.failure_hazard([each.failures for each in every])
        most = min(_SHARED, max(_SHARED_LEAST, _SHARED_IN_ALL // max(1, len(every))))
        newest = Ends.of_all(each.done.newest(most) for each in every)
        line = hazards.learn_scale(newest, _UNKNOWN, sized=True)
        self._shared = hazards.learn_scale(newest, line, sized=False)
        self._pools: dict[bool, Pooled] = {}
        self._found: dict[tuple[ClassKey, float | None], Law] = {}
        self._parts: dict[tuple[ClassKey, bool], _Part] = {}
        if before is not None:
            known = self._evidence.keys() - lives.keys()
            parts = list(before._parts.items())  # atomic: another thread may add parts to `before`
            self._parts = {of: part for of, part in parts if of[0] in known}
        for key, each in lives.items():
            for sized in {length is not None for length in each.lengths}:
                self._part(key, sized=sized)

    def law(self, key: ClassKey, length: float | None) -> Law:
        """The law of a job of the class with `length` seconds of speech (None: unknown).

        Takes under 1 µs if cached, about 100 µs otherwise.
        """
        found = self._found.get((key, length))
        if found is None:
            found = self._find(key, length)
            if len(self._found) < _MOST_FOUND:
                self._found[key, length] = found
        return found

    def _find(self, key: ClassKey, length: float | None) -> Law:
        if length is not None and not 0.0 <= length < MOST:
            length = None
        sized = length is not None
        part = self._parts.get((key, sized)) or self._part(key, sized=sized)
        scale = part.scale
        unit = scale.base + scale.slope * length if part.sized and length is not None else scale.level
        step = round(log(unit) * _LATTICE)
        law = part.laws.get(step)
        if law is None:
            law = part.laws[step] = _law(part, exp(step / _LATTICE))
        return law

    def finished(self, key: ClassKey) -> int:
        """Number of succeeded jobs among the class's last `LIMIT` finished ones."""
        known = self._evidence.get(key)
        return 0 if known is None else len(known.done.seconds)

    def _part(self, key: ClassKey, *, sized: bool) -> _Part:
        part = self._fitted(key, sized=sized)
        if len(self._parts) < _MOST_PARTS:
            self._parts[key, sized] = part
        return part

    def _fitted(self, key: ClassKey, *, sized: bool) -> _Part:
        """The parameters of a class; an unknown class gets the pool of all classes."""
        known = self._evidence.get(key)
        if known is None:
            rates = self._pool(sized=sized).hazard(None)
            return _Part(self._shared, sized, rates, self._failures, inf)
        sized = sized and known.sized
        pool, own = self._pool(sized=sized), self._draft(known, sized=sized)
        rates = pool.hazard(own.table, whole=known.lives.cut_off)
        stuck = pool.stuck(own.table) if len(known.done.seconds) >= ETA_FROM else inf
        return _Part(own.scale, sized, rates, self._failures, stuck)

    def _pool(self, *, sized: bool) -> Pooled:
        pool = self._pools.get(sized)
        if pool is None:
            tables = [self._draft(each, sized=sized).table for each in self._evidence.values()]
            pool = self._pools[sized] = Pooled(tables)
        return pool

    def _draft(self, known: _Evidence, *, sized: bool) -> _Draft:
        draft = known.drafts.get(sized)
        if draft is None:
            lives = _choose(known.lives, sized=sized)
            scale = hazards.learn_scale(lives.successes(), self._shared, sized=sized)
            draft = known.drafts[sized] = _Draft(scale, hazards.tabulate(lives, scale, sized=sized))
        return draft


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
    before: Durations | None = None,
) -> Durations:
    """Learn from the last finished jobs of each class (newest first, up to `LIMIT`) and the jobs in production.

    With 50 or more finished jobs of a class, the time before the oldest one counts as unobserved; with fewer, they
    count as the entire history. `now` (epoch seconds; None: the newest end) is when the running jobs were counted.
    If a class has no running jobs, its finished ones are used alone. Non-finite and non-positive times are
    ignored. Classes of `before` that are given neither finished nor running jobs keep what was learned then. The
    time grows linearly with the classes given: about 0.8 ms for one with 200 finished jobs.
    """
    if now is None:
        now = max((each.ended for samples in finished.values() for each in samples), default=0.0)
    keys = sorted({*finished, *running})
    lives = {key: Lives(finished.get(key, ()), running.get(key, ()), now) for key in keys}
    return Durations(lives, before)


def _choose(lives: Lives, *, sized: bool) -> Lives:
    """The lives with a length if `sized`, else those without one, or all lives as long as those are few."""
    if sized:
        return lives.sized()
    without = lives.unsized()
    return without if len(without.successes().seconds) >= 2 * _ENOUGH else lives


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
