"""Taking a changed config into use while the daemon runs: read it, check it, put it in place of the old one; and a
check, which only says what that would come to.

Owns that reloads and checks come one after the other, what is said of each, and what needs a restart. A config
with a fault changes nothing and is told once. Must never end the daemon.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TypeVar

from daemon.app.changes import changes
from daemon.app.scope import Scope
from daemon.clock import Clock
from daemon.domain.events import Event
from daemon.errors import ConfigFault, WrapdError
from daemon.logs import MASKS, LogEvent, logger, set_level
from daemon.metrics import Metrics
from daemon.operators import Operators
from daemon.plan import Plan
from daemon.systemd import Notifier, credentials
from daemon.tasks import Defects, Tasks, Worker, where_of
from daemon.web import WebSettings

log = logger(__name__)

T = TypeVar("T")
Read = Callable[[], tuple[Plan, Sequence[str]]]
"""Reads the config as a start does: the plan, and what is allowed but unwise. Blocks; raises ConfigFault."""

LONGEST_READ = 60.0
"""Seconds that the config, with its secrets and templates, may take to be read."""
_FAULTS_TOLD = 3
"""Faults that the operators' message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a reload came to. `changed`: what differs from before, a line for each; `faults`: why the config was
    refused, each with its place; `needs_restart`: what of it is used after a restart only. No secrets."""

    changed: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the config is in use."""
        return not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRead:
    """The config as it was read anew, and what a reload with it would come to. No secrets but in `plan`."""

    plan: Plan
    """What it asks for, before `usable`."""
    warnings: tuple[str, ...]
    """What is allowed but unwise."""
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRefused:
    """Why the config cannot be used: as one text, and fault by fault, each with its place. No secrets."""

    text: str
    faults: tuple[str, ...]


class Reloader:
    """Reloads the config of a running daemon, and checks it."""

    def __init__(
        self,
        *,
        scope: Scope,
        read: Read,
        clock: Clock,
        metrics: Metrics,
        operators: Operators,
        defects: Defects,
        notifier: Notifier,
    ) -> None:
        self._scope = scope
        self._read = read
        self._clock = clock
        self._metrics = metrics
        self._operators = operators
        self._defects = defects
        self._notifier = notifier
        self._tasks = Tasks("reload", defects)
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Reloaded | None] | None = None
        self._check: asyncio.Task[ConfigRead | ConfigRefused | None] | None = None
        self._refused: tuple[str, ...] = ()
        """The faults that the operators were told of last."""
        self._since = clock.now()

    @property
    def running(self) -> tuple[Plan, datetime]:
        """The plan that is in use, and when it was read."""
        return self._scope.plan, self._since

    def ask(self) -> None:
        """Reload soon; the log says what came of it."""
        if self._next is None:
            self._next = self._tasks.spawn("reload", self._in_turn())

    async def reload(self) -> Reloaded:
        """Reload after what is under way, and say what came of it. Who asks while one waits shares it."""
        self.ask()
        assert self._next is not None
        return await asyncio.shield(self._next) or Reloaded(faults=(_BROKEN,))

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """The same for the control socket."""
        del request
        return {**asdict(await self.reload()), "credentials": credentials()}

    async def check(self) -> ConfigRead | ConfigRefused:
        """What a reload would come to. Changes nothing, tells nobody. Who asks while one waits shares it."""
        if self._check is None:
            self._check = self._tasks.spawn("check", self._check_in_turn())
        return await asyncio.shield(self._check) or ConfigRefused(text=_BROKEN, faults=(_BROKEN,))

    async def stop(self) -> None:
        """Begin none any more. One that is under way has been put in place, or never will be."""
        await self._tasks.end(patience=0)

    async def _in_turn(self) -> Reloaded:
        async with self._turn:
            self._next = None  # who asks from now on may mean a later file
            return await self._reload()

    async def _check_in_turn(self) -> ConfigRead | ConfigRefused:
        async with self._turn:
            self._check = None  # who asks from now on may mean a later file
            return await self._read_anew()

    async def _read_anew(self) -> ConfigRead | ConfigRefused:
        try:
            plan, doubts = await in_its_own_thread(self._read)
            running = self._scope.plan
            return ConfigRead(
                plan=plan,
                warnings=tuple(doubts),
                changed=changes(running, plan),
                needs_restart=usable(running, plan)[1],
            )
        except WrapdError as error:
            return _refused(error)
        except Exception as error:  # noqa: BLE001 - what is wrong is in the new config, or in the reading of it
            return self._broken(error)

    async def _reload(self) -> Reloaded:
        found = await self._read_anew()
        if isinstance(found, ConfigRefused):
            return self._refuse(found.faults)
        plan, _ = usable(self._scope.plan, found.plan)
        try:
            made = await self._scope.make(plan)
        except WrapdError as error:
            return self._refuse(_refused(error).faults)
        except Exception as error:  # noqa: BLE001 - as above
            return self._refuse(self._broken(error).faults)
        self._scope.swap(made)
        self._since = self._clock.now()
        set_level(plan.log_level)
        for doubt in found.warnings:
            log.warning(LogEvent.CONFIG_DOUBTFUL, what=doubt)
        log.info(LogEvent.CONFIG_RELOADED, changed=found.changed, needs_restart=found.needs_restart)
        self._refused = ()
        self._metrics.config_read(good=True, at=self._since)
        self._metrics.config_reloads.labels("ok").inc()
        self._notifier.status(f"watching {len(plan.projects)} projects; the config was reloaded")
        await self._scope.end_gone()
        return Reloaded(changed=found.changed, needs_restart=found.needs_restart)

    def _broken(self, error: Exception) -> ConfigRefused:
        self._defects.note("reload", error)
        text = f"{_BROKEN} ({where_of(error)})"
        return ConfigRefused(text=text, faults=(text,))

    def _refuse(self, faults: tuple[str, ...]) -> Reloaded:
        """Go on with the config that runs. The operators hear of each refusal once."""
        log.error(LogEvent.CONFIG_REFUSED, faults=faults)
        self._metrics.config_read(good=False, at=self._clock.now())
        self._metrics.config_reloads.labels("refused").inc()
        self._notifier.status("the changed config has a fault: the last good one stays in use")
        if faults != self._refused:
            self._refused = faults
            more = len(faults) - _FAULTS_TOLD
            told = [*faults[:_FAULTS_TOLD], *([f"and {more} more"] if more > 0 else [])]
            self._operators.tell(Event.CONFIG_REFUSED, "config", reason="; ".join(told))
        return Reloaded(faults=faults)


_BROKEN = "wrapd met an error of its own while it read the config; its log has more"


def usable(running: Plan, read: Plan) -> tuple[Plan, tuple[str, ...]]:
    """What of a plan can be used without a restart, and what cannot."""
    web, later = _usable_web(running.web, read.web)
    fixed = ("database_url", "database.url"), ("log_format", "log.format")
    later += tuple(key for name, key in fixed if getattr(running, name) != getattr(read, name))
    return replace(read, database_url=running.database_url, log_format=running.log_format, web=web), later


def _usable_web(
    running: WebSettings | None, read: WebSettings | None
) -> tuple[WebSettings | None, tuple[str, ...]]:
    """The server goes on where it listens, or does not run at all."""
    if running is None or read is None:
        return running, () if running is read else ("web.enabled",)
    if (running.host, running.port) == (read.host, read.port):
        return read, ()
    try:
        return replace(read, host=running.host, port=running.port), ("web.listen",)
    except ConfigFault:  # without a token it may not listen there
        return running, ("web.listen", "web.token")


async def in_its_own_thread(work: Callable[[], T]) -> T:
    """What `work` gives, which may hang, as a secret's file may. Neither a stop nor the next reload waits
    for it. Raises ConfigFault where it takes too long; the thread is left behind then."""
    worker = Worker("wrapd-config")
    try:
        async with asyncio.timeout(LONGEST_READ):
            return await worker.run(work)
    except TimeoutError:
        raise ConfigFault(
            f"the config is not read within {LONGEST_READ:g} s; is one of its files a pipe, or on a hanging disk?"
        ) from None
    finally:
        worker.stop()


def _refused(error: WrapdError) -> ConfigRefused:
    each = error.each if isinstance(error, ConfigFault) else (str(error),)
    return ConfigRefused(text=MASKS.apply(str(error)), faults=tuple(map(MASKS.apply, each)))
