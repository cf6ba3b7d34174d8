"""One thread that ends calls that take too long."""

import threading

from daemon.notify.transport.bounded import Deadlines


def test_a_block_that_takes_too_long_is_ended_and_one_that_does_not_is_left_alone() -> None:
    deadlines, late, never = Deadlines(), threading.Event(), threading.Event()
    with deadlines.within(3600, never.set):
        with deadlines.within(0.01, late.set):
            assert late.wait(60)
    assert not never.is_set()


def test_an_earlier_deadline_that_comes_later_is_met_in_time() -> None:
    deadlines, ends = Deadlines(), [threading.Event() for _ in range(3)]
    with (
        deadlines.within(3600, ends[0].set),
        deadlines.within(0.05, ends[1].set),
        deadlines.within(0.01, ends[2].set),
    ):
        assert ends[2].wait(60)
        assert ends[1].wait(60)
    assert not ends[0].is_set()


def test_what_a_call_raises_harms_no_other() -> None:
    deadlines, end = Deadlines(), threading.Event()

    def broken() -> None:
        raise KeyError("a defect")

    with deadlines.within(0.0, broken), deadlines.within(0.02, end.set):
        assert end.wait(60)


def test_what_is_called_off_is_never_called() -> None:
    deadlines, called, after = Deadlines(), [], threading.Event()
    for number in range(100):
        with deadlines.within(0.05, lambda number=number: called.append(number)):  # type: ignore[misc]
            pass
    with deadlines.within(0.06, after.set):
        assert after.wait(60)
    assert called == []
