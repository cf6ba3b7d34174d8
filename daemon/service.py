"""The daemon as a whole: builds the parts, starts them in order, stops them in reverse.

The composition root: the only module that knows all parts. It decides nothing about jobs or messages.
"""

import asyncio
import contextlib
import gc
import random
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from daemon import __version__
from daemon.clock import Clock
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing
from daemon.errors import ConfigFault
from daemon.logs import LogEvent, logger
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.gate import AuthGates
from daemon.metastudio.settings import ProjectSettings
from daemon.metrics import CONTENT_TYPE, Metrics
from daemon.notify import Dispatcher, NotifySettings
from daemon.notify.channels import Channel
from daemon.schedule import Schedule
from daemon.store import AttemptOutcome, DeliveryStatus, Store, StoreError
from daemon.store.engine import database_path
from daemon.store.health import holder
from daemon.systemd import Notifier
from daemon.watch.discovery import Discovery, DiscoverySettings
from daemon.watch.ground import Limits
from daemon.watch.learning import Learning
from daemon.watch.poller import Poller
from daemon.watch.settings import PollingPlan
from daemon.watch.watcher import Watcher
from daemon.web import Health, Part, Probes, WebServer, build_app, judge_health, listen

log = logger(__name__)

POLL_TICK = 0.05
"""Seconds between two looks at what is due."""
CHANGES_TICK = 1.0
"""Seconds between two looks at what commands changed, and at the outbox."""
CHECKPOINT_TICK = 30.0
"""Seconds between two checkpoints of the bookkeeping."""
DISCOVERY_TICK = 1.0
"""Seconds between two looks at what is to be discovered, and at what commands left to be discovered."""
STALL = 30.0
"""Seconds without progress after which a part is stalled."""
_UNSENT = (DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.HELD, DeliveryStatus.DEAD)
"""Statuses that /metrics counts: what was sent or canceled only grows."""
STOP_PATIENCE = 5.0
"""Seconds that sends and ticks under way are given at a stop. A send that hangs for longer is left behind: the
next start sends it again and says so."""
QUERY_PATIENCE = 2.0
"""The same for queries: the next start asks again, and nobody notices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a daemon is to do, in plain values. Durations are seconds."""

    database_url: str
    auto_migrate: bool = True
    projects: tuple[ProjectSettings, ...]
    max_in_flight: Mapping[ProjectName, int]
    polling: PollingPlan
    not_found_grace: float
    give_up_after: float
    channels: Mapping[ChannelName, Channel]
    routing: Routing
    notify: NotifySettings
    web: tuple[str, int] | None
    """Host and port to listen on; None: no web server."""
    discovery: Mapping[ProjectName, DiscoverySettings] = field(default_factory=dict)
    """The projects whose jobs are taken from the service's list."""


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
    learning: Learning = field(init=False)
    pollers: dict[ProjectName, Poller] = field(init=False, default_factory=dict)
    discoveries: list[Discovery] = field(init=False, default_factory=list)
    dispatcher: Dispatcher = field(init=False)
    web: WebServer | None = field(init=False, default=None)
    on_attempt: Callable[[], None] | None = None
    """Called after each attempt to deliver, for whoever waits for the last one."""
    _clients: list[ProjectClient] = field(init=False, default_factory=list)
    _schedule: Schedule = field(init=False)
    _started: float = field(init=False, default=0.0)

    async def start(self) -> None:
        """Listen, open the store, take up every job and every delivery.

        Raises DatabaseFault, AlreadyRunning or ConfigFault; whatever had been opened is closed again then.
        """
        self._started = self.clock.monotonic()
        async with contextlib.AsyncExitStack() as opened:
            listener = self._listen()
            if listener is not None:
                opened.callback(listener.close)
            self.store = self._open_store()
            opened.callback(self.store.close)
            opened.push_async_callback(self._close_clients)
            self._build(listener)
            opened.push_async_callback(self.dispatcher.stop, patience=0)
            await self.dispatcher.start()
            opened.push_async_callback(self.watcher.abandon)
            jobs = await self.watcher.load()
            gc.freeze()  # what was loaded stays: the collector need not go through it again and again
            opened.pop_all()
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
        ends = await asyncio.gather(
            self._schedule.stop(patience=STOP_PATIENCE),
            *(discovery.stop() for discovery in self.discoveries),
            self.watcher.stop(patience=QUERY_PATIENCE),
            self.dispatcher.stop(patience=STOP_PATIENCE),
            *([] if self.web is None else [self.web.stop()]),
            return_exceptions=True,
        )
        await self._close_clients()
        self.store.close()
        log.info(LogEvent.DAEMON_STOPPED)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

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
        # A full disk takes transactions that change nothing: what counts is since when changes fail.
        last = writer.last_commit_at if writer.failing_since is None else writer.failing_since
        health = self._judge([Part(name="writer", last=last, limit=STALL)])
        return Health(stalled=self.alive().stalled | health.stalled)

    def _judge(self, parts: list[Part]) -> Health:
        return judge_health(parts, now=self.clock.monotonic(), started=self._started)

    def _listen(self) -> socket.socket | None:
        """The web server's socket. Taken first: an address that is in use must not have the database made or
        migrated. If a daemon on the same database has it, that is the fault to tell."""
        if self.plan.web is None:
            return None
        try:
            return listen(*self.plan.web)
        except ConfigFault:
            if holder(database_path(self.plan.database_url)) is not None:
                self._open_store().close()
            raise

    def _open_store(self) -> Store:
        return Store.open(
            self.plan.database_url, clock=self.clock, daemon=True, auto_migrate=self.plan.auto_migrate
        )

    async def _close_clients(self) -> None:
        for client in self._clients:
            await client.aclose()

    def _build(self, listener: socket.socket | None) -> None:
        if listener is not None:
            probes = Probes(alive=self.alive, ready=self.ready)
            app = build_app(probes, self._metrics_text, metrics_type=CONTENT_TYPE)
            self.web = WebServer(app, listener)
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
        self.learning = Learning(self.store, self.clock)
        for settings in self.plan.projects:
            poller = self.pollers[settings.name] = self._poller(settings, gates)
            self.discoveries.append(self._discovery(poller))
        self.watcher = Watcher(
            pollers=self.pollers,
            store=self.store,
            learning=self.learning,
            clock=self.clock,
            metrics=self.metrics,
        )
        self._schedule = Schedule(self.clock)
        self._schedule.every(POLL_TICK, "poll", self.watcher.tick)
        self._schedule.every(CHANGES_TICK, "changes", self._changes)
        self._schedule.every(CHECKPOINT_TICK, "checkpoint", self.watcher.checkpoint)
        self._schedule.every(DISCOVERY_TICK, "discovery", self._discover)
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
            plan=self.plan.polling,
            learning=self.learning,
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

    def _discovery(self, poller: Poller) -> Discovery:
        return Discovery(
            project=poller.project,
            client=poller.ground.client,
            store=self.store,
            clock=self.clock,
            rng=self.rng,
            settings=self.plan.discovery.get(poller.project),
            may_ask=lambda: not poller.health.probing,
        )

    def _attempted(self, channel: ChannelName, outcome: AttemptOutcome) -> None:
        self.metrics.attempts.labels(channel, outcome).inc()
        if self.on_attempt is not None:
            self.on_attempt()

    async def _changes(self) -> None:
        try:
            await self.watcher.take_changes()
        except StoreError:  # the writer has logged it, and readiness tells of it: this tick does its work
            self.metrics.store_errors.inc()
        self.dispatcher.wake_all()

    async def _discover(self) -> None:
        for discovery in self.discoveries:
            await discovery.tick()

    async def _heartbeat(self) -> None:
        if self.alive().ok:
            self.notifier.watchdog()

    async def _metrics_text(self) -> bytes:
        try:
            counts = await self.store.read_async(lambda tx: tx.outbox.counts())
        except StoreError:  # no number is better than an old one; the other metrics are wanted most now
            self.metrics.store_errors.inc()
            self.metrics.deliveries.clear()
            return self.metrics.text()
        for channel in self.plan.channels:
            for status in _UNSENT:
                self.metrics.deliveries.labels(channel, status).set(counts.get((channel, status), 0))
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
