"""The delivery side of a daemon with a real database: its recurring tasks, and their orderly end."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from daemon.app.delivery import DeliveryService
from daemon.clock import ManualClock
from daemon.domain.events import Event
from daemon.domain.jobs import Asset, JobId, Tracking
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.domain.planning import Rails
from daemon.domain.routing import Route, routing
from daemon.metrics import Metrics
from daemon.notify import NotifySettings
from daemon.notify.transport import ChannelSettings, open_channel
from daemon.spec import Spec
from daemon.store import DeliveryStatus, Store, Transaction
from daemon.tasks import Defects
from daemon.watch.settings import PollingPlan
from daemon.web import WebSettings
from tests.support.store import NOW, WHO, A, record, track, url_of

DAY = 86400.0
ROUTING = routing(
    [Route(events=frozenset({Event.SUCCEEDED, Event.LINK_EXPIRING}), channels=(A,))], operators=None, channels=[A]
)


def plan_of(folder: Path, url: str = "json://127.0.0.1:1", **more: Any) -> Spec:
    plan = Spec(
        database_url=url_of(folder / "wrapd.db"),
        projects=(),
        max_in_flight={},
        polling=PollingPlan(rails=Rails()),
        not_found_grace=600,
        give_up_after=1e6,
        channels={A: open_channel(ChannelSettings(name=A, url=url))},
        routing=ROUTING,
        notify=NotifySettings(),
        web=None,
    )
    return replace(plan, **more)


@asynccontextmanager
async def delivering(
    plan: Spec, clock: ManualClock, metrics: Metrics | None = None
) -> AsyncIterator[tuple[DeliveryService, Store]]:
    """Start the parts without a running dispatcher, so that rows stay as written."""
    store, metrics = Store.open(plan.database_url, clock=clock, daemon=True), metrics or Metrics()
    delivery = DeliveryService(
        plan,
        store=store,
        clients={},
        clock=clock,
        rng=random.Random(1),
        metrics=metrics,
        defects=Defects(clock=clock, metrics=metrics),
        on_result=lambda _channel, _outcome: None,
    )
    try:
        yield delivery, store
    finally:
        await delivery.stop(patience=0)
        await delivery.close()
        store.close()


def finished(store: Store, job_id: str = "job-1", *, url: str | None = None) -> int:
    """Write a job that has ended now, with a link that is valid for a day."""

    def work(tx: Any) -> int:
        job = track(tx, job_id)
        asset = Asset(preview_url=url or "https://cdn.example.com/v.mp4")
        record(tx, job, "SUCCEED", routes=ROUTING, asset=asset)
        return int(job)

    return store.write_now(work)


def events(store: Store) -> list[Event]:
    return [row.event for row in reversed(store.read(lambda tx: tx.outbox.list()))]


async def test_a_link_that_dies_unseen_is_reminded_of_once_when_its_time_comes(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with delivering(plan_of(tmp_path, link_reminder=4 * 3600.0), clock) as (delivery, store):
        finished(store)
        await delivery.remind()
        assert events(store) == [Event.SUCCEEDED]
        clock.advance(DAY - 4 * 3600 + 1)
        await delivery.remind()
        await delivery.remind()
        assert events(store) == [Event.SUCCEEDED, Event.LINK_EXPIRING]


async def test_without_a_reminder_nobody_is_reminded(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with delivering(plan_of(tmp_path), clock) as (delivery, store):
        finished(store)
        clock.advance(DAY - 3600)
        await delivery.remind()
        assert events(store) == [Event.SUCCEEDED]


async def test_what_is_over_for_long_is_deleted_in_parts_and_nothing_unsent(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with delivering(plan_of(tmp_path, keep=30 * DAY), clock) as (delivery, store):
        for number in range(700):
            finished(store, f"job-{number}")

        def send_all_but_one(tx: Any) -> None:
            rows = tx.outbox.list()
            tx.outbox.cancel([row.id for row in rows[1:]], at=NOW)

        store.write_now(send_all_but_one)
        (kept,) = store.read(lambda tx: tx.outbox.list(status=DeliveryStatus.PENDING))
        clock.advance(29 * DAY)
        await delivery.prune()
        assert len(store.read(lambda tx: tx.jobs.list())) == 700
        clock.advance(2 * DAY)
        await delivery.prune()
        assert [row.id for row in store.read(lambda tx: tx.outbox.list())] == [kept.id]
        assert [row.id for row in store.read(lambda tx: tx.jobs.list())] == [kept.job]


async def test_nothing_is_deleted_where_everything_is_kept(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with delivering(plan_of(tmp_path, keep=0.0), clock) as (delivery, store):
        job = finished(store)
        store.write_now(lambda tx: tx.outbox.cancel([tx.outbox.list()[0].id], at=NOW))
        clock.advance(3650 * DAY)
        await delivery.prune()
        row = store.read(lambda tx: tx.jobs.get(job))
        assert row is not None
        assert (row.job_id, row.tracking) == (JobId("job-1"), Tracking.FINISHED)


@pytest.mark.parametrize(
    ("url", "web", "begun"),
    [
        ("json://127.0.0.1:1", None, False),
        ("json://127.0.0.1:1", WebSettings(host="127.0.0.1", port=0), False),
        ("json://127.0.0.1:1", WebSettings(host="127.0.0.1", port=0, public_url="https://h.example"), True),
        ("discord://123456789/abcdefghijklmnop", None, True),
    ],
)
async def test_a_cover_is_fetched_only_where_somebody_shows_it(
    tmp_path: Path, url: str, web: WebSettings | None, begun: bool
) -> None:
    async with delivering(plan_of(tmp_path, url, web=web), ManualClock(NOW)) as (delivery, _store):
        begins: list[int] = []
        delivery.pictures.begin = begins.append  # type: ignore[method-assign]
        delivery.finished(7)
        assert begins == ([7] if begun else [])


async def test_a_database_that_does_not_take_it_is_counted_and_tried_in_the_next_round(tmp_path: Path) -> None:
    metrics = Metrics()
    plan = plan_of(tmp_path, keep=DAY, link_reminder=3600.0)
    async with delivering(plan, ManualClock(NOW), metrics) as (delivery, store):
        finished(store)
        store.close()  # from now on it refuses everything, like one on a full disk
        await delivery.remind()
        await delivery.prune()
        assert b"wrapd_store_errors_total 2.0" in metrics.text()


def over(store: Store) -> None:
    """Write a job that has ended and was alerted."""
    finished(store)
    store.write_now(lambda tx: tx.outbox.cancel([tx.outbox.list()[0].id], at=NOW))


def jobs_left(store: Store) -> int:
    return len(store.read(lambda tx: tx.jobs.list()))


async def test_a_wall_clock_that_is_set_deletes_nothing_until_it_has_stayed_so_for_a_day(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with delivering(plan_of(tmp_path, keep=30 * DAY), clock) as (delivery, store):
        over(store)
        clock.step_wall(365 * DAY)
        for _ in range(23):
            await delivery.prune()
            clock.advance(3600)
        assert jobs_left(store) == 1
        clock.step_wall(-365 * DAY)  # it was wrong
        for _ in range(48):
            await delivery.prune()
            clock.advance(3600)
        clock.step_wall(365 * DAY)  # once more: the day starts again
        await delivery.prune()
        clock.advance(0.9 * DAY)
        await delivery.prune()
        assert jobs_left(store) == 1
        clock.advance(0.2 * DAY)
        await delivery.prune()
        assert jobs_left(store) == 0


async def test_old_things_go_in_time_though_the_wall_clock_is_false(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with delivering(plan_of(tmp_path, keep=30 * DAY), clock) as (delivery, store):
        over(store)
        clock.advance(29.5 * DAY)
        await delivery.prune()
        clock.step_wall(-365 * DAY)
        await delivery.prune()
        assert jobs_left(store) == 1
        clock.advance(0.6 * DAY)
        await delivery.prune()
        assert jobs_left(store) == 0


@pytest.mark.parametrize("ahead", [365 * DAY, 3650 * DAY])
async def test_a_start_with_a_wall_clock_far_beyond_all_that_is_known_deletes_nothing_for_a_day(
    tmp_path: Path, ahead: float
) -> None:
    clock = ManualClock(NOW)
    plan = plan_of(tmp_path, keep=30 * DAY)
    async with delivering(plan, clock) as (_, store):
        over(store)
    clock.step_wall(ahead)
    async with delivering(plan, clock) as (delivery, store):
        await delivery.start()
        await delivery.prune()
        clock.advance(0.9 * DAY)
        await delivery.prune()
        assert jobs_left(store) == 1
        clock.advance(0.2 * DAY)
        await delivery.prune()
        assert jobs_left(store) == 0


async def test_mutes_end_at_their_time_and_at_the_start(tmp_path: Path) -> None:
    clock = ManualClock(NOW)

    def start(tx: Transaction, minutes: float) -> int:
        at = clock.now()
        until, scope = at + timedelta(minutes=minutes), MuteScope.CHANNEL
        row = tx.mutes.start(scope, A, project=None, at=at, until=until, who=WHO, comment="why", then=MuteEnd.SEND)
        return row.id

    def kept(store: Store) -> list[int | None]:
        return [row.mute for row in store.read(lambda tx: tx.outbox.list())]

    async with delivering(plan_of(tmp_path), clock) as (delivery, store):
        first = await store.write(lambda tx: start(tx, 10))
        await store.write(lambda tx: record(tx, track(tx), "SUCCEED", routes=ROUTING))
        await delivery.end_mutes()
        clock.advance(599)
        await delivery.end_mutes()
        assert kept(store) == [first]
        clock.advance(1)
        await delivery.end_mutes()
        assert kept(store) == [None]
        second = await store.write(lambda tx: start(tx, 5))
        delivery.notice()
        await delivery.end_mutes()
        assert kept(store) == [second]
    clock.advance(301)  # while it is off
    async with delivering(plan_of(tmp_path), clock) as (delivery, store):
        assert kept(store) == [second]
        await delivery.start()
        assert kept(store) == [None]
