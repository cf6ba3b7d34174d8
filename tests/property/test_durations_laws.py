"""Any distribution keeps its arithmetic, and any jobs yield a distribution."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.durations import Law, Running, Sample, fit
from daemon.domain.planning import Rails, learned_gap

KEY = ("p", "k")
Pieces = list[tuple[float, float]]
steps = st.lists(st.tuples(st.floats(0.01, 500), st.floats(1e-6, 2)), min_size=1, max_size=30)
ages = st.floats(0, 1e6)
prices = st.floats(0.01, 100)


def _law(pieces: Pieces) -> Law:
    edges = [0.0]
    for width, _ in pieces[:-1]:
        edges.append(edges[-1] + width)
    return Law(edges, [hazard for _, hazard in pieces], stuck_after=math.inf)


@given(pieces=steps, elapsed=ages, price=prices)
def test_after_the_gap_the_delay_is_the_price(pieces: Pieces, elapsed: float, price: float) -> None:
    law = _law(pieces)
    gap = law.gap(elapsed, price)
    assert gap >= price * (1 - 1e-6)  # a delay is never longer than the time
    assert math.isclose(law.area(elapsed, gap), price, rel_tol=2e-3, abs_tol=1e-6)


@given(pieces=steps, elapsed=ages, seconds=st.floats(0, 1e4), more=st.floats(0, 1e4))
def test_the_delay_grows_and_stays_below_the_time(
    pieces: Pieces, elapsed: float, seconds: float, more: float
) -> None:
    law = _law(pieces)
    first, second = law.area(elapsed, seconds), law.area(elapsed, seconds + more)
    assert 0 <= first <= seconds * (1 + 1e-9)
    assert first <= second + 1e-6 * (1 + second)
    assert 0 <= law.ended(elapsed, seconds) <= law.ended(elapsed, seconds + more) <= 1
    assert 0 <= law.waiting_area(elapsed, seconds) <= law.area(0.0, seconds) + 1e-6 * (1 + seconds)


@given(pieces=steps, elapsed=ages, share=st.floats(0.01, 0.98))
def test_what_remains_is_a_quantile(pieces: Pieces, elapsed: float, share: float) -> None:
    law = _law(pieces)
    left = law.remaining(elapsed, share)
    if left is not None:
        assert math.isclose(law.ended(elapsed, left), share, rel_tol=1e-6, abs_tol=1e-6)
    assert math.isclose(law.ended(0.0, law.quantile(share)), share, rel_tol=1e-6)


samples = st.lists(
    st.builds(
        Sample,
        seconds=st.floats(allow_nan=True),
        length=st.none() | st.floats(),
        failed=st.booleans(),
        ended=st.floats(-1e10, 1e10) | st.just(math.nan),
    ),
    max_size=30,
)
running = st.lists(
    st.builds(Running, seconds=st.floats(), length=st.none() | st.floats(), weight=st.floats()), max_size=10
)


@settings(max_examples=150, deadline=None)
@given(
    finished=samples,
    live=running,
    length=st.none() | st.floats(0, 1e6),
    elapsed=ages,
    price=prices,
    waited=st.none() | ages,
)
def test_whatever_the_jobs_the_plan_keeps_its_rails(
    finished: list[Sample],
    live: list[Running],
    length: float | None,
    elapsed: float,
    price: float,
    waited: float | None,
) -> None:
    law = fit({KEY: finished}, {KEY: live}, now=0.0).law(KEY, length)
    gap, _ = learned_gap(law=law, elapsed=elapsed, price=price, rails=Rails(), spread=0.5, waited=waited)
    assert 1 <= gap <= 60.2
    assert law.quantile(0.1) <= law.quantile(0.5) <= law.quantile(0.9)
    assert law.stuck_after > 0
