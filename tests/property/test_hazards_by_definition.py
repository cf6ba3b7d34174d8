"""The tables of a fit equal their definition, evaluated job by job and edge by edge.

The fit itself goes through each list once, so that 45 classes at a time stay cheap.
"""

import random
from itertools import accumulate, pairwise
from math import log, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.hazards import EDGES, FAILURE_EDGES, Scale, count_failures, median, tabulate
from daemon.domain.samples import Lives, Running, Sample

SCALE = Scale(40.0, 1.2, 112.0)
NOW = 1e6


class Definition:
    """Jobs, each with its weight at any age."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)  # no times are alike: which of them comes first is not the question
        history = rng.choice([10.0, 1e3, 1e5])
        self.finished = [
            Sample(
                seconds=rng.lognormvariate(4, 1.5),
                length=rng.uniform(1, 300),
                failed=rng.random() < 0.2,
                ended=NOW - rng.uniform(0, history),
            )
            for _ in range(rng.choice([0, 1, 2, 9, 40, 49, 50, 80]))
        ]
        self.live = [
            Running(seconds=rng.uniform(1, 2000), length=rng.uniform(1, 300), weight=rng.choice([0.3, 1.0]))
            for _ in range(rng.choice([0, 0, 1, 9]))
        ]
        self.lives = Lives(self.finished, self.live, NOW)
        self.finished.sort(key=lambda each: -each.ended)
        self._ended = [each.ended for each in self.finished]

    def at(self, moment: float) -> float:
        """The weight of a moment, which n ends since leave 2^(-n ÷ 60) of, in steps of a tenth."""
        since = sum(each >= moment for each in self._ended)
        if since == len(self._ended) >= 50:
            return 0.0
        faded = sum(since > round(-60 * log2(1 - tenths / 10)) for tenths in range(1, 10))
        return 1.0 - (faded + 0.5) / 10

    def end(self, job: Sample) -> float:
        """The weight of an end, that of the oldest one being that of the next."""
        return self.at(job.ended) or self.at(self._ended[-2])

    def level(self, job: Sample, age: float) -> float:
        """The weight of a finished job at `age`, as if it had not ended."""
        if len(self._ended) >= 50 and not self.live:
            return self.end(job)
        return self.end(job) if age > job.seconds else self.at(job.ended - job.seconds + age)

    def under_way(self, age_of: dict[int, float], *, leave: bool) -> float:
        """The weight of all jobs at an age each; the succeeded ones stay unless `leave`."""
        total = 0.0
        for job in self.finished:
            if age_of[id(job)] <= job.seconds or not (leave or job.failed):
                total += self.level(job, age_of[id(job)])
        for each in self.live:
            if age_of[id(each)] <= each.seconds:
                total += each.weight * self.at(NOW - each.seconds + age_of[id(each)])
        return total

    def spread(self, units: dict[int, float]) -> list[float]:
        """The ends over the pieces, each evenly as far as its neighbours."""
        done = [job for job in self.finished if not job.failed]
        step = log(EDGES[2] / EDGES[1])
        where = sorted((log(job.seconds / units[id(job)] / EDGES[1]) / step + 1, self.end(job)) for job in done)
        reach, events = max(2, round(0.12 * len(done))), [0.0] * len(EDGES)
        for i, (place, weight) in enumerate(where):
            near = [abs(where[k][0] - place) for k in (i - reach, i + reach) if 0 <= k < len(where)]
            half = max(0.5, min(*near, 0.4 / step, 0.4 / step))
            for piece in range(len(EDGES)):
                low = -1e9 if piece == 0 else piece
                high = 1e9 if piece == len(EDGES) - 1 else piece + 1
                inside = min(place + half, high) - max(place - half, low)
                events[piece] += weight * max(0.0, inside) / (2 * half)
        return events


jobs = st.builds(Definition, st.integers(0, 2**32))


@settings(max_examples=12, deadline=None)
@given(jobs=jobs)
def test_events_and_exposure_are_those_of_each_job_at_each_age(jobs: Definition) -> None:
    every = [*jobs.finished, *jobs.live]
    units = {id(each): SCALE.of(each.length) for each in every}
    table = tabulate(jobs.lives, SCALE, sized=True)
    events = jobs.spread(units)
    gone = list(accumulate(events, initial=0.0))
    levels = [
        jobs.under_way({id(each): edge * units[id(each)] for each in every}, leave=False) - left
        for edge, left in zip(EDGES, gone, strict=False)
    ]
    exposure = [
        max(0.0, (after - before) * (alive + left) / 2)
        for (before, after), (alive, left) in zip(pairwise(EDGES), pairwise(levels), strict=True)
    ]
    assert table.events == pytest.approx(events, abs=1e-6)
    assert table.exposure[:-1] == pytest.approx(exposure, rel=1e-6, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(jobs=jobs)
def test_failures_are_counted_with_all_jobs_under_way_at_each_age(jobs: Definition) -> None:
    every = [*jobs.finished, *jobs.live]
    alive, *rest = count_failures(jobs.lives)
    changes, events = rest[: len(FAILURE_EDGES)], rest[len(FAILURE_EDGES) :]
    levels = [jobs.under_way({id(each): edge for each in every}, leave=True) for edge in FAILURE_EDGES]
    assert list(accumulate(changes[:-1], initial=alive)) == pytest.approx(levels, abs=1e-6)
    for i, (low, high) in enumerate(pairwise([*FAILURE_EDGES, float("inf")])):
        failed = [job for job in jobs.finished if job.failed and low <= job.seconds < high]
        assert events[i] == pytest.approx(sum(map(jobs.end, failed)))


@given(values=st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 9)), min_size=1))
def test_half_of_the_weight_is_up_to_the_median(values: list[tuple[float, float]]) -> None:
    found = median([value for value, _ in values], [weight for _, weight in values])
    half = sum(weight for _, weight in values) / 2
    assert sum(weight for value, weight in values if value <= found) >= half - 1e-9
    assert sum(weight for value, weight in values if value < found) <= half + 1e-9
