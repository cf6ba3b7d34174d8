"""A paused project is not asked anything, nothing happens to its jobs because of that, and it then goes on."""

import random
from pathlib import Path

import pytest

from daemon import commands
from daemon.domain.actions import actor
from daemon.domain.events import Event
from daemon.domain.jobs import KindSource, NamedBy, Tracking, parse_job_id
from daemon.domain.planning import Rails
from daemon.metastudio.errors import ProjectPaused
from daemon.metastudio.listing import ListQuery
from daemon.store import PauseRow
from daemon.tasks import Defects, Tasks
from daemon.watch.discovery import Discovery
from daemon.watch.links import FreshLinks
from tests.support.rig import PROJECT, Rig, rig

WHO = actor("cli", "ann")
LONG = [("PROCESSING", None)]
SLOW = Rails(min_interval=1000, max_interval=1000, blocked_interval=1000)


def asked(it: Rig) -> int:
    """Return how many requests of any kind arrived."""
    total: int = it.sim.stats()["total"]
    return total


def pause(it: Rig) -> PauseRow:
    row, _ = it.store.write_now(lambda tx: commands.pause(tx, PROJECT, who=WHO, at=it.clock.now()))
    return row


def resume(it: Rig) -> None:
    assert it.store.write_now(lambda tx: commands.resume(tx, PROJECT, who=WHO, at=it.clock.now())) is not None


async def test_a_paused_project_is_not_asked_until_it_is_resumed(tmp_path: Path) -> None:
    async with rig(tmp_path, plan={"feed": True, "batch": True}) as it:
        jobs = it.sim.create_jobs(count=5, timeline=LONG)
        for job in jobs:
            it.track(job)
        await it.run(5)
        pause(it)
        await it.run(1)
        before = asked(it)
        it.sim.set_state(jobs[0], "FAILED")
        it.track(*it.sim.create_jobs(timeline=LONG))  # one that is tracked meanwhile
        await it.run(600, step=10)
        assert asked(it) == before
        assert it.job(jobs[0]).state == "PROCESSING"
        now = it.clock.monotonic()
        assert it.poller.progress(now) == it.poller.moved(now) == now, "health sees no part that hangs"
        assert it.poller.note_lateness() == 0.0
        assert it.budget.usage(now) == 0.0, "no permit is taken for what would not be sent"
        resume(it)
        await it.run(20)
        assert it.job(jobs[0]).state == "FAILED"
        assert all(
            row.polls or row.tracking is not Tracking.ACTIVE for row in it.store.read(lambda tx: tx.jobs.list())
        )


async def test_a_hint_that_comes_meanwhile_is_served_at_the_end(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=SLOW) as it:
        job, other = it.sim.create_jobs(count=2, timeline=LONG)
        it.track(job), it.track(other)
        await it.run(3)
        pause(it)
        await it.run(1)
        before = asked(it)
        it.sim.set_state(job, "FAILED")
        assert it.watcher.hint(PROJECT, parse_job_id(job))
        await it.run(30)
        assert asked(it) == before
        resume(it)
        await it.run(1)
        assert (it.job(job).state, asked(it)) == ("FAILED", before + 1), "the other one is not due"


async def test_no_job_is_given_up_because_of_a_pause(tmp_path: Path) -> None:
    limits = {"give_up_after": 300.0, "not_found_grace": 60.0}
    async with rig(tmp_path, limits=limits) as it:
        [job] = it.sim.create_jobs(timeline=LONG)
        it.track(job), it.track("unknown-to-the-service")
        it.track("only-called-back", kind_source=KindSource.GUESSED, named_by=NamedBy.CALLBACK)
        await it.run(10)
        pause(it)
        await it.run(3000, step=100)
        resume(it)
        await it.run(20, step=5)
        assert it.job(job).tracking is Tracking.ACTIVE, "290 of its 300 s are left"
        assert it.job("unknown-to-the-service").tracking is Tracking.ACTIVE, "50 of its 60 s are left"
        assert it.job("only-called-back").tracking is Tracking.ACTIVE
        await it.run(60, step=5)
        assert it.job("only-called-back").tracking is Tracking.LOST
        assert it.job("unknown-to-the-service").tracking is Tracking.LOST
        await it.run(300, step=10)
        assert it.job(job).tracking is Tracking.EXPIRED
        assert it.events().count(Event.EXPIRED) == 1


async def test_a_pause_survives_a_restart_and_so_does_what_it_does_not_count(tmp_path: Path) -> None:
    limits = {"give_up_after": 300.0}
    async with rig(tmp_path, limits=limits) as it:
        it.track("job-1")
        it.track("job-2")
        pause(it)
        it.clock.advance(3000)
        assert await it.watcher.load() == 2
        await it.run(50)
        assert asked(it) == 0
        resume(it)
    async with rig(tmp_path, limits=limits) as it:
        it.clock.advance(3060)
        assert await it.watcher.load() == 2
        assert it.poller.life == pytest.approx(300.0 + 3050.0)


async def test_a_paused_client_sends_nothing_and_says_so(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("SUCCEED", None)])
        it.track(job)
        await it.run(3)
        before, client = asked(it), it.poller.context.client
        pause(it)
        await it.watcher.take_changes()
        permit = it.budget.try_take(it.clock.monotonic())
        assert permit is not None
        with pytest.raises(ProjectPaused, match="the project is paused"):
            await client.list(ListQuery(), permit=permit)
        links = FreshLinks({PROJECT: client}, it.store, it.clock, tasks=Tasks("links", it.poller.context.defects))
        row = it.job(job)
        assert await links.renew(row, patience=1.0) == row, "a message goes out with the links that are known"
        assert asked(it) == before


async def test_discovery_rests_too(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        pause(it)
        await it.watcher.take_changes()
        discovery = Discovery(
            project=PROJECT,
            client=it.poller.context.client,
            store=it.store,
            clock=it.clock,
            rng=random.Random(1),
            settings=None,
            defects=Defects(clock=it.clock, metrics=it.metrics),
            may_ask=lambda: not it.poller.paused,
        )
        it.store.write_now(lambda tx: tx.discoveries.ask(PROJECT, {"since": 3600.0}, it.clock.now()))
        discovery.notice()
        await discovery.tick()
        await discovery.idle()
        assert asked(it) == 0


async def test_what_is_paused_teaches_nothing(tmp_path: Path) -> None:
    """A job that has ended unseen would count as one that runs for hours."""
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=LONG)
        it.track(job)
        await it.run(5)
        seen: list[list[str]] = []
        refresh = it.poller.context.learning.refresh

        async def noted(agendas: object) -> None:
            seen.append(sorted(agendas))  # type: ignore[call-overload]
            await refresh(agendas)  # type: ignore[arg-type]

        it.poller.context.learning.refresh = noted  # type: ignore[method-assign,assignment]
        pause(it)
        await it.run(1)
        assert seen[-1] == []


async def test_a_project_that_a_reload_adds_is_paused_from_its_first_moment(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        pause(it)
        await it.watcher.take_changes()
        it.poller.obey(None)  # a poller as a reload makes it
        it.watcher.join(PROJECT)
        assert it.poller.paused, "before anything is read from the store"
        await it.watcher.stop(patience=1)
