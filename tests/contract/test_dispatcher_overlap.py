"""Messages to a webhook without limits overlap and are recorded together; those about one job keep their order."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify.outbox import ChannelPlan
from daemon.notify.outbox.sender import OVERLAP
from daemon.store import AttemptOutcome, DeliveryStatus, Store
from tests.support.dispatching import Rig, rig
from tests.support.webhook import Answer, Received, Webhook

A = ChannelName("a")


class Gated(Webhook):
    """Answers the first request at once, and all others once it is `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def take(self, received: Received) -> Answer:
        answer = super().take(received)
        if received is not self.requests[0]:
            self.open.wait(30)
        return answer


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


@pytest.fixture
def gated() -> Iterator[Gated]:
    with Gated() as stand_in:
        yield stand_in


def jobs(hook: Webhook) -> list[str]:
    return [request.json["job_id"] for request in hook.requests]


async def end(one: Rig, count: int) -> None:
    for number in range(count):
        await one.job_ends(f"job-{number}")


async def test_messages_about_different_jobs_are_in_flight_at_a_time(tmp_path: Path, gated: Gated) -> None:
    async with rig(tmp_path, {"a": gated.url()}) as one:
        await end(one, 1 + 2 * OVERLAP)
        one.dispatcher.wake_all()
        await asyncio.to_thread(gated.wait_for, 1 + OVERLAP)
        assert len(one.dispatcher._lanes[A].owned) == OVERLAP
        gated.open.set()
        await asyncio.to_thread(gated.wait_for, 1 + 2 * OVERLAP)
        await one.turn()
        assert one.statuses("a") == [DeliveryStatus.SENT] * (1 + 2 * OVERLAP)
    assert set(Counter(jobs(gated)).values()) == {1}


async def test_messages_about_one_job_do_not_overlap(tmp_path: Path, gated: Gated) -> None:
    async with rig(tmp_path, {"a": gated.url()}) as one:
        await one.job_ends("first")
        for state in ("BLOCK", "PROCESSING", "SUCCEED"):
            await one.job_ends("job-1", state=state)
        await one.job_ends("job-2")
        one.dispatcher.wake_all()
        await asyncio.to_thread(gated.wait_for, 3)
        assert sorted(jobs(gated)[1:]) == ["job-1", "job-2"]
        gated.open.set()
        await asyncio.to_thread(gated.wait_for, 5)
        await one.turn()
    events = [request.json["event"] for request in gated.requests if request.json["job_id"] == "job-1"]
    assert events == ["blocked", "unblocked", "succeeded"]


async def test_outcomes_of_what_was_in_flight_are_stored_in_one_transaction(
    tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    whole = Store.write_here

    def counted(store: Store, work: Callable[[Any], Any]) -> Any:
        nonlocal calls
        calls += 1
        return whole(store, work)

    monkeypatch.setattr(Store, "write_here", counted)
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await end(one, 1 + 2 * OVERLAP)
        await one.turn()
        assert one.statuses("a") == [DeliveryStatus.SENT] * (1 + 2 * OVERLAP)
        assert len(one.results) == 1 + 2 * OVERLAP
    assert calls == 3


@pytest.mark.parametrize("failing", [1, 2, OVERLAP])
async def test_one_that_fails_costs_the_others_nothing(tmp_path: Path, hook: Webhook, failing: int) -> None:
    hook.program(Answer(), *[Answer(status=500)] * failing)
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await end(one, 2 + 2 * OVERLAP)
        await one.turn()
        lane = one.dispatcher._lanes[A]
        assert Counter(one.statuses("a")) == {
            DeliveryStatus.SENT: 1 + OVERLAP - failing,
            DeliveryStatus.PENDING: 1 + OVERLAP + failing,
        }
        assert lane.condition.failures == 1  # the channel has failed once, however many were in flight
        assert lane.owned == frozenset()
        await one.later(10)
        assert one.statuses("a") == [DeliveryStatus.SENT] * (2 + 2 * OVERLAP)
    assert sorted(Counter(jobs(hook)).values()) == [1] * (2 + 2 * OVERLAP - failing) + [2] * failing
    assert not any(request.json["possible_repeat"] for request in hook.requests)


async def test_one_that_may_have_arrived_is_marked_and_the_others_are_not(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(), Answer(reset=True))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await end(one, 1 + OVERLAP)
        await one.turn()
        await one.later(60)
        assert one.statuses("a") == [DeliveryStatus.SENT] * (1 + OVERLAP)
        assert Counter(outcome for _, outcome in one.results) == {
            AttemptOutcome.SENT: 1 + OVERLAP,
            AttemptOutcome.UNKNOWN: 1,
        }
    assert sum(request.json["possible_repeat"] for request in hook.requests) == 1


async def test_a_channel_with_a_limit_gets_one_message_at_a_time(tmp_path: Path, gated: Gated) -> None:
    plans = {"a": ChannelPlan(max_per_minute=6000)}
    async with rig(tmp_path, {"a": gated.url()}, plans=plans) as one:
        await end(one, 3)
        one.dispatcher.wake_all()
        await asyncio.to_thread(gated.wait_for, 2)
        assert len(one.dispatcher._lanes[A].owned) == 1
        gated.open.set()
