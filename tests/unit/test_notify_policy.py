"""When to retry, and when to give up."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.policy import (
    LEAST_TRIES,
    AttemptEnd,
    ChannelCondition,
    Pause,
    PlainRefusals,
    channel_pause,
    failed_by_us,
    outcome,
    outcomes,
)
from daemon.notify.transport.verdicts import Dead, Final, Hold, Retry, Sent, Unknown, arrived
from daemon.store import DEFECTS, AttemptOutcome, Outcome
from tests.support.alerts import AT, claimed

SETTINGS = NotifySettings()
END = AttemptEnd(reason="so", at=AT, settings=SETTINGS, spread=0.0)


def after(verdict: Final, *, attempt: int = 1, age: float = 0, probes: int = 1, pause: float = 0) -> Outcome:
    row = claimed(attempts=attempt, tried_for=age)
    return outcome(verdict, row, replace(END, probes=probes, pause=pause))


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


@pytest.mark.parametrize(
    ("told", "attempt", "seconds"),
    [
        (17.0, 1, 17.0),
        (600.0, 1, 600.0),  # a blocked robot
        (86400.0, 1, 3600.0),
        (None, 1, 60.0),
        (None, 7, 320.0),
        *((none, attempt, own) for none in (0.0, -1.0, 0.001, 1e-300) for attempt, own in ((1, 5.0), (7, 320.0))),
        *((number, 2, 60.0) for number in (float("nan"), float("inf"), float("-inf"))),
    ],
)
def test_a_wait_from_outside_is_a_floor_over_our_own_with_a_cap(
    told: float | None, attempt: int, seconds: float
) -> None:
    verdict = Retry(reason="so", after=told, throttled=True)
    assert wait(after(verdict, attempt=attempt)) == seconds
    assert channel_pause(verdict, failures=attempt, probes=1, settings=SETTINGS, spread=0.0) == seconds


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
    def rests(verdict: Final, failures: int, probes: int = 1) -> float:
        return channel_pause(verdict, failures=failures, probes=probes, settings=SETTINGS, spread=0.0)

    assert [rests(Retry(reason="so"), failures) for failures in (1, 2, 30)] == [5, 10, 900]
    assert wait(after(Retry(reason="so"), attempt=1, pause=900.0)) == 900
    for calm in (Sent(reason="so"), Dead(reason="so")):
        assert rests(calm, 3) == 0
    # A held channel is probed with one of its deliveries, not with each in turn.
    assert [rests(Hold(reason="so"), 9, probes) for probes in (1, 2, 99)] == [300, 600, 3600]


def together(verdict: Final, *ages: float, attempts: int = 1) -> list[tuple[list[int], Outcome]]:
    rows = [claimed(id=number, attempts=attempts, tried_for=age) for number, age in enumerate(ages, start=1)]
    found = outcomes(verdict, rows, replace(END, probes=1))
    return [([each.delivery.id for each in judged.claimed], judged.outcome) for judged in found]


def test_what_one_message_told_is_sent_at_once_and_tried_again_together() -> None:
    sent = Outcome(kind=AttemptOutcome.SENT, status_code=200, reason="so")
    assert together(Sent(reason="so", status=200), 0, 10, 20) == [([1, 2, 3], sent)]
    ((ids, again),) = together(Unknown(reason="so"), 0, 10, 20, attempts=3)
    assert (ids, again.kind, wait(again)) == ([1, 2, 3], AttemptOutcome.UNKNOWN, 120)


def test_of_what_one_message_told_only_what_is_too_old_dies() -> None:
    (young, old) = together(Retry(reason="so"), 60, 7 * 86400, 120, attempts=LEAST_TRIES)
    assert (young[0], young[1].kind) == ([1, 3], AttemptOutcome.RETRY)
    assert (old[0], old[1].kind) == ([2], AttemptOutcome.DEAD)


def test_a_refusal_of_one_message_kills_none_of_the_alerts_in_it() -> None:
    ((ids, again),) = together(Dead(reason="so", status=400), 0, 8 * 86400)
    assert (ids, again.kind, wait(again)) == ([1, 2], AttemptOutcome.RETRY, 0)
    assert together(Dead(reason="so", status=400), 0)[0][1].kind is AttemptOutcome.DEAD


def test_a_held_channel_holds_all_that_it_refused_at_once() -> None:
    ((ids, held),) = together(Hold(reason="so"), 0, 30 * 86400)
    assert (ids, held.kind, wait(held)) == ([1, 2], AttemptOutcome.HELD, 300)


def test_only_time_in_which_wrapd_was_at_work_counts() -> None:
    def dies(*, tried_for: float, ago: float | None, uptime: float, attempt: int = LEAST_TRIES) -> bool:
        tried_at = None if ago is None else AT - timedelta(seconds=ago)
        row = claimed(
            attempts=attempt, created_at=AT - timedelta(days=999), tried_for=tried_for, tried_at=tried_at
        )
        found = outcome(Retry(reason="so"), row, replace(END, probes=1, uptime=uptime))
        return found.kind is AttemptOutcome.DEAD

    week = SETTINGS.give_up_after
    assert not dies(tried_for=0, ago=8 * 86400, uptime=30)  # it was off
    assert dies(tried_for=0, ago=8 * 86400, uptime=8 * 86400)
    assert not dies(tried_for=week - 100, ago=-86400, uptime=week)  # the clock was set back
    assert not dies(tried_for=week - 100, ago=99, uptime=week)
    assert dies(tried_for=week - 100, ago=100, uptime=week)
    assert not dies(tried_for=week, ago=None, uptime=week, attempt=LEAST_TRIES - 1)
    assert not dies(tried_for=0, ago=None, uptime=10 * week)  # by the first release: it is tried again


def test_what_wrapd_fails_waits_longer_each_time_and_is_dead_after_the_plainest_try() -> None:
    seen = []
    for defects in range(DEFECTS + 1):
        (judged,) = failed_by_us([claimed(defects=defects)], END)
        result = judged.outcome
        seen.append((result.kind, result.due_at and wait(result), result.defect))
    assert seen == [
        (AttemptOutcome.RETRY, 5, True),
        (AttemptOutcome.RETRY, 10, True),
        (AttemptOutcome.RETRY, 20, True),
        (AttemptOutcome.DEAD, None, True),
    ]


def refusals(*steps: tuple[int, str | None] | None) -> list[bool | None]:
    """Return what is reported about refusals of deliveries with a code; None is an accepted message."""
    memory, said = PlainRefusals(), []
    for step in steps:
        if step is None:
            memory.taken()
            said.append(None)
        else:
            said.append(memory.about_channel(Dead(reason="so", status=400, code=step[1]), step[0]))
    return said


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (((1, "x"), (2, "x")), [False, True]),
        (((1, None), (2, None)), [False, True]),
        (((1, "x"), (2, "y")), [False, False]),
        (((1, "x"), None, (2, "x")), [False, None, False]),
        (((1, "x"), (1, "x")), [False, False]),  # a person tried the same one again
        (((1, "x"), (2, "x"), (2, "x"), (3, "x"), (1, "x")), [False, True, True, True, True]),
        (((1, "x"), (2, "x"), (3, "y"), (4, "y")), [False, True, False, True]),
        # The channel accepted one after all: the two were refused for their content.
        (((1, "x"), (2, "x"), None, (1, "x"), (2, "x"), (3, "x")), [False, True, None, False, False, False]),
    ],
)
def test_two_refusals_alike_in_a_row_are_about_the_channel(steps: tuple[object, ...], said: list[object]) -> None:
    assert refusals(*steps) == said  # type: ignore[arg-type]  # steps of several kinds


SAID: tuple[Final, ...] = (
    Sent(reason="ok"),
    Hold(reason="no", delivered=True),
    Hold(reason="no"),
    Retry(reason="later"),
    Retry(reason="slow", throttled=True),
    Unknown(reason="?"),
    Dead(reason="no"),
)


@given(verdicts=st.lists(st.tuples(st.sampled_from(SAID), st.booleans(), st.integers(1, 9)), max_size=30))
def test_a_channel_is_held_from_a_refusal_until_it_takes_a_message(
    verdicts: list[tuple[Final, bool, int]],
) -> None:
    condition, held = ChannelCondition(), False
    for verdict, written, many in verdicts:
        condition.count(verdict, written=written, many=many, at=AT)
        rest = condition.rest(verdict, now=5.0, settings=NotifySettings(), spread=0.5) if written else 0.0
        if not written:
            continue
        condition.note_hold(verdict)
        held = isinstance(verdict, Hold) if not isinstance(verdict, Retry | Unknown | Dead) else held
        held = held and not (isinstance(verdict, Hold) and verdict.delivered)
        assert condition.held is held
        assert (rest == 0) == (arrived(verdict) or (isinstance(verdict, Dead) and not held))
        if rest:
            assert condition.pause is not None
            assert (condition.pause.until - 5.0, condition.pause.strict) == (
                rest,
                isinstance(verdict, Retry) and verdict.throttled,
            )
        if isinstance(verdict, Sent):
            assert (condition.failures, condition.probes, condition.partly) == (0, 0, False)


def test_messages_that_fail_at_the_same_time_are_one_failure_of_the_channel() -> None:
    condition = ChannelCondition()
    throttled, other = Retry(reason="so", status=429, throttled=True, after=60.0), Retry(reason="so", status=500)
    for verdict, again in ((throttled, False), (other, True)):
        condition.count(verdict, written=True, many=1, at=AT, again=again)
        condition.rest(verdict, now=0.0, settings=SETTINGS, spread=0.0, again=again)
    assert condition.failures == 1
    assert condition.pause == Pause(since=0.0, until=60.0, strict=True)
