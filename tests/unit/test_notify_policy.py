"""When to try again, and when to give up."""

from datetime import timedelta

import pytest

from daemon.notify.policy import channel_pause, outcome, outcomes
from daemon.notify.settings import NotifySettings
from daemon.notify.verdicts import Dead, Final, Hold, Retry, Sent, Unknown
from daemon.store import AttemptOutcome, Outcome
from tests.support.alerts import AT, claimed

SETTINGS = NotifySettings()


def after(verdict: Final, *, attempt: int = 1, age: float = 0, probes: int = 1, pause: float = 0) -> Outcome:
    row = claimed(attempts=attempt, created_at=AT - timedelta(seconds=age))
    return outcome(verdict, row, reason="so", at=AT, probes=probes, pause=pause, settings=SETTINGS, spread=0.0)


def wait(result: Outcome) -> float:
    assert result.due_at is not None
    return (result.due_at - AT).total_seconds()


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 10), (4, 40), (8, 640), (9, 900), (500, 900)])
def test_a_failed_send_is_tried_again_ever_later(attempt: int, seconds: float) -> None:
    result = after(Retry(reason="so"), attempt=attempt)
    assert result.kind is AttemptOutcome.RETRY
    assert wait(result) == seconds


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 30), (2, 60), (20, 3600)])
def test_a_send_that_may_have_arrived_waits_longer(attempt: int, seconds: float) -> None:
    result = after(Unknown(reason="so"), attempt=attempt)
    assert result.kind is AttemptOutcome.UNKNOWN
    assert wait(result) == seconds


@pytest.mark.parametrize(("probes", "seconds"), [(1, 300), (2, 600), (5, 3600), (99, 3600)])
def test_a_held_channel_is_probed_ever_later(probes: int, seconds: float) -> None:
    result = after(Hold(reason="so"), probes=probes, age=10**9)
    assert result.kind is AttemptOutcome.HELD
    assert wait(result) == seconds


@pytest.mark.parametrize(("told", "seconds"), [(17.0, 17.0), (0.0, 0.0), (86400.0, 3600.0), (None, 60.0)])
def test_a_throttled_send_waits_as_told_within_reason(told: float | None, seconds: float) -> None:
    assert wait(after(Retry(reason="so", after=told, throttled=True), attempt=7)) == seconds


def test_three_days_of_outage_kill_nothing() -> None:
    assert after(Retry(reason="so"), attempt=300, age=3 * 86400).kind is AttemptOutcome.RETRY
    assert after(Unknown(reason="so"), attempt=300, age=6.9 * 86400).kind is AttemptOutcome.UNKNOWN


@pytest.mark.parametrize("verdict", [Retry(reason="so"), Unknown(reason="so")])
def test_after_a_week_a_delivery_is_dead_and_says_why(verdict: Final) -> None:
    result = after(verdict, attempt=700, age=7 * 86400)
    assert (result.kind, result.reason) == (AttemptOutcome.DEAD, "given up: so")


def test_sent_and_dead_have_no_next_time() -> None:
    assert after(Sent(reason="so", status=200)) == Outcome(kind=AttemptOutcome.SENT, status_code=200, reason="so")
    assert after(Dead(reason="so", status=400)) == Outcome(kind=AttemptOutcome.DEAD, status_code=400, reason="so")


def test_the_whole_channel_rests_after_a_failure_and_the_row_not_less() -> None:
    assert [channel_pause(Retry(reason="so"), failures=n, settings=SETTINGS, spread=0.0) for n in (1, 2, 30)] == [
        5,
        10,
        900,
    ]
    assert wait(after(Retry(reason="so"), attempt=1, pause=900.0)) == 900
    for calm in (Sent(reason="so"), Dead(reason="so"), Hold(reason="so")):
        assert channel_pause(calm, failures=3, settings=SETTINGS, spread=0.0) == 0


def together(verdict: Final, *ages: float, attempts: int = 1) -> list[tuple[list[int], Outcome]]:
    rows = [
        claimed(id=number, attempts=attempts, created_at=AT - timedelta(seconds=age))
        for number, age in enumerate(ages, start=1)
    ]
    found = outcomes(verdict, rows, reason="so", at=AT, probes=1, pause=0.0, settings=SETTINGS, spread=0.0)
    return [([each.delivery.id for each in judged.claimed], judged.outcome) for judged in found]


def test_what_one_message_told_is_sent_at_once_and_tried_again_together() -> None:
    sent = Outcome(kind=AttemptOutcome.SENT, status_code=200, reason="so")
    assert together(Sent(reason="so", status=200), 0, 10, 20) == [([1, 2, 3], sent)]
    ((ids, again),) = together(Unknown(reason="so"), 0, 10, 20, attempts=3)
    assert (ids, again.kind, wait(again)) == ([1, 2, 3], AttemptOutcome.UNKNOWN, 120)


def test_of_what_one_message_told_only_what_is_too_old_dies() -> None:
    (young, old) = together(Retry(reason="so"), 60, 7 * 86400, 120)
    assert (young[0], young[1].kind) == ([1, 3], AttemptOutcome.RETRY)
    assert (old[0], old[1].kind) == ([2], AttemptOutcome.DEAD)


def test_a_refusal_of_one_message_kills_none_of_the_alerts_in_it() -> None:
    ((ids, again),) = together(Dead(reason="so", status=400), 0, 8 * 86400)
    assert (ids, again.kind, wait(again)) == ([1, 2], AttemptOutcome.RETRY, 0)
    assert together(Dead(reason="so", status=400), 0)[0][1].kind is AttemptOutcome.DEAD


def test_a_held_channel_holds_all_that_it_refused_at_once() -> None:
    ((ids, held),) = together(Hold(reason="so"), 0, 30 * 86400)
    assert (ids, held.kind, wait(held)) == ([1, 2], AttemptOutcome.HELD, 300)
