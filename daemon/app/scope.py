"""Everything that a config creates: projects with their pollers and discoveries, channel lanes, the routing.

Owns the current spec and its replacement: first everything that may fail is created, then all is swapped in one
step without awaiting, then what is gone is stopped. Parts that hold (part of) a spec are given the next one.
"""

from collections.abc import Callable

from msgspec import Struct, field

from daemon.app.runtime import Runtime
from daemon.domain.jobs import ProjectName
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.session import Session
from daemon.metastudio.settings import ProjectSettings
from daemon.spec import Spec
from daemon.watch.context import Limits, ProjectContext
from daemon.watch.discovery import Discovery
from daemon.watch.poller import Poller
from daemon.watch.watcher import Watcher


class Replacement(Struct, frozen=True, kw_only=True):
    """Everything another spec needs that could have failed to be created: clients of new projects, and new
    sessions of projects that are reached in another way."""

    spec: Spec
    clients: dict[ProjectName, ProjectClient] = field(default_factory=dict)
    sessions: dict[ProjectName, Session] = field(default_factory=dict)

    async def aclose(self) -> None:
        """Discard it."""
        for client in self.clients.values():
            await client.aclose()
        for session in self.sessions.values():
            await session.aclose()


class _Removed(Struct, frozen=True, kw_only=True, eq=False):
    """Parts taken out of the scope that have to be stopped; `client` is None if it stays in use."""

    poller: Poller
    discovery: Discovery
    client: ProjectClient | None


class Scope:
    """The current spec at work. Followers are called with each spec that replaces it."""

    def __init__(self, spec: Spec, runtime: Runtime) -> None:
        self.spec = spec
        self.pollers: dict[ProjectName, Poller] = {}
        self.discoveries: dict[ProjectName, Discovery] = {}
        self._runtime = runtime
        self._gone: list[_Removed] = []
        self._followers: list[Callable[[Spec], None]] = []
        for settings in spec.projects:
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

    def follow(self, adopt: Callable[[Spec], None]) -> None:
        """Call `adopt` with each new spec. It must neither block nor fail."""
        self._followers.append(adopt)

    async def make(self, spec: Spec) -> Replacement:
        """Create what another spec needs. Raises ConfigFault and changes nothing then."""
        made, clients = Replacement(spec=spec), self._runtime.clients
        try:
            for settings in spec.projects:
                if settings.name not in clients:
                    made.clients[settings.name] = self._runtime.client(settings)
                elif (session := clients[settings.name].prepare(settings)) is not None:
                    made.sessions[settings.name] = session
        except BaseException:
            await made.aclose()
            raise
        return made

    def swap(self, made: Replacement) -> None:
        """Replace the current spec. `end_gone` stops what is gone."""
        spec, runtime = made.spec, self._runtime
        self.spec = spec
        runtime.operators.routing = spec.routing
        runtime.delivery.adopt(spec)
        names = {settings.name for settings in spec.projects}
        for name in [name for name in self.pollers if name not in names]:
            self._take_out(name, client=runtime.clients.pop(name))
            runtime.metrics.forget_project(name)
        for settings in spec.projects:
            self._swap_project(settings, made)
        runtime.metrics.deliveries.clear()
        for adopt in self._followers:
            adopt(spec)

    async def end_gone(self) -> None:
        """Stop the parts that were taken out and let go of their jobs, whose state is in the store. What is left
        is small. To look for it, the collector would go through the whole heap in one callback of the loop."""
        while self._gone:
            gone = self._gone[0]
            await gone.discovery.stop()
            await self.watcher.leave(gone.poller)
            if gone.client is not None:
                await gone.client.aclose()
            await gone.poller.forget()
            self._gone.remove(gone)

    def _swap_project(self, settings: ProjectSettings, made: Replacement) -> None:
        name, spec, clients = settings.name, made.spec, self._runtime.clients
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
            routing=spec.routing,
            plan=spec.polling,
            limits=_limits(spec, name),
            way_changed=session is not None,
        )
        self.discoveries[name].adopt(spec.discovery.get(name))
        if session is not None:
            self._runtime.delivery.links.ask_again(name)

    def _take_out(self, name: ProjectName, *, client: ProjectClient | None) -> None:
        gone = _Removed(poller=self.pollers.pop(name), discovery=self.discoveries.pop(name), client=client)
        gone.poller.halt()
        self._gone.append(gone)

    def _add(self, name: ProjectName) -> None:
        """Create the poller and discovery of a project that is in `clients`."""
        spec, runtime = self.spec, self._runtime
        poller = self.pollers[name] = Poller(
            ProjectContext(
                project=name,
                client=runtime.clients[name],
                store=runtime.store,
                routing=spec.routing,
                plan=spec.polling,
                learning=runtime.learning,
                limits=_limits(spec, name),
                clock=runtime.clock,
                rng=runtime.rng,
                metrics=runtime.metrics,
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
            settings=spec.discovery.get(name),
            defects=runtime.defects,
            may_ask=lambda: not (poller.paused or poller.health.probing),
        )


def _limits(spec: Spec, name: ProjectName) -> Limits:
    return Limits(
        not_found_grace=spec.not_found_grace,
        give_up_after=spec.give_up_after,
        max_in_flight=spec.max_in_flight[name],
    )


def _same_service(old: ProjectSettings, new: ProjectSettings) -> bool:
    """Whether both address the same project at the same service."""
    return (old.api_url, old.project_id, old.region) == (new.api_url, new.project_id, new.region)
