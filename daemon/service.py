"""The daemon as a whole: builds the parts, starts them in order, stops them in reverse.

The composition root: the only module that knows all parts. It decides nothing about jobs or messages.
"""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from daemon import __version__
from daemon.clock import Clock
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.planning import Rails
from daemon.domain.routing import Routing
from daemon.logs import LogEvent, logger
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.gate import AuthGates
from daemon.metastudio.settings import ProjectSettings
from daemon.metrics import CONTENT_TYPE, Metrics
from daemon.notify import Dispatcher, NotifySettings
from daemon.notify.channels import Channel
from daemon.schedule import Schedule
from daemon.store import AttemptOutcome, Store
from daemon.systemd import Notifier
from daemon.watch import Poller, Watcher
from daemon.watch.poller import Limits
from daemon.web import Health, Part, Probes, WebServer, build_app, judge_health, listen

log = logger(__name__)

POLL_TICK = 0.05
"""Seconds between two looks at what is due."""
CHANGES_TICK = 1.0
"""Seconds between two looks at what commands changed, and at the outbox."""
CHECKPOINT_TICK = 30.0
"""Seconds between two checkpoints of the bookkeeping."""
STALL = 30.0
"""Seconds without progress after which a part is stalled."""
STOP_PATIENCE = 5.0
"""Seconds that queries under way are given at a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a daemon is to do, in plain values. Durations are seconds."""

    database_url: str
    auto_migrate: bool = True
    projects: tuple[ProjectSettings, ...]
    max_in_flight: Mapping[ProjectName, int]
    rails: Rails
    not_found_grace: float
    give_up_after: float
    channels: Mapping[ChannelName, Channel]
    routing: Routing
    notify: NotifySettings
    web: tuple[str, int] | None
    """Host and port to listen on; None: no web server."""


@dataclass(slots=True)
class Service:
    """One daemon. `start`, then `stop`; `run` does both around the wait for a signal."""

    plan: Plan
    clock: Clock
    rng: random.Random = field(default_factory=random.Random)
    notifier: Notifier = field(default_factory=Notifier)
    metrics: Metrics = field(default_factory=Metrics)
    store: Store = field(init=False)
    watcher: Watcher = field(init=False)
    pollers: dict[ProjectName, Poller] = field(init=False, default_factory=dict)
    dispatcher: Dispatcher = field(init=False)
    web: WebServer | None = field(init=False, default=None)
    on_attempt: Callable[[], None] | None = None
    """Called after each attempt to deliver, for whoever waits for the last one."""
    _clients: list[ProjectClient] = field(init=False, default_factory=list)
    _schedule: Schedule = field(init=False)
    _started: float = field(init=False, default=0.0)

    async def start(self) -> None:
        """Open the store, listen, take up every job and every delivery.

        Raises DatabaseFault, AlreadyRunning or ConfigFault; whatever had been opened is closed again then.
        """
        self._started = self.clock.monotonic()
        self.store = Store.open(
            self.plan.database_url, clock=self.clock, daemon=True, auto_migrate=self.plan.auto_migrate
        )
        try:
            self._build()
        except BaseException:
            self.store.close()
            raise
        await self.dispatcher.start()
        jobs = await self.watcher.load()
        self._schedule.start()
        if self.web is not None:
            self.web.start()
        log.info(
            LogEvent.DAEMON_STARTED,
            version=__version__,
            jobs=jobs,
            projects=len(self.pollers),
            channels=len(self.plan.channels),
        )
        self.notifier.ready(f"watching {jobs} jobs in {len(self.pollers)} projects")

    async def stop(self) -> None:
        """Finish what is under way (a few seconds at most), store everything, release the database."""
        self.notifier.stopping()
        await self._schedule.stop()
        if self.web is not None:
            await self.web.stop()
        await self.watcher.stop(patience=STOP_PATIENCE)
        await self.dispatcher.stop()
        for client in self._clients:
            await client.aclose()
        self.store.close()
        log.info(LogEvent.DAEMON_STOPPED)

    @contextlib.asynccontextmanager
    async def running(self, ended: asyncio.Event) -> AsyncIterator[None]:
        """Start, and stop at the end of the block. SIGTERM and SIGINT set `ended` meanwhile."""
        with _signals(ended):
            await self.start()
            try:
                yield
            finally:
                await self.stop()

    async def run(self) -> None:
        """Start, wait for SIGTERM or SIGINT, stop."""
        ended = asyncio.Event()
        async with self.running(ended):
            await ended.wait()
            log.info(LogEvent.DAEMON_STOPPING)

    def alive(self) -> Health:
        """Whether the ticks ran lately: what /healthz and the systemd watchdog go by."""
        ran = self._schedule.last_ran()
        return self._judge([Part(name=name, last=ran[name], limit=STALL) for name in ("poll", "changes")])

    def ready(self) -> Health:
        """Whether the daemon also stores what it sees."""
        writer = self.store.writer_health()
        health = self._judge([Part(name="writer", last=writer.last_commit_at, limit=STALL)])
        return Health(stalled=self.alive().stalled | health.stalled)

    def _judge(self, parts: list[Part]) -> Health:
        return judge_health(parts, now=self.clock.monotonic(), started=self._started)

    def _build(self) -> None:
        if self.plan.web is not None:
            probes = Probes(alive=self.alive, ready=self.ready)
            app = build_app(probes, self._metrics_text, metrics_type=CONTENT_TYPE)
            self.web = WebServer(app, listen(*self.plan.web))
        self.dispatcher = Dispatcher(
            self.store,
            self.plan.channels,
            clock=self.clock,
            rng=self.rng,
            settings=self.plan.notify,
            operators=self.plan.routing.operators,
            on_result=self._attempted,
        )
        gates = AuthGates(self.clock)
        for settings in self.plan.projects:
            self.pollers[settings.name] = self._poller(settings, gates)
        self.watcher = Watcher(pollers=self.pollers, store=self.store, clock=self.clock, metrics=self.metrics)
        self._schedule = Schedule(self.clock)
        self._schedule.every(POLL_TICK, "poll", self.watcher.tick)
        self._schedule.every(CHANGES_TICK, "changes", self._changes)
        self._schedule.every(CHECKPOINT_TICK, "checkpoint", self.watcher.checkpoint)
        if self.notifier.watchdog_interval is not None:
            self._schedule.every(self.notifier.watchdog_interval / 3, "heartbeat", self._heartbeat)

    def _poller(self, settings: ProjectSettings, gates: AuthGates) -> Poller:
        seconds = self.metrics.request_seconds.labels(settings.name)

        def count(operation: str, outcome: str, took: float) -> None:
            self.metrics.requests.labels(settings.name, operation, outcome).inc()
            seconds.observe(took)

        client = ProjectClient(settings, clock=self.clock, gates=gates, rng=self.rng, on_request=count)
        self._clients.append(client)
        return Poller(
            project=settings.name,
            client=client,
            store=self.store,
            routing=self.plan.routing,
            rails=self.plan.rails,
            limits=Limits(
                not_found_grace=self.plan.not_found_grace,
                give_up_after=self.plan.give_up_after,
                max_in_flight=self.plan.max_in_flight[settings.name],
            ),
            clock=self.clock,
            rng=self.rng,
            metrics=self.metrics,
            wake=self.dispatcher.wake,
        )

    def _attempted(self, channel: ChannelName, outcome: AttemptOutcome) -> None:
        self.metrics.attempts.labels(channel, outcome).inc()
        if self.on_attempt is not None:
            self.on_attempt()

    async def _changes(self) -> None:
        await self.watcher.take_changes()
        self.dispatcher.wake_all()

    async def _heartbeat(self) -> None:
        if self.alive().ok:
            self.notifier.watchdog()

    async def _metrics_text(self) -> bytes:
        counts = await self.store.read_async(lambda tx: tx.outbox.counts())
        for (channel, status), number in counts.items():
            self.metrics.deliveries.labels(channel, status).set(number)
        return self.metrics.text()


@contextlib.contextmanager
def _signals(ended: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
