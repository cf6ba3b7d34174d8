"""What the daemon answers when a person has jobs asked about now."""

from pathlib import Path
from typing import Any

from daemon import commands
from daemon.app.ask_jobs import AskJobs
from daemon.domain.actions import actor
from daemon.domain.planning import Rails
from tests.support.rig import PROJECT, Rig, rig

SLOW = Rails(min_interval=1000, max_interval=1000, blocked_interval=1000)
LONG = [("PROCESSING", None)]


async def ask(it: Rig, *jobs: str) -> list[tuple[str, str | None]]:
    asker = AskJobs({PROJECT: it.poller}, it.watcher.hint, store=it.store, clock=it.clock)
    said: Any = await asker.ask({"jobs": [it.job(job).id for job in jobs]})
    return [(each["result"], each["state"]) for each in said["jobs"]]


async def test_each_job_says_what_came_back(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        job, other = it.sim.create_jobs(count=2, timeline=LONG)
        for each in (job, other, "unknown"):
            it.track(each)
        await it.run(3)
        it.sim.set_state(job, "SUCCEED")
        before = it.requests()
        assert await ask(it, job, other, "unknown") == [
            ("answered", "SUCCEED"),
            ("answered", "PROCESSING"),
            ("failed", None),
        ]
        assert it.requests() == before + 3, "nothing was due"
        assert await ask(it, job) == [("not_watched", "SUCCEED")]


async def test_a_paused_project_is_not_asked_even_so(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        [job] = it.sim.create_jobs(timeline=LONG)
        it.track(job)
        await it.run(3)
        who, at = actor("cli", "ann"), it.clock.now()
        it.store.write_now(lambda tx: commands.pause(tx, PROJECT, who=who, at=at))
        await it.watcher.take_changes()
        before = it.requests()
        assert await ask(it, job) == [("paused", "PROCESSING")]
        assert it.requests() == before


async def test_an_odd_request_is_answered_with_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        asker = AskJobs({PROJECT: it.poller}, it.watcher.hint, store=it.store, clock=it.clock)
        for jobs in (None, "x", ["x"], [999]):
            assert await asker.ask({"jobs": jobs}) == {"jobs": []}
