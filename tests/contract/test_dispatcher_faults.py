"""The dispatcher when the database fails: nothing is lost or sent twice."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify import NotifySettings
from daemon.notify.outbox.context import RESCUE_INTERVAL
from daemon.notify.transport import Channel
from daemon.store import AttemptOutcome, DeliveryStatus, Store, StoreFailed, StoreRefused, Transaction
from tests.support.dispatching import PATIENCE, Quiet, rig
from tests.support.webhook import Webhook

T = TypeVar("T")


class Failing(Store):
    """The real database, but the given number of writes after the next one fail before they begin."""

    fail_after = 10**9
    failures = 0
    error: Exception = StoreFailed("the disk is full: make room")

    @classmethod
    def take_over(cls, store: Store) -> "Failing":
        store.__class__ = cls
        assert isinstance(store, Failing)
        return store

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self._fail()
        return await super().write(work)

    def write_here(self, work: Callable[[Transaction], T]) -> T:
        self._fail()
        return super().write_here(work)

    def _fail(self) -> None:
        if self.fail_after > 0:
            self.fail_after -= 1
        elif self.failures > 0:
            self.failures -= 1
            raise self.error


class Insistent(Quiet):
    """Lets a lane's waits for the database pass at once; other waits are unchanged."""

    async def __call__(self, event: asyncio.Event, seconds: float) -> None:
        if seconds in (NotifySettings().look_interval, NotifySettings().idle_interval):
            await super().__call__(event, seconds)


async def test_an_outcome_that_the_database_does_not_take_is_written_later_and_sent_once(tmp_path: Path) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}, wrap=Failing.take_over, quiet=Insistent()) as one:
            store = one.store
            assert isinstance(store, Failing)
            await one.job_ends("job-1")
            await one.job_ends("job-2")
            store.fail_after, store.failures = 1, 25  # after the claim, the disk is full for a while
            await one.turn()
            assert store.failures == 0
            assert one.statuses("a") == [DeliveryStatus.SENT] * 2
    assert [request.json["job_id"] for request in hook.requests] == ["job-1", "job-2"]
    assert all(request.json["attempt"] == 1 for request in hook.requests)


async def test_a_claim_that_fails_loses_nothing(tmp_path: Path) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}, wrap=Failing.take_over, quiet=Insistent()) as one:
            store = one.store
            assert isinstance(store, Failing)
            await one.job_ends()
            store.fail_after, store.failures = 0, 9
            await one.turn()
            assert one.outcomes("a") == [AttemptOutcome.SENT]
    assert len(hook.requests) == 1


@pytest.mark.parametrize("error", [StoreRefused("a constraint forbids it"), KeyError("a defect")])
async def test_an_outcome_that_is_refused_with_all_that_hangs_on_it_is_stored_alone(
    tmp_path: Path, error: Exception
) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}, wrap=Failing.take_over, quiet=Insistent()) as one:
            store = one.store
            assert isinstance(store, Failing)
            await one.job_ends("job-1")
            await one.job_ends("job-2")
            store.error = error
            store.fail_after, store.failures = 1, 2  # the channel's thread fails to store it, then the lane
            await one.turn()
            assert one.statuses("a") == [DeliveryStatus.SENT, DeliveryStatus.SENT]
            assert one.defects
    assert [request.json["job_id"] for request in hook.requests] == ["job-1", "job-2"]


@pytest.mark.parametrize("error", [StoreRefused("a constraint forbids it"), KeyError("a defect")])
async def test_an_outcome_that_can_never_be_written_has_an_owner_soon_and_does_not_stop_the_others(
    tmp_path: Path, error: Exception
) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}, wrap=Failing.take_over, quiet=Insistent()) as one:
            store = one.store
            assert isinstance(store, Failing)
            await one.job_ends("job-1")
            await one.job_ends("job-2")
            store.error = error
            store.fail_after, store.failures = 1, 3  # the single write fails too
            await one.turn()
            assert one.statuses("a") == [DeliveryStatus.SENDING, DeliveryStatus.SENT]
            await one.later(RESCUE_INTERVAL)
            row = one.rows("a")[0]
            assert (row.status, row.possible_repeat, row.defects) == (DeliveryStatus.PENDING, True, 1)
            assert row.due_at > one.clock.now()
            await one.later(31)
            assert one.statuses("a") == [DeliveryStatus.SENT] * 2
    assert [request.json["possible_repeat"] for request in hook.requests] == [False, False, True]


async def test_a_stop_while_the_database_fails_ends_and_the_next_start_sends_again(tmp_path: Path) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}, wrap=Failing.take_over) as one:
            store = one.store
            assert isinstance(store, Failing)
            await one.job_ends()
            store.fail_after, store.failures = 1, 10**6
            one.dispatcher.wake_all()
            await asyncio.to_thread(hook.wait_for, 1)
            async with asyncio.timeout(PATIENCE):
                await one.dispatcher.stop()
            assert one.statuses("a") == [DeliveryStatus.SENDING]
        async with rig(tmp_path, {"a": hook.url()}) as one:
            await one.turn()
            assert one.statuses("a") == [DeliveryStatus.SENT]
    assert [request.json["possible_repeat"] for request in hook.requests] == [False, True]


async def test_a_fault_of_ours_is_tried_again_and_the_lane_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Any = Channel.send

    def broken(self: Channel, message: Any, **more: Any) -> Any:
        if message.subject == "job job-1":
            raise KeyError("a defect")
        return whole(self, message, **more)

    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}) as one:
            monkeypatch.setattr(Channel, "send", broken)
            await one.job_ends("job-1")
            await one.job_ends("job-2")
            await one.turn()
            # The other one does not wait: the channel itself works.
            assert one.statuses("a") == [DeliveryStatus.PENDING, DeliveryStatus.SENT]
            assert one.rows("a")[0].last_error == "wrapd could not write the message (KeyError)"
            await one.later(6)
            monkeypatch.undo()
            await one.later(900)
            assert one.statuses("a") == [DeliveryStatus.SENT] * 2
            assert [defect.part for defect in one.defects] == ["delivery"]


async def test_rows_of_a_foreign_channel_name_do_not_wake_a_lane(tmp_path: Path) -> None:
    with Webhook() as hook:
        async with rig(tmp_path, {"a": hook.url()}) as one:
            one.dispatcher.wake([ChannelName("b")])
            assert len(one.quiet.waits) == 1
