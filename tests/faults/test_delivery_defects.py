"""An error of wrapd's own at every call on the path out of the outbox: other alerts are sent, the affected one is
sent or reported dead, and nothing stays `sending`. The calls are found in the code, not listed."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify.message import compose
from daemon.notify.outbox import ChannelPlan, lane, sender
from daemon.notify.outbox.context import RESCUE_INTERVAL, Keeper
from daemon.notify.outbox.lane import Lane
from daemon.notify.outbox.prepare import Preparer
from daemon.notify.transport import Channel
from daemon.store import DeliveryStatus, Outbox, Store, StoreFailed, StoreRefused, claim_one
from tests.support.dispatching import Rig, rig
from tests.support.webhook import Answer, Webhook

SENT, DEAD = DeliveryStatus.SENT, DeliveryStatus.DEAD
QUICK = {"claim", "finish", "_send", "_record", "rescue"}
"""Calls that the quick suite tries too."""
READS = {"attempts", "attempts_of", "list", "page", "get", "counts"}
"""Reads for people, not on the path out."""


def calls() -> Iterator[tuple[Any, str]]:
    """Return every call that a lane makes."""
    for name, _ in inspect.getmembers(Outbox, inspect.isfunction):
        if not name.startswith("_") and name not in READS:
            yield Outbox, name
    for owner in (Preparer, Lane, sender.Sender, Keeper):
        for name, found in inspect.getmembers(owner, inspect.isfunction):
            passive = name in {"run", "wake", "stop", "nudge", "abandon"} or "__" in name
            if not passive and found.__qualname__.startswith(owner.__name__):
                yield owner, name
    yield Channel, "send"
    yield sender, "compose"
    yield sender, "log_send"
    yield lane, "log_send"
    yield lane, "finish"
    for name in ("write", "write_here", "read_async"):
        yield Store, name


class Faults:
    """Raises at some of the calls of a function, counted from the installation."""

    def __init__(self, whole: Callable[..., Any], error: Exception, hit: Callable[[int], bool]) -> None:
        self.whole, self.error, self.hit = whole, error, hit
        self.count = self.raised = 0

    def wrapper(self) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            if self.hit(self.count):
                self.raised += 1
                raise self.error
            return self.whole(*arguments, **more)

        async def awaited(*arguments: Any, **more: Any) -> Any:
            return await call(*arguments, **more)

        return awaited if inspect.iscoroutinefunction(self.whole) else call


async def settle(one: Rig, seconds: float, step: float = 5.0) -> None:
    for _ in range(round(seconds / step)):
        await one.later(step)


@pytest.mark.parametrize("error", [KeyError("a defect"), StoreRefused("never")], ids=["defect", "refused"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(
            *each,
            id=f"{each[0].__name__.split('.')[-1]}.{each[1]}",
            marks=() if each[1] in QUICK else pytest.mark.long,
        )
        for each in calls()
    ],
)
async def test_an_error_at_any_call_hits_one_and_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Exception
) -> None:
    """At the first three calls; one channel is refused for a while and has a digest, one works."""
    faults = Faults(getattr(owner, name), error, lambda count: count <= 3)
    plans = {"a": ChannelPlan(digest_above=2, digest_window=10, fallback=ChannelName("b"), fallback_after=30)}
    with Webhook() as hook, Webhook() as other:
        async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, plans=plans, operators=["b"]) as one:
            await one.job_ends("job-0")
            await one.turn()
            monkeypatch.setattr(owner, name, faults.wrapper())
            hook.program(Answer(status=503), Answer(status=503), Answer(status=401))
            for number in range(1, 4):
                await one.job_ends(f"job-{number}")
            await settle(one, 2 * RESCUE_INTERVAL)
            await one.job_ends("job-9")
            await settle(one, 4 * RESCUE_INTERVAL)
            assert all(row.status is not DeliveryStatus.SENDING for row in one.rows("a") + one.rows("b"))
            await settle(one, 3600, 60)
            jobs = {row.job: row.status for row in one.rows("a") if row.job is not None}
            assert set(jobs.values()) == {SENT}
            assert {row.status for row in one.rows("b")} <= {SENT, DeliveryStatus.CANCELED}
            assert not faults.raised or one.defects or isinstance(error, StoreRefused)
    told = [request.json for request in other.requests if request.json["event"] == "succeeded"]
    assert {each["job_id"] for each in told} >= {"job-0", "job-1", "job-2", "job-3", "job-9"}


@pytest.mark.parametrize("where", ["claim", "compose", "send", "prepare"])
async def test_one_that_trips_a_defect_each_time_is_dead_and_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with Webhook() as hook, Webhook() as other:
        async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["b"]) as one:
            await one.job_ends("bad", channels=["a"])
            bad = one.row("a")
            break_for(monkeypatch, where, bad.id)
            for number in range(3):
                await one.job_ends(f"job-{number}", channels=["a"])
            await one.turn()
            assert one.statuses("a")[1:] == [SENT] * 3
            await settle(one, 60)
            row = one.rows("a")[0]
            if where == "compose":  # sent in the plainest form
                assert row.status is SENT
            else:
                assert (row.status, row.defects) == (DEAD, 4)
                assert len(one.store.read(lambda tx: tx.outbox.attempts(bad.id))) == 4
                assert [request.json["event"] for request in other.requests] == ["delivery_dead"]
            assert one.defects


@pytest.mark.parametrize("where", ["claim", "send"])
async def test_one_that_dies_of_defects_is_told_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    plans = {"a": ChannelPlan(fallback=ChannelName("b"))}
    with Webhook() as hook, Webhook() as other:
        async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, plans=plans) as one:
            await one.job_ends("bad", channels=["a"])
            bad = one.row("a")
            break_for(monkeypatch, where, bad.id)
            await settle(one, 60)
            assert one.statuses("a") == [DEAD]
            monkeypatch.undo()
            await one.later(60)
            assert one.statuses("b") == [SENT]
    (copy,) = [request.json for request in other.requests]
    assert (copy["job_id"], copy["diverted_from"]) == ("bad", "a")


def break_for(monkeypatch: pytest.MonkeyPatch, where: str, delivery: int) -> None:
    """Have one delivery raise a defect."""
    owner: Any
    owner, name = {
        "claim": (claim_one, "delivery_of"),
        "compose": (sender, "compose"),
        "send": (Channel, "send"),
        "prepare": (Preparer, "prepare"),
    }[where]
    whole: Any = getattr(owner, name)

    def is_bad(*arguments: Any) -> bool:
        return any(
            getattr(getattr(each, "delivery", None), "id", None) == delivery
            or getattr(each, "subject", None) == "job bad"
            or (isinstance(each, dict) and each["id"] == delivery)
            or (isinstance(each, tuple) and each[0].delivery.id == delivery)
            for each in arguments
        )

    def broken(*arguments: Any, **more: Any) -> Any:
        if is_bad(*arguments):
            raise KeyError("a defect")
        return whole(*arguments, **more)

    monkeypatch.setattr(owner, name, broken)


async def test_a_lane_that_ends_is_started_again(tmp_path: Path) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}) as one:
            name = ChannelName("a")
            one.dispatcher._tasks[name].cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            assert one.defects
            one.dispatcher._timers[name].cancel()
            begun = len(one.quiet.waits)
            one.dispatcher._begin(name)
            await one.quiet.until(begun + 1)
            await one.job_ends()
            await one.turn()
            assert one.statuses("a") == [SENT]


async def test_progress_is_the_last_look_without_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}) as one:
            await one.later(60)
            assert one.dispatcher.progress() == {"a": one.clock.monotonic()}
            before = one.clock.monotonic()

            async def broken(_lane: Lane) -> float:
                raise KeyError("a defect")

            monkeypatch.setattr(Lane, "_poll", broken)
            await one.later(60)
            assert one.dispatcher.progress() == {"a": before}
            assert one.dispatcher.moved() == {"a": one.clock.monotonic()}, "it does not hang"


async def test_a_lane_that_waits_for_the_database_gets_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}) as one:
            await one.later(60)

            def full(*_: object) -> None:
                raise StoreFailed("the disk is full")

            monkeypatch.setattr(one.store, "write", full)
            monkeypatch.setattr(one.store, "read_async", full)
            one.clock.advance(60)
            one.dispatcher.wake_all()
            await one.quiet.at_rest(one.dispatcher._lanes.values())
            assert one.dispatcher.progress() == one.dispatcher.moved() == {"a": one.clock.monotonic()}
            monkeypatch.undo()


def test_the_calls_are_found() -> None:
    names = {name for _, name in calls()}
    assert {"claim", "finish", "prepare", "_record", "rescue", "write"} <= names
    assert compose.compose is sender.compose
