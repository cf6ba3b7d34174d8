"""Everything that a config creates: projects with their pollers and discoveries, channel lanes, the routing.

Owns the current plan and its replacement: first everything that may fail is created, then all is swapped in one
step without awaiting, then what is gone is stopped. Parts that hold (part of) a plan are given the next one.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.app.runtime import Runtime
from daemon.domain.jobs import ProjectName
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.session import Session
from daemon.metastudio.settings import ProjectSettings
from daemon.plan import Plan
from daemon.watch.context import Limits, ProjectContext
from daemon.watch.discovery import Discovery
from daemon.watch.poller import Poller
from daemon.watch.watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """Everything another plan needs that could have failed to be created: clients of new projects, and new
    sessions of projects that are reached in another way."""

    plan: Plan
    clients: dict[ProjectName, ProjectClient] = field(default_factory=dict)
    sessions: dict[ProjectName, Session] = field(default_factory=dict)

    async def aclose(self) -> None:
        """Discard it."""
        for client in self.clients.values():
            await client.aclose()
        for session in self.sessions.values():
            await session.aclose()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Removed:
    """Parts taken out of the scope that have to be stopped; `client` is None if it stays in use."""

    poller: Poller
    discovery: Discovery
    client: ProjectClient | None


class Scope:
    """The current plan at work. Followers are called with each plan that replaces it."""

    def __init__(self, plan: Plan, runtime: Runtime) -> None:
        self.plan = plan
        self.pollers: dict[ProjectName, Poller] = {}
        self.discoveries: dict[ProjectName, Discovery] = {}
        self._runtime = runtime
        self._gone: list[_Removed] = []
        self._followers: list[Callable[[Plan], None]] = []
        for settings in plan.projects:
            runtime.clients[settings.name] = runtime.client(settings)
            self._add(settings.name)
        self.watcher = Watcher(
            pollers=self.pollers,
            store=runtime.store,
            learning=runtime.learning,
            clock=runtime.clock,
            metrics=runtime.metrics,
            defects=runtime.defects,
        )

    def follow(self, adopt: Callable[[Plan], None]) -> None:
        """Call `adopt` with each new plan. It must neither block nor fail."""
        self._followers.append(adopt)

    async def make(self, plan: Plan) -> Replacement:
        """Create what another plan needs. Raises ConfigFault and changes nothing then."""
        made, clients = Replacement(plan=plan), self._runtime.clients
        try:
            for settings in plan.projects:
                if settings.name not in clients:
                    made.clients[settings.name] = self._runtime.client(settings)
                elif (session := clients[settings.name].prepare(settings)) is not None:
                    made.sessions[settings.name] = session
        except BaseException:
            await made.aclose()
            raise
        return made

    def swap(self, made: Replacement) -> None:
        """Replace the current plan. `end_gone` stops what is gone."""
        plan, runtime = made.plan, self._runtime
        self.plan = plan
        runtime.operators.routing = plan.routing
        runtime.delivery.adopt(plan)
        names = {settings.name for settings in plan.projects}
        for name in [name for name in self.pollers if name not in names]:
            self._take_out(name, client=runtime.clients.pop(name))
            runtime.metrics.forget_project(name)
        for settings in plan.projects:
            self._swap_project(settings, made)
        runtime.metrics.deliveries.clear()
        for adopt in self._followers:
            adopt(plan)

    async def end_gone(self) -> None:
        """Stop the parts that were taken out. The state of their jobs is in the store."""
        if not self._gone:
            return
        while self._gone:
            gone = self._gone[0]
            await gone.discovery.stop()
            await self.watcher.leave(gone.poller)
            if gone.client is not None:
                await gone.client.aclose()
            self._gone.remove(gone)
        del gone
        gc.unfreeze()  # a start freezes what it loads
        gc.collect()
        gc.freeze()

    def _swap_project(self, settings: ProjectSettings, made: Replacement) -> None:
        name, plan, clients = settings.name, made.plan, self._runtime.clients
        if name in made.clients:
            clients[name] = made.clients[name]
            clients[name].adopt(settings, None)  # its budget may date from an earlier config
            self._add(name)
            self.watcher.join(name)
            return
        before, session = clients[name].settings, made.sessions.get(name)
        clients[name].adopt(settings, session)
        if not _same_service(before, settings):  # another service: nothing known about it applies any more
            self._take_out(name, client=None)
            self._add(name)
            self.watcher.join(name)
            return
        self.pollers[name].adopt(
            routing=plan.routing,
            plan=plan.polling,
            limits=_limits(plan, name),
            way_changed=session is not None,
        )
        self.discoveries[name].adopt(plan.discovery.get(name))
        if session is not None:
            self._runtime.delivery.links.ask_again(name)

    def _take_out(self, name: ProjectName, *, client: ProjectClient | None) -> None:
        gone = _Removed(poller=self.pollers.pop(name), discovery=self.discoveries.pop(name), client=client)
        gone.poller.halt()
        self._gone.append(gone)

    def _add(self, name: ProjectName) -> None:
        """Create the poller and discovery of a project that is in `clients`."""
        plan, runtime = self.plan, self._runtime
        poller = self.pollers[name] = Poller(
            ProjectContext(
                project=name,
                client=runtime.clients[name],
                store=runtime.store,
                routing=plan.routing,
                plan=plan.polling,
                learning=runtime.learning,
                limits=_limits(plan, name),
                clock=runtime.clock,
                rng=runtime.rng,
                metrics=runtime.metrics,
                wake=runtime.delivery.dispatcher.wake,
                defects=runtime.defects,
            ),
            operators=runtime.operators,
        )
        poller.answers.on_finished = runtime.delivery.finished
        self.discoveries[name] = Discovery(
            project=name,
            client=runtime.clients[name],
            store=runtime.store,
            clock=runtime.clock,
            rng=runtime.rng,
            settings=plan.discovery.get(name),
            defects=runtime.defects,
            may_ask=lambda: not poller.health.probing,
        )


def _limits(plan: Plan, name: ProjectName) -> Limits:
    return Limits(
        not_found_grace=plan.not_found_grace,
        give_up_after=plan.give_up_after,
        max_in_flight=plan.max_in_flight[name],
    )


def _same_service(old: ProjectSettings, new: ProjectSettings) -> bool:
    """Whether both address the same project at the same service."""
    return (old.api_url, old.project_id, old.region) == (new.api_url, new.project_id, new.region)
