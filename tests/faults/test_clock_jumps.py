"""The wall clock is set while alerts wait: for their next try, a batch to settle, a digest to fill, a fallback,
their expiry, the end of quiet hours. By the monotonic clock each is sent in time, and none twice."""

import random
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Route, Routing
from daemon.notify import NotifySettings
from daemon.notify.outbox import ChannelPlan
from daemon.store import AttemptOutcome, DeliveryStatus
from tests.support.dispatching import Rig, rig
from tests.support.store import record, track
from tests.support.webhook import Answer, Webhook

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
STEPS = (-365 * DAY, -DAY, -90 * MINUTE, -5 * MINUTE, -1.0, 5 * MINUTE, 90 * MINUTE, 30 * DAY, 365 * DAY)
NIGHT = QuietHours(start=time(22), end=time(7), zone=UTC, urgent=frozenset())
BEGIN = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
LOOK = 5.0
"""Seconds between two rounds here, as those of a lane."""
DOWN = 120.0
"""Seconds for which one channel is down."""
GIVE_UP = 900.0
FALLBACK_AFTER = 100.0
WINDOW = 60.0
NAMES = ("down", "batch", "many", "held", "else", "dead", "night")


@dataclass
class Run:
    """A dispatcher with a stand-in for each channel, and when (monotonic seconds) each message arrived."""

    one: Rig
    hooks: dict[str, Webhook]
    begun: float
    came: dict[str, list[tuple[float, str]]] = field(default_factory=dict)

    @property
    def passed(self) -> float:
        return self.one.clock.monotonic() - self.begun

    async def look(self, seconds: float, names: Iterable[str] | None = None) -> None:
        """Advance time, then let these channels (None: all) send."""
        self.one.clock.advance(seconds)
        await self.one.turn(names)
        for name, hook in self.hooks.items():
            known = self.came.setdefault(name, [])
            known += [(self.passed, str(request.json["event"])) for request in hook.requests[len(known) :]]

    def taken(self, name: str) -> list[float]:
        """Return when the service accepted a message."""
        return [at for at, _ in self.came[name]]

    async def write(self, name: str, *jobs: str, batch: str | None = None) -> None:
        """Write jobs that end now, with alerts on one channel."""
        clock = self.one.clock

        def work(tx: Any) -> None:
            for job in jobs:
                row = track(tx, job, batch=batch)
                record(tx, row, "SUCCEED", at=clock.now(), routes=routed(name))

        await self.one.store.write(work)


def routed(name: str) -> Routing:
    event = Event.BATCH_FINISHED if name == "batch" else Event.SUCCEEDED
    route = Route(events=frozenset({event}), channels=(ChannelName(name),))
    return Routing(routes=(route,), operators=(), quiet={ChannelName("night"): NIGHT})


def everything() -> Routing:
    routes = tuple(route for name in NAMES for route in routed(name).routes)
    return Routing(routes=routes, operators=(), quiet={ChannelName("night"): NIGHT})


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Run]:
    with ExitStack() as open_:
        hooks = {name: open_.enter_context(Webhook()) for name in NAMES}
        hooks["down"].default = Answer(status=503)
        hooks["dead"].default = Answer(status=503)
        hooks["held"].default = Answer(status=401)
        plans = {
            "many": ChannelPlan(digest_above=2, digest_window=WINDOW),
            "held": ChannelPlan(fallback=ChannelName("else"), fallback_after=FALLBACK_AFTER),
        }
        settings = NotifySettings(send_timeout=5.0, give_up_after=GIVE_UP, retry_cap=80.0)
        clock = ManualClock(BEGIN)
        urls = {name: hook.url() for name, hook in hooks.items()}
        async with rig(folder, urls, settings=settings, clock=clock, plans=plans, routing=everything()) as one:
            yield Run(one, hooks, clock.monotonic())


def seeds(count: int) -> Iterator[Any]:
    """Return a few seeds in the quick suite, the others in the long one."""
    for step in STEPS:
        for seed in range(count):
            quick = seed == 0 and step in {-90 * MINUTE, 365 * DAY}
            marks = () if quick else (pytest.mark.long,)
            yield pytest.param(step, seed, marks=marks, id=f"{step:+.0f}-{seed}")


@pytest.mark.parametrize(("step", "seed"), list(seeds(4)))
async def test_what_waits_waits_no_longer_and_no_shorter_for_a_step_of_the_wall_clock(
    tmp_path: Path, step: float, seed: int
) -> None:
    chance = random.Random(f"{step}/{seed}")
    at = chance.uniform(0, 2 * DOWN)
    async with running(tmp_path) as run:
        await write_all(run)
        await until(run, DOWN, at, step)
        run.hooks["down"].default = Answer()
        await until(run, 2 * DOWN + 2 * LOOK, at, step)
        judge_the_quick_ones(run)
        await until(run, GIVE_UP + 200, at, step, names=["dead"])
        (row,) = run.one.rows("dead")
        assert row.status is DeliveryStatus.DEAD
        tries = run.taken("dead")
        assert GIVE_UP - 1 <= tries[-1] <= GIVE_UP + 2 * 80 + 5 * LOOK
        assert all(second - first <= 80 + 5 * LOOK for first, second in pairwise(tries))


async def write_all(run: Run) -> None:
    await run.write("down", "down-1", "down-2")
    await run.write("batch", "batch-1", "batch-2", batch="spring")
    await run.write("many", *(f"many-{number}" for number in range(5)))
    await run.write("held", "held-1")
    await run.write("dead", "dead-1")
    await run.look(0)


async def until(run: Run, end: float, at: float, step: float, names: Iterable[str] | None = None) -> None:
    """Advance time to `end`, and set the wall clock at `at`."""
    while run.passed < end:
        if run.passed <= at < run.passed + LOOK:
            before = at - run.passed
            run.one.clock.advance(before)
            run.one.clock.step_wall(step)
            await run.look(LOOK - before)
        else:
            await run.look(LOOK if names is None else 4 * LOOK, names)


def judge_the_quick_ones(run: Run) -> None:
    """Check that all alerts except expired ones and those held until morning arrived in time and once."""
    down = [when for when in run.taken("down") if when > DOWN]
    assert len(down) == 2
    assert max(down) <= DOWN + 80 + 3 * LOOK
    assert run.one.statuses("down") == [DeliveryStatus.SENT] * 2
    (settled,) = run.taken("batch")
    assert settled <= 10 + 3 * LOOK
    assert run.one.statuses("many") == [DeliveryStatus.SENT] * 5
    (gathered,) = run.taken("many")
    assert gathered <= WINDOW + 3 * LOOK
    (diverted,) = run.taken("else")
    assert FALLBACK_AFTER <= diverted <= FALLBACK_AFTER + 3 * LOOK
    assert len(run.taken("held")) <= 2  # probed after 5 minutes


@pytest.mark.parametrize(("step", "seed"), list(seeds(2)))
async def test_quiet_hours_end_by_the_wall_clock_as_it_is_set(tmp_path: Path, step: float, seed: int) -> None:
    at = random.Random(f"{seed}/{step}").uniform(0, 6 * HOUR)
    async with running(tmp_path) as run:
        clock = run.one.clock

        def work(tx: Any) -> None:
            row = track(tx, "night-1")
            held = Routing(
                routes=(
                    Route(events=frozenset({Event.SUCCEEDED}), channels=(ChannelName("night"),), quiet=NIGHT),
                ),
                operators=(),
            )
            record(tx, row, "SUCCEED", at=clock.now(), routes=held)

        await run.one.store.write(work)
        stepped, loud_since = False, None
        while not run.came.get("night"):
            clock.advance(LOOK)
            if not stepped and run.passed >= at:
                clock.step_wall(step)
                stepped = True
            if run.passed > 20 * HOUR:
                break
            end = NIGHT.until(clock.now(), Event.SUCCEEDED)
            loud_since = None if end is not None else (loud_since or run.passed)
            near = end is None or (end - clock.now()).total_seconds() < 2 * MINUTE
            if not near and (stepped or run.passed < at - MINUTE):
                clock.advance(MINUTE - LOOK)
            await run.look(0, ["night"])
        assert len(run.came["night"]) == 1
        assert loud_since is not None
        assert run.came["night"][0][0] - loud_since <= 3 * LOOK
        await run.look(2 * DAY, ["night"])
        assert len(run.came["night"]) == 1


@pytest.mark.parametrize("step", [-90 * MINUTE, -30.0, 5 * MINUTE])
async def test_a_restart_after_the_clock_was_set_back_keeps_nobody_waiting(tmp_path: Path, step: float) -> None:
    with Webhook(default=Answer(status=503)) as hook:
        async with rig(tmp_path, {"a": hook.url()}) as one:
            await one.job_ends()
            for _ in range(12):
                await one.later(80)
            row, clock = one.row("a"), one.clock
            left = (row.due_at - clock.now()).total_seconds()
            assert left > 100
        clock.step_wall(step)
        hook.default = Answer()
        async with rig(tmp_path, {"a": hook.url()}, clock=clock) as one:
            await one.later(left + LOOK)
            assert one.outcomes("a")[-1] is AttemptOutcome.SENT
            assert not one.row("a").possible_repeat
