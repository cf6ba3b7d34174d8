"""The plan stays within its limits, whatever the job does."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.domain import backoff
from daemon.domain.planning import Rails, next_gap
from daemon.domain.states import State

states = st.one_of(st.none(), st.sampled_from([*State, "THAWING"]))
seconds = st.floats(0, 1e9)
spreads = st.floats(0, 1, exclude_max=True)


@given(state=states, in_state=seconds, failures=st.integers(0, 10_000), spread=spreads)
def test_a_gap_lies_between_the_rails(state: str | None, in_state: float, failures: int, spread: float) -> None:
    rails = Rails(min_interval=1, max_interval=60, blocked_interval=600)
    gap = next_gap(state=state, in_state=in_state, failures=failures, floor=0, rails=rails, spread=spread)
    assert 0.75 <= gap <= (600 if state == State.BLOCK else 60)


@given(state=states, in_state=seconds, failures=st.integers(0, 50), floor=st.floats(0, 1e5), spread=spreads)
def test_the_services_wish_to_wait_is_a_floor(
    state: str | None, in_state: float, failures: int, floor: float, spread: float
) -> None:
    gap = next_gap(state=state, in_state=in_state, failures=failures, floor=floor, rails=Rails(), spread=spread)
    assert gap >= floor


@given(in_state=st.floats(0, 1e6), longer=st.floats(0, 1e6))
def test_the_longer_a_job_is_in_its_state_the_longer_the_gap(in_state: float, longer: float) -> None:
    def gap(seconds: float) -> float:
        return next_gap(state="PROCESSING", in_state=seconds, failures=0, floor=0, rails=Rails(), spread=0.5)

    assert gap(in_state) <= gap(in_state + longer)


@given(failures=st.integers(1, 100_000), base=st.floats(0.1, 10), spread=spreads)
def test_backing_off_never_exceeds_the_cap_nor_falls_under_three_quarters(
    failures: int, base: float, spread: float
) -> None:
    waited = backoff.delay(failures, base=base, cap=60, spread=spread)
    assert 0.75 * min(base, 60) <= waited <= 60
