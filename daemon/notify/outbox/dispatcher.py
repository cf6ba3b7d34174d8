"""The dispatcher: runs one lane for each channel, so that a slow or dead channel does not delay another.

Owns the lanes' tasks: it restarts one that ends by itself. At start it takes up what a killed daemon left half
sent. It leaves the wording of messages and the meaning of answers to others.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from daemon.clock import Clock, SteadyClock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Routing, Subject, Target
from daemon.logs import LogEvent, logger
from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.context import Keeper, OnResult, Surroundings, Waiter, wait_for_event
from daemon.notify.outbox.lane import Lane
from daemon.notify.outbox.pace import Paces
from daemon.notify.outbox.prepare import Preparer
from daemon.notify.outbox.sender import Arrival, arrive
from daemon.notify.transport import Channel
from daemon.store import LEFT_WHILE_SENDING, Left, Store, StoreError, Transaction
from daemon.tasks import Defects

log = logger(__name__)

_AGAIN = 5.0
"""Seconds until a lane that ended by itself is restarted."""
_STOP_MARGIN = 10.0
"""Seconds that a stop waits beyond the send timeout, for storing the outcome and for a plugin's own throttle."""


class Dispatcher:
    """Sends the deliveries of the outbox. Call `start` first, `wake` after rows were written, `stop` last.

    `routing` decides who is notified of a held channel and who has quiet hours; without it `operators` are
    notified at once. `preparer` renews links and fetches pictures (None: neither). `on_result` is called for each
    attempt, for metrics. Rows of channels that the config does not have are left alone.
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
            operators=self._operator_targets,
            preparer=preparer or Preparer(settings=settings, clock=clock, defects=defects),
            paces=Paces(),
            on_result=on_result,
            tell=self.wake,
            waiter=waiter,
        )

    async def start(self) -> None:
        """Take up what was in flight when wrapd stopped, and start the lanes. Raises StoreError."""
        store, clock, longest = self._around.store, self._around.steady, self._around.settings.longest_wait
        await store.write(
            lambda tx: tx.outbox.recover(at=clock.now(), routing=self._routing, longest=timedelta(seconds=longest))
        )
        arrivals = await store.write(self._arrivals)
        for name, channel in self._channels.items():
            self._lanes[name] = Lane(channel, self._around, arrival=arrivals[name])
            self._begin(name)

    def adopt(
        self,
        channels: Mapping[ChannelName, Channel],
        *,
        settings: NotifySettings,
        routing: Routing,
        preparer: Preparer,
    ) -> None:
        """Switch to new channels and settings. A lane whose channel changed or was removed ends after the message
        in flight, and its successor starts then. Rows of a removed channel stay until it comes back."""
        around = self._around
        anew = settings != around.settings or preparer is not around.preparer
        if anew:
            self._around = replace(around, settings=settings, preparer=preparer)
        around.keeper.adopt(settings=settings, routing=routing)
        self._routing, self._channels = routing, dict(channels)
        for name, lane in tuple(self._lanes.items()):
            channel = channels.get(name)
            if not anew and channel is not None and channel.is_same(lane.channel):
                continue
            lane.stop()
            if name in self._timers:  # it ended by itself and waits for its restart
                self._succeed(name)
        for name in channels:
            if name not in self._lanes:
                self._enter(name, after=None)
        self.wake_all()

    def wake(self, channels: Iterable[ChannelName]) -> None:
        """Make these channels poll now: rows of theirs were written."""
        for name in channels:
            lane = self._lanes.get(name)
            if lane is not None:
                lane.wake()

    def wake_all(self) -> None:
        """Make every channel poll: another process may have released or retried deliveries."""
        for lane in self._lanes.values():
            lane.nudge()

    def progress(self) -> Mapping[str, float]:
        """When each lane last made progress without a defect of wrapd's own (monotonic seconds), by channel: a
        poll ended, a message was sent, or the database failed. A send in flight ends by its deadline."""
        return {name: lane.progress for name, lane in self._lanes.items()}

    def moved(self) -> Mapping[str, float]:
        """The same with defects included: a lane that has not moved for long hangs."""
        return {name: lane.moved for name, lane in self._lanes.items()}

    async def stop(self, *, patience: float | None = None) -> None:
        """Finish the sends in flight, waiting at most `patience` seconds (None: the send timeout plus a margin).
        A send that hangs longer is abandoned; the next start sends it again, marked as a possible repeat."""
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
        """Start a lane's task; `_ended` restarts it if it ends early."""
        self._timers.pop(name, None)
        task = asyncio.get_running_loop().create_task(self._lanes[name].run(), name=f"lane {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda task: self._ended(name, task))

    def _ended(self, name: ChannelName, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        if self._lanes[name].stopped.is_set():
            if isinstance(error, StoreError):
                log.error(LogEvent.DATABASE_FAILED, channel=name, error=error)
            elif error is not None:
                self._defects.note("delivery", error, channel=name)
            self._succeed(name)
            return
        self._defects.note("delivery", error or RuntimeError("a lane ended by itself"), channel=name)
        self._lanes[name].abandon()
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(_AGAIN, self._begin, name)

    def _succeed(self, name: ChannelName) -> None:
        """Remove a lane that was stopped, and start its successor if the channel still exists."""
        ended = self._lanes.pop(name)
        ended.abandon()
        del self._tasks[name]
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        if name in self._channels:
            self._enter(name, after=ended if ended.arrived else ended.after)

    def _enter(self, name: ChannelName, *, after: Lane | None) -> None:
        self._lanes[name] = Lane(self._channels[name], self._around, after=after)
        self._begin(name)

    def _owned(self) -> frozenset[int]:
        """Row ids in flight in any lane."""
        return frozenset().union(*(lane.owned for lane in self._lanes.values()))

    def _bury(self, tx: Transaction, dead: Sequence[Left], at: datetime) -> None:
        """Write the alerts about dead deliveries. A channel that the config lacks has no lane to do so."""
        for name, lane in self._lanes.items():
            if mine := [each for each in dead if each.channel == name]:
                lane.bury(tx, mine, reason=LEFT_WHILE_SENDING, at=at)

    def _operator_targets(self, event: Event, at: datetime) -> tuple[Target, ...]:
        targets = self._operators
        if self._routing is not None:
            targets = self._routing.targets(Subject(event=event), at=at)
        return tuple(target for target in targets if target.channel in self._channels)

    def _arrivals(self, tx: Transaction) -> dict[ChannelName, Arrival]:
        """The state of each channel at start."""
        around = self._around
        return {
            name: arrive(channel, tx, salt=around.salt(), clock=around.steady)
            for name, channel in self._channels.items()
        }
