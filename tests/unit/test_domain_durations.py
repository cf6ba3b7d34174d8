"""Learning production times from jobs of a known distribution."""

import math
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

import pytest

from daemon.domain.durations import ETA_FROM, Durations, Running, Sample, eta, fit
from daemon.domain.hazards import EDGES, Pooled, Scale, learn_scale, median, tabulate
from daemon.domain.samples import Ends, Lives
from daemon.domain.survival import Law, start_rate

KEY = ("studio", "avatar_video")
OTHER = ("studio", "photo_video")
TYPICAL = 40 + 1.2 * 60


def _job(rng: random.Random, *, times: float = 1.0, sigma: float = 0.25) -> tuple[float, float]:
    """Draw length and seconds of production."""
    length = 60 * math.exp(0.6 * rng.gauss(0, 1))
    return length, times * (40 + 1.2 * length) * math.exp(sigma * rng.gauss(0, 1))


def _samples(count: int, *, seed: int = 1, times: float = 1.0) -> list[Sample]:
    rng = random.Random(seed)
    made = []
    for i in range(count):
        length, seconds = _job(rng, times=times)
        made.append(Sample(seconds=seconds, length=length, failed=False, ended=1e9 - i * 30))
    return made


def _steady(rate: float, *, seed: int, shown: int) -> tuple[list[Sample], list[Running], float]:
    """A service that has long made `rate` jobs a second: the last 200 ended jobs, and the `shown` running ones."""
    rng = random.Random(seed)
    now, at = 2000.0, 0.0
    ended: list[Sample] = []
    running: list[Running] = []
    while at < now:
        at += rng.expovariate(rate)
        length, seconds = _job(rng)
        if at + seconds <= now:
            ended.append(Sample(seconds=seconds, length=length, failed=False, ended=at + seconds))
        elif at < now:
            running.append(Running(seconds=now - at, length=length))
    ended.sort(key=lambda sample: -sample.ended)
    some = rng.sample(running, min(shown, len(running)))
    weight = len(running) / len(some)
    return ended[:200], [Running(seconds=one.seconds, length=one.length, weight=weight) for one in some], now


def _law(durations: Durations, length: float | None = 60.0, key: tuple[str, str] = KEY) -> Law:
    return durations.law(key, length)


def test_the_line_and_the_spread_are_found() -> None:
    fits = [fit({KEY: _samples(200, seed=seed)}, {}) for seed in range(12)]
    laws = [_law(each) for each in fits]
    assert mean(law.quantile(0.5) for law in laws) == pytest.approx(TYPICAL, rel=0.05)
    assert mean(law.quantile(0.1) for law in laws) == pytest.approx(TYPICAL * math.exp(-1.28 * 0.25), rel=0.08)
    assert mean(law.quantile(0.9) for law in laws) == pytest.approx(TYPICAL * math.exp(1.28 * 0.25), rel=0.12)
    assert mean(_law(each, 300.0).quantile(0.5) for each in fits) == pytest.approx(40 + 1.2 * 300, rel=0.08)


@pytest.mark.parametrize("rate", [0.5, 8.0, pytest.param(80.0, marks=pytest.mark.long)])
def test_jobs_that_run_in_steady_state_do_not_bias(rate: float) -> None:
    """At 80 jobs a second some 9,000 run beside the 200 that ended last."""
    medians = []
    for seed in range(3):
        samples, running, now = _steady(rate, seed=seed, shown=200)
        medians.append(_law(fit({KEY: samples}, {KEY: running}, now=now)).quantile(0.5))
    assert mean(medians) == pytest.approx(TYPICAL, rel=0.08)


def test_ten_thousand_running_jobs_do_not_bias_when_all_are_given() -> None:
    samples, running, now = _steady(90.0, seed=4, shown=10**6)
    assert len(running) > 9_000
    assert len(samples) == 200
    law = _law(fit({KEY: samples}, {KEY: running}, now=now))
    assert law.quantile(0.5) == pytest.approx(TYPICAL, rel=0.1)


@pytest.mark.long
def test_some_rows_that_teach_nothing_do_not_undo_it() -> None:
    """20 of 200 rows were dropped: nothing is known about the time before the oldest."""
    medians = []
    for seed in range(3):
        samples, running, now = _steady(90.0, seed=seed, shown=200)
        kept = [sample for i, sample in enumerate(samples) if i % 10]
        medians.append(_law(fit({KEY: kept}, {KEY: running}, now=now)).quantile(0.5))
    assert mean(medians) == pytest.approx(TYPICAL, rel=0.12)


@pytest.mark.long
def test_a_sample_of_what_runs_leaves_no_holes() -> None:
    """The last 200 ends took two seconds: each running job shown was observed only that long."""
    for seed in range(5, 9):
        samples, running, now = _steady(90.0, seed=seed, shown=200)
        assert _law(fit({KEY: samples}, {KEY: running}, now=now)).quantile(0.5) == pytest.approx(TYPICAL, rel=0.12)


def test_finished_jobs_alone_speak_where_none_runs() -> None:
    samples, _, _ = _steady(80.0, seed=5, shown=200)
    assert _law(fit({KEY: samples}, {})).quantile(0.5) == pytest.approx(TYPICAL, rel=0.1)


def test_a_slow_service_shows_in_what_runs_before_anything_ends() -> None:
    samples = _samples(200)
    rng = random.Random(2)
    running = [Running(seconds=rng.uniform(1, 4) * TYPICAL, length=60.0) for _ in range(40)]
    now = samples[0].ended + 400
    before = _law(fit({KEY: samples}, {}))
    after = _law(fit({KEY: samples}, {KEY: running}, now=now))
    assert after.gap(TYPICAL, 1.0) > 1.3 * before.gap(TYPICAL, 1.0)
    assert after.quantile(0.5) > 1.1 * before.quantile(0.5)


def test_a_slow_service_is_learned_from_its_ends() -> None:
    slow = _samples(60, times=5.0, seed=3)
    old = [replace(one, ended=one.ended - 60 * 30) for one in _samples(140, seed=4)]
    law = _law(fit({KEY: [*slow, *old]}, {}))
    assert law.quantile(0.75) > 3.5 * TYPICAL


def test_failures_come_early_whatever_the_length() -> None:
    rng = random.Random(6)
    samples = [
        replace(one, seconds=rng.expovariate(1 / 10), failed=True) if i % 10 == 0 else one
        for i, one in enumerate(_samples(200))
    ]
    durations = fit({KEY: samples}, {})
    for length in (60.0, 600.0):
        assert _law(durations, length).ended(0.0, 30.0) == pytest.approx(0.1, abs=0.05)
    assert durations.finished(KEY) == 180


def test_a_new_class_begins_with_what_the_others_are_like() -> None:
    durations = fit({OTHER: _samples(200, times=10.0)}, {})
    assert _law(durations).quantile(0.5) == pytest.approx(10 * TYPICAL, rel=0.25)
    assert _law(durations, None).quantile(0.5) > 4 * TYPICAL
    assert durations.finished(KEY) == 0


def test_lengths_may_be_missing() -> None:
    without = [Sample(seconds=one.seconds, length=None, failed=False, ended=one.ended) for one in _samples(100)]
    durations = fit({KEY: without}, {})
    assert _law(durations, None).quantile(0.5) == pytest.approx(TYPICAL, rel=0.15)
    # nothing shows that the length matters
    assert _law(durations, 500.0).quantile(0.5) == pytest.approx(TYPICAL, rel=0.15)
    mixed = [*without[:50], *_samples(50)]
    assert _law(fit({KEY: mixed}, {}), 300.0).quantile(0.5) == pytest.approx(400, rel=0.15)


@pytest.mark.parametrize("seconds", [0.0, -5.0, math.inf, math.nan])
def test_impossible_times_are_left_out(seconds: float) -> None:
    broken = Sample(seconds=seconds, length=60.0, failed=False, ended=1e9)
    durations = fit({KEY: [broken, *_samples(30)]}, {KEY: [Running(seconds=seconds, length=math.nan)]})
    assert durations.finished(KEY) == 30
    assert _law(durations).quantile(0.5) == pytest.approx(TYPICAL, rel=0.15)


def test_no_eta_below_ten_finished_jobs() -> None:
    few, enough = fit({KEY: _samples(ETA_FROM - 1)}, {}), fit({KEY: _samples(ETA_FROM)}, {})
    assert eta(few, KEY, 60.0, 10.0) is None
    assert _law(few).stuck_after == math.inf
    told = eta(enough, KEY, 60.0, 10.0)
    assert told is not None
    assert 0 < told.low < told.median < told.high
    assert _law(enough).stuck_after < math.inf
    assert eta(enough, KEY, 60.0, 1e7) is None  # longer than anything observed


def test_the_range_holds_the_ends_of_unseen_jobs() -> None:
    durations = fit({KEY: _samples(200, seed=7)}, {})
    rng = random.Random(8)
    held = []
    for _ in range(2000):
        length, seconds = _job(rng)
        elapsed = rng.uniform(0, 0.8) * seconds
        told = eta(durations, KEY, length, elapsed)
        assert told is not None
        held.append(told.low <= seconds - elapsed <= told.high)
    assert 0.75 <= mean(held) <= 0.85


def _stuck(durations: Durations, jobs: Sequence[tuple[float, float]]) -> float:
    return mean(seconds > _law(durations, length).stuck_after for length, seconds in jobs)


def test_stuck_is_beyond_the_99th_percentile_and_twice_the_median() -> None:
    rng = random.Random(9)
    jobs = [_job(rng) for _ in range(2000)]
    for seed in range(5):
        durations = fit({KEY: _samples(200, seed=seed)}, {})
        law = _law(durations)
        assert law.stuck_after >= 1.8 * law.quantile(0.5)
        assert _stuck(durations, jobs) <= 0.01


def test_jobs_that_hang_do_not_make_it_normal() -> None:
    samples = _samples(200)
    hung = [Running(seconds=40 * TYPICAL, length=60.0) for _ in range(50)]
    before = _law(fit({KEY: samples}, {KEY: []})).stuck_after
    after = _law(fit({KEY: samples}, {KEY: hung}, now=samples[0].ended + 60)).stuck_after
    assert after == pytest.approx(before, rel=0.02)


def test_laws_are_cached_by_scale() -> None:
    durations = fit({KEY: _samples(200)}, {})
    assert durations.law(KEY, 60.0) is durations.law(KEY, 60.3)
    assert durations.law(KEY, 60.0) is not durations.law(KEY, 90.0)


def test_nothing_known_still_gives_a_law() -> None:
    law = fit({}, {}).law(KEY, None)
    assert 1 < law.gap(0.0, 1.0) < 120
    assert law.remaining(0.0, 0.5) is not None


def test_a_law_of_constant_hazard_is_exact() -> None:
    """Exponential: A(s) = s - (1 - e^(-h s)) / h at every age."""
    law = Law([0.0, 10.0, 50.0, 400.0], [0.02] * 4, stuck_after=math.inf)
    for elapsed in (0.0, 7.0, 10.0, 49.9, 399.0, 1e6):
        for seconds in (0.1, 5.0, 100.0, 3000.0):
            exact = seconds - (1 - math.exp(-0.02 * seconds)) / 0.02
            assert law.area(elapsed, seconds) == pytest.approx(exact, rel=1e-6)
            assert law.gap(elapsed, exact) == pytest.approx(seconds, rel=1e-3)
            assert law.ended(elapsed, seconds) == pytest.approx(1 - math.exp(-0.02 * seconds))
    assert law.quantile(0.5) == pytest.approx(math.log(2) / 0.02)
    assert law.remaining(100.0, 0.5) == pytest.approx(math.log(2) / 0.02)
    assert law.remaining(390.0, 0.9) is None


def test_the_delay_of_a_waiting_job_is_that_of_a_start_at_random() -> None:
    law = _law(fit({KEY: _samples(200)}, {}))
    for waited, seconds in ((0.0, 10.0), (60.0, 100.0), (600.0, 150.0)):
        rate, steps = start_rate(waited), 4000
        exact = sum(
            rate * math.exp(-rate * seconds * (1 - part)) * law.area(0.0, seconds * part) * seconds / steps
            for part in ((i + 0.5) / steps for i in range(steps))
        )
        assert law.waiting_area(waited, seconds) == pytest.approx(exact, rel=0.35)
        assert law.waiting_area(waited, seconds) < law.area(0.0, seconds)
        assert 0 < law.waiting_ended(waited, seconds) < law.ended(0.0, seconds)


def test_a_refit_is_of_the_classes_that_are_given() -> None:
    before = fit({KEY: _samples(50), OTHER: _samples(50, seed=2)}, {OTHER: [Running(seconds=9.0, length=60.0)]})
    after = fit({KEY: _samples(50, seed=3, times=2.0)}, {}, before=before)
    assert _law(after, key=OTHER) is _law(before, key=OTHER)
    assert _law(after).quantile(0.5) == pytest.approx(2 * _law(before).quantile(0.5), rel=0.2)
    assert (after.finished(KEY), after.finished(OTHER)) == (50, 50)
    # A class that is new to both borrows from all classes as they are now.
    everything = fit({KEY: _samples(50, seed=3, times=2.0), OTHER: _samples(50, seed=2)}, {})
    new = ("studio", "new")
    assert _law(after, key=new).quantile(0.5) == pytest.approx(_law(everything, key=new).quantile(0.5), rel=0.05)


def test_a_class_alone_borrows_nothing_from_itself() -> None:
    own = tabulate(_lives(1), Scale(40.0, 1.2, 112.0), sized=True)
    early = bisect(EDGES, 0.3)  # no job of the class has ended so soon, but some of the pseudo-jobs have
    alone, with_a_twin = (Pooled([own] * count).hazard(own)[early] for count in (1, 2))
    assert with_a_twin < 0.5 * alone


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_stuck_is_by_the_slowest_ends_of_all_classes_counted_one_by_one(classes: int) -> None:
    scale, lives = Scale(40.0, 1.2, 112.0), [_lives(seed) for seed in range(classes)]
    tables = [tabulate(each, scale, sized=True) for each in lives]
    ends = [each.successes() for each in lives]
    spots = [
        [seconds / scale.of(length) for seconds, length in zip(each.seconds, each.lengths, strict=True)]
        for each in ends
    ]
    fades = [0.5 ** (rank / 240) for rank in range(200)]
    weighted = [
        (spot, (1.0 if each is spots[0] else 0.7) * fade)
        for each in spots
        for spot, fade in zip(each, fades, strict=False)
    ]
    weighted.sort(reverse=True)
    slow = 0.05 * sum(weight for _, weight in weighted)
    tail, total = [], 0.0
    while total < slow:
        tail.append(weighted[len(tail)])
        total += tail[-1][1]
    start = tail[-1][0]
    bend = (1.0 + sum(weight * math.log(spot / start) for spot, weight in tail)) / (2.0 + slow)
    beyond = start * math.exp(math.log(0.05 / 0.006) * bend)
    middle = median(spots[0], fades[: len(spots[0])])
    assert Pooled(tables).stuck(tables[0]) == pytest.approx(max(beyond, 2 * middle))


def _lives(seed: int) -> Lives:
    return Lives(_samples(200, seed=seed), [Running(seconds=50.0, length=60.0)], 1e9)


def test_ages_that_few_jobs_of_a_class_reach_are_as_in_the_other_classes() -> None:
    def jobs(seed: int, slow: float) -> list[Sample]:
        rng = random.Random(seed)
        times = [
            math.exp(0.1 * rng.gauss(0, 1)) * (rng.uniform(3, 8) if rng.random() < slow else 1.0)
            for _ in range(200)
        ]
        return [
            Sample(seconds=112 * x, length=60.0, failed=False, ended=1e9 - i * 30) for i, x in enumerate(times)
        ]

    hung = [Running(seconds=8 * 112.0, length=60.0)] * 3
    durations = fit({KEY: jobs(1, 0.0), OTHER: jobs(2, 0.08)}, {KEY: hung, OTHER: hung[:1]}, now=1e9)
    own, other = (_law(durations, key=key).gap(5 * 112.0, 1.0) for key in (KEY, OTHER))
    assert other < own < 2 * other


def test_few_failures_are_taken_for_more_and_not_for_fewer() -> None:
    chances = []
    for seed in range(20):
        rng = random.Random(seed)
        ended = [
            Sample(seconds=rng.expovariate(1 / 12), length=60.0, failed=True, ended=1e9 - i * 30)
            if rng.random() < 0.05
            else replace(sample, ended=1e9 - i * 30)
            for i, sample in enumerate(_samples(200, seed=seed))
        ]
        chances.append(_law(fit({KEY: ended}, {})).ended(0.0, 20.0))
    true = 0.05 * (1 - math.exp(-20 / 12))
    assert sum(chance >= true for chance in chances) >= 15


def test_of_two_narrow_modes_the_line_follows_the_larger_one() -> None:
    near, off = Scale(40.0, 2.0, 180.0), []
    for seed in range(40):
        rng = random.Random(seed)
        ends = Ends([], [], [])
        for i in range(200):
            length = 60 * math.exp(0.6 * rng.gauss(0, 1))
            mode = 3.5 if rng.random() < 0.4 else 1.0
            ends.weights.append(0.5 ** (i / 60))
            ends.seconds.append((40 + 1.2 * length) * mode * math.exp(0.02 * rng.gauss(0, 1)))
            ends.lengths.append(length)
        scale = learn_scale(ends, near, sized=True)
        off.append(abs(math.log(scale.of(60.0) / 112.0)))
    assert mean(off) < 0.05
