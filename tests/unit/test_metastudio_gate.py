"""The gate: at most 3 consecutive failures in any 5 minutes, single probes, and when it opens."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.clock import ManualClock
from daemon.metastudio.errors import AuthPaused
from daemon.metastudio.gate import AuthGate, AuthGates
from daemon.metastudio.settings import AkSk, GivenToken, Password


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def gate(clock: ManualClock) -> AuthGate:
    return AuthGate("key", clock)


async def opened(gate: AuthGate) -> None:
    given = await gate.enter()
    gate.accepted(given)
    gate.release(given)
    assert gate.open_pass is not None


async def refusal(gate: AuthGate) -> None:
    given = await gate.enter()
    gate.refused(given)
    gate.release(given)


async def test_unproven_credentials_send_one_request_first(gate: AuthGate) -> None:
    probe = await gate.enter()
    others = [asyncio.ensure_future(gate.enter()) for _ in range(5)]
    await asyncio.sleep(0)
    assert not any(other.done() for other in others)
    gate.accepted(probe)
    gate.release(probe)
    assert [given.probe for given in await asyncio.gather(*others)] == [False] * 5


async def test_those_who_wait_are_sent_away_by_a_refusal(gate: AuthGate, clock: ManualClock) -> None:
    probe = await gate.enter()
    other = asyncio.ensure_future(gate.enter())
    await asyncio.sleep(0)
    gate.refused(probe)
    gate.release(probe)
    with pytest.raises(AuthPaused) as caught:
        await other
    assert caught.value.until == clock.monotonic() + 2


async def test_a_probe_that_is_given_up_lets_the_next_one_try(gate: AuthGate) -> None:
    probe = await gate.enter()
    others = [asyncio.ensure_future(gate.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.release(probe)
    first, *rest = await asyncio.gather(*others, return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert first.probe
    assert all(isinstance(one, AuthPaused) for one in rest)


async def test_no_verdict_waits_a_second(gate: AuthGate, clock: ManualClock) -> None:
    probe = await gate.enter()
    gate.unclear(probe)
    gate.release(probe)
    with pytest.raises(AuthPaused):
        await gate.enter()
    clock.advance(1)
    assert (await gate.enter()).probe


async def test_three_refusals_and_then_five_minutes(gate: AuthGate, clock: ManualClock) -> None:
    await opened(gate)
    failures = []
    for _ in range(1000):
        try:
            await refusal(gate)
            failures.append(clock.monotonic())
        except AuthPaused:
            pass
        clock.advance(1)
    assert [round(at - failures[0]) for at in failures[:4]] == [0, 1, 21, 301]
    for at in failures:
        assert sum(at <= other <= at + 300 for other in failures) <= 3


@pytest.mark.parametrize(("together", "more"), [(1, [0, 20, 301]), (2, [0, 301]), (3, [301]), (5, [301])])
async def test_what_was_refused_together_counts_within_the_three(
    gate: AuthGate, clock: ManualClock, together: int, more: list[int]
) -> None:
    await opened(gate)
    given = gate.open_pass
    assert given is not None
    for sent in [gate.sent() for _ in range(together)]:
        gate.refused(given, sent)
    probes = []
    for second in range(302):
        try:
            await refusal(gate)
            probes.append(second)
        except AuthPaused:
            pass
        clock.advance(1)
    assert probes == more


async def test_a_success_clears_the_count(gate: AuthGate, clock: ManualClock) -> None:
    await refusal(gate)
    clock.advance(2)
    await opened(gate)
    await refusal(gate)
    clock.advance(2)
    await refusal(gate)  # the second in a row, not the third
    clock.advance(100)
    await opened(gate)


async def test_old_successes_do_not_open_and_old_refusals_do_not_shut(gate: AuthGate, clock: ManualClock) -> None:
    await opened(gate)
    old = [gate.open_pass for _ in range(3)]
    assert None not in old
    gate.refused(old[0])  # type: ignore[arg-type]
    gate.accepted(old[1])  # type: ignore[arg-type]  # sent before the refusal: proves nothing about now
    assert gate.open_pass is None
    clock.advance(2)
    await opened(gate)
    gate.refused(old[2])  # type: ignore[arg-type]  # a later request was accepted meanwhile
    assert gate.open_pass is not None


async def test_at_once_skips_the_spacing_but_not_the_limit(gate: AuthGate) -> None:
    for _ in range(3):
        given = await gate.enter(at_once=True)
        gate.refused(given)
        gate.release(given)
    with pytest.raises(AuthPaused, match="refused recently"):
        await gate.enter(at_once=True)


async def test_doubt_asks_for_a_new_proof(gate: AuthGate) -> None:
    await opened(gate)
    gate.doubt()
    assert (await gate.enter()).probe


def test_skew_is_learned_from_five_minutes_on(gate: AuthGate, clock: ManualClock) -> None:
    gate.learn_skew(clock.now() + timedelta(minutes=4))
    assert gate.skew == timedelta(0)
    gate.learn_skew(None)
    gate.learn_skew(clock.now() - timedelta(minutes=20))
    assert gate.skew == -timedelta(minutes=20)
    gate.learn_skew(clock.now() - timedelta(minutes=18))
    assert gate.skew == -timedelta(minutes=20)
    clock.step_wall(-20 * 60)  # this machine's clock was corrected
    gate.learn_skew(clock.now())
    assert gate.skew == timedelta(0)


def test_projects_with_the_same_key_share_a_gate(clock: ManualClock) -> None:
    gates = AuthGates(clock)
    one = gates.of(AkSk(access_key="AK", secret_key="one"))
    assert gates.of(AkSk(access_key="AK", secret_key="another")) is one
    assert gates.of(AkSk(access_key="AK2", secret_key="one")) is not one
    token = gates.of(GivenToken(token="AK"))
    assert token is not one
    assert "AK" not in token.name + one.name
    user = Password(domain="d", user="u", password="p")
    assert gates.of(user, place="https://a") is gates.of(user, place="https://a")
    assert gates.of(user, place="https://b") is not gates.of(user, place="https://a")


@given(st.lists(st.tuples(st.floats(0, 200), st.sampled_from(["refused", "unclear", "released"])), max_size=80))
def test_no_schedule_makes_a_fourth_failure_in_five_minutes(steps: list[tuple[float, str]]) -> None:
    async def run() -> list[float]:
        clock = ManualClock()
        gate = AuthGate("key", clock)
        failures = []
        for gap, verdict in steps:
            clock.advance(gap)
            try:
                given = await gate.enter()
            except AuthPaused:
                continue
            if verdict == "refused":
                gate.refused(given)
                failures.append(clock.monotonic())
            elif verdict == "unclear":
                gate.unclear(given)
            gate.release(given)
        return failures

    failures = asyncio.run(run())
    for at in failures:
        assert sum(at <= other <= at + 300 for other in failures) <= 3


async def test_credentials_that_a_person_corrected_are_tried_at_once_and_within_the_limit(
    gate: AuthGate, clock: ManualClock
) -> None:
    for _ in range(2):
        await refusal(gate)
        with pytest.raises(AuthPaused):
            await gate.enter()
        gate.renewed()
    await refusal(gate)
    gate.renewed()
    with pytest.raises(AuthPaused):  # three within five minutes are the limit
        await gate.enter()
    clock.advance(302)
    await opened(gate)
    gate.renewed()
    assert gate.open_pass is None, "the new ones are to be proven first"
