"""The dispatcher: one lane for each channel, started and stopped together.

Owns the lanes' tasks: one that ends before the stop is started again. At the start it takes up what a killed
daemon left half sent. A slow or dead channel never delays another. Must never decide what a message says or what
an answer means.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from daemon.clock import Clock, SteadyClock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Routing, Subject, Target
from daemon.logs import LogEvent, logger
from daemon.notify.channels import Channel
from daemon.notify.keeper import Keeper
from daemon.notify.lane import Lane
from daemon.notify.pace import Pace
from daemon.notify.prepare import Preparer
from daemon.notify.settings import NotifySettings
from daemon.notify.surroundings import OnResult, Surroundings, Waiter, wait_for_event
from daemon.store import LEFT_WHILE_SENDING, DeliveryStatus, Left, Store, Transaction
from daemon.tasks import Defects

log = logger(__name__)

_AGAIN = 5.0
"""Seconds after which a lane is started again that ended by itself."""
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
        defects: Defects,
        operators: Iterable[ChannelName] = (),
        routing: Routing | None = None,
        preparer: Preparer | None = None,
        on_result: OnResult = lambda _channel, _outcome: None,
        waiter: Waiter = wait_for_event,
    ) -> None:
        self._channels = dict(channels)
        self._routing = routing
        self._operators = tuple(Target(channel=name) for name in operators)
        self._defects = defects
        self._stopping = False
        self._lanes: dict[ChannelName, Lane] = {}
        self._tasks: dict[ChannelName, asyncio.Task[None]] = {}
        self._timers: dict[ChannelName, asyncio.TimerHandle] = {}
        steady = SteadyClock(clock)
        self._around = Surroundings(
            store=store,
            clock=clock,
            steady=steady,
            rng=rng,
            settings=settings,
            defects=defects,
            keeper=Keeper(
                store=store,
                clock=steady,
                rng=rng,
                settings=settings,
                routing=routing,
                defects=defects,
                owned=self._owned,
                bury=self._bury,
            ),
            operators=self._told_of_trouble,
            preparer=preparer or Preparer(settings=settings, clock=clock, defects=defects),
            on_result=on_result,
            tell=self.wake,
            waiter=waiter,
        )

    async def start(self) -> None:
        """Take up what was under way when wrapd stopped, and begin. Raises StoreError."""
        store, clock, longest = self._around.store, self._around.steady, self._around.settings.longest_wait
        await store.write(
            lambda tx: tx.outbox.recover(at=clock.now(), routing=self._routing, longest=timedelta(seconds=longest))
        )
        held, sent = await store.read_async(self._as_it_was_left)
        for name, channel in self._channels.items():
            self._lanes[name] = Lane(channel, self._around, held=held.get(name), sent=sent.get(name, 0))
            self._begin(name)

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

    def progress(self) -> Mapping[str, float]:
        """When each lane last looked at the outbox without an error of wrapd's own (monotonic seconds), by
        channel. A send that is under way ends by its deadline."""
        return {name: lane.progress for name, lane in self._lanes.items()}

    async def stop(self, *, patience: float | None = None) -> None:
        """Finish the sends that are under way, waiting `patience` seconds for them (None: for a send's deadline
        and a little). A send that hangs longer is left behind; the next start sends it again, marked as a possible
        repeat."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
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

    def _begin(self, name: ChannelName) -> None:
        """Start a lane; start it again where it ends before the stop."""
        self._timers.pop(name, None)
        task = asyncio.get_running_loop().create_task(self._lanes[name].run(), name=f"lane {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda task: self._ended(name, task))

    def _ended(self, name: ChannelName, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        self._defects.note("delivery", error or RuntimeError("a lane ended by itself"), channel=name)
        self._lanes[name].let_go()
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(_AGAIN, self._begin, name)

    def _owned(self) -> frozenset[int]:
        """What is under way in any lane, by row id."""
        return frozenset().union(*(lane.owned for lane in self._lanes.values()))

    def _bury(self, tx: Transaction, dead: Sequence[Left], at: datetime) -> None:
        """Tell of deliveries that are dead; of a channel that is not in the config nobody can."""
        for name, lane in self._lanes.items():
            if mine := [each for each in dead if each.channel == name]:
                lane.bury(tx, mine, reason=LEFT_WHILE_SENDING, at=at)

    def _told_of_trouble(self, event: Event, at: datetime) -> tuple[Target, ...]:
        targets = self._operators
        if self._routing is not None:
            targets = self._routing.targets(Subject(event=event), at=at)
        return tuple(target for target in targets if target.channel in self._channels)

    def _as_it_was_left(self, tx: Transaction) -> tuple[dict[ChannelName, float], dict[ChannelName, int]]:
        """The channels that were held when the daemon stopped (their operators have been told), and since how many
        seconds; and how many messages each one with a pace got lately."""
        now = self._around.steady.now()
        held = {
            name: (now - (tx.outbox.held_since(name) or now)).total_seconds()
            for (name, status) in tx.outbox.counts()
            if status is DeliveryStatus.HELD
        }
        windows = {name: Pace(channel.per_minute).window for name, channel in self._channels.items()}
        sent = {
            name: tx.outbox.sent_since(name, now - timedelta(seconds=window))
            for name, window in windows.items()
            if window > 0
        }
        return held, sent
