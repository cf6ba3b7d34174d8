"""Estimation of hazards from lives: tables of events and exposure, scales of classes, and the pool of all classes.

Owns the arithmetic of the fit; projects and kinds are left to `durations`. x is the relative age, seconds ÷ scale.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log
from operator import add

from daemon.domain.samples import Life

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
SHAPE, SHAPE_JOBS = 2.0, 2.0
"""Shape and weight of the pool's log-logistic pseudo-jobs: P(x > t) = 1 ÷ (1 + t^shape)."""
_BAND, _WIDEST = 0.12, 0.4
"""Each end is smeared over this share of the ends, to either side, and at most this far in log x."""
_KNEE = 0.15
"""Relative error beyond which an end's pull on the line is capped (Huber), so that slow jobs do not bend it."""
_ROUNDS = 6
"""Gauss-Newton steps."""
_PRIOR = 0.5
"""Weight, in jobs, of each of the two points that hold a line near the shared one, and of the shared level."""
FAILURE_EDGES = [0.0, *(2.0 * 1.4**i for i in range(24))]
"""Edges of the pieces of the failures' hazard, in seconds."""
_FAILURE_SHARE, _FAILURE_JOBS = 0.03, 4.0
"""Share of failures among the pseudo-jobs, spread evenly over the pieces, and the number of pseudo-jobs."""


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
    for life in lives:
        unit = scale.of(life.length) if sized else scale.level
        entered += life.first
        for age, change in life.changes:
            changes[bisect_right(EDGES, age / unit) - 1] += change
        if life.ended:
            in_all += life.last
        if life.ended and not life.failed:
            spots.append((max(life.seconds / unit, 1e-6), life.last))
        else:
            at = bisect_right(EDGES, life.seconds / unit) - 1
            changes[at] -= life.last
            if life.ended:
                leaving[at] -= life.last
    events = _spread(sorted(spots))
    exposure, whole = _exposure(entered, changes, events), _exposure(in_all, leaving, events)
    return Table(events, exposure, whole, [spot for spot, _ in spots])


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
    events = [0.0] * len(EDGES)
    count = len(spots)
    reach = max(2, round(count * _BAND))
    logs = [log(spot) for spot, _ in spots]
    for i, (_, weight) in enumerate(spots):
        spot = logs[i]
        left = spot - logs[i - reach] if i >= reach else inf
        right = logs[i + reach] - spot if i + reach < count else inf
        half = max(_STEP / 2, min(left, right, _WIDEST))
        _smear(events, spot - half, spot + half, weight)
    return events


def _smear(events: list[float], low: float, high: float, weight: float) -> None:
    begin, end = (low - _LOG_LOW) / _STEP + 1.0, (high - _LOG_LOW) / _STEP + 1.0  # fractional piece numbers
    i, k = max(0, min(_LAST, int(begin))), max(0, min(_LAST, int(end)))
    if i == k:
        events[i] += weight
        return
    density = weight / (end - begin)
    head = density * (i + 1 - begin)
    middle = density * (k - i - 1)
    events[i] += head
    for j in range(i + 1, k):
        events[j] += density
    events[k] += weight - head - middle


def _logistic() -> Table:
    alive = [1.0 / (1.0 + edge**SHAPE) for edge in EDGES]
    events = [before - after for before, after in pairwise(alive)]
    exposure = [width * (a + b) / 2 for width, a, b in zip(_WIDTHS, alive, alive[1:], strict=False)]
    exposure.append(alive[-1] * _HIGH / SHAPE)
    return Table([*events, alive[-1]], exposure, exposure, [])


_LOGISTIC = _logistic()


def pooled(tables: Iterable[Table], own: Table | None = None) -> Table:
    """The average job of the tables and the log-logistic pseudo-jobs; `own` contributes its entire lives."""
    total = SHAPE_JOBS
    events = [SHAPE_JOBS * each for each in _LOGISTIC.events]
    exposure = [SHAPE_JOBS * each for each in _LOGISTIC.exposure]
    parts = [(table.events, table.exposure) for table in tables]
    if own is not None:
        parts.append((own.events, own.whole))
    for more_events, more_exposure in parts:
        total += sum(more_events)
        events = list(map(add, events, more_events))
        exposure = list(map(add, exposure, more_exposure))
    exposure = [each / total for each in exposure]
    return Table([each / total for each in events], exposure, exposure, [])


def hazard(own: Table | None, pool: Table) -> list[float]:
    """The hazard of x of each piece, with the pool as additional jobs."""
    events = [_POOL * each for each in pool.events]
    exposure = [_POOL * each for each in pool.exposure]
    if own is not None:
        events, exposure = list(map(add, events, own.events)), list(map(add, exposure, own.exposure))
    rates = [
        min(max(ended / exposed, _FLATTEST), _STEEPEST / width)
        for ended, exposed, width in zip(events, exposure, _WIDTHS, strict=False)
    ]
    return [*rates, SHAPE / _HIGH]


def failure_hazard(lives: Iterable[Life]) -> list[float]:
    """The hazard of failures, per second, for each piece of `FAILURE_EDGES`; the last one is unbounded."""
    pieces = len(FAILURE_EDGES) - 1
    alive = 0.0
    changes, events = [0.0] * (pieces + 1), [0.0] * (pieces + 1)
    for life in lives:
        alive += life.first
        for age, change in life.changes:
            changes[bisect_right(FAILURE_EDGES, age) - 1] += change
        at = bisect_right(FAILURE_EDGES, life.seconds) - 1
        changes[at] -= life.last
        if life.failed:
            events[at] += life.last
    rates = []
    for i in range(pieces):
        width = FAILURE_EDGES[i + 1] - FAILURE_EDGES[i]
        after = alive + changes[i]
        running = max(0.0, (alive + after) / 2) + _FAILURE_JOBS
        rates.append((events[i] + _FAILURE_SHARE * _FAILURE_JOBS / pieces) / (width * running))
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
    """Base and slope from (weight, seconds, length), by Gauss-Newton on log errors with a Huber loss."""
    base, slope = near.base, near.slope
    ratios = [(seconds / (base + slope * length), weight) for weight, seconds, length in points]
    ratio = median([*ratios, (1.0, _PRIOR)])
    base, slope = base * ratio, slope * ratio
    lengths = [length for _, _, length in points]
    ends = (min(lengths) * 0.5, max(lengths) * 1.5 + 1.0)  # outside the data, where the line is least certain
    rows = [*points, *((_PRIOR, base + slope * length, length) for length in ends)]
    for _ in range(_ROUNDS):
        s00 = s01 = s11 = r0 = r1 = 0.0
        for weight, seconds, length in rows:
            scale = base + slope * length
            error = log(seconds / scale)
            per = weight / scale
            if not -_KNEE < error < _KNEE:
                per *= _KNEE / abs(error)
            per_long = per * length
            s00 += per / scale
            s01 += per_long / scale
            s11 += per_long * length / scale
            r0 += per * error
            r1 += per_long * error
        fixed = s00 * s11 - s01 * s01
        if fixed <= 1e-12 * s00 * s11:  # all lengths alike: the slope cannot be told from the base
            break
        base = max(base + (r0 * s11 - r1 * s01) / fixed, base * 0.2, 0.5)
        slope = max(slope + (r1 * s00 - r0 * s01) / fixed, 0.0)
    return base, slope
