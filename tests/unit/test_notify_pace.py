"""How fast a channel is sent to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.notify.outbox.policy import Pace


def test_without_a_bound_nothing_waits() -> None:
    pace = Pace(None)
    for _ in range(1000):
        pace.sent(0.0)
    assert (pace.wait(0.0), pace.window) == (0.0, 0.0)


def test_so_many_go_at_once_and_the_next_when_the_first_is_a_minute_old() -> None:
    pace = Pace(3)
    for at in (0.0, 10.0, 20.0):
        assert pace.wait(at) == 0
        pace.sent(at)
    assert [pace.wait(at) for at in (20.0, 59.0, 60.0)] == [40.0, 1.0, 0.0]
    pace.sent(60.0)
    assert pace.wait(60.0) == 10.0


@pytest.mark.parametrize(("per_minute", "window"), [(1, 60.0), (0.5, 120.0), (2.5, 48.0), (20, 60.0)])
def test_less_than_a_whole_one_a_minute_takes_longer(per_minute: float, window: float) -> None:
    pace = Pace(per_minute)
    assert pace.window == window
    while not pace.wait(0.0):
        pace.sent(0.0)
    assert pace.wait(0.0) == window


def test_a_service_counts_within_a_second_too() -> None:
    pace = Pace(60, gap=0.25)
    assert pace.wait(10.0) == 0
    pace.sent(10.0)
    assert [pace.wait(at) for at in (10.0, 10.2, 10.25, 11.0)] == [0.25, pytest.approx(0.05), 0.0, 0.0]
    for at in range(59):
        pace.sent(11.0 + at / 4)
    assert pace.wait(26.0) == 44.0, "the minute holds all the same"
    alone = Pace(None, gap=1.0)
    alone.sent(5.0)
    assert (alone.wait(5.0), alone.window) == (1.0, 0.0)


def test_what_was_sent_before_the_start_counts() -> None:
    pace = Pace(20)
    pace.sent(100.0, messages=500)
    assert pace.wait(100.0) == 60.0
    few = Pace(20)
    few.sent(100.0, messages=19)
    assert few.wait(100.0) == 0


@given(
    per_minute=st.floats(0.2, 40),
    pauses=st.lists(st.floats(0, 30), min_size=1, max_size=200),
    takes=st.floats(0, 3),
)
def test_no_window_holds_more_than_the_bound(per_minute: float, pauses: list[float], takes: float) -> None:
    pace, now, arrived = Pace(per_minute), 0.0, []
    for pause in pauses:
        now += pause
        now += pace.wait(now)
        assert pace.wait(now) <= 1e-6
        arrived.append(now + takes / 2)  # somewhere between the begin of a send and its end
        now += takes
        pace.sent(now)
    most = max(1, int(per_minute))
    for first, last in zip(arrived, arrived[most:], strict=False):
        assert last - first >= pace.window - 1e-6
