"""Every failure has an owner, even where the failing task is not awaited, and where it fails every time."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.app.run import Daemon
from daemon.build import load_spec
from daemon.clock import SystemClock
from daemon.domain.jobs import ProjectName
from daemon.store import Jobs, Store, TrackResult
from daemon.watch import stored, watcher
from daemon.watch.job import Watched
from daemon.watch.learning import Learning
from daemon.watch.watcher import Watcher
from tests.support.feeding import told_ends
from tests.support.rig import PROJECT, Rig, rig
from tests.support.webhook import Webhook

_CONFIG = """operators = ["ops"]
web.enabled = false
[projects.idle]
endpoint = "http://127.0.0.1:9"
project_id = "0123456789abcdef0123456789abcdef"
auth = {{ method = "aksk", access_key = "AK", secret_key = "SK" }}
[channels.ops]
url = "{url}"
"""
Break = Callable[[pytest.MonkeyPatch], None]


def broken(*_arguments: Any, **_more: Any) -> Any:
    raise RuntimeError("raised by the test")


async def broken_later(*_arguments: Any, **_more: Any) -> Any:
    broken()


def a_timer(_patch: pytest.MonkeyPatch) -> None:
    asyncio.get_running_loop().call_soon(broken)


def a_task(_patch: pytest.MonkeyPatch) -> None:
    asyncio.get_running_loop().create_task(broken_later())


def every_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watcher, "take_changes", broken_later)


def the_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "moved", broken)


@pytest.mark.parametrize("breaks", [a_timer, a_task, every_change, the_file])
async def test_the_operators_hear_of_what_nobody_awaits_and_of_what_always_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: Break
) -> None:
    with Webhook() as hook:
        config = tmp_path / "wrapd.toml"
        config.write_text(_CONFIG.format(url=hook.url()))
        config.chmod(0o600)
        service = Daemon(spec=load_spec(config)[0], clock=SystemClock(), rng=random.Random(1))
        await service.start()
        try:
            breaks(monkeypatch)
            async with asyncio.timeout(20):
                while not any(b'"defect"' in each.body for each in list(hook.requests)):
                    await asyncio.sleep(0.05)
        finally:
            monkeypatch.undo()
            await service.stop()


def defects(it: Rig) -> float:
    return it.metrics.defects.labels("watch")._value.get()


async def ends(it: Rig, job: str) -> None:
    """Check that the job's end is alerted."""
    it.sim.set_state(job, "SUCCEED")
    await it.run(30.0)
    assert told_ends(it) == {it.job(job).id: 1}


async def test_what_was_taken_from_the_store_is_noticed_whatever_becomes_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 1e6)])
        assert it.track(job) is TrackResult.ADDED
        whole = Store.write

        async def committed(self: Store, work: Any) -> Any:
            await whole(self, work)
            broken()

        monkeypatch.setattr(Store, "write", committed)
        with pytest.raises(RuntimeError):
            await it.watcher.take_changes()
        monkeypatch.undo()
        await ends(it, job)


@pytest.mark.parametrize(("at_start", "known"), [(True, True), (True, False), (False, False)])
async def test_a_job_that_cannot_be_taken_up_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_start: bool, known: bool
) -> None:
    async with rig(tmp_path) as it:
        bad, good = it.sim.create_jobs(timeline=[("PROCESSING", 1e6)], count=2)
        for job in (bad, good):
            it.track(job)
        if known:  # a start takes it up by a shorter way
            await it.watcher.take_changes()
            await it.run(5.0)
            for each in tuple(it.poller.agenda):
                it.poller.agenda.drop(each.job_id)

        def watched(row: int, job_id: str, *more: Any) -> Any:
            return broken() if job_id == bad else Watched(row, job_id, *more)

        monkeypatch.setattr(stored, "Watched", watched)
        if at_start:
            assert await it.watcher.load() == 1
        else:
            await it.watcher.take_changes()
        assert defects(it) == 1
        await ends(it, good)


async def known(it: Rig, count: int) -> list[str]:
    """Return the ids of jobs that a start would take up by the shorter way, and that are not watched now."""
    jobs = it.sim.create_jobs(timeline=[("PROCESSING", 1e6)], count=count)
    for job in jobs:
        it.track(job)
    await it.watcher.take_changes()
    await it.run(5.0)
    for job in jobs:
        it.poller.agenda.drop(job)
    return list(jobs)


@pytest.mark.parametrize("change", ["project = 'old'", "kind = 'hologram'"])
@pytest.mark.parametrize("stray", [0, 1], ids=["first", "last"])
async def test_a_start_leaves_a_job_of_another_project_or_kind_alone(
    tmp_path: Path, change: str, stray: int
) -> None:
    async with rig(tmp_path) as it:
        jobs = await known(it, 2)
        it.store.write_now(
            lambda tx: tx.jobs._connection.exec_driver_sql(
                f"UPDATE jobs SET {change} WHERE job_id = ?",
                (jobs[stray],),
            )
        )
        assert await it.watcher.load() == 1
        assert [each.job_id for each in it.poller.agenda] == [jobs[1 - stray]]
        await ends(it, jobs[1 - stray])


@pytest.mark.parametrize("column", ["state_since", "tracked_at", "expected_length"])
async def test_a_job_whose_row_somebody_spoilt_by_hand_costs_a_start_only_itself(
    tmp_path: Path, column: str
) -> None:
    async with rig(tmp_path) as it:
        spoilt, good = await known(it, 2)
        it.store.write_now(
            lambda tx: tx.jobs._connection.exec_driver_sql(
                f"UPDATE jobs SET {column} = 'noon' WHERE job_id = ?",
                (spoilt,),
            )
        )
        assert await it.watcher.load() == 1
        assert [each.job_id for each in it.poller.agenda] == [good]
        assert defects(it) == 1
        await ends(it, good)


async def test_a_project_that_leaves_while_its_jobs_are_loaded_ends_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as it:
        await known(it, 2)
        page, pollers = watcher._page_of_active, it.watcher._pollers

        def leaving(*arguments: Any, **more: Any) -> Any:
            pollers.clear()
            return page(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(watcher, "_page_of_active", leaving)
            assert await it.watcher.load() == 0


@pytest.mark.parametrize("where", [(Learning, "_running"), (Jobs, "finished")])
async def test_what_cannot_be_learned_keeps_nobody_from_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str]
) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 1e6)])
        it.track(job)
        monkeypatch.setattr(*where, broken)
        assert await it.watcher.load() == 1
        await ends(it, job)
        assert defects(it) >= 1


async def test_a_tick_that_breaks_in_one_project_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    async with rig(tmp_path / "one") as one, rig(tmp_path / "other") as other:
        one.poller.kinds.tick = broken  # type: ignore[method-assign]
        both = Watcher(
            pollers={ProjectName("one"): one.poller, PROJECT: other.poller},
            store=other.store,
            learning=other.poller.context.learning,
            clock=other.clock,
            metrics=other.metrics,
            defects=other.poller.context.defects,
        )
        [job] = other.sim.create_jobs(timeline=[("PROCESSING", 1e6)])
        other.track(job)
        other.watcher = both
        await ends(other, job)
        assert defects(other) >= 1
