"""When a project counts as down, recovered or overloaded."""

from daemon.watch.health import DOWN_AFTER, Overload, ProjectHealth


def test_a_project_is_down_after_enough_failures_over_enough_time() -> None:
    health = ProjectHealth()
    assert health.failed(0, spread=0) is None
    assert health.failed(DOWN_AFTER + 1, spread=0) is None, "two failures are not enough, however far apart"
    assert health.failed(DOWN_AFTER + 2, spread=0) == "down"
    assert health.failed(DOWN_AFTER + 3, spread=0) is None, "it is told once"
    assert health.succeeded() == "recovered"
    assert health.succeeded() is None


def test_many_failures_at_once_are_a_hiccup() -> None:
    health = ProjectHealth()
    assert [health.failed(0.1 * n, spread=0) for n in range(20)] == [None] * 20
    assert health.succeeded() is None
    assert health.failed(DOWN_AFTER * 3, spread=0) is None, "an answer begins the count anew"


def test_requests_go_one_at_a_time_and_further_and_further_apart_while_nothing_answers() -> None:
    health = ProjectHealth()
    for _ in range(2):
        health.failed(0, spread=0)
    assert not health.probing
    assert health.paused_until == 0.0
    for _ in range(16):  # those under way together
        health.failed(0.5, spread=0)
    assert health.probing
    assert health.paused_until == 1.5, "those that failed together count as one"
    gaps = []
    for _ in range(8):
        now = health.paused_until
        health.failed(now, spread=0)
        gaps.append(health.paused_until - now)
    assert gaps == [2, 4, 8, 16, 30, 30, 30, 30]
    assert health.succeeded() == "recovered"
    assert (health.probing, health.paused_until) == (False, 0.0)


def test_a_project_at_fault_is_left_alone_at_the_first_failure() -> None:
    health = ProjectHealth()
    health.failed(10, spread=0, at_once=True)
    assert health.paused_until == 11


def test_overload_is_told_once_while_it_lasts_and_again_after_it_ended() -> None:
    overload = Overload(limit=60, patience=60)
    assert not overload.note(61, now=0)
    assert not overload.note(500, now=59)
    assert overload.note(500, now=60)
    assert not overload.note(500, now=600)
    assert not overload.note(50, now=601), "a little better is not over"
    assert not overload.note(61, now=700)
    assert not overload.note(61, now=800)
    assert not overload.note(10, now=801)
    assert not overload.note(61, now=900)
    assert overload.note(61, now=960)
