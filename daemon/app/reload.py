"""Reloads a changed config while the daemon runs: reads it, checks it, and puts it in place of the old one. A
check only reports what a reload would change.

Reloads and checks run one after the other. A config with a fault changes nothing and is reported once.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from daemon.app.changes import changes
from daemon.app.scope import Scope
from daemon.clock import Clock
from daemon.domain.events import Event
from daemon.errors import ConfigFault, WrapdError
from daemon.logs import MASKS, LogEvent, logger, set_level
from daemon.metrics import Metrics
from daemon.operators import Operators
from daemon.spec import Spec
from daemon.systemd import Notifier, credentials
from daemon.tasks import Defects, Tasks, Worker, where_of
from daemon.web import WebSettings

log = logger(__name__)

T = TypeVar("T")
Read = Callable[[], tuple[Spec, Sequence[str]]]
"""Reads the config as at a start; returns the spec and warnings. Blocking; raises ConfigFault."""

LONGEST_READ = 60.0
"""Seconds within which the config must be read, with its secrets and templates."""
_MAX_FAULTS = 3
"""Maximum faults in the operators' message."""


class Reloaded(Struct, frozen=True, kw_only=True):
    """The result of a reload. `changed`: one line for each difference; `faults`: why the config was refused, each
    with its place; `needs_restart`: keys that take effect only after a restart. Contains no secrets."""

    changed: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the config is in use."""
        return not self.faults


class ConfigRead(Struct, frozen=True, kw_only=True):
    """A config that was read, and what a reload would change. No secrets except in `spec`."""

    spec: Spec
    """The complete spec, before `usable`."""
    warnings: tuple[str, ...]
    """Valid but unwise settings."""
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


class ConfigRefused(Struct, frozen=True, kw_only=True):
    """Why the config cannot be used: as one text, and as separate faults, each with its place. No secrets."""

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
        """The faults of the last refusal that was reported to the operators."""
        self._since = clock.now()

    @property
    def running(self) -> tuple[Spec, datetime]:
        """The spec in use, and when it was read."""
        return self._scope.spec, self._since

    def ask(self) -> None:
        """Reload soon; the log reports the result."""
        if self._next is None:
            self._next = self._tasks.spawn("reload", self._reload_in_turn())

    async def reload(self) -> Reloaded:
        """Reload after the one in progress, if any. Callers that arrive while one waits share it."""
        self.ask()
        assert self._next is not None
        return await asyncio.shield(self._next) or Reloaded(faults=(_BROKEN,))

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """Handle the request of the control socket."""
        del request
        return {**asdict(await self.reload()), "credentials": credentials()}

    async def check(self) -> ConfigRead | ConfigRefused:
        """Report what a reload would change. Callers that arrive while one waits share it."""
        if self._check is None:
            self._check = self._tasks.spawn("check", self._check_in_turn())
        return await asyncio.shield(self._check) or ConfigRefused(text=_BROKEN, faults=(_BROKEN,))

    async def stop(self) -> None:
        """Start no more reloads. One in progress either has been applied or never will be."""
        await self._tasks.end(patience=0)

    async def _reload_in_turn(self) -> Reloaded:
        async with self._turn:
            self._next = None  # later callers may mean a later version of the file
            return await self._reload()

    async def _check_in_turn(self) -> ConfigRead | ConfigRefused:
        async with self._turn:
            self._check = None  # later callers may mean a later version of the file
            return await self._read_config()

    async def _read_config(self) -> ConfigRead | ConfigRefused:
        try:
            spec, doubts = await in_its_own_thread(self._read)
            running = self._scope.spec
            return ConfigRead(
                spec=spec,
                warnings=tuple(doubts),
                changed=changes(running, spec),
                needs_restart=usable(running, spec)[1],
            )
        except WrapdError as error:
            return _refused(error)
        except Exception as error:  # noqa: BLE001 - caused by the new config, or by reading it
            return self._broken(error)

    async def _reload(self) -> Reloaded:
        found = await self._read_config()
        if isinstance(found, ConfigRefused):
            return self._refuse(found.faults)
        spec, _ = usable(self._scope.spec, found.spec)
        try:
            made = await self._scope.make(spec)
        except WrapdError as error:
            return self._refuse(_refused(error).faults)
        except Exception as error:  # noqa: BLE001 - as above
            return self._refuse(self._broken(error).faults)
        self._scope.swap(made)
        self._since = self._clock.now()
        set_level(spec.log_level)
        for doubt in found.warnings:
            log.warning(LogEvent.CONFIG_DOUBTFUL, what=doubt)
        log.info(LogEvent.CONFIG_RELOADED, changed=found.changed, needs_restart=found.needs_restart)
        self._refused = ()
        self._metrics.config_read(good=True, at=self._since)
        self._metrics.config_reloads.labels("ok").inc()
        self._notifier.status(f"watching {len(spec.projects)} projects; the config was reloaded")
        await self._scope.end_gone()
        return Reloaded(changed=found.changed, needs_restart=found.needs_restart)

    def _broken(self, error: Exception) -> ConfigRefused:
        self._defects.note("reload", error)
        text = f"{_BROKEN} ({where_of(error)})"
        return ConfigRefused(text=text, faults=(text,))

    def _refuse(self, faults: tuple[str, ...]) -> Reloaded:
        """Continue with the current config. The operators are notified of each refusal once."""
        log.error(LogEvent.CONFIG_REFUSED, faults=faults)
        self._metrics.config_read(good=False, at=self._clock.now())
        self._metrics.config_reloads.labels("refused").inc()
        self._notifier.status("the changed config has a fault: the last good one stays in use")
        if faults != self._refused:
            self._refused = faults
            more = len(faults) - _MAX_FAULTS
            shown = [*faults[:_MAX_FAULTS], *([f"and {more} more"] if more > 0 else [])]
            self._operators.tell(Event.CONFIG_REFUSED, "config", reason="; ".join(shown))
        return Reloaded(faults=faults)


_BROKEN = "wrapd met an error of its own while it read the config; its log has more"


def usable(running: Spec, read: Spec) -> tuple[Spec, tuple[str, ...]]:
    """The part of a spec that can be used without a restart, and the keys that cannot."""
    web, later = _usable_web(running.web, read.web)
    fixed = ("database_url", "database.url"), ("log_format", "log.format")
    later += tuple(key for name, key in fixed if getattr(running, name) != getattr(read, name))
    return replace(read, database_url=running.database_url, log_format=running.log_format, web=web), later


def _usable_web(
    running: WebSettings | None, read: WebSettings | None
) -> tuple[WebSettings | None, tuple[str, ...]]:
    """The web server stays where it listens, or stays off."""
    if running is None or read is None:
        return running, () if running is read else ("web.enabled",)
    if (running.host, running.port) == (read.host, read.port):
        return read, ()
    try:
        return dataclasses.replace(read, host=running.host, port=running.port), ("web.listen",)
    except ConfigFault:  # it may not listen there without a token
        return running, ("web.listen", "web.token")


async def in_its_own_thread(work: Callable[[], T]) -> T:
    """Run `work` in its own thread, since it may hang, for example on a secret's file. Neither a stop nor another
    reload waits for it. Raises ConfigFault if it takes too long; the thread is abandoned then."""
    worker = Worker("wrapd-config")
    try:
        async with asyncio.timeout(LONGEST_READ):
            return await worker.run(work)
    except TimeoutError:
        raise ConfigFault(
            f"reading the config takes more than {LONGEST_READ:g} s; is a file of it a pipe, or on a hanging disk?"
        ) from None
    finally:
        worker.stop()


def _refused(error: WrapdError) -> ConfigRefused:
    each = error.each if isinstance(error, ConfigFault) else (str(error),)
    return ConfigRefused(text=MASKS.apply(str(error)), faults=tuple(map(MASKS.apply, each)))
