"""The dispatcher: one lane for each channel, started and stopped together.

Owns the lanes' tasks. At the start it takes up what a killed daemon left half sent. A slow or dead channel never
delays another. Must never decide what a message says or what an answer means.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from daemon.clock import Clock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Routing, Subject, Target
from daemon.logs import LogEvent, logger
from daemon.notify.channels import Channel
from daemon.notify.lane import Lane, OnResult, Surroundings, Waiter, wait_for_event
from daemon.notify.pace import Pace
from daemon.notify.prepare import Preparer
from daemon.notify.settings import NotifySettings
from daemon.store import DeliveryStatus, Store, Transaction

log = logger(__name__)

_STOP_MARGIN = 10.0
"""Seconds beyond the deadline of a send that a stop waits: for the record, and a plugin's own pace."""


class Dispatcher:
    """Sends what is in the outbox. `start` first; `wake` after rows were written; `stop` last.

    `routing` says who hears of a held channel, and who has quiet hours; without one `operators` hear of it, at
    once. `preparer` makes links and pictures ready (None: they are sent as they are); `on_result` is told of each
    attempt (for metrics). Rows of channels that the config does not have stay as they are.
    """

    def __init__(
        self,
        store: Store,
        channels: Mapping[ChannelName, Channel],
        *,
        clock: Clock,
        rng: random.Random,
        settings: NotifySettings,
        operators: Iterable[ChannelName] = (),
        routing: Routing | None = None,
        preparer: Preparer | None = None,
        on_result: OnResult = lambda _channel, _outcome: None,
        waiter: Waiter = wait_for_event,
    ) -> None:
        self._channels = dict(channels)
        self._routing = routing
        self._operators = tuple(Target(channel=name) for name in operators)
        self._around = Surroundings(
            store=store,
            clock=clock,
            rng=rng,
            settings=settings,
            operators=self._told_of_trouble,
            preparer=preparer or Preparer(settings=settings, clock=clock),
            on_result=on_result,
            tell=self.wake,
            waiter=waiter,
        )
        self._lanes: dict[ChannelName, Lane] = {}
        self._tasks: dict[ChannelName, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Take up what was under way when wrapd stopped, and begin. Raises StoreError."""
        store, clock = self._around.store, self._around.clock
        await store.write(lambda tx: tx.outbox.recover(at=clock.now(), routing=self._routing))
        held, sent = await store.read_async(self._as_it_was_left)
        for name, channel in self._channels.items():
            lane = Lane(channel, self._around, held=name in held, sent=sent.get(name, 0))
            self._lanes[name] = lane
            self._tasks[name] = asyncio.create_task(lane.run(), name=f"lane {name}")

    def wake(self, channels: Iterable[ChannelName]) -> None:
        """Rows of these channels were written: look now."""
        for name in channels:
            lane = self._lanes.get(name)
            if lane is not None:
                lane.wake()

    def wake_all(self) -> None:
        """Let every channel look: another process may have released or retried something."""
        for lane in self._lanes.values():
            lane.nudge()

    async def stop(self, *, patience: float | None = None) -> None:
        """Finish the sends that are under way, waiting `patience` seconds for them (None: for a send's deadline
        and a little). A send that hangs longer is left behind; the next start sends it again, marked as a possible
        repeat."""
        for lane in self._lanes.values():
            lane.stop()
        if not self._tasks:
            return
        if patience is None:
            patience = self._around.settings.send_timeout + _STOP_MARGIN
        _, late = await asyncio.wait(self._tasks.values(), timeout=patience)
        for task in late:
            task.cancel()
        ends = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for name, end in zip(self._tasks, ends, strict=True):
            if isinstance(end, Exception):
                log.error(LogEvent.DATABASE_FAILED, channel=name, error=end)
        self._tasks.clear()

    def _told_of_trouble(self, at: datetime) -> tuple[Target, ...]:
        targets = self._operators
        if self._routing is not None:
            targets = self._routing.targets(Subject(event=Event.CHANNEL_HELD), at=at)
        return tuple(target for target in targets if target.channel in self._channels)

    def _as_it_was_left(self, tx: Transaction) -> tuple[frozenset[ChannelName], dict[ChannelName, int]]:
        """The channels that were held when the daemon stopped (their operators have been told), and how many
        messages each one with a pace got lately."""
        held = frozenset(name for (name, status) in tx.outbox.counts() if status is DeliveryStatus.HELD)
        windows = {name: Pace(channel.per_minute).window for name, channel in self._channels.items()}
        now = self._around.clock.now()
        sent = {
            name: tx.outbox.sent_since(name, now - timedelta(seconds=window))
            for name, window in windows.items()
            if window > 0
        }
        return held, sent
