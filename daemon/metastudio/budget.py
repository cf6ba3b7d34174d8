"""The request budget of a project: every request takes a permit first.

Owns the rate limit: the service never counts more than the rate + 1 requests in any closed second, however late
they arrive. Also owns the slow-down after a 429. Sending is left to `session`.
"""

import asyncio
import heapq
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from itertools import count

from daemon.clock import Clock

_HELD = 0.02
"""Seconds that a permit stays valid at any rate: the time from permit to wire in a busy event loop."""
_LONGEST_HELD = 0.25
"""Maximum validity of a permit in seconds, however slow the rate."""
_SECOND = 1.005
"""Length of a counted second, with a margin for disagreeing clocks."""
_IN_TRANSIT = 0.5
"""Seconds after which an unanswered request counts as arrived: it is then waiting at the service."""
_WAY_BACK = 0.5
"""Share of the fastest exchange that every answer takes for its way back."""
_FASTEST_FROM = 32
"""Number of exchanges before the fastest one is used: the first ones include opening connections."""
_RESTART_JITTER = 0.25
"""Seconds for which a request of a killed process may still be in transit."""
_SMALLEST = 1 / 32
"""Minimum share of the rate after any number of 429s."""
_HALVED_AT_MOST = 1.0
"""Minimum seconds between halvings: requests in flight together are refused together."""
_CLIMB = 60.0
"""Seconds without a 429 until the full rate is restored."""
_EARLY = 1.0
"""Seconds by which an urgent permit may come before it is due: ends at once need not wait while a second's permits
last."""
_SHORTEST_NAP = 0.0001
"""Shortest sleep in seconds."""
_USAGE_OVER = 10
"""Seconds over which usage is measured, including the present one."""


class Priority(IntEnum):
    """Order among waiting requests: the lowest number goes first."""

    FEED = -2  # one request covers many jobs that may have ended
    URGENT = -1  # a job is said to have ended, or an alert waits for the answer
    NEWS = 0  # news of jobs, and what such a request needs (a token)
    DETAIL = 1  # completes an alert
    DISCOVERY = 2  # can wait


class Permit:
    """The right to send one request now. It expires soon: take it when everything else is ready."""

    __slots__ = ("arrived_by", "priority", "taken_at", "used")

    def __init__(self, priority: Priority, taken_at: float) -> None:
        self.priority = priority
        self.taken_at = taken_at
        self.used = False
        self.arrived_by = taken_at
        """The latest time at which the request may have arrived. `Budget.is_fresh` prevents later use."""

    def spend(self, now: float | None = None) -> None:
        """Use the permit, at `now` (monotonic seconds) if that is later than it was taken. Raises RuntimeError if
        it is used already: a second request would exceed the budget."""
        if self.used:
            raise RuntimeError("a permit is for one request")
        self.used = True
        self.arrived_by = (self.taken_at if now is None else now) + _IN_TRANSIT


class Budget:
    """Permits at `rate` per second (above 0), spaced by its inverse.

    Two rules limit the requests that the service counts in a closed second to floor(rate) + 1:

    - Spacing. A permit taken slightly late does not delay the next one, within a slack that preserves the bound: a
    closed second holds the permits due in 1 s + slack, and `slack < (floor(rate) + 1 - rate) / rate` keeps that at
    floor(rate) + 1. Half of this slack is used.
    - Arrival. Requests do not arrive at the spacing of sending: a busy machine, a new connection or a lost packet
    delays some, and the next ones catch up. The arrival time is unknown, but the answer bounds it (`answered`).
    While floor(rate) + 1 requests may have arrived within the last second, no permit is given. For any closed
    second at the service, all its requests were counted when the last one of them was permitted.

    An urgent permit comes up to `_EARLY` seconds before the spacing has it due, and the next ones that much
    later: the second rule holds the bound, with one request less. Not after a 429. An earlier process may have
    taken its permits early, so the second permit after a restart waits until its requests no longer count.

    `after_restart` waits until requests of a previous process, which may just have been killed, cannot count
    together with new ones. A 429 (`throttled`) halves the rate, which then recovers. `take` waits with `sleep`.
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
        self._alone_from = self._born + _SECOND + _RESTART_JITTER if after_restart else -math.inf
        """When requests of a previous process no longer count."""
        self._recent: deque[Permit] = deque()
        self._exchanges = 0
        self._fastest = math.inf
        self._low_since = -math.inf
        self._halved_at = -math.inf
        self._used: deque[tuple[int, Counter[Priority]]] = deque(maxlen=_USAGE_OVER)
        """The permits of each second in which there were any."""
        self._waiting: list[tuple[Priority, int, asyncio.Future[Permit]]] = []
        self._order = count()
        self._pump: asyncio.Task[None] | None = None
        self._nap: asyncio.Future[None] | None = None
        """The pump's sleep until the next permit is free."""

    def set_rate(self, rate: float) -> None:
        """Change the rate. Earlier permits still count: a closed second across the change holds no more than the
        higher of both rates allows, and a second later no more than the new one. Raises ValueError."""
        if rate != self.rate:
            self._bound_by(rate)

    def next_at(self, priority: Priority = Priority.NEWS) -> float:
        """When the next permit is available, in monotonic seconds; in the past if it is available now."""
        return self._free_at(self._clock.monotonic(), priority)

    def spare(self, now: float) -> int:
        """How many urgent permits can be taken at once at `now` (monotonic seconds)."""
        if now < self._free_at(now, Priority.URGENT):
            return 0
        return max(1, self._early_most - len(self._arrived(now))) if self._may_be_early(now) else 1

    def try_take(self, now: float, priority: Priority = Priority.NEWS) -> Permit | None:
        """A permit at `now` (monotonic seconds); None if it is too early or another request goes first."""
        if now < self._free_at(now, priority) or not self.is_next(priority):
            return None
        return self._grant(now, priority)

    def is_next(self, priority: Priority) -> bool:
        """Whether a caller with `priority` gets the next permit: no waiting request goes first."""
        return not self._waiting or self._first_waiting() > priority

    async def take(self, priority: Priority) -> Permit:
        """Wait for a permit. The lowest `Priority` number goes first, then the earliest caller."""
        permit = self.try_take(self._clock.monotonic(), priority)
        if permit is not None:
            return permit
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), future))
        if self._nap is not None and self._waiting[0][2] is future:
            self._nap.cancel()  # it is free sooner than the permit of the caller before which it goes
        if self._pump is None:
            self._pump = asyncio.create_task(self._serve(), name="budget")
        return await future

    def is_fresh(self, permit: Permit) -> bool:
        """Whether `permit` is still valid: using it after later ones were given would exceed the rate."""
        return self._clock.monotonic() <= permit.taken_at + min(max(self._slack, _HELD), _LONGEST_HELD)

    def answered(self, permit: Permit, *, sent_at: float, now: float) -> None:
        """The exchange of `permit` has ended, with any result: its request has arrived by now, if at all."""
        self._exchanges += 1
        self._fastest = min(self._fastest, now - sent_at)
        back = _WAY_BACK * self._fastest if self._exchanges >= _FASTEST_FROM else 0.0
        permit.arrived_by = max(sent_at, min(permit.arrived_by, now - back))

    def pause_until(self, moment: float) -> None:
        """Give no permit before `moment` (monotonic seconds), for a Retry-After. The latest one counts."""
        self._floor = max(self._floor, moment)

    def throttled(self, now: float) -> None:
        """The service answered 429: halve the rate, at most once a second and to no less than a 32nd of the
        configured one. It recovers linearly within a minute after the end of any requested pause."""
        if now - self._halved_at < _HALVED_AT_MOST:
            return
        self._halved_at = now
        self._low = max(self.current_rate(now) / 2, self.rate * _SMALLEST)
        self._low_since = max(now, self._floor)

    def current_rate(self, now: float) -> float:
        """Permits per second at `now`: the rate, or less after a 429."""
        climbed = min(1.0, max(0.0, now - self._low_since) / _CLIMB)
        return self.rate if climbed == 1.0 else self._low + (self.rate - self._low) * climbed

    def usage(self, now: float) -> float:
        """Share (0 to 1) of the permits at the current rate that were used in the last 10 s, or since the
        start."""
        used = self.used(now).values()
        return min(1.0, sum(used) / (max(1.0, now - self._used_from(now)) * self.current_rate(now)))

    def used(self, now: float) -> Mapping[Priority, int]:
        """How many permits of each priority were used in that time."""
        begin, found = math.floor(self._used_from(now)), Counter[Priority]()
        for second, permits in self._used:
            if second >= begin:
                found.update(permits)
        return found

    async def aclose(self) -> None:
        """Cancel all waiting calls of `take`."""
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
        self._early_most = max(1, self._most - 1)

    def _grant(self, now: float, priority: Priority) -> Permit:
        self._due = max(self._due, now - self._slack) + 1 / self.current_rate(now)
        if now < self._alone_from:
            self._due = max(self._due, self._alone_from)
        second = math.floor(now)
        if not self._used or self._used[-1][0] != second:
            self._used.append((second, Counter()))
        self._used[-1][1][priority] += 1
        permit = Permit(priority, now)
        self._recent.append(permit)
        return permit

    def _used_from(self, now: float) -> float:
        return max(math.floor(now) - _USAGE_OVER + 1.0, self._born)

    def _free_at(self, now: float, priority: Priority) -> float:
        due = self._due
        if priority < Priority.NEWS and self._may_be_early(now):
            due = min(due, max(due - _EARLY, self._room_at(now, self._early_most)))
        return max(due, self._floor, self._room_at(now, self._most))

    def _may_be_early(self, now: float) -> bool:
        return now >= self._alone_from and self.current_rate(now) == self.rate

    def _room_at(self, now: float, most: int) -> float:
        """When no more than `most` requests arrive within a second with a further one, in monotonic seconds."""
        if len(self._recent) < most:
            return -math.inf
        arrived = self._arrived(now)
        over = len(arrived) - most
        if over < 0:
            return -math.inf
        return heapq.nsmallest(over + 1, arrived)[-1] + _SECOND

    def _arrived(self, now: float) -> list[float]:
        """Latest arrivals of the requests that may count together with one that is sent `now`."""
        recent, begin = self._recent, now - _SECOND
        while recent and recent[0].arrived_by < begin:
            recent.popleft()
        return [permit.arrived_by for permit in recent if permit.arrived_by >= begin]

    def _first_waiting(self) -> float:
        """The priority of the next waiting caller; +inf if there is none."""
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)  # its caller was cancelled
        return self._waiting[0][0] if self._waiting else math.inf

    async def _serve(self) -> None:
        try:
            while self._first_waiting() < math.inf:
                try:
                    await self._serve_next()
                except Exception as error:  # noqa: BLE001 - passed to the next caller, or all would wait forever
                    future = heapq.heappop(self._waiting)[2]
                    if not future.done():
                        future.set_exception(error)
        finally:
            self._pump = None

    async def _serve_next(self) -> None:
        """Wait until the next permit is available, or give it if it is."""
        now = self._clock.monotonic()
        priority, _, future = self._waiting[0]
        wait = self._free_at(now, priority) - now
        if wait > 0:
            # No shorter than a timer can tell: it would ring at once, again and again.
            nap = self._nap = asyncio.ensure_future(self._sleep(max(wait, _SHORTEST_NAP)))
            try:
                await asyncio.wait({nap})
            finally:
                nap.cancel()
            if not nap.cancelled():
                nap.result()
            return
        permit = self._grant(now, priority)
        heapq.heappop(self._waiting)
        future.set_result(permit)
