"""Several alerts in one message, the pace of a channel, and its fallback, with a real database and real HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.notify.outbox import ChannelPlan
from daemon.store import AttemptOutcome, DeliveryStatus, Store
from tests.support.dispatching import Rig, rig
from tests.support.store import url_of
from tests.support.webhook import Answer, Webhook

SENT, PENDING, HELD, DEAD = (
    DeliveryStatus.SENT,
    DeliveryStatus.PENDING,
    DeliveryStatus.HELD,
    DeliveryStatus.DEAD,
)
MERGED = {"a": ChannelPlan(digest_above=3, digest_window=60.0)}
A = ChannelName("a")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


@pytest.fixture
def other() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


def told(hook: Webhook) -> list[list[str]]:
    """Return the job ids of each message."""
    return [[alert["job_id"] for alert in alerts(request.json)] for request in hook.requests]


def alerts(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message["alerts"] if message["event"] == "digest" else [message]


async def ends(one: Rig, first: int, last: int, **more: Any) -> None:
    for number in range(first, last + 1):
        await one.job_ends(f"job-{number}", **more)


async def test_few_alerts_come_one_by_one_and_many_together(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}, plans=MERGED) as one:
        await ends(one, 1, 3)
        await one.turn()
        assert sorted(told(hook)) == [["job-1"], ["job-2"], ["job-3"]]  # a webhook gets several at a time
        await ends(one, 4, 30)
        await one.turn()
        assert (
            len(hook.requests) == 3
        )  # more may come: they are sent together once the first has waited long enough
        await one.later(59)
        assert len(hook.requests) == 3
        await one.later(2)
        assert told(hook)[3:] == [[f"job-{number}" for number in range(4, 31)]]
        assert one.statuses("a") == [SENT] * 30
        assert one.results == [("a", AttemptOutcome.SENT)] * 30
        attempts = one.store.read(lambda tx: tx.outbox.attempts(one.rows("a")[29].id))
        assert [(attempt.n, attempt.shared) for attempt in attempts] == [(1, 27)]


async def test_five_hundred_at_once_are_a_handful_of_messages_and_none_is_lost(
    tmp_path: Path, hook: Webhook
) -> None:
    async with rig(tmp_path, {"a": hook.url()}, plans=MERGED) as one:
        await ends(one, 1, 500)
        await one.turn()
        await one.later(61)
        await one.later(61)
        assert sorted(len(jobs) for jobs in told(hook)) == [100] * 5
        assert {job for jobs in told(hook) for job in jobs} == {f"job-{number}" for number in range(1, 501)}
        assert set(one.statuses("a")) == {SENT}


async def test_programs_get_each_alert_by_itself(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await ends(one, 1, 50)
        await one.turn()
        assert sorted(told(hook)) == sorted([f"job-{number}"] for number in range(1, 51))


async def test_what_is_for_the_operators_does_not_wait_for_a_digest(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}, plans=MERGED) as one:
        await ends(one, 1, 10)
        await one.turn()
        assert hook.requests == []
        alert = OperatorAlert(
            event=Event.PROJECT_DOWN, key="main/1", facts={"project": "main", "reason": "no answer"}
        )
        await one.store.write(lambda tx: tx.outbox.add_operator(alert, channels=[A], at=one.clock.now()))
        await one.turn()
        assert [request.json["event"] for request in hook.requests] == ["project_down"]
        await one.later(61)
        assert [request.json["event"] for request in hook.requests] == ["project_down", "digest"]


async def test_a_digest_that_is_refused_is_told_one_by_one(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(status=400), Answer(status=400))
    async with rig(tmp_path, {"a": hook.url()}, plans=MERGED) as one:
        await ends(one, 1, 10)
        await one.later(61)
        assert [len(jobs) for jobs in told(hook)] == [10, 10, *[1] * 10]
        assert one.statuses("a") == [SENT] * 10


async def test_a_digest_that_failed_comes_again_whole(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(status=503), Answer(reset=True))
    async with rig(tmp_path, {"a": hook.url()}, plans=MERGED) as one:
        await ends(one, 1, 10)
        await one.later(61)
        assert one.statuses("a") == [PENDING] * 10
        for _ in range(4):
            await one.later(61)
        assert [len(jobs) for jobs in told(hook)] == [10, 10, 10]
        assert one.statuses("a") == [SENT] * 10
        assert [row.possible_repeat for row in one.rows("a")] == [True] * 10
    assert [request.json["possible_repeat"] for request in hook.requests] == [False, False, True]


async def test_a_digest_that_was_under_way_at_a_crash_comes_again_and_is_marked(
    tmp_path: Path, hook: Webhook
) -> None:
    async with rig(tmp_path, {"a": hook.url()}, plans=MERGED) as one:
        await ends(one, 1, 10)
        clock = one.clock
        clock.advance(61)
        claimed = one.store.write_now(lambda tx: tx.outbox.claim_together(A, now=clock.now(), most=100))
        assert len(claimed) == 10
    assert hook.requests == []
    async with rig(tmp_path, {"a": hook.url()}, plans=MERGED, clock=clock) as one:
        await one.turn()
        await one.later(61)
        assert one.statuses("a") == [SENT] * 10
    assert {job for jobs in told(hook) for job in jobs} == {f"job-{number}" for number in range(1, 11)}
    assert all(alert["possible_repeat"] for request in hook.requests for alert in alerts(request.json))


async def test_a_channel_gets_no_more_messages_a_minute_than_it_takes_and_a_restart_knows(
    tmp_path: Path, hook: Webhook
) -> None:
    plans = {"a": ChannelPlan(max_per_minute=5)}
    async with rig(tmp_path, {"a": hook.url()}, plans=plans) as one:
        await ends(one, 1, 12)
        await one.turn()
        assert len(hook.requests) == 5
        await one.later(59)
        assert len(hook.requests) == 5
        await one.later(1)
        assert len(hook.requests) == 10
        clock = one.clock
    clock.advance(30)
    async with rig(tmp_path, {"a": hook.url()}, plans=plans, clock=clock) as one:
        await one.turn()
        assert len(hook.requests) == 10
        await one.later(61)
        assert len(hook.requests) == 12
    assert told(hook) == [[f"job-{number}"] for number in range(1, 13)]


async def test_another_channel_is_told_while_one_is_held_for_long(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    hook.default = Answer(status=401)
    plans = {"a": ChannelPlan(fallback=ChannelName("b"), fallback_after=900.0)}
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, plans=plans) as one:
        await ends(one, 1, 3, channels=["a"])
        await one.turn()
        await one.later(890)
        assert other.requests == []
        await one.later(20)
        assert sorted(told(other)) == [["job-1"], ["job-2"], ["job-3"]]
        assert all(request.json["diverted_from"] == "a" for request in other.requests)
        await one.job_ends("job-4", channels=["a"])
        await one.turn()
        await one.later(60)
        assert told(other)[3:] == [["job-4"]]  # and each once
        hook.default = Answer()
        await one.later(4000)
        assert one.statuses("a") == [SENT] * 4
        await one.job_ends("job-5", channels=["a"])
        await one.later(4000)
        assert len(other.requests) == 4


async def test_a_release_ends_the_fallback(tmp_path: Path, hook: Webhook, other: Webhook) -> None:
    hook.program(Answer(status=401))
    plans = {"a": ChannelPlan(fallback=ChannelName("b"), fallback_after=200.0)}
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, plans=plans) as one:
        await one.job_ends("job-1", channels=["a"])
        await one.turn()
        other_process = Store.open(url_of(tmp_path / "wrapd.db"), clock=one.clock)
        other_process.write_now(lambda tx: tx.outbox.release(A, at=one.clock.now()))
        other_process.close()
        await one.later(400)
        assert one.statuses("a") == [SENT]
        assert other.requests == []


async def test_cancelled_alerts_are_not_sent(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(status=500))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await ends(one, 1, 2)
        await one.turn()
        rows = [row.id for row in one.rows("a")]
        await one.store.write(lambda tx: tx.outbox.cancel(rows, at=one.clock.now()))
        await one.later(900)
        assert DeliveryStatus.CANCELED in one.statuses("a")
        assert PENDING not in one.statuses("a")
