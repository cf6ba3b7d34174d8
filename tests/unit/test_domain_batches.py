"""When the last job of a batch ends, from jobs of known distributions."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.batches import LastEnd, last_end
from daemon.domain.durations import Durations, Eta, Sample, eta, fit
from daemon.domain.production import Unended

KEY = ("studio", "avatar_video")
RARE = ("studio", "photo_video")


def _drawn(rng: random.Random) -> tuple[float, float]:
    """Draw length and seconds of production."""
    length = 60 * math.exp(0.6 * rng.gauss(0, 1))
    return length, (40 + 1.2 * length) * math.exp(0.25 * rng.gauss(0, 1))


def _learned(seed: int = 1) -> Durations:
    rng = random.Random(seed)
    made = []
    for i in range(200):
        length, seconds = _drawn(rng)
        made.append(Sample(seconds=seconds, length=length, failed=False, ended=1e9 - i * 30))
    return fit({KEY: made}, {})


LEARNED = _learned()


def _job(elapsed: float | None, length: float | None = 60.0, key: tuple[str, str] = KEY) -> Unended:
    return Unended(key=key, length=length, elapsed=elapsed)


def _band(*jobs: Unended) -> Eta:
    found = last_end(LEARNED, jobs)
    assert found.eta is not None
    return found.eta


def test_the_band_is_that_of_the_slowest_of_many_draws() -> None:
    rng = random.Random(7)
    jobs = [_job(rng.uniform(0, 100), rng.uniform(20, 120)) for _ in range(30)]
    laws = [(LEARNED.law(KEY, job.length), job.elapsed or 0.0) for job in jobs]
    draws = [max(law.remaining(elapsed, rng.random()) or math.inf for law, elapsed in laws) for _ in range(4000)]
    band = _band(*jobs)
    for share, seconds in ((0.1, band.low), (0.5, band.median), (0.9, band.high)):
        assert sum(draw <= seconds for draw in draws) / len(draws) == pytest.approx(share, abs=0.02)


def test_jobs_alike_end_as_the_power_says() -> None:
    law = LEARNED.law(KEY, 60.0)
    band = _band(*[_job(30.0)] * 50)
    assert law.ended(30.0, band.median) == pytest.approx(0.5 ** (1 / 50), abs=1e-6)
    assert law.ended(30.0, band.high) == pytest.approx(0.9 ** (1 / 50), abs=1e-6)


jobs = st.builds(_job, st.floats(0, 400), st.none() | st.floats(1, 300))


@settings(deadline=None)
@given(job=jobs)
def test_the_band_of_one_job_is_its_own(job: Unended) -> None:
    assert job.elapsed is not None
    own = eta(LEARNED, KEY, job.length, job.elapsed)
    found = last_end(LEARNED, [job])
    assert found == LastEnd(eta=own, soonest=own and own.low, not_begun=0, unknown=int(own is None))


@settings(deadline=None)
@given(some=st.lists(jobs, min_size=1, max_size=12), other=jobs)
def test_one_job_more_never_makes_it_earlier(some: list[Unended], other: Unended) -> None:
    fewer, more = last_end(LEARNED, some), last_end(LEARNED, [*some, other])
    if fewer.soonest is not None:
        assert more.soonest is not None
        assert more.soonest >= fewer.soonest * (1 - 1e-5)
    if more.eta is None:
        return
    assert fewer.eta is not None
    assert more.eta.low <= more.eta.median <= more.eta.high
    for before, after in zip(
        (fewer.eta.low, fewer.eta.median, fewer.eta.high),
        (more.eta.low, more.eta.median, more.eta.high),
        strict=True,
    ):
        assert after >= before * (1 - 1e-5)


def test_a_job_that_is_not_in_production_leaves_a_bound_only() -> None:
    running = _band(_job(50.0))
    found = last_end(LEARNED, [_job(50.0), _job(None), _job(None)])
    assert (found.eta, found.not_begun, found.unknown) == (None, 2, 0)
    assert found.soonest == pytest.approx(_band(_job(50.0), _job(0.0), _job(0.0)).low)
    assert running.low < (found.soonest or 0.0)


def test_a_job_of_which_nobody_can_say_leaves_the_bound_of_the_others() -> None:
    found = last_end(LEARNED, [_job(50.0), _job(1.0, key=RARE), _job(1e9)])
    assert found == LastEnd(eta=None, soonest=_band(_job(50.0)).low, not_begun=0, unknown=2)
    assert last_end(LEARNED, [_job(None, key=RARE)]) == LastEnd(eta=None, soonest=None, not_begun=1, unknown=0)


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 20])
def test_8_of_10_batches_end_inside_the_band(size: int) -> None:
    inside, rng = 0, random.Random(11)
    for number in range(400):
        if number % 10 == 0:
            learned = _learned(number)
        members, remaining = [], []
        while len(members) < size:
            (length, seconds), elapsed = _drawn(rng), rng.uniform(0, 150)
            if seconds > elapsed:
                members.append(_job(elapsed, length))
                remaining.append(seconds - elapsed)
        band = last_end(learned, members).eta
        assert band is not None
        inside += band.low <= max(remaining) <= band.high
    assert 0.75 <= inside / 400 <= 0.90


@pytest.mark.long
def test_a_batch_of_50_000_costs_seconds_at_most() -> None:
    rng = random.Random(3)
    band = _band(*(_job(rng.uniform(0, 200), rng.uniform(5, 300)) for _ in range(50_000)))
    assert 0 < band.low < band.median < band.high < math.inf
