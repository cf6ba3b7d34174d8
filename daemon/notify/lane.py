"""One channel's way out of the outbox: claim, write, send, record, wait.

Owns the order claim → send → record, the channel's pace, and its pause after a failure. An outcome is recorded in
the transaction that claims the next one; while the database does not take it nothing else is claimed. Must never
drop a delivery for an error of the store.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from daemon.clock import Clock
from daemon.domain import backoff
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Target
from daemon.logs import LogEvent, logger
from daemon.notify.accounts import held_alert, log_send
from daemon.notify.channels import Channel, SendReport
from daemon.notify.fallback import Fallback
from daemon.notify.forms import Picture
from daemon.notify.loads import Idle, Load, Taken, Taker, finish
from daemon.notify.pace import Pace
from daemon.notify.policy import channel_pause, outcomes
from daemon.notify.prepare import Preparer, Wants
from daemon.notify.sender import AGAIN, Ended, Mood, Sender, Unrecorded
from daemon.notify.settings import NotifySettings
from daemon.notify.verdicts import Dead, Hold, Retry, Sent
from daemon.notify.worker import Worker
from daemon.store import AttemptOutcome, Store, StoreClosed, StoreError, StoreRefused, Transaction

log = logger(__name__)
T = TypeVar("T")


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
    """What all lanes share. `operators` tells who hears of a held channel, and whether at once; `tell` wakes the
    lanes of other channels."""

    store: Store
    clock: Clock
    rng: random.Random
    settings: NotifySettings
    operators: Callable[[datetime], tuple[Target, ...]]
    preparer: Preparer
    on_result: OnResult
    tell: Callable[[tuple[ChannelName, ...]], None]
    waiter: Waiter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pause:
    """The channel rests: until `until` (monotonic), since `since` (UTC). A `strict` one is the service's own wish;
    any other ends early for a delivery that was written, released or revived meanwhile."""

    until: float
    since: datetime
    strict: bool


class Lane:
    """The deliveries of one channel, one message at a time. `held`: the channel was held when wrapd stopped;
    `sent` is how many messages it got within its pace's window before."""

    def __init__(self, channel: Channel, around: Surroundings, *, held: bool, sent: int = 0) -> None:
        self._channel = channel
        self._around = around
        self._worker = Worker(f"wrapd-{channel.name}")
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._news = True
        self._held = held
        self._probes = 0
        self._failures = 0
        self._failed_at: datetime | None = None
        self._singly = 0
        self._resume = False
        self._next: Load | None = None
        self._pause: _Pause | None = None
        self._pace = Pace(channel.per_minute, gap=channel.gap)
        self._pace.sent(around.clock.monotonic(), messages=sent)
        self._wants = Wants(machine=channel.form.machine, picture=channel.form.picture is not Picture.NONE)
        self._taker = Taker(
            channel=channel.name,
            above=channel.digest_above,
            window=channel.plan.digest_window,
            longest=around.settings.look_interval,
            own_links=around.preparer.links,
        )
        self._sender = Sender(
            channel=channel,
            store=around.store,
            clock=around.clock,
            settings=around.settings,
            preparer=around.preparer,
            taker=self._taker,
            pace=self._pace,
            wants=self._wants,
            stopped=self._stopped,
            before_take=self._no_news,
            on_sent=self._told_sent,
        )
        self._fallback = Fallback(
            channel=channel.name, plan=channel.plan, look_interval=around.settings.look_interval
        )

    def wake(self) -> None:
        """Rows of this channel were written: look at the outbox now."""
        self._news = True
        self._wake.set()

    def nudge(self) -> None:
        """Look at the outbox now: something may have changed."""
        self._wake.set()

    def stop(self) -> None:
        """End after the message that is under way."""
        self._stopped.set()
        self._wake.set()

    async def run(self) -> None:
        """Send what is due until `stop`. Raises StoreError where an outcome could not be recorded at a stop."""
        try:
            while self._next is not None or not self._stopped.is_set():
                self._wake.clear()
                wait = await self._look_safely()
                if wait > 0 and not self._stopped.is_set():
                    await self._around.waiter(self._wake, wait)
        finally:
            self._worker.stop()

    async def _look_safely(self) -> float:
        """The same as `_look`; a fault of ours is logged, and the lane goes on a little later."""
        try:
            return await self._look()
        except StoreError:
            if self._stopped.is_set():
                raise
            return self._around.settings.look_interval
        except Exception as error:  # noqa: BLE001 - one lane that ends would be silent until the next start
            log.error(LogEvent.TICK_FAILED, tick=f"lane {self._channel.name}", error=error)
            return self._around.settings.look_interval

    async def _look(self) -> float:
        """Send one message if one is due; the seconds to wait before the next look."""
        load, self._next = self._next, None
        if load is None:
            taken = await self._take()
            if isinstance(taken, Idle):
                return taken.seconds
            load = taken
        ended = await self._send(load)
        after = await self._record(ended) if isinstance(ended, Unrecorded) else ended
        if isinstance(after, Idle):
            return after.seconds
        self._next = after
        return 0.0

    def _no_news(self) -> None:
        """What was written so far is seen by the look that comes now."""
        self._news = False

    def _told_sent(self, count: int) -> None:
        for _ in range(count):
            self._around.on_result(self._channel.name, AttemptOutcome.SENT)

    # What is next

    async def _take(self) -> Taken:
        """Claim what is due, if the channel may be sent to. Rows that were just written are claimed at once; else
        it is read first whether there is anything, which holds up nobody who writes."""
        news, self._news = self._news, False
        rest = await self._rest(news=news)
        if rest > 0:
            return Idle(seconds=rest)
        around, singly = self._around, self._singly > 0
        resume, self._resume = self._resume, False
        if not news and not resume:
            now = around.clock.now()
            wait = await self._insist(lambda: around.store.read_async(lambda tx: self._taker.glance(tx, now=now)))
            if wait > 0:
                return Idle(seconds=wait)

        def work(tx: Transaction) -> Taken:
            return self._taker.take(tx, now=around.clock.now(), singly=singly, resume=resume)

        return await self._insist(lambda: around.store.write(work))

    async def _rest(self, *, news: bool) -> float:
        """Seconds that the channel still rests, at most until the next look; 0 when it may send."""
        around = self._around
        now = around.clock.monotonic()
        if self._held and self._fallback.is_due(now, news=news):
            await self._divert()
        pause = self._pause
        if pause is not None:
            left = pause.until - now
            if left > 0 and (pause.strict or not await self._is_wanted(pause.since)):
                return min(left, around.settings.look_interval)
            self._pause = None
        return min(self._pace.wait(now), around.settings.look_interval)

    async def _is_wanted(self, since: datetime) -> bool:
        around, name = self._around, self._channel.name
        now = around.clock.now()
        return await self._insist(
            lambda: around.store.read_async(lambda tx: tx.outbox.became_due(name, after=since, now=now))
        )

    async def _divert(self) -> None:
        """Tell another channel what this one has not taken for long."""
        around, fallback = self._around, self._fallback
        now = around.clock.now()
        if not await self._insist(lambda: around.store.read_async(lambda tx: fallback.is_wanted(tx, now=now))):
            return
        count = await self._insist(lambda: around.store.write(lambda tx: fallback.divert(tx, at=now)))
        if count and fallback.to is not None:
            log.warning(LogEvent.DELIVERY_DIVERTED, channel=self._channel.name, to=fallback.to, deliveries=count)
            around.tell((fallback.to,))

    # A message

    async def _send(self, load: Load) -> Ended:
        """Send a message, and those that follow it as long as all goes well."""
        ready = await self._around.preparer.prepare(load.claimed, links=load.links, wants=self._wants)
        calm = not (self._held or self._failures or self._probes or self._singly or self._resume)
        mood = Mood(failed_at=self._failed_at, calm=calm)
        loop = asyncio.get_running_loop()
        return await self._worker.run(lambda: self._sender.series(load, ready, mood, loop))

    async def _record(self, ended: Unrecorded) -> Taken:
        """Store what came of it, and claim the next one with it where the channel may be sent to at once."""
        around, name, load, report = self._around, self._channel.name, ended.load, ended.report
        at = around.clock.now()
        self._count(ended, at=at)
        pause = self._pause_after(report)
        results = outcomes(
            report.verdict,
            load.claimed,
            reason=report.reason,
            at=at,
            probes=self._probes,
            pause=pause,
            settings=around.settings,
            spread=around.rng.random(),
        )
        is_news = isinstance(report.verdict, Hold) and not self._held
        alert = held_alert(name, load, report, at=at) if is_news else None
        others = () if alert is None else tuple(each for each in around.operators(at) if each.channel != name)
        goes_on = pause <= 0 and self._pace.wait(around.clock.monotonic()) <= 0
        singly, resume = self._singly > 0, goes_on and self._resume
        if goes_on:
            self._news = self._resume = False

        def work(tx: Transaction) -> Taken:
            finish(tx, results, at=at)
            if alert is not None and others:
                tx.outbox.add_operator(alert, channels=others, at=at)
            if not goes_on or self._stopped.is_set():
                return AGAIN
            return self._taker.take(tx, now=at, singly=singly, resume=resume)

        after: Taken = AGAIN
        try:
            after = await self._insist(lambda: around.store.write(work))
        except StoreRefused as error:  # never twice: the rows stay as they are until the next start takes them up
            log.error(LogEvent.DATABASE_FAILED, channel=name, delivery=load.first.delivery.id, error=error)
        log_send(name, load, report, results[0].outcome, pause=pause, held=self._held)
        if isinstance(report.verdict, Sent | Hold):
            self._held = isinstance(report.verdict, Hold)
        around.tell(tuple(each.channel for each in others))
        for judged in results:
            for _ in judged.claimed:
                around.on_result(name, judged.outcome.kind)
        return after

    def _count(self, ended: Unrecorded, *, at: datetime) -> None:
        """Keep how the channel does."""
        verdict = ended.report.verdict
        self._singly = max(0, self._singly - 1)
        if isinstance(verdict, Dead) or not ended.written:  # the message is the trouble: each alert by itself
            self._singly = max(self._singly, len(ended.load.claimed) if len(ended.load.claimed) > 1 else 0)
        match verdict:
            case Sent():
                self._resume = self._failures >= _OUTAGE
                self._failures = self._probes = 0
                return
            case Dead():
                return
            case Hold():
                self._probes += 1
            case Retry() if ended.written and (verdict.throttled or verdict.status is None):
                self._resume = True  # nothing came of it that could be about this message
                self._failures += 1
            case _:
                self._failures += 1
        self._failed_at = at

    def _pause_after(self, report: SendReport) -> float:
        """Let the channel rest where the verdict asks for it; for how many seconds."""
        around, verdict = self._around, report.verdict
        seconds = channel_pause(
            verdict, failures=self._failures, settings=around.settings, spread=around.rng.random()
        )
        if seconds > 0:
            self._pause = _Pause(
                until=around.clock.monotonic() + seconds,
                since=around.clock.now(),
                strict=isinstance(verdict, Retry) and verdict.throttled,
            )
        return seconds

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a work of the store, tried until it succeeds. Raises StoreRefused and StoreClosed.

        At a stop it is tried once more and then given up: a send without a record is found at the next start and
        sent again, marked as a possible repeat.
        """
        failures = 0
        while True:
            last = self._stopped.is_set()
            try:
                return await call()
            except (StoreRefused, StoreClosed):
                raise
            except StoreError as error:
                if last:
                    raise
                failures += 1
                log.error(LogEvent.DATABASE_FAILED, channel=self._channel.name, error=error)
            spread = self._around.rng.random()
            wait = backoff.delay(failures, base=0.5, cap=self._around.settings.store_retry_cap, spread=spread)
            await self._around.waiter(self._stopped, wait)


_OUTAGE = 3
"""Failures in a row from which on they are taken for the service's, not for those of single messages."""
