"""Job lives, weighted by calendar time, as evidence for production times.

Owns the weight of each past moment and leaves estimation to other modules. Times are in seconds.
`daemon.domain.durations` explains why the weights follow the calendar.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress, repeat
from math import inf, isfinite, log2
from operator import attrgetter, sub

LIMIT = 200
"""Number of the newest finished jobs used per class."""
LEAST = 1e-3
"""Shorter production times, in seconds, are rejected as mistakes."""
MOST = 1e8
"""Larger times (seconds; three years) and sample weights (jobs) are rejected as mistakes."""
_FADE = 60.0
"""Number of later ends that halves the weight of an observation."""
_STEP = 0.1
"""Weights fall in steps of this size: few steps, as each costs a look-up for every life that runs at its time."""
_FADED = [round(-_FADE * log2(1.0 - i * _STEP)) for i in range(1, round(1 / _STEP))]
"""The numbers of later ends at which they fall."""
_CUT_FROM = 50
"""With at least this many ends, the time before the oldest one counts as unobserved. The threshold is below
`LIMIT` because callers fetch `LIMIT` rows and drop the unusable ones. With fewer ends, the history counts as
complete."""
_AROUND = 0.1
"""A sampled running job represents ages within this share of its own."""


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


class Lives:
    """The lives of one (project, kind): finished jobs, newest end first, then running ones.

    One list for each attribute, as a fit of many classes handles tens of thousands of lives.
    """

    __slots__ = (
        *("begins", "cut_off", "cuts", "done", "ends", "failed", "first"),
        *("last", "lengths", "more", "seconds", "starts", "steps", "succeeded"),
    )

    def __init__(self, samples: Sequence[Sample], running: Sequence[Running], now: float) -> None:
        usable = [each for each in samples[:LIMIT] if LEAST < each.seconds < MOST and isfinite(each.ended)]
        usable.sort(key=attrgetter("ended"), reverse=True)
        ended = [each.ended for each in usable]
        self.cuts, weights = _calendar(ended)
        """Moments at which weights change, oldest first."""
        self.steps = list(map(sub, weights[1:], weights))
        """The change at each of `cuts`, of a life that runs then."""
        self.cut_off = len(ended) >= _CUT_FROM
        """Whether the time before the oldest end is unobserved, so that lives may begin after age 0."""
        self.done = len(ended)
        """Number of finished jobs."""
        self.seconds = [each.seconds for each in usable]
        """Production time of each life, so far if it is running."""
        self.lengths = _lengths([each.length for each in usable])
        self.failed = [each.failed for each in usable]
        self.succeeded = [i for i, failed in enumerate(self.failed) if not failed]
        """Indices of the jobs that succeeded."""
        self.starts = list(map(sub, ended, self.seconds))
        self.begins = list(map(bisect_left, repeat(self.cuts), self.starts))
        """Index of the first of `cuts` during each life."""
        self.ends = list(map(bisect_left, repeat(self.cuts), ended))
        """Index after the last of `cuts` during each life."""
        self.first = [weights[i] for i in self.begins]
        """Weight of each life at age 0."""
        self.last = [weights[i] for i in self.ends]
        """Weight of each life at its end, or at its present age."""
        self.more: list[tuple[int, float, float]] = []
        """Changes of weights that do not follow from `cuts` and `steps`: index of the life, age, change."""
        if self.cut_off:
            self._keep_oldest(weights[1])
        if self.cut_off and not running:
            # Ends since the cut-off are balanced by the exposure of all jobs that ran since. Without the running
            # jobs that exposure is incomplete and the hazard too high: each finished life gets its end's weight.
            self.first, self.begins, self.more = self.last, self.ends, []
            self.cut_off = False
        at = bisect_left(self.cuts, now)
        for live in running:
            if LEAST < live.seconds < MOST and 0.0 < live.weight < MOST:
                self._add(live, now, at, weights)

    def sized(self) -> "Lives":
        """Those with a length."""
        return self._some([length is not None for length in self.lengths])

    def unsized(self) -> "Lives":
        """Those without a length."""
        return self._some([length is None for length in self.lengths])

    def successes(self) -> "Ends":
        last, seconds, lengths = self.last, self.seconds, self.lengths
        rows = self.succeeded
        return Ends([last[i] for i in rows], [seconds[i] for i in rows], [lengths[i] for i in rows])

    def _keep_oldest(self, weight: float) -> None:
        """The oldest ends lie on the cut-off: they count nevertheless, but not what came before."""
        i = self.done - 1
        while i >= 0 and self.ends[i] == 0:
            self.last[i] = weight
            self.more.append((i, self.seconds[i], weight))
            i -= 1

    def _add(self, live: Running, now: float, end: int, weights: Sequence[float]) -> None:
        """Add a job that is running `now`, which is before `cuts[end]`."""
        start, times = now - live.seconds, live.weight
        begin = bisect_left(self.cuts, start)
        first, last = weights[begin] * times, weights[end] * times
        if times != 1.0:
            changes = [(self.cuts[i] - start, self.steps[i] * times) for i in range(begin, end)]
            since = live.seconds - changes[0][0] if changes and not first else inf
            if times > 1.0 and since <= 2 * _AROUND * live.seconds:
                changes, last = _smoothed(changes, live.seconds), 0.0
            self.more += ((len(self.seconds), age, change) for age, change in changes)
            begin = end
        self.seconds.append(live.seconds)
        self.lengths += _lengths([live.length])
        self.failed.append(False)
        self.starts.append(start)
        self.begins.append(begin)
        self.ends.append(end)
        self.first.append(first)
        self.last.append(last)

    def _some(self, chosen: list[bool]) -> "Lives":
        if all(chosen):
            return self
        some = Lives.__new__(Lives)
        some.cuts, some.steps, some.cut_off = self.cuts, self.steps, self.cut_off
        some.done = sum(chosen[: self.done])
        for name in ("seconds", "lengths", "failed", "starts", "begins", "ends", "first", "last"):
            setattr(some, name, list(compress(getattr(self, name), chosen)))
        places = list(accumulate(chosen, initial=0))
        some.succeeded = [places[i] for i in self.succeeded if chosen[i]]
        some.more = [(places[i], age, change) for i, age, change in self.more if chosen[i]]
        return some


@dataclass(frozen=True, slots=True)
class Ends:
    """Succeeded jobs, newest first, as columns."""

    weights: list[float]
    seconds: list[float]
    lengths: list[float | None]

    def newest(self, count: int) -> "Ends":
        return Ends(self.weights[:count], self.seconds[:count], self.lengths[:count])

    @staticmethod
    def of_all(parts: Iterable["Ends"]) -> "Ends":
        every = Ends([], [], [])
        for part in parts:
            every.weights.extend(part.weights)
            every.seconds.extend(part.seconds)
            every.lengths.extend(part.lengths)
        return every


def _lengths(lengths: Iterable[float | None]) -> list[float | None]:
    """The lengths, None for unknown ones and mistakes."""
    return [length if length is not None and 0.0 <= length < MOST else None for length in lengths]


def _smoothed(changes: Sequence[tuple[float, float]], seconds: float) -> list[tuple[float, float]]:
    """Spread a sampled life that the calendar cuts to a sliver over all ages around it.

    Otherwise a few heavy slivers would leave ages between them without exposure, and with too high a hazard.
    """
    weight = mass = 0.0
    ages = [*(age for age, _ in changes), seconds]
    for (age, change), after in zip(changes, ages[1:], strict=True):
        weight += change
        mass += weight * (after - age)
    low, high = seconds * (1 - _AROUND), seconds * (1 + _AROUND)
    density = mass / (high - low)  # the exposure stays the same
    return [(low, density), (high, -density)]


def _calendar(ended: Sequence[float]) -> tuple[list[float], list[float]]:
    """The weight of each moment: 2^(-n ÷ 60) if n jobs ended after it, and 0 before a cut-off. `ended`: epoch
    seconds, newest first. Returns moments, oldest first, and weights: `weights[i]` applies up to `moments[i]`."""
    cut_off = len(ended) >= _CUT_FROM
    cuts = [ended[i] for i in _FADED if i < len(ended) - cut_off]
    weights = [1.0 - (i + 0.5) * _STEP for i in range(len(cuts) + 1)]
    if cut_off:
        cuts.append(ended[-1])
        weights.append(0.0)
    return cuts[::-1], weights[::-1]
