"""Fresh links from the simulator: requested once, stored, and not waited for too long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.clock import ManualClock
from daemon.domain.events import Event
from daemon.domain.jobs import Asset, ProjectName
from daemon.domain.routing import Route, Routing
from daemon.sim import SimSettings, Simulator
from daemon.store import JobRow, Store, Transaction
from daemon.watch.links import FRESH_FOR, REST, FreshLinks, remind
from tests.support.background import tasks
from tests.support.clients import Project, project_of
from tests.support.store import PROJECT, SILENT, A, record, track, url_of

PATIENCE = 60.0
DEAD = "https://h.example.com/dead.mp4?Expires=1600000000"


class Set:
    """A simulator, a client, a store, and the links that connect them."""

    def __init__(self, sim: Simulator, ours: Project, store: Store, clock: ManualClock) -> None:
        self.sim, self.ours, self.store, self.clock = sim, ours, store, clock
        self.links = FreshLinks({PROJECT: ours.client}, store, clock, tasks=tasks("links", clock))

    def ended(self, *, kind: str = "avatar", state: str = "SUCCEED", known: bool = True) -> JobRow:
        """Return a job that ended long ago, with an expired preview link."""
        job_id = self.sim.create_jobs(timeline=[(state, None)], kind=kind)[0] if known else "job-unknown"

        def work(tx: Transaction) -> JobRow | None:
            row = track(tx, job_id, kind=kind)
            asset = Asset(preview_url=DEAD if kind == "photo" else None, download_url=None)
            record(tx, row, "SUCCEED", at=self.clock.now(), routes=SILENT, asset=asset)
            return tx.jobs.get(row)

        found = self.store.write_now(work)
        assert found is not None
        return found

    def stored(self, job: JobRow) -> JobRow:
        found = self.store.read(lambda tx: tx.jobs.get(job.id))
        assert found is not None
        return found


@asynccontextmanager
async def a_set(folder: Path) -> AsyncIterator[Set]:
    clock = ManualClock(datetime.now(UTC))
    settings = SimSettings(show_rate=None, write_rate=None, speed=1000.0)
    async with Simulator(settings) as sim, project_of(sim, clock=clock) as ours:
        store = Store.open(url_of(folder / "wrapd.db"), clock=clock, daemon=True)
        one = Set(sim, ours, store, clock)
        try:
            yield one
        finally:
            await one.links.stop()
            store.close()


def operations(one: Set) -> list[str]:
    return [operation for operation, _ in one.ours.sent]


async def test_a_photo_video_gets_a_fresh_preview_and_keeps_it(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended(kind="photo")
        fresh = await one.links.renew(job, patience=PATIENCE)
        assert fresh.asset.preview_url not in (None, DEAD)
        assert one.stored(job) == fresh
        assert fresh.links_at == one.clock.now()
        assert operations(one) == ["show"]


async def test_an_avatar_video_gets_its_download_by_the_asset(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended()
        fresh = await one.links.renew(job, patience=PATIENCE)
        assert fresh.asset.download_url is not None
        assert one.stored(job).asset.download_url == fresh.asset.download_url
        assert operations(one) == ["show", "show_asset"]


async def test_many_who_ask_at_once_make_one_request_and_for_minutes_no_other(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended(kind="photo")
        rows = await asyncio.gather(*(one.links.renew(job, patience=PATIENCE) for _ in range(50)))
        assert len({row.asset.preview_url for row in rows}) == 1
        one.clock.advance(FRESH_FOR - 1)
        assert (await one.links.renew(job, patience=PATIENCE)).asset == rows[0].asset
        assert operations(one) == ["show"]
        one.clock.advance(2)
        await one.links.renew(job, patience=PATIENCE)
        assert operations(one) == ["show", "show"]


async def test_who_cannot_wait_gets_the_old_ones_and_the_next_the_new(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.sim.fault("slow", delay=0.3)
        job = one.ended(kind="photo")
        assert await one.links.renew(job, patience=0.01) == job
        assert (await one.links.renew(job, patience=PATIENCE)).asset.preview_url != DEAD
        assert operations(one) == ["show"]


async def test_a_job_that_the_service_forgot_is_not_asked_about_again_and_again(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended(kind="photo", known=False)
        for _ in range(3):
            assert await one.links.renew(job, patience=PATIENCE) == job
        assert operations(one) == ["show"]


async def test_a_service_that_is_down_is_left_alone_for_a_while(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.sim.fault("server_error", times=1)
        job = one.ended(kind="photo")
        other = one.ended(kind="photo")
        assert await one.links.renew(job, patience=PATIENCE) == job
        assert await one.links.renew(other, patience=PATIENCE) == other
        assert operations(one) == ["show"]
        one.clock.advance(REST + 1)
        assert (await one.links.renew(job, patience=PATIENCE)).asset.preview_url != DEAD


async def test_a_job_of_a_project_that_is_no_more_stays_as_it_is(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended(kind="photo")
        others = {ProjectName("other"): one.ours.client}
        links = FreshLinks(others, one.store, one.clock, tasks=tasks("links", one.clock))
        assert await links.renew(job, patience=PATIENCE) == job


async def test_what_the_database_does_not_take_is_had_all_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    from daemon.store import StoreFailed

    async def full(_self: Store, _work: object) -> None:
        raise StoreFailed("the disk is full: make room")

    async with a_set(tmp_path) as one:
        job = one.ended(kind="photo")
        monkeypatch.setattr(Store, "write", full)
        fresh = await one.links.renew(job, patience=PATIENCE)
        assert fresh.asset.preview_url not in (None, DEAD)
        assert one.stored(job).asset.preview_url == DEAD


async def test_links_that_die_unseen_are_told_once_where_a_route_wants_it(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = await one.links.renew(one.ended(kind="photo"), patience=PATIENCE)
        assert job.link_until is not None
        wanting = Routing(routes=(Route(events=frozenset({Event.LINK_EXPIRING}), channels=(A,)),), operators=())
        near = job.link_until - timedelta(hours=3)
        assert await remind(one.store, SILENT, within=4 * 3600, now=near) == ()
        assert await remind(one.store, wanting, within=0, now=near) == ()
        assert await remind(one.store, wanting, within=3600, now=near) == ()
        assert await remind(one.store, wanting, within=4 * 3600, now=near) == (A,)
        assert await remind(one.store, wanting, within=4 * 3600, now=near) == ()
        (row,) = one.store.read(lambda tx: tx.outbox.list())
        assert (row.event, row.job) == (Event.LINK_EXPIRING, job.id)
