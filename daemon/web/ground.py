"""What the web server stands on: the store, and what it may ask of the rest of the daemon.

Plain functions, so that it knows nothing of the watch and of the delivery. Never decides anything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daemon.clock import Clock
from daemon.domain.durations import Eta
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.routing import Routing
from daemon.logs import LogEvent, logger
from daemon.store import JobRow, Store, StoreError
from daemon.web.settings import WebSettings

log = logger(__name__)

Hint = Callable[[ProjectName, JobId], bool]
"""Have a job asked about at once; False where nobody watches it."""
KindOf = Callable[[ProjectName, JobId], Awaitable[str | None]]
"""The kind of a job, as the service says; None where it does not. Never raises, takes seconds at most."""
Renew = Callable[[JobRow], Awaitable[JobRow]]
"""The job with links that the service gave lately; as it is where the service gives none. Never raises, takes
seconds at most."""
EtaOf = Callable[[JobRow, datetime], Eta | None]
"""What remains of a job's production; None where nobody can say."""


class Tasks:
    """What goes on after an answer was given."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._ended = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin `work`. Its errors are logged; those of the store are by the store."""
        task = asyncio.get_running_loop().create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def spawn_later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin `work` in so many seconds, unless the end comes first."""

        def begin() -> None:
            self._timers.discard(timer)
            self.spawn(work())

        if not self._ended:
            timer = asyncio.get_running_loop().call_later(seconds, begin)
            self._timers.add(timer)

    @property
    def idle(self) -> bool:
        """Whether nothing goes on and nothing is to begin."""
        return not self._tasks and not self._timers

    async def end(self, *, patience: float) -> None:
        """Wait `patience` seconds for what is under way, then cancel it. What was to begin later never does."""
        self._ended = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except StoreError:
        return  # the writer has logged it; a click that is not counted, a kind that is not mended, do no harm
    except Exception as error:  # the answer was given: a bug here must not be silent
        log.error(LogEvent.WEB_FAILED, error=error, exc_info=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebGround:
    """The web server's surroundings. `tracked` is told that jobs were tracked: they are to be taken up at once."""

    settings: WebSettings
    store: Store
    clock: Clock
    projects: tuple[ProjectName, ...]
    hint: Hint
    tracked: Callable[[], None]
    kind_of: KindOf
    renew: Renew
    eta: EtaOf
    routing: Routing | None = None
    """Where the end of a batch is told whose last job goes over to another; None: nowhere."""
    tasks: Tasks = field(default_factory=Tasks)
