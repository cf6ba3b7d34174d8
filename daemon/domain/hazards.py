"""Estimation of hazards from lives: tables of events and exposure, scales of classes, and the pool of all classes.

Owns the arithmetic of the fit; projects and kinds are left to `durations`. x is the relative age, seconds ÷ scale.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, compress, pairwise, repeat
from math import exp, inf, log, sqrt
from operator import add, mul, sub, truediv

from daemon.domain.samples import LIMIT, Ends, Lives

LOW, _HIGH, _BINS = 0.03, 30.0, 96
_LOG_LOW = log(LOW)
_STEP = log(_HIGH / LOW) / _BINS
EDGES = [0.0, *(LOW * exp(i * _STEP) for i in range(_BINS)), _HIGH]
"""Edges of the pieces of the hazard of x, evenly spaced in log x. The last piece is unbounded."""
_LAST = len(EDGES) - 1
_LEAST = 1e-6
"""The least x that is told apart from 0."""
_WIDTHS = [after - before for before, after in pairwise(EDGES)]
_HALVES = [width / 2 for width in _WIDTHS]
_STEEPEST, _FLATTEST = 2.5, 1e-6
"""Upper bound of a piece's hazard times its width, and lower bound of the hazard of x."""
_STEEPEST_RATES = [_STEEPEST / width for width in _WIDTHS]
_POOL = 6.0
"""Weight of the pool in each class, in jobs: it dominates while a class has few jobs of its own."""
_ALIVE = 2.0
"""Jobs of the pool alive at any age, at least: few of a class reach the tail, and without help its hazard is
noise."""
_ALIVE_LEAST = [_ALIVE * width for width in _WIDTHS]
_CAUTION, _FAILURE_CAUTION = 0.15, 0.8
"""Standard errors by which the hazards of successes and failures are rounded up. Too low a hazard means long gaps
just where ends are unexpected, and so the longest delays; too high a one costs a few requests."""
SHAPE, SHAPE_JOBS = 2.0, 2.0
"""Shape and weight of the pool's log-logistic pseudo-jobs: P(x > t) = 1 ÷ (1 + t^shape)."""
_BAND, _WIDEST = 0.12, 0.4
"""Each end is smeared over this share of the ends, to either side, and at most this far in log x."""
_REACH = _WIDEST / _STEP
"""`_WIDEST` in pieces."""
_NEAR = round(_REACH) + 1
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
_SLOW_MOST = _SLOW_SHARE * 1.5
"""Share of all ends that suffices to find the slow ones of a class, however its own ends are weighted."""
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
class Tail:
    """Ends by x, the slowest first, with their weights for the stuck limit."""

    spots: list[float]  # -x, so that it ascends
    weights: list[float]
    jobs: list[float]  # sums of the weights before each end, and of all

    @staticmethod
    def of(spots: list[float], weights: list[float]) -> "Tail":
        return Tail(spots, weights, list(accumulate(weights, initial=0.0)))

    def logs(self, count: int | None = None) -> list[float]:
        """The sums of weight * log x before each of the slowest `count` ends, and of all of them."""
        rows = zip(self.spots[:count], self.weights, strict=False)
        return list(accumulate([weight * log(-spot) for spot, weight in rows], initial=0.0))


@dataclass(frozen=True, slots=True)
class Table:
    """Weighted events and exposure of each piece of x."""

    events: list[float]  # in jobs
    exposure: list[float]  # in jobs times x
    whole: list[float]  # exposure of the finished jobs over their entire lives
    tail: Tail  # of the successes


def tabulate(lives: Lives, scale: Scale, *, sized: bool) -> Table:
    """Tabulate lives by x, with their lengths if `sized`. A failure ends exposure but is no event."""
    units = [scale.level] * len(lives.seconds)
    if sized:
        base, slope, level = scale.base, scale.slope, scale.level
        units = [level if length is None else base + slope * length for length in lives.lengths]
    changes, leaving = _changes(lives, units), [0.0] * len(EDGES)
    ends = [x if x > _LEAST else _LEAST for x in map(truediv, lives.seconds, units)]
    done, last, succeeded = lives.done, lives.last, lives.succeeded
    for i in chain([i for i in range(done) if lives.failed[i]], range(done, len(ends))):
        at = bisect_right(EDGES, ends[i]) - 1
        changes[at] -= last[i]
        if i < done:
            leaving[at] -= last[i]
    order = sorted(succeeded, key=ends.__getitem__)
    spots = [ends[i] for i in order]
    events = _spread(spots, [last[i] for i in order])
    exposure = _exposure(sum(lives.first), changes, events)
    whole = _exposure(sum(last[:done]), leaving, events)
    weights = dict(zip(succeeded, _STUCK_WEIGHTS, strict=False))
    tail = Tail.of([-x for x in reversed(spots)], [weights[i] for i in reversed(order)])
    return Table(events, exposure, whole, tail)


def _changes(lives: Lives, units: Sequence[float]) -> list[float]:
    """The change of the weight of lives in each piece, other than by their ends."""
    cuts, changes = lives.cuts, [0.0] * len(EDGES)
    ages: list[list[float]] = [[] for _ in cuts]
    for begin, end, start, unit in zip(lives.begins, lives.ends, lives.starts, units, strict=True):
        for i in range(begin, end):
            ages[i].append((cuts[i] - start) / unit)
    for step, each in zip(lives.steps, ages, strict=True):
        for piece in map(bisect_right, repeat(EDGES), each):
            changes[piece - 1] += step
    for i, age, weight in lives.more:
        changes[bisect_right(EDGES, age / units[i]) - 1] += weight
    return changes


def _exposure(alive: float, changes: Sequence[float], events: Sequence[float]) -> list[float]:
    """Exposure of each piece, if `alive` begin at age 0; none of the last, unbounded one."""
    levels = list(accumulate(map(sub, changes, events), initial=alive))
    sums = map(add, levels, levels[1:])
    return [*(half * both if both > 0.0 else 0.0 for half, both in zip(_HALVES, sums, strict=False)), 0.0]


def _spread(spots: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Spread ends, sorted by x, over the pieces: as far as their neighbours, and so finely where ends are
    dense."""
    events, steps = [0.0] * len(EDGES), [0.0] * (len(EDGES) + 1)
    places = [(log(spot) - _LOG_LOW) / _STEP + 1.0 for spot in spots]  # fractional piece numbers
    reach = max(2, round(len(spots) * _BAND))
    far = [inf] * reach
    before = map(sub, places, [-inf] * reach + places[:-reach])
    after = map(sub, places[reach:] + far[: len(places)], places)
    for weight, place, half in zip(weights, places, map(min, before, after, repeat(_REACH)), strict=True):
        reached = half if half > 0.5 else 0.5
        begin, end = place - reached, place + reached
        i, k = int(begin), int(end)
        if begin < 0.0 or k > _LAST:
            i, k = max(0, min(_LAST, i)), max(0, min(_LAST, k))
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
    return Table([*events, alive[-1]], exposure, exposure, Tail.of([], []))


_LOGISTIC = _logistic()


class Pooled:
    """All classes together, from which each one borrows. Costs the same for every class, however many there
    are."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._events, self._exposure = [0.0] * len(EDGES), [0.0] * len(EDGES)
        for table in tables:
            self._events = list(map(add, self._events, table.events))
            self._exposure = list(map(add, self._exposure, table.exposure))
        self._jobs = sum(table.tail.jobs[-1] for table in tables)
        self._slow = _slowest([table.tail for table in tables], _SLOW_MOST * self._jobs)
        self._logs = self._slow.logs()

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
        more = [least / each if least > each else 1.0 for least, each in zip(_ALIVE_LEAST, exposure, strict=False)]
        events, exposure = list(map(mul, events, more)), list(map(mul, exposure, more))
        if own is not None:
            events, exposure = list(map(add, events, own.events)), list(map(add, exposure, own.exposure))
        sums = list(accumulate(events, initial=0.0))
        near = map(sub, sums[_NEAR:] + sums[-1:] * (_NEAR - 1), sums[:1] * (_NEAR - 1) + sums)
        raised = [1.0 + _CAUTION / sqrt(jobs if jobs > 0.5 else 0.5) for jobs in near]
        rates = map(truediv, map(mul, events, raised), exposure)
        bounded = [
            _FLATTEST if rate < _FLATTEST else rate if rate < most else most
            for rate, most in zip(rates, _STEEPEST_RATES, strict=True)
        ]
        return [*bounded, SHAPE / _HIGH]

    def stuck(self, own: Table) -> float:
        """The x beyond which a job of a class of the pool is stuck. Running jobs do not count, or hung ones would
        raise it.

        Fits a power law to the slowest 5 % of the ends (Hill's estimate), so that a quantile among them does not
        depend on two or three jobs.
        """
        ends, slow = own.tail, self._slow
        jobs, spots = ends.jobs, ends.spots
        middle = min(bisect_right(jobs, jobs[-1] / 2), len(spots)) - 1
        more = 1.0 - _STUCK_OTHERS  # the class's own ends count fully, all others less

        def beyond(i: int) -> float:
            return _STUCK_OTHERS * slow.jobs[i + 1] + more * jobs[bisect_right(spots, slow.spots[i])]

        share = _SLOW_SHARE * (_STUCK_OTHERS * self._jobs + more * jobs[-1])
        i = bisect_left(range(len(slow.spots) - 1), share, key=beyond)
        start = -slow.spots[i]
        logs = _STUCK_OTHERS * self._logs[i + 1] + more * ends.logs(bisect_right(spots, -start))[-1]
        bend = logs - beyond(i) * log(start) + _SLOW_JOBS / SHAPE
        found = start * exp(log(_SLOW_SHARE / _STUCK_SHARE) * bend / (_SLOW_JOBS + share))
        return max(found, _STUCK_TIMES * -spots[middle])


def _slowest(tails: Sequence[Tail], jobs: float) -> Tail:
    """The slowest ends of all classes that weigh `jobs` together, and some more. The others need no sorting."""

    def beyond(i: int) -> float:
        return sum(tail.jobs[bisect_right(tail.spots, -EDGES[-i])] for tail in tails)

    least = -EDGES[-bisect_left(range(len(EDGES)), jobs, lo=1, key=beyond)]
    slow: list[tuple[float, float]] = []
    for tail in tails:
        count = bisect_right(tail.spots, least)
        slow += zip(tail.spots[:count], tail.weights[:count], strict=True)
    slow.sort()
    return Tail.of([spot for spot, _ in slow], [weight for _, weight in slow])


def count_failures(lives: Lives) -> list[float]:
    """Counts for `failure_hazard`: the weight of jobs at age 0, then the changes of the weight and the failures of
    each piece."""
    changes, events = _failure_changes(lives), [0.0] * len(FAILURE_EDGES)
    pieces = map(bisect_right, repeat(FAILURE_EDGES), lives.seconds)
    for piece, last, failed in zip(pieces, lives.last, lives.failed, strict=True):
        changes[piece - 1] -= last
        if failed:
            events[piece - 1] += last
    return [sum(lives.first), *changes, *events]


def _failure_changes(lives: Lives) -> list[float]:
    """The change of the weight of lives in each piece, other than by their ends.

    The ages at one of the cuts need not be looked up one by one: few pieces are to be told apart, and the lives
    under way then are sorted by their start anyway.
    """
    changes = [0.0] * (len(FAILURE_EDGES) + 1)
    ended: list[list[float]] = [[] for _ in range(len(lives.cuts) + 1)]
    for start, begin, end in zip(lives.starts, lives.begins, lives.ends, strict=True):
        if begin < end:
            ended[end].append(start)
    starts: list[float] = []
    for cut, step, more in zip(reversed(lives.cuts), reversed(lives.steps), reversed(ended), strict=False):
        starts += more
        starts.sort()
        del starts[bisect_right(starts, cut) :]
        if starts:
            pieces = bisect_right(FAILURE_EDGES, cut - starts[0])
            older = [*map(bisect_right, repeat(starts), [cut - edge for edge in FAILURE_EDGES[:pieces]]), 0]
            for i in range(pieces):
                changes[i] += step * (older[i] - older[i + 1])
    for _, age, weight in lives.more:
        changes[bisect_right(FAILURE_EDGES, age) - 1] += weight
    return changes[:-1]


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


def median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The weighted median."""
    order = sorted(range(len(values)), key=values.__getitem__)
    sums = list(accumulate([weights[i] for i in order]))
    return values[order[bisect_left(sums, sums[-1] / 2)]]


def learn_scale(ends: Ends, near: Scale, *, sized: bool) -> Scale:
    """Fit the scale of succeeded jobs: a line by robust regression of relative errors if `sized`, else a median
    level. The other parameters are those of `near`, which also counts as half a job or one job of data and so
    dominates while little is known.
    """
    if not sized:
        level = median([*ends.seconds, near.level], [*ends.weights, _PRIOR])
        return Scale(near.base, near.slope, level)
    lengths = [length for length in ends.lengths if length is not None]
    if not lengths:
        return near
    weights, seconds = ends.weights, ends.seconds
    if len(lengths) < len(seconds):
        known = [length is not None for length in ends.lengths]
        weights, seconds = list(compress(weights, known)), list(compress(seconds, known))
    base, slope = _line(weights, seconds, lengths, near)
    return Scale(base, slope, near.level)


def _line(weights: list[float], seconds: list[float], lengths: list[float], near: Scale) -> tuple[float, float]:
    """Base and slope, with a Huber loss of log errors.

    The steps are between Newton's, which overshoot as the loss has no curvature beyond the knee, and the safe ones
    of reweighted least squares (KNEE ÷ |error|), which need several times as many rounds.
    """
    base, slope = near.base, near.slope
    ratios = [each / (base + slope * length) for each, length in zip(seconds, lengths, strict=True)]
    ratio = median([*ratios, 1.0], [*weights, _PRIOR])
    base, slope = base * ratio, slope * ratio
    outside = min(lengths) * 0.5, max(lengths) * 1.5 + 1.0  # where the line is least certain
    logs = [*map(log, seconds), *(log(base + slope * length) for length in outside)]
    lengths = [*lengths, *outside]
    points = [*weights, _PRIOR, _PRIOR], logs, lengths
    base, slope = _settled(points, base, slope, _KNEE)
    errors = sorted([each - log(base + slope * length) for each, length in zip(logs, lengths, strict=True)])
    knee = max(_LEAST_KNEE, _NARROW * min(map(sub, errors[len(errors) // 2 :], errors)))
    return (base, slope) if knee >= _KNEE else _settled(points, base, slope, knee)


def _settled(
    points: tuple[list[float], list[float], list[float]], base: float, slope: float, knee: float
) -> tuple[float, float]:
    """The line of least loss for weights, logs of seconds, and lengths, from a line nearby."""
    square = knee * knee
    for _ in range(_ROUNDS):
        s00 = s01 = s11 = r0 = r1 = 0.0
        for weight, log_seconds, length in zip(*points, strict=True):
            scale = base + slope * length
            error = log_seconds - log(scale)
            pull = weight / scale
            bend = pull / scale
            if -knee < error < knee:
                pull *= error
            else:
                pull *= knee if error > 0.0 else -knee
                bend *= square / (error * error)
            s00 += bend
            r0 += pull
            r1 += pull * length
            bend *= length
            s01 += bend
            s11 += bend * length
        fixed = s00 * s11 - s01 * s01
        if fixed <= 1e-12 * s00 * s11:  # all lengths alike: the slope cannot be told from the base
            break
        before = base, slope
        base = max(base + (r0 * s11 - r1 * s01) / fixed, base * 0.2, 0.5)
        slope = max(slope + (r1 * s00 - r0 * s01) / fixed, 0.0)
        if abs(base - before[0]) < _EXACT * base and abs(slope - before[1]) < _EXACT * slope:
            break
    return base, slope
