"""How far callbacks announce ends."""

import pytest

from daemon.watch.planner import Announced

NOW = 1000.0


def ends(number: int, *, missed: int = 0, gap: float = 0.5) -> Announced:
    """So many ends up to now, the first of them without a callback."""
    announced = Announced()
    for n in range(number):
        announced.ended(NOW - (number - 1 - n) * gap, announced=n >= missed)
    return announced


@pytest.mark.parametrize("number", [0, 1, 50])
def test_without_callbacks_every_end_has_to_be_found(number: int) -> None:
    announced = ends(number, missed=number)
    assert announced.rate(NOW) == pytest.approx(number / 30)
    assert announced.unannounced(NOW) == 1.0


def test_the_more_callbacks_come_the_fewer_ends_are_left_to_find() -> None:
    assert ends(1).unannounced(NOW) == pytest.approx(1 / 2)
    assert ends(50).unannounced(NOW) == pytest.approx(1 / 51)
    assert ends(50, missed=5).unannounced(NOW) == pytest.approx(6 / 51)


def test_callbacks_that_stop_are_not_waited_for() -> None:
    announced = ends(50)
    assert announced.unannounced(NOW + 1) < 0.1
    assert announced.unannounced(NOW + 1.1) == 1.0
    announced.ended(NOW + 1.2, announced=True)
    assert announced.unannounced(NOW + 1.2) < 0.1


def test_a_pause_between_bursts_is_no_stop() -> None:
    announced = Announced()
    for burst in range(5):
        for _ in range(4):
            announced.ended(NOW - 20 + 5 * burst, announced=True)
    assert announced.unannounced(NOW + 9) < 0.1
    assert announced.unannounced(NOW + 10.1) == 1.0


def test_only_the_last_ends_count() -> None:
    announced = ends(50)
    assert announced.rate(NOW + 31) == 0.0
    assert announced.unannounced(NOW + 31) == 1.0
