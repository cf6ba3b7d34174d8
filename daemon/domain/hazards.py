"""Estimation of hazards from lives: tables of events and exposure, scales of classes, and the pool of all classes.

Owns the arithmetic of the fit; projects and kinds are left to `durations`. x is the relative age, seconds ÷ scale.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import exp, inf, log, sqrt
from operator import add, mul, sub

from daemon.domain.samples import LIMIT, Life

LOW, _HIGH, _BINS = 0.03, 30.0, 96
_LOG_LOW = log(LOW)
_STEP = log(_HIGH / LOW) / _BINS
EDGES = [0.0, *(LOW * exp(i * _STEP) for i in range(_BINS)), _HIGH]
"""Edges of the pieces of the hazard of x, evenly spaced in log x. The last piece is unbounded."""
_LAST = len(EDGES) - 1
_WIDTHS = [after - before for before, after in pairwise(EDGES)]
_STEEPEST, _FLATTEST = 2.5, 1e-6
"""Upper bound of a piece's hazard times its width, and lower bound of the hazard of x."""
_POOL = 6.0
"""Weight of the pool in each class, in jobs: it dominates while a class has few jobs of its own."""
_ALIVE = 2.0
"""Jobs of the pool alive at any age, at least: few of a class reach the tail, and without help its hazard is
noise."""
_CAUTION, _FAILURE_CAUTION = 0.15, 0.8
"""Standard errors by which the hazards of successes and failures are rounded up. Too low a hazard means long gaps
just where ends are unexpected, and so the longest delays; too high a one costs a few requests."""
SHAPE, SHAPE_JOBS = 2.0, 2.0
"""Shape and weight of the pool's log-logistic pseudo-jobs: P(x > t) = 1 ÷ (1 + t^shape)."""
_BAND, _WIDEST = 0.12, 0.4
"""Each end is smeared over this share of the ends, to either side, and at most this far in log x."""
_NEAR = round(_WIDEST / _STEP) + 1
"""Pieces from one to the first that is farther away than that."""
_KNEE = 0.15
"""Relative error beyond which an end's pull on the line is capped (Huber), so that slow jobs do not bend it."""
_NARROW, _LEAST_KNEE = 0.5, 0.03
"""The knee where errors are narrower than that, as a share of the width of their densest half, and at least: of
two narrow modes the line follows the larger one, and not by chance something in between."""
_ROUNDS, _EXACT = 6, 0.01
"""Maximum number of Newton steps, and the relative change that ends them, less than the data can tell."""
_PRIOR = 0.5
"""Weight, in jobs, of each of the two points that hold a line near the shared one, and of the shared level."""
FAILURE_EDGES = [0.0, *(2.0 * 1.4**i for i in range(24))]
"""Edges of the pieces of the failures' hazard, in seconds."""
_FAILURE_SHARE, _FAILURE_JOBS = 0.03, 4.0
"""Share of failures among the pseudo-jobs, spread evenly over the pieces, and the number of pseudo-jobs."""
ETA_FROM = 10
"""Minimum number of finished jobs of a kind for an ETA, and for a job to count as stuck."""
_SLOW_SHARE, _SLOW_JOBS = 0.05, 2.0
"""Share of ends that count as slow, and the number of slow jobs by which the pseudo-jobs' tail is weighted."""
_STUCK_SHARE, _STUCK_TIMES = 0.006, 2.0
"""A job is stuck beyond all but this share of its class, and beyond this multiple of the median. The share is
below 1 % because it is estimated from few slow jobs and false alerts are worse than late ones."""
_STUCK_FADE, _STUCK_OTHERS = 240.0, 0.7
"""For the stuck limit, this many later ends halve a weight, and ends of other classes have this weight."""
_STUCK_WEIGHTS = [2.0 ** (-i / _STUCK_FADE) for i in range(LIMIT)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Typical production time in seconds: `base` + `slope` * seconds of speech, or `level` if that is unknown."""

    base: float
    slope: float
    level: float

    def of(self, length: float | None) -> float:
        return self.level if length is None else self.base + self.slope * length


@dataclass(frozen=True, slots=True)
class Table:
    """Weighted events and exposure of each piece of x."""

    events: list[float]  # in jobs
    exposure: list[float]  # in jobs times x
    whole: list[float]  # exposure of the finished jobs over their entire lives
    spots: list[float]  # x of the successes, newest first


def tabulate(lives: Sequence[Life], scale: Scale, *, sized: bool) -> Table:
    """Tabulate lives by x, with their lengths if `sized`. A failure ends exposure but is no event."""
    entered = in_all = 0.0
    changes, leaving = [0.0] * len(EDGES), [0.0] * len(EDGES)
    spots: list[tuple[float, float]] = []
    for length, seconds, first, steps, last, ended, failed in lives:
        unit = scale.of(length) if sized else scale.level
        entered += first
        for age, change in steps:
            changes[bisect_right(EDGES, age / unit) - 1] += change
        if ended:
            in_all += last
        if ended and not failed:
            spots.append((max(seconds / unit, 1e-6), last))
        else:
            at = bisect_right(EDGES, seconds / unit) - 1
            changes[at] -= last
            if ended:
                leaving[at] -= last
    newest_first = [spot for spot, _ in spots]
    spots.sort()
    events = _spread(spots)
    exposure, whole = _exposure(entered, changes, events), _exposure(in_all, leaving, events)
    return Table(events, exposure, whole, newest_first)


def _exposure(alive: float, changes: Sequence[float], events: Sequence[float]) -> list[float]:
    exposure = []
    for width, change, ended in zip(_WIDTHS, changes, events, strict=False):
        after = alive + change - ended
        exposure.append(max(0.0, width * (alive + after) / 2))
        alive = after
    return [*exposure, 0.0]


def _spread(spots: Sequence[tuple[float, float]]) -> list[float]:
    """Spread ends, sorted by x, over the pieces: as far as their neighbours, and so finely where ends are
    dense."""
    events, steps = [0.0] * len(EDGES), [0.0] * (len(EDGES) + 1)
    places = [(log(spot) - _LOG_LOW) / _STEP + 1.0 for spot, _ in spots]  # fractional piece numbers
    reach = max(2, round(len(spots) * _BAND))
    far = [inf] * reach
    befores, afters = far + places[:-reach], places[reach:] + far[: len(places)]
    for (_, weight), place, before, after in zip(spots, places, befores, afters, strict=False):
        half = max(0.5, min(abs(place - before), abs(after - place), _WIDEST / _STEP))
        begin, end = place - half, place + half
        i, k = max(0, min(_LAST, int(begin))), max(0, min(_LAST, int(end)))
        if i == k:
            events[i] += weight
            continue
        density = weight / (end - begin)
        head = density * (i + 1 - begin)
        events[i] += head
        events[k] += weight - head - density * (k - i - 1)
        steps[i + 1] += density  # up to piece k, which has its own share
        steps[k] -= density
    return list(map(add, events, accumulate(steps)))


def _logistic() -> Table:
    alive = [1.0 / (1.0 + edge**SHAPE) for edge in EDGES]
    events = [before - after for before, after in pairwise(alive)]
    exposure = [width * (a + b) / 2 for width, a, b in zip(_WIDTHS, alive, alive[1:], strict=False)]
    exposure.append(alive[-1] * _HIGH / SHAPE)
    return Table([*events, alive[-1]], exposure, exposure, [])


_LOGISTIC = _logistic()


class Pooled:
    """All classes together, from which each one borrows. Costs the same for every class, however many there
    are."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._events, self._exposure = [0.0] * len(EDGES), [0.0] * len(EDGES)
        for table in tables:
            self._events = list(map(add, self._events, table.events))
            self._exposure = list(map(add, self._exposure, table.exposure))
        self._slow = sorted((each for table in tables for each in _faded(table.spots)), reverse=True)
        self._jobs = list(accumulate(weight for _, weight in self._slow))
        self._logs = list(accumulate(weight * log(spot) for spot, weight in self._slow))

    def hazard(self, own: Table | None, *, whole: bool = False) -> list[float]:
        """The hazard of x of each piece for a class with the table `own`, with the pool of the others and the
        log-logistic pseudo-jobs as additional jobs. `whole`: its own finished jobs are in the pool, with their
        entire lives, as a calendar that cuts lives off leaves gaps in its exposure.
        """
        events, exposure = self._events, self._exposure
        if own is not None:
            exposure = list(map(sub, exposure, own.exposure))
            if whole:
                exposure = list(map(add, exposure, own.whole))
            else:
                events = list(map(sub, events, own.events))
        share = _POOL / (SHAPE_JOBS + sum(events))
        events = [share * (SHAPE_JOBS * a + b) for a, b in zip(_LOGISTIC.events, events, strict=True)]
        exposure = [share * (SHAPE_JOBS * a + b) for a, b in zip(_LOGISTIC.exposure, exposure, strict=True)]
        more = [max(1.0, _ALIVE * width / each) for width, each in zip(_WIDTHS, exposure, strict=False)]
        events, exposure = list(map(mul, events, more)), list(map(mul, exposure, more))
        if own is not None:
            events, exposure = list(map(add, events, own.events)), list(map(add, exposure, own.exposure))
        sums = list(accumulate(events, initial=0.0))
        near = map(sub, sums[_NEAR:] + sums[-1:] * (_NEAR - 1), sums[:1] * (_NEAR - 1) + sums)
        rates = [
            min(max(ended * (1.0 + _CAUTION / sqrt(max(0.5, jobs))) / exposed, _FLATTEST), _STEEPEST / width)
            for ended, exposed, width, jobs in zip(events, exposure, _WIDTHS, near, strict=False)
        ]
        return [*rates, SHAPE / _HIGH]

    def stuck(self, own: Table) -> float:
        """The x beyond which a job of a class of the pool is stuck. Running jobs do not count, or hung ones would
        raise it.

        Fits a power law to the slowest 5 % of the ends (Hill's estimate), so that a quantile among them does not
        depend on two or three jobs.
        """
        ends = sorted(_faded(own.spots), reverse=True)
        least = _STUCK_TIMES * median(ends)
        spots = [-spot for spot, _ in ends]
        jobs = [0.0, *accumulate(weight for _, weight in ends)]
        logs = [0.0, *accumulate(weight * log(spot) for spot, weight in ends)]
        more = 1.0 - _STUCK_OTHERS  # the class's own ends count fully, all others less

        def beyond(i: int) -> float:
            return _STUCK_OTHERS * self._jobs[i] + more * jobs[bisect_right(spots, -self._slow[i][0])]

        slow = _SLOW_SHARE * (_STUCK_OTHERS * self._jobs[-1] + more * jobs[-1])
        i = bisect_left(range(len(self._slow) - 1), slow, key=beyond)
        start = self._slow[i][0]
        k = bisect_right(spots, -start)
        bend = _STUCK_OTHERS * self._logs[i] + more * logs[k] - beyond(i) * log(start) + _SLOW_JOBS / SHAPE
        return max(least, start * exp(log(_SLOW_SHARE / _STUCK_SHARE) * bend / (_SLOW_JOBS + slow)))


def _faded(spots: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(spots, _STUCK_WEIGHTS, strict=False))


def count_failures(lives: Iterable[Life]) -> list[float]:
    """Counts for `failure_hazard`: the weight of jobs at age 0, then the changes of the weight and the failures of
    each piece."""
    alive = 0.0
    changes, events = [0.0] * len(FAILURE_EDGES), [0.0] * len(FAILURE_EDGES)
    for _, seconds, first, steps, last, _, failed in lives:
        alive += first
        for age, change in steps:
            changes[bisect_right(FAILURE_EDGES, age) - 1] += change
        at = bisect_right(FAILURE_EDGES, seconds) - 1
        changes[at] -= last
        if failed:
            events[at] += last
    return [alive, *changes, *events]


def failure_hazard(counts: Iterable[list[float]]) -> list[float]:
    """The hazard of failures, per second, for each piece of `FAILURE_EDGES`; the last one is unbounded."""
    pieces = len(FAILURE_EDGES) - 1
    alive, *rest = map(sum, zip(*counts, strict=True)) if counts else [0.0] * (2 * pieces + 3)
    changes, events = rest[: pieces + 1], rest[pieces + 1 :]
    caution = 1.0 + _FAILURE_CAUTION / sqrt(max(1.0, sum(events)))
    rates = []
    for i in range(pieces):
        width = FAILURE_EDGES[i + 1] - FAILURE_EDGES[i]
        after = alive + changes[i]
        running = max(0.0, (alive + after) / 2) + _FAILURE_JOBS
        rates.append((caution * events[i] + _FAILURE_SHARE * _FAILURE_JOBS / pieces) / (width * running))
        alive = after
    return [*rates, rates[-1]]


def median(values: Sequence[tuple[float, float]]) -> float:
    """The weighted median of (value, weight) pairs."""
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    total = 0.0
    for value, weight in ordered:
        total += weight
        if total >= half:
            return value
    return ordered[-1][0]


def learn_scale(lives: Iterable[Life], near: Scale, *, sized: bool) -> Scale:
    """Fit the scale of the successes among `lives`: a line by robust regression of relative errors if `sized`,
    else a median level. The other parameters are those of `near`, which also counts as half a job or one job of
    data and so dominates while little is known.
    """
    done = [life for life in lives if life.ended and not life.failed]
    if not sized:
        level = median([*((life.seconds, life.last) for life in done), (near.level, _PRIOR)])
        return Scale(near.base, near.slope, level)
    points = [(life.last, life.seconds, life.length) for life in done if life.length is not None]
    if not points:
        return near
    base, slope = _line(points, near)
    return Scale(base, slope, near.level)


def _line(points: list[tuple[float, float, float]], near: Scale) -> tuple[float, float]:
    """Base and slope from (weight, seconds, length), with a Huber loss of log errors.

    The steps are between Newton's, which overshoot as the loss has no curvature beyond the knee, and the safe ones
    of reweighted least squares (KNEE ÷ |error|), which need several times as many rounds.
    """
    base, slope = near.base, near.slope
    ratios = [(seconds / (base + slope * length), weight) for weight, seconds, length in points]
    ratio = median([*ratios, (1.0, _PRIOR)])
    base, slope = base * ratio, slope * ratio
    lengths = [length for _, _, length in points]
    ends = (min(lengths) * 0.5, max(lengths) * 1.5 + 1.0)  # outside the data, where the line is least certain
    rows = [(weight, log(seconds), length) for weight, seconds, length in points]
    rows += [(_PRIOR, log(base + slope * length), length) for length in ends]
    base, slope = _settled(rows, base, slope, _KNEE)
    errors = sorted(log_seconds - log(base + slope * length) for _, log_seconds, length in rows)
    knee = max(_LEAST_KNEE, _NARROW * min(map(sub, errors[len(errors) // 2 :], errors)))
    return (base, slope) if knee >= _KNEE else _settled(rows, base, slope, knee)


def _settled(
    rows: Sequence[tuple[float, float, float]], base: float, slope: float, knee: float
) -> tuple[float, float]:
    """The line of least loss for (weight, log seconds, length), from a line nearby."""
    for _ in range(_ROUNDS):
        s00 = s01 = s11 = r0 = r1 = 0.0
        for weight, log_seconds, length in rows:
            scale = base + slope * length
            error = log_seconds - log(scale)
            per = weight / scale
            bend = per / scale
            if not -knee < error < knee:
                bend *= (knee / error) ** 2
                error = knee if error > 0.0 else -knee
            long_bend = bend * length
            s00 += bend
            s01 += long_bend
            s11 += long_bend * length
            r0 += per * error
            r1 += per * error * length
        fixed = s00 * s11 - s01 * s01
        if fixed <= 1e-12 * s00 * s11:  # all lengths alike: the slope cannot be told from the base
            break
        before = base, slope
        base = max(base + (r0 * s11 - r1 * s01) / fixed, base * 0.2, 0.5)
        slope = max(slope + (r1 * s00 - r0 * s01) / fixed, 0.0)
        if abs(base - before[0]) < _EXACT * base and abs(slope - before[1]) < _EXACT * slope:
            break
    return base, slope
