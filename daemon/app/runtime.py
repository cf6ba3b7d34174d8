"""Parts that live as long as the daemon, across config reloads: store, budgets, gates, learned durations, defects.

State that a reload must not reset is kept here: the permits of a budget, the refusals of a gate.
"""

import random
from typing import TYPE_CHECKING

from daemon.app.delivery import DeliveryService
from daemon.app.hub import Hub
from daemon.clock import Clock
from daemon.metastudio.budget import Budget
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.gate import AuthGates
from daemon.metastudio.settings import ProjectSettings
from daemon.metrics import Metrics
from daemon.notify.outbox.context import OnResult
from daemon.operators import Operators
from daemon.spec import Spec
from daemon.store import Store
from daemon.store_errors import StoreErrors
from daemon.tasks import Defects
from daemon.watch.learning import Learning

if TYPE_CHECKING:
    from daemon.domain.jobs import ProjectName


class Runtime:
    """The permanent parts. `clients` has the projects of the current config. Budgets are never dropped, so a
    project that is removed and added again keeps its pace."""

    def __init__(
        self, spec: Spec, *, store: Store, clock: Clock, rng: random.Random, metrics: Metrics, on_result: OnResult
    ) -> None:
        self.store, self.clock, self.rng, self.metrics = store, clock, rng, metrics
        self.defects = Defects(clock=clock, metrics=metrics)
        self.hub = Hub(store, defects=self.defects)
        self.clients: dict[ProjectName, ProjectClient] = {}
        self.delivery = DeliveryService(
            spec,
            store=store,
            clients=self.clients,
            clock=clock,
            rng=rng,
            metrics=metrics,
            defects=self.defects,
            on_result=on_result,
        )
        self.operators = Operators(
            store=store,
            routing=spec.routing,
            clock=clock,
            errors=StoreErrors(clock=clock, metrics=metrics),
        )
        self.defects.report = self.operators.defect
        self.learning = Learning(store, clock)
        self._gates = AuthGates(clock)
        self._budgets: dict[ProjectName, Budget] = {}

    def client(self, settings: ProjectSettings) -> ProjectClient:
        """Create a project's client. Raises ConfigFault."""
        name, seconds = settings.name, self.metrics.request_seconds.labels(settings.name)

        def count(operation: str, outcome: str, took: float) -> None:
            self.metrics.requests.labels(name, operation, outcome).inc()
            seconds.observe(took)

        rate = settings.requests_per_second
        if name not in self._budgets:
            self._budgets[name] = Budget(rate, self.clock, after_restart=True)
        return ProjectClient(
            settings,
            clock=self.clock,
            gates=self._gates,
            rng=self.rng,
            on_request=count,
            budget=self._budgets[name],
        )

    async def aclose(self) -> None:
        """Close the clients. Call it after stopping everything that uses them."""
        for client in self.clients.values():
            await client.aclose()
