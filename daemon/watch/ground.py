"""What all parts of one project's watch stand on. Never decides anything."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from daemon.clock import Clock
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing
from daemon.metastudio.client import ProjectClient
from daemon.metrics import Metrics
from daemon.store import Store
from daemon.watch.agenda import Agenda
from daemon.watch.learning import Learning
from daemon.watch.planner import Planner
from daemon.watch.trouble import StoreTrouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a job may be missing or unfinished (seconds), and how many requests may be under way at once."""

    not_found_grace: float
    give_up_after: float
    max_in_flight: int


class Tasks:
    """What is under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin `work` beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until nothing is under way. Only tests need it: the daemon never is idle for long."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self, *, patience: float) -> None:
        """Wait `patience` seconds for what is under way, then cancel it."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One project's parts and surroundings."""

    project: ProjectName
    client: ProjectClient
    store: Store
    routing: Routing
    limits: Limits
    clock: Clock
    rng: random.Random
    metrics: Metrics
    wake: Callable[[Iterable[ChannelName]], None]
    agenda: Agenda
    planner: Planner
    learning: Learning
    trouble: StoreTrouble
    tasks: Tasks = field(default_factory=Tasks)
