"""Alerts that are given up: who is alerted, where they are sent instead, and when the channel is at fault."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify import NotifySettings
from daemon.notify.outbox import ChannelPlan
from daemon.store import AttemptOutcome, DeliveryStatus
from tests.support.dispatching import rig
from tests.support.webhook import Answer, Webhook

SENT, PENDING, HELD, DEAD, CANCELED = (
    DeliveryStatus.SENT,
    DeliveryStatus.PENDING,
    DeliveryStatus.HELD,
    DeliveryStatus.DEAD,
    DeliveryStatus.CANCELED,
)
REFUSED = Answer(status=400, body=b'{"error": "bad characters"}')


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


@pytest.fixture
def other() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


def events(hook: Webhook) -> list[str]:
    return [request.json["event"] for request in hook.requests]


async def test_the_operators_hear_of_dead_ones_with_their_number_and_the_services_words(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["b"]) as one:
        hook.program(REFUSED, REFUSED, Answer(), Answer(status=422), Answer(status=422))
        for number in range(3):  # two die for different reasons, with an accepted one between them
            await one.job_ends(f"job-{number}", channels=["a"])
        await one.turn()
        assert one.statuses("a") == [DEAD, SENT, DEAD]
        assert other.requests == []
        await one.later(11)
        (alert,) = [request.json for request in other.requests]
        assert (alert["event"], alert["held_channel"], alert["deliveries"]) == ("delivery_dead", "a", 2)
        assert "HTTP 422" in alert["reason"]


async def test_a_run_of_dead_ones_is_one_alert_now_and_then(tmp_path: Path, hook: Webhook, other: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["b"]) as one:
        for number in range(30):
            hook.program(REFUSED, REFUSED, Answer())
            await one.job_ends(f"job-{number}", channels=["a"])
            await one.job_ends(f"fine-{number}", channels=["a"])
            await one.later(20)
        assert one.statuses("a").count(DEAD) == 30
        await one.later(700)
        told = [request.json["deliveries"] for request in other.requests]
        assert len(told) == 2
        assert sum(told) == 30


async def test_a_dead_alert_about_dead_alerts_is_the_end_of_it(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    hook.default = other.default = Answer(status=500)
    settings = NotifySettings(give_up_after=600, retry_cap=60)
    urls = {"a": hook.url(), "b": other.url()}
    async with rig(tmp_path, urls, operators=["a", "b"], settings=settings) as one:
        await one.job_ends(channels=["a"])
        for _ in range(120):
            await one.later(60)
        rows = one.rows("a") + one.rows("b")
        assert {row.status for row in rows} == {DEAD}
        assert sorted(row.event for row in rows) == ["delivery_dead", "delivery_dead", "succeeded"]


async def test_what_is_given_up_is_told_elsewhere_once(tmp_path: Path, hook: Webhook, other: Webhook) -> None:
    plans = {"a": ChannelPlan(fallback=ChannelName("b"))}
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, plans=plans) as one:
        hook.program(REFUSED, REFUSED)
        await one.job_ends(channels=["a"])
        await one.turn()
        assert one.statuses("a") == [DEAD]
        (copy,) = [request.json for request in other.requests]
        assert (copy["job_id"], copy["diverted_from"]) == ("job-1", "a")
        one.store.write_now(lambda tx: tx.outbox.retry(ids=None, at=one.clock.now()))
        hook.program(Answer(status=422), Answer(status=422))
        await one.later(1)
        assert one.statuses("a") == [DEAD]
        assert len(other.requests) == 1


async def test_two_refused_alike_hold_the_channel_and_none_is_dead(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    hook.default = REFUSED
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["b"]) as one:
        for number in range(5):
            await one.job_ends(f"job-{number}", channels=["a"])
        await one.turn()
        assert one.statuses("a") == [HELD, HELD, PENDING, PENDING, PENDING]
        await one.later(11)
        assert events(other) == ["channel_held"]
        assert "HTTP 400" in other.requests[0].json["reason"]
        assert [row.status for row in one.rows("b")] == [CANCELED, SENT]  # none is dead after all
        await one.later(300)
        assert one.statuses("a") == [HELD, HELD, HELD, PENDING, PENDING]  # another one was tried
        hook.default = Answer()
        await one.later(600)
        assert one.statuses("a") == [SENT] * 5


async def test_a_release_brings_back_those_too(tmp_path: Path, hook: Webhook) -> None:
    hook.default = REFUSED
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends("job-1")
        await one.job_ends("job-2")
        await one.turn()
        assert one.statuses("a") == [HELD, HELD]
        hook.default = Answer()
        assert one.store.write_now(lambda tx: tx.outbox.release(ChannelName("a"), at=one.clock.now())) == 2
        await one.turn()
        assert one.statuses("a") == [SENT, SENT]


async def test_two_bad_messages_keep_a_channel_for_no_longer_than_a_probe(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["b"]) as one:
        hook.program(*[REFUSED] * 4)
        await one.job_ends("bad-1", channels=["a"])
        await one.job_ends("bad-2", channels=["a"])
        await one.turn()
        assert one.statuses("a") == [HELD, HELD]
        one.clock.advance(1)
        await one.job_ends("good", channels=["a"])
        hook.program(Answer(), *[REFUSED] * 4)
        await one.turn()
        assert one.statuses("a") == [DEAD, DEAD, SENT]  # the channel accepts others: those two were at fault
        await one.job_ends("fine", channels=["a"])
        await one.later(11)
        assert one.statuses("a") == [DEAD, DEAD, SENT, SENT]
        assert events(other) == ["channel_held", "delivery_dead"]


@pytest.mark.parametrize("asked", ["0", "-1", "0.001", "1e400", "nan", "Fri, 01 Jan 1999 00:00:00 GMT"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_service_that_asks_for_no_wait_is_asked_a_handful_of_times(
    tmp_path: Path, hook: Webhook, asked: str, status: int
) -> None:
    hook.default = Answer(status=status, headers={"Retry-After": asked})
    async with rig(tmp_path, {"a": hook.url()}) as one:
        for number in range(20):
            await one.job_ends(f"job-{number}")
        for _ in range(10):
            await one.later(0.5)
        assert len(hook.requests) <= 2
        hook.default = Answer()
        for _ in range(3):
            await one.later(60)
        assert one.statuses("a") == [SENT] * 20


async def test_a_held_channel_is_probed_with_one_at_a_time(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}, plans={"a": ChannelPlan(digest_above=2)}) as one:
        hook.default = Answer(status=401)
        for number in range(10):
            await one.job_ends(f"job-{number}")
        await one.later(61)
        assert one.statuses("a").count(HELD) == 10
        tried = len(hook.requests)
        await one.later(301)
        assert len(hook.requests) == tried + 1
        await one.later(301)
        assert len(hook.requests) == tried + 1


async def test_a_week_without_wrapd_is_no_week_of_tries(tmp_path: Path, hook: Webhook) -> None:
    hook.default = Answer(status=503)
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends()
        await one.later(1)
        clock = one.clock
    clock.advance(8 * 86400)
    async with rig(tmp_path, {"a": hook.url()}, clock=clock) as one:
        for _ in range(3):
            await one.later(20)
        assert one.statuses("a") == [PENDING]
        hook.default = Answer()
        await one.later(900)
        assert one.outcomes("a")[-1] is AttemptOutcome.SENT


async def test_an_alert_that_gathers_dead_ones_keeps_no_other_alert_back(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    """The second alert about dead deliveries waits for ten minutes: meanwhile another channel is held."""
    with Webhook() as third:
        third.default = Answer(status=401)
        urls = {"a": hook.url(), "b": other.url(), "c": third.url()}
        async with rig(tmp_path, urls, operators=["b"]) as one:
            for number in range(2):
                hook.program(REFUSED, REFUSED, Answer())
                await one.job_ends(f"job-{number}", channels=["a"])
                await one.job_ends(f"fine-{number}", channels=["a"])
                await one.later(20)
            assert events(other) == ["delivery_dead"]
            await one.job_ends("held", channels=["c"])
            await one.turn()
            assert events(other) == ["delivery_dead", "channel_held"]
            await one.later(600)
            assert events(other) == ["delivery_dead", "channel_held", "delivery_dead"]


async def test_a_held_alert_about_dead_ones_is_still_the_probe_of_its_channel(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    hook.program(REFUSED, REFUSED)
    other.default = Answer(status=401)
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["b"]) as one:
        await one.job_ends(channels=["a"])
        await one.turn()
        await one.later(11)
        assert one.statuses("b") == [HELD]
        other.default = Answer()
        await one.later(301)
        assert one.statuses("b") == [SENT]


async def test_dead_ones_are_told_once_each_though_their_alert_went_out_before_its_time(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    """As the end of quiet hours may cause: a later death is alerted too."""
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["b"]) as one:
        for number in range(4):
            hook.program(REFUSED, REFUSED, Answer())
            await one.job_ends(f"job-{number}", channels=["a"])
            await one.job_ends(f"fine-{number}", channels=["a"])
            await one.later(5)
            with closing(sqlite3.connect(tmp_path / "wrapd.db")) as beside, beside:
                beside.execute("UPDATE deliveries SET due_at = created_at WHERE channel = 'b' AND attempts = 0")
            await one.turn()
        for _ in range(3):
            await one.later(600)
        told = [request.json["deliveries"] for request in other.requests]
        assert (len(told) > 1, sum(told)) == (True, 4)
