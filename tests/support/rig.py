"""The watch with real parts around it: a simulator over sockets, a real client and a SQLite file, on one clock
that the test moves."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.clock import ManualClock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName, ProjectName, parse_job_id
from daemon.domain.planning import Rails, Strategy
from daemon.domain.routing import Route, Routing
from daemon.metastudio.budget import Budget
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.gate import AuthGates
from daemon.metastudio.settings import AkSk, ProjectSettings
from daemon.metrics import Metrics
from daemon.operators import Operators
from daemon.sim import SimSettings, Simulator
from daemon.store import DeliveryRow, JobRow, Store, TrackRequest, TrackResult, TransitionRow
from daemon.store_errors import StoreErrors
from daemon.tasks import Defects
from daemon.transport import Timeouts
from daemon.watch.context import Limits, ProjectContext
from daemon.watch.learning import Learning
from daemon.watch.poller import Poller
from daemon.watch.settings import PollingPlan
from daemon.watch.watcher import Watcher

PROJECT = ProjectName("main")
CHANNEL = ChannelName("team")
_TURNS = 30
"""Turns of the event loop within which a request reaches a simulator in the same process."""


@dataclass
class Rig:
    """The parts that a test of the watch needs; `run` advances time."""

    clock: ManualClock
    sim: Simulator
    store: Store
    poller: Poller
    watcher: Watcher
    metrics: Metrics
    budget: Budget
    operators: Operators
    eye: sqlite3.Connection
    seen: object = None
    """What this connection saw of the commits of all others when changes were last taken up."""

    async def run(self, seconds: float, *, step: float = 0.5) -> None:
        """Advance time by `seconds` in steps, with the daemon's ticks."""
        for _ in range(round(seconds / step)):
            await self._step(self.clock.monotonic() + step)

    async def _step(self, end: float) -> None:
        """Advance time to `end`, stopping wherever the budget has the next permit for a due job."""
        while (due := self.poller.agenda.first_due()) is not None and due < end:
            moment = max(due, self.budget.next_at())
            if moment >= end or moment <= self.clock.monotonic():
                break
            self.clock.advance(moment - self.clock.monotonic())
            await self.tick()
        self.clock.advance(end - self.clock.monotonic())
        await self.tick()

    async def tick(self) -> None:
        """Run one tick and everything that it starts. Changes are looked for once anything was committed."""
        version = self.eye.execute("PRAGMA data_version").fetchone()
        await self.watcher.take_changes(anyway=version != self.seen)
        self.seen = version
        await self.operators.flush()
        await self.watcher.tick()
        await self.poller.idle()

    def track(self, job_id: str, *, kind: str = "avatar", **more: Any) -> TrackResult:
        request = TrackRequest(project=PROJECT, kind=kind, job_id=parse_job_id(job_id), **more)
        return self.store.write_now(lambda tx: tx.jobs.track(request, at=self.clock.now()))

    def job(self, job_id: str) -> JobRow:
        [row] = self.store.read(lambda tx: tx.jobs.find(parse_job_id(job_id)))
        return row

    def transitions(self, job_id: str) -> list[TransitionRow]:
        row = self.job(job_id)
        return self.store.read(lambda tx: tx.history.transitions(row.id))

    def states(self, job_id: str) -> list[str]:
        return [each.after for each in self.transitions(job_id)]

    def deliveries(self) -> list[DeliveryRow]:
        return sorted(self.store.read(lambda tx: tx.outbox.list()), key=lambda row: row.id)

    def events(self) -> list[Event]:
        return [row.event for row in self.deliveries()]

    def requests(self, operation: str = "show") -> int:
        count: int = self.sim.stats()["by_operation"].get(operation, 0)
        return count


@asynccontextmanager
async def rig(
    folder: Path, *, rate: float = 1000.0, rails: Rails | None = None, **changes: Any
) -> AsyncIterator[Rig]:
    """Open a rig. `changes`: sim (values for SimSettings), limits (for Limits), plan (for PollingPlan; without it
    each job is polled singly under the fixed strategy), auth, timeouts, looked_up (the project id is)."""
    clock = ManualClock()
    limits = {"not_found_grace": 60.0, "give_up_after": 86400.0, "max_in_flight": 16} | changes.get("limits", {})
    settings = {"seed": 1, "show_rate": None, "write_rate": None, "clock": clock} | changes.get("sim", {})
    async with Simulator(SimSettings(**settings)) as sim:
        store = Store.open(f"sqlite:///{folder / 'rig.db'}", clock=clock, daemon=True)
        keys = sim.settings

        async def pass_time(seconds: float) -> None:
            for _ in range(_TURNS):  # permitted requests reach the simulator before time advances
                await asyncio.sleep(0)
            clock.advance(seconds)

        budget = Budget(rate, clock, sleep=pass_time)
        client = ProjectClient(
            ProjectSettings(
                name=PROJECT,
                endpoint=sim.url,
                project_id=None if changes.get("looked_up") else keys.project_id,
                region=keys.region if changes.get("looked_up") else None,
                iam_endpoint=sim.url,
                rate=rate,
                timeouts=changes.get("timeouts") or Timeouts(),
                auth=changes.get("auth") or AkSk(access_key=keys.access_key, secret_key=keys.secret_key),
            ),
            clock=clock,
            gates=AuthGates(clock),
            rng=random.Random(1),
            environ={},
            budget=budget,
        )
        metrics, learning = Metrics(), Learning(store, clock)
        plan = {
            "rails": rails or Rails(min_interval=1, max_interval=10, blocked_interval=60),
            "strategy": Strategy.FIXED,
            "feed": False,
            "batch": False,
        }
        routed = Routing(routes=(Route(events=frozenset(Event), channels=(CHANNEL,)),), operators=(CHANNEL,))
        operators = Operators(
            store=store,
            routing=routed,
            clock=clock,
            errors=StoreErrors(clock=clock, metrics=metrics),
        )
        defects = Defects(clock=clock, metrics=metrics, report=operators.defect)
        poller = Poller(
            ProjectContext(
                project=PROJECT,
                client=client,
                store=store,
                routing=routed,
                plan=PollingPlan(**plan | changes.get("plan", {})),
                learning=learning,
                limits=Limits(**limits),
                clock=clock,
                rng=random.Random(1),
                metrics=metrics,
                defects=defects,
            ),
            operators=operators,
        )
        watcher = Watcher(
            pollers={PROJECT: poller},
            store=store,
            learning=learning,
            clock=clock,
            metrics=metrics,
            defects=defects,
        )
        eye = sqlite3.connect(store.path)
        try:
            yield Rig(clock, sim, store, poller, watcher, metrics, budget, operators, eye)
        finally:
            eye.close()
            await poller.stop(patience=1)
            await client.aclose()
            store.close()
