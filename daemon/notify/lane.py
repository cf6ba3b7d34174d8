"""One channel's way out of the outbox: claim, write, send, record, wait.

Owns the order claim → send → record, and the channel's pause after a failure. A send whose outcome the database
does not take is recorded before anything else is claimed. Must never drop a delivery for an error of the store.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from daemon.clock import Clock
from daemon.domain import backoff
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.logs import LogEvent, logger
from daemon.notify.channels import Channel, SendReport
from daemon.notify.message import compose
from daemon.notify.policy import channel_pause, outcome
from daemon.notify.settings import NotifySettings
from daemon.notify.verdicts import Hold, Retry, Sent
from daemon.notify.worker import Worker
from daemon.store import (
    AttemptOutcome,
    Claimed,
    DeliveryStatus,
    Outcome,
    Store,
    StoreClosed,
    StoreError,
    StoreRefused,
    Transaction,
)

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
    """What all lanes share. `tell` wakes the lanes of other channels."""

    store: Store
    clock: Clock
    rng: random.Random
    settings: NotifySettings
    operators: tuple[ChannelName, ...]
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
    """The deliveries of one channel, one at a time."""

    def __init__(self, channel: Channel, around: Surroundings, *, held: bool) -> None:
        self._channel = channel
        self._around = around
        self._worker = Worker(f"wrapd-{channel.name}")
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._held = held
        self._probes = 0
        self._failures = 0
        self._pause: _Pause | None = None

    def wake(self) -> None:
        """Look at the outbox now."""
        self._wake.set()

    def stop(self) -> None:
        """End after the delivery that is under way."""
        self._stopped.set()
        self._wake.set()

    async def run(self) -> None:
        """Send what is due until `stop`. Raises StoreError where an outcome could not be recorded at a stop."""
        try:
            while not self._stopped.is_set():
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
        """Send one delivery if one is due; the seconds to wait before the next look."""
        around, name = self._around, self._channel.name
        rest = await self._rest()
        if rest > 0:
            return rest
        now = around.clock.now()
        due = await self._insist(lambda: around.store.read_async(lambda tx: tx.outbox.next_due(name, now=now)))
        if due is None or due > now:
            ahead = around.settings.look_interval if due is None else (due - now).total_seconds()
            return min(ahead, around.settings.look_interval)
        claimed = await self._insist(lambda: around.store.write(lambda tx: tx.outbox.claim(name, now=now)))
        if claimed is None:
            return around.settings.look_interval
        report = await self._send(claimed)
        await self._record(claimed, report)
        return 0.0

    async def _rest(self) -> float:
        """Seconds that the channel still rests, at most until the next look; 0 when it may send."""
        pause, around = self._pause, self._around
        if pause is None:
            return 0.0
        left = pause.until - around.clock.monotonic()
        if left > 0 and (pause.strict or not await self._is_wanted(pause.since)):
            return min(left, around.settings.look_interval)
        self._pause = None
        return 0.0

    async def _is_wanted(self, since: datetime) -> bool:
        around, name = self._around, self._channel.name
        now = around.clock.now()
        return await self._insist(
            lambda: around.store.read_async(lambda tx: tx.outbox.became_due(name, after=since, now=now))
        )

    async def _send(self, claimed: Claimed) -> SendReport:
        around, channel = self._around, self._channel

        def send() -> SendReport:
            message = compose(claimed, zone=channel.zone, now=around.clock.now())
            return channel.send(message, timeout=around.settings.send_timeout, clock=around.clock)

        try:
            return await self._worker.run(send)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the delivery nor end the lane
            reason = f"wrapd could not write the message ({type(error).__name__})"
            log.error(LogEvent.DELIVERY_RETRY, channel=channel.name, delivery=claimed.delivery.id, error=error)
            return SendReport(verdict=Retry(reason=reason), reason=reason, status=None, requests=0, seconds=0.0)

    async def _record(self, claimed: Claimed, report: SendReport) -> None:
        around, name, verdict = self._around, self._channel.name, report.verdict
        at = around.clock.now()
        self._count(report)
        pause = self._pause_after(report)
        result = outcome(
            verdict,
            claimed,
            reason=report.reason,
            at=at,
            probes=self._probes,
            pause=pause,
            settings=around.settings,
            spread=around.rng.random(),
        )
        others = tuple(channel for channel in around.operators if channel != name)
        alert = self._held_alert(claimed, report) if isinstance(verdict, Hold) and not self._held else None

        def work(tx: Transaction) -> None:
            tx.outbox.finish(claimed, result, at=at)
            if alert is not None and others:
                tx.outbox.add_operator(alert, channels=others, at=at)

        try:
            await self._insist(lambda: around.store.write(work))
        except StoreRefused as error:  # never twice: the row stays as it is until the next start takes it up
            log.error(LogEvent.DATABASE_FAILED, channel=name, delivery=claimed.delivery.id, error=error)
        self._tell(claimed, report, result, pause)
        if alert is not None:
            around.tell(others)
        around.on_result(name, result.kind)

    def _count(self, report: SendReport) -> None:
        match report.verdict:
            case Sent():
                self._failures = self._probes = 0
            case Hold():
                self._probes += 1
            case _:
                self._failures += 1

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

    def _tell(self, claimed: Claimed, report: SendReport, result: Outcome, pause: float) -> None:
        """Log what came of it, and keep whether the channel is held."""
        fields: dict[str, object] = {
            "channel": self._channel.name,
            "delivery": claimed.delivery.id,
            "told": claimed.delivery.event.value,
            "attempt": claimed.attempt,
        }
        match report.verdict:
            case Sent():
                if self._held:
                    log.info(LogEvent.CHANNEL_RELEASED, channel=self._channel.name)
                self._held = False
                log.info(LogEvent.DELIVERY_SENT, **fields, seconds=round(report.seconds, 3))
            case Hold():
                if not self._held:
                    log.error(LogEvent.CHANNEL_HELD, **fields, reason=result.reason)
                self._held = True
            case _:
                log.warning(_LINES[result.kind], **fields, reason=result.reason, pause=round(pause, 1))

    def _held_alert(self, claimed: Claimed, report: SendReport) -> OperatorAlert:
        """One alert for each time that the channel is held, however many deliveries wait."""
        name = self._channel.name
        return OperatorAlert(
            event=Event.CHANNEL_HELD,
            key=f"channel/{name}/held/{claimed.delivery.id}/{claimed.attempt}",
            facts={
                "channel": name,
                "reason": report.reason,
                "observed_at": self._around.clock.now().isoformat(),
            },
        )

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


_LINES = {
    AttemptOutcome.RETRY: LogEvent.DELIVERY_RETRY,
    AttemptOutcome.UNKNOWN: LogEvent.DELIVERY_UNKNOWN,
    AttemptOutcome.DEAD: LogEvent.DELIVERY_DEAD,
}


def held_channels(tx: Transaction) -> frozenset[ChannelName]:
    """The channels that were held when the daemon stopped: their operators have been told."""
    counts = tx.outbox.counts()
    return frozenset(name for (name, status) in counts if status is DeliveryStatus.HELD)
