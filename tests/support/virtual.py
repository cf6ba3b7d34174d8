"""A daemon in an event loop whose time is a ManualClock: when the loop is idle, time jumps to the next timer.

Threads and sockets work as usual: while something counted as `busy` is under way, the loop waits in real time and
the clock stands still.
"""

import asyncio
import functools
import selectors
import time
from collections.abc import Awaitable, Callable
from typing import Any

from daemon.app import run
from daemon.clock import ManualClock
from daemon.schedule import Schedule
from daemon.store import Store
from daemon.tasks import Worker
from daemon.transport import Transport

_GIVEN = 0.02
"""Real seconds of one wait for busy work."""
_STUCK = 5.0
"""Real seconds after which busy work is assumed to wait for time to pass."""


class Busy:
    """Counts work outside of the loop, in threads and over sockets."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return `call` as a function during which the clock stands still."""

        @functools.wraps(call)
        async def counting(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            try:
                return await call(*arguments, **more)
            finally:
                self.count -= 1

        return counting


class _Selector(selectors.DefaultSelector):
    """Polls without waiting; if nothing is ready and nothing is busy, advances the clock."""

    clock: ManualClock
    busy: Busy

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        given_up = time.monotonic() + _STUCK
        while self.busy.count and time.monotonic() < given_up:
            if ready := super().select(_GIVEN):
                return ready
        if timeout is None:
            return super().select(_GIVEN)
        self.clock.advance(timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`asyncio.Runner(loop_factory=lambda: VirtualLoop(clock, busy))`."""

    def __init__(self, clock: ManualClock, busy: Busy) -> None:
        self._clock, self._busy = clock, busy
        selector = _Selector()
        selector.clock, selector.busy = clock, busy
        super().__init__(selector)

    def time(self) -> float:
        return self._clock.monotonic()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self._busy.count += 1
        future.add_done_callback(self._less)
        return future

    def _less(self, _future: object) -> None:
        self._busy.count -= 1


class Ticks(Schedule):
    """The daemon's schedule on the loop's time."""

    def start(self) -> None:
        self._running = [asyncio.create_task(self._again(tick)) for tick in self._ticks.values()]

    async def stop(self, *, patience: float = 0.0) -> None:
        del patience
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _again(self, tick: Any) -> None:
        while True:
            await asyncio.sleep(tick.seconds)
            await self._run(tick)


def stand_in(put: Callable[[Any, str, Any], None], busy: Busy) -> None:
    """Count a daemon's work in threads and over sockets as busy, and run its schedule on the loop's time. `put` is
    `setattr`, or a test's `monkeypatch.setattr`."""
    for owner, name in ((Store, "write"), (Worker, "run"), (Transport, "exchange")):
        put(owner, name, busy.counted(getattr(owner, name)))
    put(run, "Schedule", Ticks)
    put(run, "POLL_TICK", 0.25)
