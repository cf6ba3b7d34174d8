"""What all lanes share: their common parts, and the upkeep that one lane does for all before it polls the outbox.

The upkeep moves due times when the wall clock is set and takes up deliveries that have lost their lane. It sends
nothing.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from msgspec import Struct

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
"""Seconds between two searches for deliveries that are marked as being sent but have no lane."""
_MARGIN = 1.0
"""Seconds by which a step of the wall clock may precede its detection."""


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Keeps the outbox consistent for all lanes. `owned` returns the row ids that running lanes have in flight;
    `bury` writes the alerts about dead deliveries."""

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
        """Use these from now on. At the next poll of any lane, deliveries kept for quiet hours are shortened to
        the new ones."""
        self._rerouted = self._rerouted or routing != self.routing
        self.settings, self.routing = settings, routing

    async def look(self) -> None:
        """Do the upkeep that is due. Raises StoreError if due times could not be moved after a step of the wall
        clock: sending by the wrong time would break quiet hours and waits."""
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
        """Shift waiting deliveries by a step of the wall clock, so that their remaining waits are unchanged."""
        agreed = self.clock.agreed()

        def work(tx: Transaction) -> None:
            self.clock.accept(step)  # inside the transaction, so that the next writer plans by the new time
            window = self.clock.monotonic() - agreed + _MARGIN  # here: on a busy machine it may have waited
            tx.outbox.move_times(step, now=self.clock.now(), window=window, routing=self.routing)

        try:
            await self.store.write(work)
        except StoreError:
            self.clock.accept(-step)
            raise
        except Exception as error:  # noqa: BLE001 - late is better than never: keep the step, leave the rows
            self.defects.note("delivery", error, step=step)

    async def _shorten(self) -> None:
        """Release deliveries at the end of the quiet hours that apply now. Raises StoreError."""
        self._rerouted, routing = False, self.routing
        if routing is None:
            return
        try:
            await self.store.write(lambda tx: tx.outbox.shorten_quiet(routing, at=self.clock.now()))
        except StoreError:
            self._rerouted = True
            raise
        except Exception as error:  # noqa: BLE001 - late is better than never: the rows keep their times
            self.defects.note("delivery", error)

    async def _rescue(self) -> None:
        """Return deliveries that are marked as being sent but have no lane."""
        try:
            if not await self.store.read_async(lambda tx: tx.outbox.is_sending() - self.owned()):
                return
            found = await self.store.write(self._give_back)
        except StoreError:  # the writer has logged it; the next poll tries again
            return
        except Exception as error:  # noqa: BLE001 - lanes go on
            self.defects.note("delivery", error)
            return
        for each in found:
            event = LogEvent.DELIVERY_DEAD if each.dead else LogEvent.DELIVERY_RESCUED
            log.warning(event, channel=each.channel, delivery=each.id, reason=LEFT_WHILE_SENDING)

    def _give_back(self, tx: Transaction) -> tuple[Left, ...]:
        at = self.clock.now()
        # A lane owns rows from its claiming transaction on. Transactions are serial, so `owned` is exact here.
        found = tx.outbox.rescue(self.owned(), at=at, wait=self._wait)
        if dead := [each for each in found if each.dead]:
            self.bury(tx, dead, at)
        return found

    def _wait(self, attempts: int) -> float:
        """Seconds until the next attempt; the message may have arrived, so the wait is that of unknown sends."""
        settings = self.settings
        return backoff.delay(
            attempts, base=settings.unknown_base, cap=settings.unknown_cap, spread=self.rng.random()
        )


_SALT_BITS = 128


class Waiter(Protocol):
    """How a lane waits. Tests replace it with one that waits for the event alone."""

    async def __call__(self, event: asyncio.Event, seconds: float) -> None:
        """Return when `event` is set, or after `seconds`."""
        ...


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """The daemon's waiter."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


OnResult = Callable[[ChannelName, AttemptOutcome], object]


class Surroundings(Struct, frozen=True, kw_only=True):
    """What all lanes share. Times in the outbox come from `steady`; `operators` returns the targets of an operator
    event; `tell` wakes the lanes of other channels."""

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
        """A new salt for the fingerprint of a channel's URL."""
        return f"{self.rng.getrandbits(_SALT_BITS):x}"
