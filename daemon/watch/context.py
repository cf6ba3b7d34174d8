"""What all parts of one project's watch share. Makes no decisions.

Routing and limits can change while the watch runs, so they are read at each use and never kept.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct

from daemon.clock import Clock
from daemon.domain.jobs import ProjectName
from daemon.domain.routing import Routing
from daemon.metastudio.client import ProjectClient
from daemon.metrics import Metrics
from daemon.store import Store
from daemon.store_errors import StoreErrors
from daemon.tasks import Defects, Tasks
from daemon.watch.agenda import Agenda, JobQueue, step
from daemon.watch.learning import Learning
from daemon.watch.planner import Planner
from daemon.watch.settings import PollingPlan

_OLDEST = timedelta(days=366)


class Limits(Struct, frozen=True, kw_only=True):
    """How long a job may be missing or unfinished (seconds), and how many requests may be under way at once."""

    not_found_grace: float
    give_up_after: float
    max_in_flight: int


@dataclass(slots=True, kw_only=True)
class ProjectContext:
    """One project's surroundings, shared by all parts of its watch."""

    project: ProjectName
    client: ProjectClient
    store: Store
    routing: Routing
    limits: Limits
    clock: Clock
    rng: random.Random
    metrics: Metrics
    learning: Learning
    defects: Defects
    plan: InitVar[PollingPlan]
    agenda: Agenda = field(init=False, default_factory=Agenda)
    planner: Planner = field(init=False)
    store_errors: StoreErrors = field(init=False)
    tasks: Tasks = field(init=False)

    def __post_init__(self, plan: PollingPlan) -> None:
        self.planner = Planner(
            project=self.project,
            plan=plan,
            rate=self.client.budget.rate,
            agenda=self.agenda,
            durations=lambda: self.learning.durations,
            rng=self.rng,
        )
        self.store_errors = StoreErrors(clock=self.clock, metrics=self.metrics)
        self.tasks = Tasks("watch", self.defects)

    def in_steps(self, work: Iterator[None]) -> None:
        """Do work over all jobs: one step now, which suffices for few, and the others in the background."""
        if step(work):
            self.tasks.spawn("replan", all_steps(work), project=self.project)

    def may_ask_singly(self) -> bool:
        """Whether the waiting single queries take under a second of the budget. Beyond that, lists are cheaper."""
        return self.agenda.queued(JobQueue.SINGLY) < self.client.budget.rate

    def created_since(self) -> datetime:
        """Return the bound on the age of jobs in lists by ids: without one the service lists only the last
        month."""
        return (self.clock.now() - _OLDEST).replace(hour=0, minute=0, second=0, microsecond=0)


async def all_steps(work: Iterator[None]) -> None:
    """Do work over all jobs and let the event loop run between its steps: all at once would block it for as long
    as a second."""
    for _ in iter(partial(step, work), False):
        await asyncio.sleep(0)
