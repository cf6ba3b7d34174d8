"""The daemon's lifecycle: creates the parts, starts them in order, stops them in reverse, and handles signals."""

import asyncio
import contextlib
import errno
import gc
import random
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import __version__
from daemon.app.ask_jobs import AskJobs
from daemon.app.control import ControlServer, Handler
from daemon.app.delivery import DeliveryService
from daemon.app.health import Pulse
from daemon.app.heartbeat import HEARTBEAT_TICK, HeartbeatSender
from daemon.app.hub import News
from daemon.app.orphans import OrphanWatch
from daemon.app.own_config import OwnConfig
from daemon.app.reload import Read, Reloader
from daemon.app.runtime import Runtime
from daemon.app.scope import Scope
from daemon.clock import Clock
from daemon.domain.jobs import ChannelName
from daemon.domain.tokens import CONFIG_TOKEN
from daemon.errors import ConfigFault, DatabaseFault
from daemon.heap import use_huge_pages
from daemon.logs import OUTPUT, LogEvent, logger
from daemon.metrics import CONTENT_TYPE, Metrics
from daemon.schedule import Schedule
from daemon.spec import Spec
from daemon.store import AttemptOutcome, DeliveryStatus, Store, StoreError
from daemon.store.backups import newest
from daemon.store.engine import database_path
from daemon.store.health import holder
from daemon.systemd import Notifier
from daemon.tasks import Defects, Tasks
from daemon.watch.poller import TICK
from daemon.web import Health, Probes, listen
from daemon.web.context import WebContext

if TYPE_CHECKING:
    from daemon.web.server import WebServer

log = logger(__name__)

POLL_TICK = TICK
"""Seconds between two checks of all projects; pollers wake up by themselves for what is due in between."""
CHANGES_TICK = 1.0
"""Seconds between two checks for changes made by commands."""
CHANGES_PATIENCE = 30.0
"""Seconds after which all parts look for changes themselves, whatever the hub heard."""
CHECKPOINT_TICK = 30.0
"""Seconds between two checkpoints of the bookkeeping."""
DISCOVERY_TICK = 1.0
"""Seconds between two checks of due discoveries, and for discoveries requested by commands."""
REMINDER_TICK = 60.0
"""Seconds between two checks for links that expire without having been opened."""
RETENTION_TICK = 600.0
"""Seconds between two deletions of rows that ended long enough ago."""
LINK_PATIENCE = 5.0
"""Seconds that a click on a link waits at most for a fresh one."""
_READER_GONE = frozenset({errno.EPIPE, errno.EIO})
"""Errors of writing to a closed pipe or a terminal that is gone."""
_UNSENT = (DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.HELD, DeliveryStatus.DEAD)
"""Statuses reported by /metrics. Sent and canceled ones are left out, since they only grow."""
MANY = 250_000
"""Jobs from which on their memory is put into huge pages. Below, that would take more memory than it is worth."""
STOP_PATIENCE = 5.0
"""Seconds that sends and ticks in progress get at a stop. A send that takes longer is abandoned; the next start
sends it again and marks it as a possible duplicate."""
QUERY_PATIENCE = 2.0
"""The same for queries. The next start repeats them without anyone noticing."""


@dataclass(slots=True)
class Daemon:
    """One daemon. Call `start`, then `stop`; or `run`, which waits for a signal in between."""

    spec: Spec
    """The current spec, initially the one to start with."""
    clock: Clock
    rng: random.Random = field(default_factory=random.Random)
    notifier: Notifier = field(default_factory=Notifier)
    metrics: Metrics = field(default_factory=Metrics)
    read: Read | None = None
    """Reads the config again; None if it cannot be reloaded."""
    config: Path | None = None
    """The file that `read` reads, for commands that query it."""
    store: Store = field(init=False)
    scope: Scope = field(init=False)
    delivery: DeliveryService = field(init=False)
    defects: Defects = field(init=False)
    reloader: Reloader | None = field(init=False, default=None)
    control: ControlServer = field(init=False)
    web: "WebServer | None" = field(init=False, default=None)
    foreground: bool = False
    """Whether it runs in a person's terminal. Then it stops when the terminal closes."""
    on_attempt: Callable[[], None] | None = None
    """Called after each delivery attempt, for example to wait for the last one."""
    _runtime: Runtime = field(init=False)
    _orphans: OrphanWatch = field(init=False)
    _schedule: Schedule = field(init=False)
    _pulse: Pulse = field(init=False)
    _heartbeat: HeartbeatSender = field(init=False)
    _ended: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _moved: str | None = field(init=False, default=None)
    """What happened to the database's file if it is no longer the open one."""
    _version: object = field(init=False, default=None)
    """The store's version when the hub last looked."""
    _looked_at: float = field(init=False, default=float("-inf"))
    """When all parts last looked (monotonic seconds)."""
    _settling: asyncio.Future[int] | None = field(init=False, default=None)
    """Under way while a large heap is put into huge pages."""
    _reload_pending: bool = field(init=False, default=False)
    """SIGHUP arrived during the start."""

    async def start(self) -> None:
        """Listen, open the store, and load all jobs and deliveries.

        Raises DatabaseFault, AlreadyRunning or ConfigFault; everything opened so far is closed then.
        """
        started = self.clock.monotonic()
        async with contextlib.AsyncExitStack() as opened:
            listener = self._listen()
            if listener is not None:
                opened.callback(listener.close)
            self.store = self._open_store()
            opened.callback(self.store.close)
            self._runtime = Runtime(
                self.spec,
                store=self.store,
                clock=self.clock,
                rng=self.rng,
                metrics=self.metrics,
                on_result=self._attempted,
            )
            opened.push_async_callback(self._runtime.aclose)
            self._build(listener, started)
            asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
            opened.push_async_callback(self.delivery.close)
            opened.push_async_callback(self.delivery.stop, patience=0)
            await self.scope.watcher.take_pauses()
            self._runtime.hub.start()
            await self.delivery.start()
            opened.push_async_callback(self.scope.watcher.abandon)
            jobs = await self.scope.watcher.load()
            self._settle(jobs)
            opened.pop_all()
        self._schedule.start()
        if self.web is not None:
            self.web.start()
        await self.control.start()
        log.info(
            LogEvent.DAEMON_STARTED,
            version=__version__,
            jobs=jobs,
            projects=len(self.scope.pollers),
            channels=len(self.spec.channels),
        )
        self.notifier.ready(f"watching {jobs} jobs in {len(self.scope.pollers)} projects")
        if self._reload_pending:
            self._on_hangup()

    def _settle(self, jobs: int) -> None:
        """Arrange the memory of what was loaded, which stays: so many jobs, and all modules."""
        gc.freeze()  # so the collector need not scan them again and again
        if jobs >= MANY:
            self._settling = asyncio.get_running_loop().run_in_executor(None, use_huge_pages)

    async def stop(self) -> None:
        """Finish work in progress (within a few seconds), store everything, release the database."""
        self.notifier.stopping()
        await self.control.stop(patience=0)
        if self.reloader is not None:
            await self.reloader.stop()
        ends = await asyncio.gather(
            self._schedule.stop(patience=STOP_PATIENCE),
            *(discovery.stop() for discovery in self.scope.discoveries.values()),
            self.scope.watcher.stop(patience=QUERY_PATIENCE),
            self.delivery.stop(patience=STOP_PATIENCE),
            *([] if self.web is None else [self.web.stop()]),
            return_exceptions=True,
        )
        await self.delivery.close()
        await self.scope.end_gone()
        await self._runtime.aclose()
        if self._moved is not None:
            await asyncio.to_thread(self.store.part)
        self.store.close()
        log.info(LogEvent.DAEMON_STOPPED)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    @contextlib.asynccontextmanager
    async def running(self, ended: asyncio.Event) -> AsyncIterator[None]:
        """Start, and stop at the end of the block. Meanwhile `ended` is set by SIGTERM and SIGINT, when the
        terminal closes in the foreground, and when the database's file is gone."""
        self._ended = ended
        with _signals(ended, hung_up=ended.set if self.foreground else self._on_hangup), self._watching_output():
            await self.start()
            try:
                yield
            finally:
                await self.stop()

    async def run(self) -> None:
        """Start, wait for SIGTERM or SIGINT, stop. Raises DatabaseFault if the database's file was deleted or
        replaced meanwhile; a restart then uses the file that is there."""
        ended = asyncio.Event()
        async with self.running(ended):
            await ended.wait()
            log.info(LogEvent.DAEMON_STOPPING)
        if self._moved is not None:
            raise DatabaseFault(f"{self._moved}; restart wrapd")

    def alive(self) -> Health:
        """Whether the ticks ran recently and no project or channel hangs: for /healthz and systemd's watchdog."""
        return self._pulse.alive()

    def ready(self) -> Health:
        """Whether the daemon also polls and sends without errors of its own, and stores results in the file that
        commands use."""
        return self._pulse.ready(moved=(self._moved or self.store.moved()) is not None)

    def _listen(self) -> socket.socket | None:
        """Bind the web server's socket. This comes first, so that the database is not created or migrated while
        the address is in use. If a daemon on the same database uses it, that fault is raised instead."""
        if self.spec.web is None:
            return None
        try:
            return listen(self.spec.web.host, self.spec.web.port)
        except ConfigFault:
            if holder(database_path(self.spec.database_url)) is not None:
                self._open_store().close()
            raise

    def _open_store(self) -> Store:
        return Store.open(
            self.spec.database_url, clock=self.clock, daemon=True, auto_migrate=self.spec.auto_migrate
        )

    def _build(self, listener: socket.socket | None, started: float) -> None:
        runtime = self._runtime
        self.defects, self.delivery = runtime.defects, runtime.delivery
        self.scope = Scope(self.spec, runtime)
        if listener is not None:
            self.web = self._web(listener)
        self._orphans = OrphanWatch(self.spec, store=self.store, clock=self.clock, metrics=self.metrics)
        self.scope.follow(self._orphans.adopt)
        runtime.hub.listen(self._on_news)
        self._heartbeat = HeartbeatSender(
            self.spec.heartbeat, store=self.store, ready=self.ready, clock=self.clock, metrics=self.metrics
        )
        self._schedule = self._ticks()
        self._pulse = Pulse(
            clock=self.clock,
            started=started,
            schedule=self._schedule,
            store=self.store,
            lanes=self.delivery.dispatcher,
            projects=self.scope.pollers,
            operators=runtime.operators,
            send_timeout=self.spec.notify.send_timeout,
        )
        self.scope.follow(self._adopt)
        self.metrics.config_read(good=True, at=self.clock.now())
        if self.read is not None:
            self.reloader = Reloader(
                scope=self.scope,
                read=self.read,
                clock=self.clock,
                metrics=self.metrics,
                operators=runtime.operators,
                defects=runtime.defects,
                notifier=self.notifier,
            )
        self.control = ControlServer(
            database_path(self.spec.database_url).resolve(),
            self._handlers(),
            tasks=Tasks("control", self.defects),
        )

    def _handlers(self) -> dict[str, Handler]:
        """The requests that the control socket answers."""
        scope = self.scope
        asks = AskJobs(scope.pollers, scope.watcher.hint, store=self.store, clock=self.clock).handlers()
        if self.reloader is None:
            return asks
        own = {} if self.config is None else OwnConfig(self.config, self.reloader, clock=self.clock).handlers()
        return {"reload": self.reloader.answer, **own, **asks}

    def _adopt(self, spec: Spec) -> None:
        self.spec = spec
        self._pulse.send_timeout = spec.notify.send_timeout
        self._heartbeat.adopt(spec.heartbeat)

    def _ticks(self) -> Schedule:
        schedule = Schedule(self.clock, defect=lambda tick, error: self.defects.note("schedule", error, task=tick))
        schedule.every(POLL_TICK, "poll", self.scope.watcher.tick)
        schedule.every(CHANGES_TICK, "changes", self._changes)
        schedule.every(CHANGES_TICK, "operators", self._runtime.operators.flush)
        schedule.every(CHANGES_TICK, "orphans", self._orphans.tick)
        schedule.every(CHECKPOINT_TICK, "checkpoint", self.scope.watcher.checkpoint)
        schedule.every(DISCOVERY_TICK, "discovery", self._discover)
        schedule.every(CHANGES_TICK, "mutes", self.delivery.end_mutes)
        schedule.every(REMINDER_TICK, "reminder", self.delivery.remind)
        schedule.every(RETENTION_TICK, "retention", self._prune)
        schedule.every(HEARTBEAT_TICK, "heartbeat", self._heartbeat.tick)
        if self.notifier.watchdog_interval is not None:
            schedule.every(self.notifier.watchdog_interval / 3, "watchdog", self._feed_watchdog)
        return schedule

    def _web(self, listener: socket.socket) -> "WebServer":
        from daemon.web.api.overview import needs_of  # noqa: PLC0415 - as below
        from daemon.web.live import Live  # noqa: PLC0415
        from daemon.web.server import WebServer, build_app  # noqa: PLC0415 - loads Litestar, only if there is a web

        assert self.spec.web is not None, "there is a listener"
        watcher, tasks = self.scope.watcher, Tasks("web", self.defects)

        async def needs() -> int:
            return (await needs_of(context)).count

        live = Live(self.store, tasks=tasks, needs=needs, rng=self.rng)
        self._runtime.hub.listen(
            lambda news: live.hear(news.rows, missed=news.missed), wants_all=lambda: live.watched
        )
        context = WebContext(
            settings=self.spec.web,
            store=self.store,
            clock=self.clock,
            projects=tuple(self.scope.pollers),
            hint=watcher.hint,
            renew=partial(self.delivery.links.renew, patience=LINK_PATIENCE),
            durations=lambda: self._runtime.learning.durations,
            tasks=tasks,
            live=live,
            routing=self.spec.routing,
            channels=self.delivery.channel_facts(),
            test=self.delivery.send_test,
            give_up_after=self.spec.give_up_after,
        )

        def adopt(spec: Spec) -> None:
            assert spec.web is not None, "the server runs"
            if spec.web.token != context.settings.token:
                live.end(CONFIG_TOKEN)
            context.settings, context.routing = spec.web, spec.routing
            context.give_up_after = spec.give_up_after
            context.projects, context.channels = tuple(self.scope.pollers), self.delivery.channel_facts(spec)

        self.scope.follow(adopt)
        probes = Probes(alive=self.alive, ready=self.ready)
        app = build_app(probes, self._metrics_text, metrics_type=CONTENT_TYPE, context=context)
        return WebServer(app, listener, tasks=tasks, defects=self.defects, live=live)

    def _on_news(self, news: News) -> None:
        """Wake what waits for a change."""
        if news.tracked or news.of("pause"):
            self.scope.watcher.notice_soon()
        if news.missed:
            self._wake_all()
            return
        if news.of("mute"):
            self.delivery.notice()
        self.delivery.dispatcher.wake(news.channels)
        for project in news.discoveries & self.scope.discoveries.keys():
            self.scope.discoveries[project].notice()

    def _wake_all(self) -> None:
        """Have everything look at the store that waits for what is written to it."""
        self.delivery.notice()
        for discovery in self.scope.discoveries.values():
            discovery.notice()

    def _attempted(self, channel: ChannelName, outcome: AttemptOutcome) -> None:
        self.metrics.attempts.labels(channel, outcome).inc()
        if self.on_attempt is not None:
            self.on_attempt()

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error in a timer or unawaited task. Errors of the system (files, memory) are not defects."""
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.defects.note("loop", error)
        else:
            loop.default_exception_handler(context)

    async def _changes(self) -> None:
        await self._check_file()
        now = self.clock.monotonic()
        anyway = now - self._looked_at >= CHANGES_PATIENCE
        try:
            version = self.store.others_version()
            if version != self._version:
                self._runtime.hub.look()
            await self.scope.watcher.take_changes(anyway=anyway)
        except StoreError:  # logged by the writer and visible in readiness; the rest of this tick still runs
            self.metrics.store_errors.inc()
        else:
            self._version = version
            self._looked_at = now if anyway else self._looked_at
        if anyway:
            self._wake_all()

    async def _check_file(self) -> None:
        """Stop, to be restarted, if commands would write to another file than this daemon does."""
        if self._moved is not None or (moved := self.store.moved()) is None:
            return
        self._moved = moved
        log.error(LogEvent.DATABASE_REPLACED, what=moved)
        self.notifier.status(moved)
        await asyncio.to_thread(self.store.part)
        self._ended.set()

    @contextlib.contextmanager
    def _watching_output(self) -> Iterator[None]:
        """Count the log lines that cannot be written. If the person in the foreground is gone, stop."""
        loop = asyncio.get_running_loop()

        def lost(error: BaseException) -> None:
            self.metrics.log_lines_lost.inc()
            if self.foreground and isinstance(error, OSError) and error.errno in _READER_GONE:
                loop.call_soon_threadsafe(self._ended.set)

        OUTPUT.on_lost = lost
        try:
            yield
        finally:
            OUTPUT.on_lost = None

    async def _prune(self) -> None:
        await self.delivery.prune()
        try:
            await self._runtime.hub.prune()
        except StoreError:  # logged by the writer; the next round continues
            self.metrics.store_errors.inc()

    async def _discover(self) -> None:
        for discovery in tuple(self.scope.discoveries.values()):
            await discovery.tick()

    def _on_hangup(self) -> None:
        """Handle SIGHUP: read the config again."""
        if self.read is None:
            log.warning(LogEvent.SIGNAL_IGNORED, signal="SIGHUP")
        elif self.reloader is None:
            self._reload_pending = True
        else:
            self.reloader.ask()

    async def _feed_watchdog(self) -> None:
        if self.alive().ok:
            self.notifier.watchdog()

    async def _metrics_text(self) -> bytes:
        self.metrics.ready.set(self.ready().ok)
        backup = newest(self.store.path)
        self.metrics.backup_at.set(0 if backup is None else backup[0].timestamp())
        try:
            counts = await self.store.read_async(lambda tx: tx.deliveries.counts())
        except StoreError:  # no figure is better than an old one, and the other metrics are needed most now
            self.metrics.store_errors.inc()
            self.metrics.deliveries.clear()
            return self.metrics.text()
        for channel in self.spec.channels:
            for status in _UNSENT:
                self.metrics.deliveries.labels(channel, status).set(counts.get((channel, status), 0))
        return self.metrics.text()


@contextlib.contextmanager
def _signals(ended: asyncio.Event, *, hung_up: Callable[[], None]) -> Iterator[None]:
    """Handle signals; SIGHUP calls `hung_up`."""
    loop = asyncio.get_running_loop()
    actions = {
        signal.SIGTERM: ended.set,
        signal.SIGINT: ended.set,
        signal.SIGHUP: hung_up,
    }
    for number, action in actions.items():
        loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        for number in actions:
            loop.remove_signal_handler(number)
