"""The gateway's limits over a sliding window."""

from daemon.sim.tenant import Limiter


def test_no_second_holds_more_than_the_rate() -> None:
    limiter = Limiter(show_rate=10, write_rate=5)
    admitted = [at / 100 for at in range(1000) if limiter.admit("show", at / 100)]
    assert len(admitted) == 100
    for begin in admitted:
        assert sum(begin <= at < begin + 1 for at in admitted) <= 10


def test_groups_are_apart_and_refused_requests_do_not_count() -> None:
    limiter = Limiter(show_rate=2, write_rate=1)
    assert [limiter.admit(name, 0.0) for name in ("show", "list", "show", "list")] == [True, True, False, False]
    assert [limiter.admit(name, 0.5) for name in ("create", "cancel", "asset", "token")] == [
        True,
        False,
        True,
        True,
    ]
    assert limiter.admit("show", 1.0)


def test_rates_under_one_and_none() -> None:
    slow = Limiter(show_rate=0.5, write_rate=0)
    assert [slow.admit("show", at) for at in (0.0, 1.0, 1.9, 2.0)] == [True, False, False, True]
    assert not slow.admit("create", 0.0)
    free = Limiter(show_rate=None, write_rate=None)
    assert all(free.admit("show", 0.0) for _ in range(1000))
