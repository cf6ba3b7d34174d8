"""What all lanes share: the parts that they call, and what one of them does for all before it looks at the outbox.

Waiting is moved with the wall clock, and what nobody owns any more is taken up. Must never send.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from daemon.clock import Clock, SteadyClock
from daemon.domain import backoff
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Routing, Target
from daemon.logs import LogEvent, logger
from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.pace import Paces
from daemon.notify.outbox.prepare import Preparer
from daemon.store import LEFT_WHILE_SENDING, AttemptOutcome, Left, Store, StoreError, Transaction
from daemon.tasks import Defects

log = logger(__name__)

RESCUE_INTERVAL = 10.0
"""Seconds between two looks for what is being sent by nobody."""
_MARGIN = 1.0
"""Seconds by which a step of the wall clock may be older than what is known of it."""


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Keeps the outbox sound for all lanes. `owned` are the row ids that living lanes have under way; `bury` tells
    of deliveries that are dead."""

    store: Store
    clock: SteadyClock
    rng: random.Random
    settings: NotifySettings
    routing: Routing | None
    defects: Defects
    owned: Callable[[], frozenset[int]]
    bury: Callable[[Transaction, Sequence[Left], datetime], None]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _next_rescue: float = float("-inf")
    _rerouted: bool = False

    def adopt(self, *, settings: NotifySettings, routing: Routing | None) -> None:
        """Keep by these from now on. What is kept for quiet hours waits no longer than the new ones ask, from the
        next look of any lane on."""
        self._rerouted = self._rerouted or routing != self.routing
        self.settings, self.routing = settings, routing

    async def look(self) -> None:
        """Do what is to be done now. Raises StoreError where the wall clock was set and the store does not take
        it: then nothing may be sent by a time that is not true."""
        async with self._turn:
            if step := self.clock.step():
                await self._move(step)
            if self._rerouted:
                await self._shorten()
            now = self.clock.monotonic()
            if now >= self._next_rescue:
                self._next_rescue = now + RESCUE_INTERVAL
                await self._rescue()

    async def _move(self, step: float) -> None:
        """Let what waits go on as if the wall clock had not been set."""
        window = self.clock.monotonic() - self.clock.agreed() + _MARGIN

        def work(tx: Transaction) -> None:
            self.clock.accept(step)  # here: whoever writes next plans by the time that is true then
            tx.outbox.move_times(step, now=self.clock.now(), window=window, routing=self.routing)

        try:
            await self.store.write(work)
        except StoreError:
            self.clock.accept(-step)
            raise
        except Exception as error:  # noqa: BLE001 - late is better than never: times go on from here
            self.defects.note("delivery", error, step=step)

    async def _shorten(self) -> None:
        """Let what is kept for quiet hours go at the end of those that hold now. Raises StoreError."""
        self._rerouted, routing = False, self.routing
        if routing is None:
            return
        try:
            await self.store.write(lambda tx: tx.outbox.shorten_quiet(routing, at=self.clock.now()))
        except StoreError:
            self._rerouted = True
            raise
        except Exception as error:  # noqa: BLE001 - late is better than never: what is kept keeps its time
            self.defects.note("delivery", error)

    async def _rescue(self) -> None:
        """Give back what is being sent and has no owner."""
        try:
            if not await self.store.read_async(lambda tx: tx.outbox.is_sending() - self.owned()):
                return
            found = await self.store.write(self._give_back)
        except StoreError:  # the writer has logged it; the next look tries again
            return
        except Exception as error:  # noqa: BLE001 - lanes go on
            self.defects.note("delivery", error)
            return
        for each in found:
            event = LogEvent.DELIVERY_DEAD if each.dead else LogEvent.DELIVERY_RESCUED
            log.warning(event, channel=each.channel, delivery=each.id, reason=LEFT_WHILE_SENDING)

    def _give_back(self, tx: Transaction) -> tuple[Left, ...]:
        at = self.clock.now()
        # Lanes own what they claim from their transaction on: it is before this one, or after it.
        found = tx.outbox.rescue(self.owned(), at=at, wait=self._wait)
        if dead := [each for each in found if each.dead]:
            self.bury(tx, dead, at)
        return found

    def _wait(self, attempts: int) -> float:
        """Seconds: it may have arrived, as far as anybody knows."""
        settings = self.settings
        return backoff.delay(
            attempts, base=settings.unknown_base, cap=settings.unknown_cap, spread=self.rng.random()
        )


_SALT_BITS = 128


class Waiter(Protocol):
    """How a lane waits; tests put in one that waits for the event alone."""

    async def __call__(self, event: asyncio.Event, seconds: float) -> None:
        """Return when `event` is set, at the latest after `seconds`."""
        ...


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """The waiter of the daemon."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


OnResult = Callable[[ChannelName, AttemptOutcome], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all lanes share. Moments in the outbox are those of `steady`; `operators` tells who hears of a trouble
    of channels, and whether at once; `tell` wakes the lanes of other channels."""

    store: Store
    clock: Clock
    steady: SteadyClock
    rng: random.Random
    settings: NotifySettings
    defects: Defects
    keeper: Keeper
    operators: Callable[[Event, datetime], tuple[Target, ...]]
    preparer: Preparer
    paces: Paces
    on_result: OnResult
    tell: Callable[[tuple[ChannelName, ...]], None]
    waiter: Waiter

    def salt(self) -> str:
        """A new salt for the fingerprint of a channel's address."""
        return f"{self.rng.getrandbits(_SALT_BITS):x}"
