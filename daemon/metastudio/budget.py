"""How often a project may be asked: every request takes a permit first.

Owns the pace, so that the service never counts more than the rate + 1 in any closed second, however late requests
arrive there; and how the pace gives way to a service that says "too many". It must never send anything itself.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum
from itertools import count

from daemon.clock import Clock

_HELD = 0.02
"""Seconds that any permit may be kept: what a busy event loop takes from the permit to the wire."""
_LONGEST_HELD = 0.25
"""Seconds that no permit is kept, however slow the rate."""
_SECOND = 1.005
"""What is counted as a second: a little more, for clocks that do not agree."""
_UNDER_WAY = 0.5
"""Seconds after which an unanswered request is taken to have arrived: it waits there, not on the way."""
_RETURN = 0.5
"""Share of the fastest exchange that every answer needs for its way back."""
_FASTEST_FROM = 32
"""Exchanges before there is a fastest: the first ones open connections, which takes time on the way there."""
_RESTART_JITTER = 0.25
"""Seconds for which a request of a process that was killed may still be on its way."""
_SMALLEST = 1 / 32
"""Share of the rate below which no 429 brings it."""
_HALVED_AT_MOST = 1.0
"""Seconds between two halvings: requests that were under way together are refused together."""
_CLIMB = 60.0
"""Seconds without a 429 in which the rate is back."""
_USAGE_OVER = 10
"""Seconds over which the use is told, the present one included."""


class Priority(IntEnum):
    """Who goes first when several wait: the lower number."""

    FEED = -1  # one request that tells of all jobs
    NEWS = 0  # is there news of a job; and what such a question needs (a token)
    DETAIL = 1  # what completes an alert
    DISCOVERY = 2  # what may wait


class Permit:
    """The right to send one request now. It cannot be saved up: take it when all else is ready."""

    __slots__ = ("arrived_by", "priority", "taken_at", "used")

    def __init__(self, priority: Priority, taken_at: float) -> None:
        self.priority = priority
        self.taken_at = taken_at
        self.used = False
        self.arrived_by = taken_at
        """The latest moment at which the service may have got it. One that is not used is never sent late:
        `Budget.is_fresh` sees to that."""

    def spend(self, now: float | None = None) -> None:
        """Use the permit; `now` (monotonic seconds) is told where it is sent later than taken. Raises RuntimeError
        the second time: a request would go beside the budget."""
        if self.used:
            raise RuntimeError("a permit is for one request")
        self.used = True
        self.arrived_by = (self.taken_at if now is None else now) + _UNDER_WAY


class Budget:
    """Permits at `rate` a second (above 0), spaced by its inverse.

    Two rules keep what the service counts in a closed second at floor(rate) + 1:

    - Spacing. A permit that is taken a little late does not delay the next one, within a slack chosen so that the
      bound holds for what is taken: late ones counted from when they were due, a closed second holds the permits
      due in 1 s + slack, and `slack < (floor(rate) + 1 - rate) / rate` keeps that at floor(rate) + 1. Half of it
      is used.
    - Arrival. Requests do not arrive as they were sent: a busy machine, a new connection or a lost packet holds
      some back, and the next ones catch up. When one arrived is not known, but its answer bounds it (`answered`).
      While floor(rate) + 1 requests may have arrived within the last second no permit is given. Of any closed
      second at the service, look at the request that was permitted last: all others of that second were counted.

    A process before this one may have been killed a moment ago: `after_restart` waits until what it sent cannot
    count together with what is sent now. A 429 (`throttled`) halves the rate, which then climbs back.
    `sleep` is how `take` waits (tests pass theirs).
    """

    def __init__(
        self,
        rate: float,
        clock: Clock,
        *,
        after_restart: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._low = self.rate = math.inf
        self._bound_by(rate)
        self._clock = clock
        self._sleep = sleep
        self._due = -math.inf
        self._floor = -math.inf
        self._born = clock.monotonic()
        if after_restart:
            self._due = self._born + min(_SECOND, 1 / rate + self._slack) + _RESTART_JITTER
        self._recent: deque[Permit] = deque()
        self._exchanges = 0
        self._fastest = math.inf
        self._low_since = -math.inf
        self._halved_at = -math.inf
        self._used: deque[tuple[int, int]] = deque(maxlen=_USAGE_OVER)
        self._waiting: list[tuple[Priority, int, asyncio.Future[Permit]]] = []
        self._order = count()
        self._pump: asyncio.Task[None] | None = None

    def set_rate(self, rate: float) -> None:
        """Give permits at another rate from now on. What was given counts on: after a change no closed second
        holds more than the rate that was the higher one allows, nor, a second later, than the new one. Raises
        ValueError."""
        if rate != self.rate:
            self._bound_by(rate)

    def next_at(self) -> float:
        """The monotonic second from which the next permit is free (not later than now: it is free already)."""
        return max(self._due, self._floor, self._room_at(self._clock.monotonic()))

    def try_take(self, now: float, priority: Priority = Priority.NEWS) -> Permit | None:
        """A permit at once (`now`: monotonic seconds), or None: too early, or someone who goes first waits."""
        if now < self._due or now < self._floor or now < self._room_at(now):
            return None
        if not self.is_next(priority):
            return None
        return self._grant(now, priority)

    def is_next(self, priority: Priority) -> bool:
        """Whether the next permit is for whoever asks with `priority`: nobody waits who goes first."""
        return not self._waiting or self._first_waiting() > priority

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
        return self._clock.monotonic() <= permit.taken_at + min(max(self._slack, _HELD), _LONGEST_HELD)

    def answered(self, permit: Permit, *, sent_at: float, now: float) -> None:
        """The exchange of `permit` is over, well or not: its request has arrived by now if it ever did."""
        self._exchanges += 1
        self._fastest = min(self._fastest, now - sent_at)
        back = _RETURN * self._fastest if self._exchanges >= _FASTEST_FROM else 0.0
        permit.arrived_by = max(sent_at, min(permit.arrived_by, now - back))

    def pause_until(self, moment: float) -> None:
        """Give no permit before `moment` (monotonic seconds), as a Retry-After asks. The latest one counts."""
        self._floor = max(self._floor, moment)

    def throttled(self, now: float) -> None:
        """The service said "too many": halve the rate, at most once a second, to no less than a 32nd of what is
        set. It climbs back evenly within a minute, which begins when the pause that was asked for ends."""
        if now - self._halved_at < _HALVED_AT_MOST:
            return
        self._halved_at = now
        self._low = max(self.current_rate(now) / 2, self.rate * _SMALLEST)
        self._low_since = max(now, self._floor)

    def current_rate(self, now: float) -> float:
        """Permits a second at `now`: the rate, or less after a 429."""
        climbed = min(1.0, max(0.0, now - self._low_since) / _CLIMB)
        return self.rate if climbed == 1.0 else self._low + (self.rate - self._low) * climbed

    def usage(self, now: float) -> float:
        """Share of the permits that were taken over the last 10 s (at the start: since then), 0 to 1; after a 429
        of those that the current rate gives."""
        begin = max(math.floor(now) - _USAGE_OVER + 1.0, self._born)
        used = sum(number for second, number in self._used if second >= math.floor(begin))
        return min(1.0, used / (max(1.0, now - begin) * self.current_rate(now)))

    async def aclose(self) -> None:
        """Send everybody who waits away (their `take` is cancelled)."""
        for _, _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
            self._pump = None

    def _bound_by(self, rate: float) -> None:
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError(f"the rate must be above 0, not {rate!r}")
        self.rate, self._low = rate, min(rate, self._low)
        self._slack = 0.5 * (math.floor(rate) + 1 - rate) / rate
        self._most = math.floor(rate) + 1

    def _grant(self, now: float, priority: Priority) -> Permit:
        self._due = max(self._due, now - self._slack) + 1 / self.current_rate(now)
        second = math.floor(now)
        if self._used and self._used[-1][0] == second:
            self._used[-1] = (second, self._used[-1][1] + 1)
        else:
            self._used.append((second, 1))
        permit = Permit(priority, now)
        self._recent.append(permit)
        return permit

    def _room_at(self, now: float) -> float:
        """The second from which no more than `rate` requests may have arrived within a second."""
        recent, begin = self._recent, now - _SECOND
        while recent and recent[0].arrived_by < begin:
            recent.popleft()
        if len(recent) < self._most:
            return -math.inf
        arrived = [permit.arrived_by for permit in recent if permit.arrived_by >= begin]
        over = len(arrived) - self._most
        if over < 0:
            return -math.inf
        return heapq.nsmallest(over + 1, arrived)[-1] + _SECOND

    def _first_waiting(self) -> float:
        """The priority of who goes next; +inf when nobody waits any more."""
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)  # its caller gave up
        return self._waiting[0][0] if self._waiting else math.inf

    async def _serve(self) -> None:
        try:
            while self._first_waiting() < math.inf:
                try:
                    await self._serve_next()
                except Exception as error:  # noqa: BLE001 - whoever is next hears of it; nobody waits for ever
                    future = heapq.heappop(self._waiting)[2]
                    if not future.done():
                        future.set_exception(error)
        finally:
            self._pump = None

    async def _serve_next(self) -> None:
        """Wait for the next permit, or give it."""
        now = self._clock.monotonic()
        wait = self.next_at() - now
        if wait > 0:
            await self._sleep(wait)
            return
        priority, _, future = self._waiting[0]
        permit = self._grant(now, priority)
        heapq.heappop(self._waiting)
        future.set_result(permit)
