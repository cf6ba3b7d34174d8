"""A project or channel leaves the config while it has rows waiting: the operators are alerted once, and a command
moves the rows while the daemon runs. Nothing is lost or sent twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon import commands
from daemon.domain.jobs import ChannelName, JobId, ProjectName, Tracking
from daemon.domain.orphans import What
from daemon.domain.routing import Routing
from daemon.sim import SimSettings, Simulator
from daemon.store import MovedDeliveries, MovedJobs, StoreFailed
from tests.support.live import to
from tests.support.reloading import BASE, Live, live, project
from tests.support.store import WHO
from tests.support.webhook import Answer, Webhook

MAIN, OLD = ProjectName("main"), ProjectName("old")
RUNS = [("PROCESSING", None)]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SimSettings(seed=1, show_rate=None, write_rate=None)) as sim:
        yield sim


def head(operators: str = "ops") -> str:
    return f'operators = ["{operators}"]\n{BASE}'


def told(hook: Webhook) -> list[tuple[str, str]]:
    """Return what the operators' alerts call orphaned."""
    heard = [each.json for each in list(hook.requests)]
    return [(each["project"], each["held_channel"]) for each in heard if each["event"] == "orphaned"]


async def looked(it: Live) -> None:
    """Run the daemon's check now, and send its alerts to the operators."""
    await it.service._orphans.tick()


async def move_jobs(it: Live, old: str, new: str, routing: Routing) -> MovedJobs:
    """Move jobs as the command does alongside the daemon."""
    at, names = it.service.clock.now(), (ProjectName(old), ProjectName(new))
    moved = await it.service.store.write(
        lambda tx: commands.move_jobs(tx, *names, at=at, routing=routing, who=WHO)
    )
    it.service.scope.watcher.notice_soon()  # of its own commits a daemon is not told by the database
    return moved


async def move_alerts(it: Live, old: str, new: str, routing: Routing) -> MovedDeliveries:
    at, names = it.service.clock.now(), (ChannelName(old), ChannelName(new))
    return await it.service.store.write(
        lambda tx: commands.move_deliveries(tx, *names, at=at, routing=routing, who=WHO)
    )


@pytest.mark.long
async def test_a_project_that_leaves_is_told_once_for_each_time(tmp_path: Path, sim: Simulator) -> None:
    [job] = sim.create_jobs(timeline=RUNS)
    with Webhook() as hook:
        both = head() + project(sim) + project(sim, "old") + to(hook, "ops")
        one = head() + project(sim) + to(hook, "ops")
        async with live(tmp_path, both) as it:
            await it.track(job, project="old")
            for times in (1, 2, 3):
                await it.reload(one)
                await it.came(hook, times)
                for _ in range(5):
                    await it.reload(one)
                    await looked(it)
                await it.reload(both)  # added and removed before the next check
            await it.reload(one)
            await it.came(hook, 4)
        async with live(tmp_path, one) as it:  # a restart does not repeat the alert
            await looked(it)
            await looked(it)
            assert told(hook) == [("old", None)] * 4
            assert hook.requests[0].json["command"] == "wrapd jobs move --project old main"
            assert hook.requests[0].json["jobs"] == 1


@pytest.mark.long
async def test_renamed_project_its_jobs_are_moved_and_told_once(tmp_path: Path, sim: Simulator) -> None:
    jobs = sim.create_jobs(count=3, timeline=RUNS)
    with Webhook() as hook, Webhook() as ops:
        was = head() + project(sim, "old") + to(hook) + to(ops, "ops")
        async with live(tmp_path, was) as it:
            await it.track(*jobs, project="old")
            await it.until("all are asked", lambda: all(it.polled(job) for job in jobs))
            await it.reload(head() + project(sim) + to(hook) + to(ops, "ops"))
            await it.until("the operators hear", lambda: told(ops) == [("old", None)])
            moved = await move_jobs(it, "old", "main", it.service.spec.routing)
            assert (moved.moved, moved.active) == (3, 3)
            await it.until("all are asked", lambda: all(it.polled(job) for job in jobs))
            for job in jobs:
                sim.set_state(job, "SUCCEED")
            await it.until("all have ended", lambda: len(hook.requests) >= 3)
        heard = Counter((each.json["event"], each.json["job_id"], each.json["project"]) for each in hook.requests)
        assert heard == Counter({("succeeded", job, "main"): 1 for job in jobs})


@pytest.mark.long
async def test_jobs_of_a_project_that_is_still_asked_about_are_moved(tmp_path: Path, sim: Simulator) -> None:
    jobs = sim.create_jobs(count=3, timeline=RUNS)
    with Webhook() as hook:
        async with live(tmp_path, BASE + project(sim) + project(sim, "old") + to(hook)) as it:
            await it.track(*jobs, project="old")
            await it.until("all are asked", lambda: all(it.polled(job) for job in jobs))
            await move_jobs(it, "old", "main", it.service.spec.routing)
            old, new = (it.service.scope.pollers[name].agenda for name in (OLD, MAIN))
            await it.until("they have changed hands", lambda: (len(old), len(new)) == (0, 3))
            assert await it.service.store.read_async(lambda tx: tx.orphans.count(_known("main", "old"))) == []
            for job in jobs:
                sim.set_state(job, "SUCCEED")
            await it.came(hook, 3)
            assert {each.json["project"] for each in hook.requests} == {"main"}
        assert len(hook.requests) == 3


def _known(*projects: str) -> dict[What, tuple[str, ...]]:
    return {"project": projects, "channel": ("hook",)}


async def test_an_answer_that_is_under_way_while_its_job_is_moved_is_not_recorded(
    tmp_path: Path, sim: Simulator
) -> None:
    """The old project's service says that the job has ended; the new one's says that it still runs."""
    [job] = sim.create_jobs(timeline=[("SUCCEED", None)])
    async with Simulator(SimSettings(seed=1, show_rate=None, write_rate=None)) as other:
        other.create_jobs(job_id=job, timeline=RUNS)
        with Webhook() as hook:
            async with live(tmp_path, BASE + project(other) + project(sim, "old") + to(hook)) as it:
                client: Any = it.service.scope.pollers[OLD].context.client
                show, gate, asked = client.show_whole, asyncio.Event(), asyncio.Event()

                async def gated(*args: Any, **named: Any) -> Any:
                    answer = await show(*args, **named)
                    asked.set()
                    await gate.wait()
                    return answer

                client.show_whole = gated
                await it.track(job, project="old")
                async with asyncio.timeout(30):
                    await asked.wait()
                await move_jobs(it, "old", "main", it.service.spec.routing)
                gate.set()
                await it.until("the other project asks", lambda: it.polled(job))
                await it.service.scope.pollers[OLD].idle()
                [row] = await it.service.store.read_async(lambda tx: tx.jobs.find(JobId(job)))
                assert (row.project, row.tracking, row.state) == ("main", Tracking.ACTIVE, "PROCESSING")
                assert len(it.service.scope.pollers[OLD].agenda) == 0
            assert list(hook.requests) == []


@pytest.mark.long
async def test_renamed_channel_its_held_alerts_are_moved_and_told_once(tmp_path: Path, sim: Simulator) -> None:
    jobs = sim.create_jobs(count=3, timeline=RUNS)
    with Webhook(default=Answer(status=401)) as gone, Webhook() as hook, Webhook() as ops:
        was = head() + project(sim) + to(gone, "gone") + to(ops, "ops")
        async with live(tmp_path, was) as it:
            await it.track(*jobs)
            for job in jobs:
                sim.set_state(job, "SUCCEED")
            await it.until("it is held", lambda: it.statuses()["held"] >= 1 and len(it.deliveries()) >= 6)
            await it.reload(head() + project(sim) + to(hook) + to(ops, "ops"))
            await it.until("the operators hear", lambda: told(ops) == [(None, "gone")])
            moved = await move_alerts(it, "gone", "hook", it.service.spec.routing)
            assert moved == MovedDeliveries(moved=3, twins=0, sending=0)
            await it.came(hook, 3)
            await looked(it)
        heard = Counter(each.json["job_id"] for each in hook.requests)
        assert heard == Counter(dict.fromkeys(jobs, 1))
        assert told(ops) == [(None, "gone")]


@pytest.mark.long
async def test_a_database_that_fails_costs_no_alert(tmp_path: Path, sim: Simulator) -> None:
    [job] = sim.create_jobs(timeline=RUNS)
    with Webhook() as hook:
        both = head() + project(sim) + project(sim, "old") + to(hook, "ops")
        async with live(tmp_path, both) as it:
            await it.track(job, project="old")
            watch: Any = it.service._orphans
            write, tries = watch._store.write, 0

            class Failing:
                read_async = watch._store.read_async

                async def write(self, work: Any) -> Any:
                    nonlocal tries
                    tries += 1
                    if tries <= 2:
                        raise StoreFailed("the disk is full")
                    return await write(work)

            watch._store = Failing()
            await it.reload(head() + project(sim) + to(hook, "ops"))
            await it.came(hook, 1)
            assert (told(hook), tries) == ([("old", None)], 3)
