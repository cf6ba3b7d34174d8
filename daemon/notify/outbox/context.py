"""What all lanes share: plain values and the parts that they call."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from daemon.clock import Clock, SteadyClock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Target
from daemon.notify.outbox.prepare import Preparer
from daemon.notify.outbox.rescue import Keeper
from daemon.notify.outbox.settings import NotifySettings
from daemon.store import AttemptOutcome, Store
from daemon.tasks import Defects

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
    on_result: OnResult
    tell: Callable[[tuple[ChannelName, ...]], None]
    waiter: Waiter

    def salt(self) -> str:
        """A new salt for the fingerprint of a channel's address."""
        return f"{self.rng.getrandbits(_SALT_BITS):x}"
