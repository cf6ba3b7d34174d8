"""What all parts of one project's watch share. Never decides anything.

Routing and limits may change while it runs: they are read where they are used, and never kept.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from daemon.clock import Clock
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing
from daemon.metastudio.client import ProjectClient
from daemon.metrics import Metrics
from daemon.store import Store
from daemon.store_errors import StoreErrors
from daemon.tasks import Defects, Tasks
from daemon.watch.agenda import Agenda
from daemon.watch.learning import Learning
from daemon.watch.planner import Planner


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a job may be missing or unfinished (seconds), and how many requests may be under way at once."""

    not_found_grace: float
    give_up_after: float
    max_in_flight: int


@dataclass(slots=True, kw_only=True)
class ProjectContext:
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
    store_errors: StoreErrors
    tasks: Tasks
    defects: Defects
