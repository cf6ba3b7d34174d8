"""When alerts are sent singly, together, or together a little later."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.domain.digests import MOST, Decision, Later, Single, Together, Waiting, decide

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def decided(*, above: int = 6, window: float = 60, age: float = 0, **waiting: Any) -> Decision:
    full = {"recent": 1, "due": 1, "from_quiet": 0, "oldest": NOW - timedelta(seconds=age), **waiting}
    return decide(Waiting(**full), above=above, window=window, now=NOW)


@pytest.mark.parametrize(
    ("case", "decision"),
    [
        ({"due": 0, "oldest": None}, Single()),
        ({}, Single()),
        ({"recent": 6, "due": 6}, Single()),
        ({"recent": 7, "due": 7}, Later(seconds=60)),
        ({"recent": 7, "due": 1}, Later(seconds=60)),  # six were sent singly, the seventh waits for more
        ({"recent": 7, "due": 1, "age": 45}, Later(seconds=15)),
        ({"recent": 7, "due": 3, "age": 60}, Together()),
        ({"recent": 7, "due": 1, "age": 60}, Single()),  # no more came
        ({"recent": 0, "due": 7, "age": 3000}, Together()),  # the channel was down
        ({"recent": 0, "due": 6, "age": 3000}, Single()),
        ({"recent": 500, "due": MOST, "age": 1}, Together()),  # a full message need not wait
        ({"recent": 500, "due": MOST - 1, "age": 1}, Later(seconds=59)),
        ({"recent": 9, "due": 2, "age": -1e6}, Together()),  # the clock was set back: no waiting for days
        ({"due": 2, "recent": 2, "from_quiet": 2}, Together()),  # the night's alerts
        ({"due": 2, "recent": 2, "from_quiet": 1}, Single()),
        ({"above": 0, "due": 50, "recent": 50, "from_quiet": 50, "age": 99}, Single()),  # off
        ({"above": 1, "due": 2, "recent": 2}, Later(seconds=60)),
    ],
)
def test_what_becomes_of_what_is_due(case: dict[str, Any], decision: Decision) -> None:
    assert decided(**case) == decision


def test_a_wait_always_ends() -> None:
    """After the given wait, the next answer is not another wait, even if more alerts came."""
    first = decided(recent=9, due=9, age=12)
    assert isinstance(first, Later)
    later = NOW + timedelta(seconds=first.seconds)
    waiting = Waiting(recent=40, due=40, from_quiet=0, oldest=NOW - timedelta(seconds=12))
    assert decide(waiting, above=6, window=60, now=later) == Together()


def test_five_hundred_ends_in_a_minute_make_a_handful_of_messages() -> None:
    """Alerts arrive evenly over 60 s; each message takes the due ones, at most `MOST`."""
    arrivals = [NOW + timedelta(seconds=60 * number / 500) for number in range(500)]
    sent: list[int] = []
    taken, now = 0, NOW
    while taken < 500:
        due = [at for at in arrivals[taken:] if at <= now]
        recent = sum(1 for at in arrivals if now - timedelta(seconds=60) < at <= now)
        waiting = Waiting(recent=recent, due=len(due), oldest=due[0] if due else None, from_quiet=0)
        decision = decide(waiting, above=6, window=60, now=now)
        if not due or isinstance(decision, Later):
            now += timedelta(seconds=1)
            continue
        count = min(len(due), MOST) if isinstance(decision, Together) else 1
        sent.append(count)
        taken += count
    assert sum(sent) == 500
    assert len(sent) <= 12
