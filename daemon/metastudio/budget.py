"""How often a project may be asked: every request takes a permit first.

Owns the pace: permits are spaced, never saved up, so no closed second holds more than the rate + 1. It must never
send anything itself.
"""

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable
from enum import IntEnum
from itertools import count

from daemon.clock import Clock

_HELD = 0.02
"""Seconds that any permit may be kept: what a busy event loop takes from the permit to the wire."""


class Priority(IntEnum):
    """Who goes first when several wait: the lower number."""

    NEWS = 0  # is there news of a job; and what such a question needs (a token)
    DETAIL = 1  # what completes an alert
    DISCOVERY = 2  # what may wait


class Permit:
    """The right to send one request now. It cannot be saved up: take it when all else is ready."""

    __slots__ = ("priority", "taken_at", "used")

    def __init__(self, priority: Priority, taken_at: float) -> None:
        self.priority = priority
        self.taken_at = taken_at
        self.used = False

    def spend(self) -> None:
        """Use the permit. Raises RuntimeError the second time: a request would go beside the budget."""
        if self.used:
            raise RuntimeError("a permit is for one request")
        self.used = True


class Budget:
    """Permits at `rate` a second (above 0), spaced by 1/rate.

    A permit that is taken a little late does not delay the next one, within a slack chosen so that the bound
    holds: with late ones counted from when they were due, a closed second holds the permits due in 1 s + slack,
    and `slack < (floor(rate) + 1 - rate) / rate` keeps that at floor(rate) + 1. Half of that is used here; the
    other half is left for the way from the permit to the wire. `sleep` is how `take` waits (tests pass theirs).
    """

    def __init__(
        self, rate: float, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError(f"the rate must be above 0, not {rate!r}")
        self.rate = rate
        self._clock = clock
        self._sleep = sleep
        self._gap = 1.0 / rate
        self._slack = 0.5 * (math.floor(rate) + 1 - rate) / rate
        self._due = -math.inf
        self._floor = -math.inf
        self._waiting: list[tuple[Priority, int, asyncio.Future[Permit]]] = []
        self._order = count()
        self._pump: asyncio.Task[None] | None = None

    def next_at(self) -> float:
        """The monotonic second from which the next permit is free (not later than now: it is free already)."""
        return max(self._due, self._floor)

    def try_take(self, now: float, priority: Priority = Priority.NEWS) -> Permit | None:
        """A permit at once (`now`: monotonic seconds), or None: too early, or someone who goes first waits."""
        if now < self._due or now < self._floor:
            return None
        if self._waiting and self._first_waiting() <= priority:
            return None
        return self._grant(now, priority)

    async def take(self, priority: Priority) -> Permit:
        """Wait for a permit. Among those who wait the lower priority goes first, then who came first."""
        permit = self.try_take(self._clock.monotonic(), priority)
        if permit is not None:
            return permit
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), future))
        if self._pump is None:
            self._pump = asyncio.create_task(self._serve(), name="budget")
        return await future

    def is_fresh(self, permit: Permit) -> bool:
        """Whether `permit` may still be used: one that is kept while others are given would break the pace."""
        return self._clock.monotonic() <= permit.taken_at + max(self._slack, _HELD)

    def pause_until(self, moment: float) -> None:
        """Give no permit before `moment` (monotonic seconds), as a Retry-After asks. The latest one counts."""
        self._floor = max(self._floor, moment)

    async def aclose(self) -> None:
        """Send everybody who waits away (their `take` is cancelled)."""
        for _, _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
            self._pump = None

    def _grant(self, now: float, priority: Priority) -> Permit:
        self._due = max(self._due, now - self._slack) + self._gap
        return Permit(priority, now)

    def _first_waiting(self) -> float:
        """The priority of who goes next; +inf when nobody waits any more."""
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)  # its caller gave up
        return self._waiting[0][0] if self._waiting else math.inf

    async def _serve(self) -> None:
        try:
            while self._first_waiting() < math.inf:
                now = self._clock.monotonic()
                wait = self.next_at() - now
                if wait > 0:
                    await self._sleep(wait)
                    continue
                priority, _, future = heapq.heappop(self._waiting)
                future.set_result(self._grant(now, priority))
        finally:
            self._pump = None
