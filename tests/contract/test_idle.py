"""A daemon with nothing to do: it sleeps until something is due, or another program writes to its database."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import SystemClock
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.sim import SimSettings, Simulator
from daemon.store import Store, TrackRequest
from tests.support.programs import ROOT
from tests.support.reloading import BASE, live, project
from tests.support.rig import rig

MAIN = ProjectName("main")


async def test_changes_are_looked_for_only_after_another_program_wrote(tmp_path: Path) -> None:
    async with Simulator(SimSettings(seed=1, show_rate=None, write_rate=None)) as sim:
        [job] = sim.create_jobs(count=1, timeline=[["PROCESSING", 1e6]])
        async with live(tmp_path, BASE + project(sim)) as it:
            service = it.service
            service._schedule._ticks.clear()
            while service._version != service.store.others_version():  # the writer still ends its last transaction
                await service._changes()
            written: list[Callable[..., Any]] = []
            write = service.store.write

            def count(work: Callable[..., Any]) -> Any:
                written.append(work)
                return write(work)

            service.store.write = count  # type: ignore[method-assign]
            for _ in range(3):
                await service._changes()
            assert written == []
            other = Store.open(service.spec.database_url, clock=SystemClock())
            request = TrackRequest(project=MAIN, kind="avatar", job_id=JobId(job))
            other.write_now(lambda tx: tx.jobs.track(request, at=SystemClock().now()))
            other.close()
            await service._changes()
            await service.scope.watcher._tasks.wait()
            assert len(written) >= 1
            assert len(service.scope.pollers[MAIN].agenda) == 1


async def test_own_commits_wake_the_watch_and_the_lanes(tmp_path: Path) -> None:
    async with Simulator(SimSettings(seed=1, show_rate=None, write_rate=None)) as sim:
        [job] = sim.create_jobs(count=1, timeline=[["PROCESSING", 1e6]])
        async with live(tmp_path, BASE + project(sim)) as it:
            service, woken = it.service, set[str]()
            service._schedule._ticks.clear()
            service.delivery.dispatcher.wake = woken.update  # type: ignore[method-assign]
            request = TrackRequest(project=MAIN, kind="avatar", job_id=JobId(job))
            await service.store.write(lambda tx: tx.jobs.track(request, at=SystemClock().now()))
            async with asyncio.timeout(30):
                while not service.scope.pollers[MAIN].agenda:
                    await asyncio.sleep(0)
                alert = OperatorAlert(event=Event.OVERLOADED, key="x", project=MAIN, facts={})
                at, team = SystemClock().now(), ChannelName("team")
                await service.store.write(lambda tx: tx.outbox.add_operator(alert, channels=[team], at=at))
                while not woken:
                    await asyncio.sleep(0)
            assert woken == {team}


async def test_a_poller_wakes_up_for_its_next_job_and_for_one_that_is_put_before_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(count=1, timeline=[["PROCESSING", 1e6]])
        it.track(job)
        await it.tick()
        [watched] = it.poller.agenda
        now, first = it.clock.monotonic(), it.poller.agenda.first_due()
        assert first is not None
        assert first > now
        it.clock.advance(first - now - 0.5)
        it.poller.pump()
        assert it.poller._wakes_at == pytest.approx(first)
        sooner = it.clock.monotonic() + 0.2
        watched.bring_forward(sooner)
        it.poller.agenda.put(watched, sooner)
        assert it.poller._wakes_at == pytest.approx(sooner)


def test_a_daemon_loads_no_web_framework_and_no_terminal_parts() -> None:
    """It loads the framework when it has a web server; each of these takes megabytes and a share of the start."""
    unneeded = {"litestar", "uvicorn", "rich", "pygments", "charset_normalizer", "pydantic"}
    unneeded |= {"greenlet", "simplejson", "smtplib", "daemon.store.constraints"}
    code = f"import sys, daemon.app.run, daemon.build; print(*sorted({unneeded} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
