"""Many jobs: how they are taken up, and that no work over all of them holds the event loop."""

import asyncio
import gc
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from daemon.app import run
from daemon.domain.jobs import parse_job_id
from daemon.sim import SimSettings, Simulator
from daemon.store import Bookkeeping, StoreFailed
from daemon.store.jobs import Jobs
from daemon.watch import watcher as watch
from daemon.watch.agenda import _STEP, JobQueue
from daemon.watch.watcher import Watcher
from tests.support.reloading import BASE, live, project
from tests.support.rig import Rig, rig

LONG_LIFE = [("PROCESSING", 10_000), ("SUCCEED", None)]
RUNNING = "UPDATE jobs SET state = 'PROCESSING', state_since = ?, started_at = ?, expected_length = 61.03"


def running(it: Rig, number: int) -> list[str]:
    """Jobs that the store holds in production since a minute ago, and that nobody watches yet."""
    jobs = it.sim.create_many([{"timeline": LONG_LIFE}] * number)
    for job in jobs:
        it.track(job)
    stamp = int((it.clock.now().timestamp() - 60) * 1e6)
    it.store.write_now(lambda tx: tx.jobs._connection.exec_driver_sql(RUNNING, (stamp, stamp + 1_000_000)))
    return jobs


async def test_a_start_takes_jobs_up_page_by_page_with_the_collector_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PAGE", 3)
    monkeypatch.setattr(watch, "_FROZEN_FROM", 7)
    collects, turns, take_page = [], [0], Watcher._take_page

    def noted(self: Watcher, *args: object) -> int:
        collects.append(gc.isenabled())
        return take_page(self, *args)

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Watcher, "_take_page", noted)
    async with rig(tmp_path) as it:
        it.poller.halt()  # no query changes what was taken up
        jobs, frozen = running(it, 7), gc.get_freeze_count()
        task = asyncio.create_task(others())
        try:
            assert await it.watcher.load() == 7
            assert collects == [False] * 3
            assert turns[0] >= 3, "others have their turn between two pages"
            assert (gc.isenabled(), gc.get_freeze_count() > frozen) == (True, True)
        finally:
            gc.unfreeze()
            task.cancel()
        now, agenda = it.clock.monotonic(), it.poller.agenda
        assert {each.job_id for each in agenda} == set(jobs)
        for each in agenda:
            assert (each.state, each.reason) == ("PROCESSING", "first")
            assert (each.since, each.start) == (pytest.approx(now - 60), pytest.approx(now - 59))
            assert each.length == pytest.approx(61.03, rel=0.004)
        assert len({id(each.expires) for each in agenda}) <= 3, "what jobs have in common is kept once for a page"
        assert len({id(each.length) for each in agenda}) == 1


async def test_the_collector_runs_again_after_a_load_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as it:
        running(it, 1)

        def broken(*args: object) -> int:
            raise StoreFailed("the disk is gone")

        monkeypatch.setattr(Watcher, "_take_page", broken)
        with pytest.raises(StoreFailed):
            await it.watcher.load()
        assert gc.isenabled()


async def test_a_start_takes_jobs_up_as_a_command_does(tmp_path: Path) -> None:
    """The short way and the long one come to the same."""
    async with rig(tmp_path) as it:
        it.poller.halt()
        jobs = running(it, 3)
        it.track("11111111-0000-4000-8000-000000000000", kind="photo")
        await it.watcher.load()
        by_load = {each.job_id: facts(each) for each in it.poller.agenda}
        for job in list(by_load):
            it.poller.agenda.drop(job)
        assert it.poller.agenda.first_due() is None
        await it.watcher._notice_changes()
        by_notice = {each.job_id: facts(each) for each in it.poller.agenda}
        assert by_load == by_notice
        assert len(it.poller.agenda.pop(JobQueue.SINGLY, 9) + it.poller.agenda.pop(JobQueue.TOGETHER, 9)) == 4
        assert it.poller.agenda.get(parse_job_id(jobs[0])).in_flight


def facts(each: object) -> dict[str, object]:
    names = (
        "job",
        "kind",
        "state",
        "since",
        "start",
        "expires",
        "reported",
        "length",
        "episode",
        "guessed",
        "unlisted",
    )
    return {name: getattr(each, name) for name in names}


async def test_work_over_all_jobs_lets_the_loop_run(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        done, turns = [0], []

        def work() -> Iterator[None]:
            for _ in range(3 * _STEP):
                done[0] += 1
                yield

        it.poller.context.in_steps(work())
        assert done == [_STEP], "the first step is done at once: few jobs need no other"
        while not it.poller.context.tasks.idle:
            turns.append(done[0])
            await asyncio.sleep(0)
        assert done == [3 * _STEP]
        assert {_STEP, 2 * _STEP} <= set(turns)


async def test_the_bookkeeping_of_many_queries_does_not_wait_for_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MANY_TOUCHED", 3)
    monkeypatch.setattr(watch, "_CHUNK", 2)
    async with rig(tmp_path) as it:
        two = running(it, 2)
        await it.run(5)
        assert [it.job(job).last_polled_at for job in two] == [None, None]
        more = running(it, 1)
        await it.run(5)
        assert all(it.job(job).last_polled_at is not None for job in two + more)


async def test_bookkeeping_is_written_in_the_order_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[list[int]] = []
    checkpoint = Jobs.checkpoint

    def noted(jobs: Jobs, rows: Sequence[Bookkeeping]) -> None:
        written.append([row.job for row in rows])
        checkpoint(jobs, rows)

    monkeypatch.setattr(Jobs, "checkpoint", noted)
    monkeypatch.setattr(watch, "_CHUNK", 2)
    async with rig(tmp_path) as it:
        it.poller.halt()
        running(it, 4)
        await it.watcher.load()
        gc.unfreeze()
        first, second, third, fourth = sorted(it.poller.agenda, key=lambda watched: watched.job)
        await it.watcher._flush([fourth, first, third, second])
        assert written == [[first.job, second.job], [third.job, fourth.job]]


@pytest.mark.parametrize("many", [0, 1])
async def test_only_a_start_with_many_jobs_asks_for_huge_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    threads: list[threading.Thread] = []
    monkeypatch.setattr(run, "MANY", many)
    monkeypatch.setattr(run, "use_huge_pages", lambda: threads.append(threading.current_thread()))
    async with Simulator(SimSettings(seed=1)) as sim, live(tmp_path, BASE + project(sim)) as it:
        if it.service._settling is not None:
            await it.service._settling
    assert len(threads) == (many == 0), "the daemon has no job"
    assert threading.current_thread() not in threads, "the loop does not wait for it"
