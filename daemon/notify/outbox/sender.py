"""The part of a channel's work that blocks: writing a message, sending it, and going on to the next one.

Runs in the channel's own thread. As long as nothing goes wrong it stays there: a send, the record of it and the
next claim in one transaction, the next send. Whatever is not plain success is left to the lane. Must never record
what did not end so, and never take more than one message at a time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from daemon.clock import Clock, SteadyClock
from daemon.logs import LogEvent, logger
from daemon.notify.message.compose import compose, compose_digest, compose_plain
from daemon.notify.message.language.voice import Look
from daemon.notify.message.model import Message
from daemon.notify.outbox.claims import Idle, Load, Taken, Taker, finish, log_send
from daemon.notify.outbox.policy import Judged, Pace
from daemon.notify.outbox.prepare import Prepared, Preparer, Wants
from daemon.notify.outbox.settings import NotifySettings
from daemon.notify.transport import Channel, SendReport
from daemon.notify.transport.verdicts import Retry, Sent
from daemon.store import DEFECTS, AttemptOutcome, Claimed, Outcome, Store, StoreError, Transaction
from daemon.tasks import Defects

log = logger(__name__)

_TELL_EVERY = 0.1
"""Seconds between two reports of results to the loop while messages follow one another."""
AGAIN = Idle(seconds=0.0)
"""Look again: whether the channel may be sent to now is not decided in the transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """A message that was sent, or was to be, and whose outcome is still to be stored. `written`: the fault was the
    service's, not in the writing."""

    load: Load
    report: SendReport
    written: bool = True


Ended: TypeAlias = Unrecorded | Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How the lane stands: when the channel last failed, and whether all is well, so that a success changes
    nothing but the delivery."""

    failed_at: datetime | None
    calm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends the messages of one channel. `on_sent` is told, on the event loop, how many deliveries were sent;
    `before_take` is called before each look at the outbox."""

    channel: Channel
    store: Store
    clock: Clock
    steady: SteadyClock
    settings: NotifySettings
    defects: Defects
    preparer: Preparer
    taker: Taker
    pace: Pace
    wants: Wants
    stopped: asyncio.Event
    before_take: Callable[[], None]
    on_sent: Callable[[int], None]

    def series(self, load: Load, ready: Prepared, mood: Mood, loop: asyncio.AbstractEventLoop) -> Ended:
        """Send `load`, and what follows it as long as that is plain; what is left to do for the lane."""
        sent, told_at = 0, self.clock.monotonic()
        try:
            while True:
                ended = self._send(load, ready, mood)
                after = (
                    None if not mood.calm or not isinstance(ended.report.verdict, Sent) else self._record(ended)
                )
                if after is None:
                    return ended
                sent += len(load.claimed)
                log_send(self.channel.name, load, ended.report, _sent(ended.report), pause=0.0, told=False)
                if not isinstance(after, Load) or not self._is_ready(after):
                    return after
                load, ready = after, Prepared(claimed=after.claimed)
                if (now := self.clock.monotonic()) - told_at >= _TELL_EVERY:
                    self._tell(sent, loop)
                    sent, told_at = 0, now
        finally:
            self.channel.let_go()
            self._tell(sent, loop)

    def _send(self, load: Load, ready: Prepared, mood: Mood) -> Unrecorded:
        """Write the message and send it."""
        channel, claimed = self.channel, ready.claimed
        try:
            look = Look(
                zone=channel.zone,
                now=self.clock.now(),
                language=channel.language,
                links=load.links,
                cover=ready.cover,
                failed_at=mood.failed_at,
            )
            message = _written(claimed, look)
            report = channel.send(message, timeout=self.settings.send_timeout, clock=self.clock, more=True)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the delivery nor end the lane
            return self.failed(load, error)
        self.pace.sent(self.clock.monotonic())
        return Unrecorded(load=load, report=report)

    def failed(self, load: Load, error: Exception) -> Unrecorded:
        """An error of wrapd's own kept the message from being sent."""
        first = load.first.delivery
        self.defects.note("delivery", error, channel=self.channel.name, delivery=first.id, job=first.job)
        reason = f"wrapd could not write the message ({type(error).__name__})"
        report = SendReport(verdict=Retry(reason=reason), reason=reason, status=None, requests=0, seconds=0.0)
        return Unrecorded(load=load, report=report, written=False)

    def _record(self, ended: Unrecorded) -> Taken | None:
        """Store that it was sent, and take the next where the channel may be sent to at once. None where the
        database does not take it, for whatever reason: the lane tries again, and knows what to do then."""
        goes_on = self.pace.wait(self.clock.monotonic()) <= 0
        result = (Judged(claimed=ended.load.claimed, outcome=_sent(ended.report)),)
        self.before_take()

        def work(tx: Transaction) -> Taken:
            at = self.steady.now()
            finish(tx, result, at=at)
            if not goes_on or self.stopped.is_set():
                return AGAIN
            return self.taker.take(tx, now=at, singly=False, resume=False)

        try:
            after = self.store.write_here(work)
        except StoreError as error:
            log.error(LogEvent.DATABASE_FAILED, channel=self.channel.name, error=error)
            return None
        except Exception as error:  # noqa: BLE001 - the message is sent: that must not be forgotten
            self.defects.note("delivery", error, channel=self.channel.name)
            return None
        self.taker.hand.keep(after)
        return after

    def _is_ready(self, load: Load) -> bool:
        try:
            return self.preparer.is_ready(load.claimed, links=load.links, wants=self.wants)
        except Exception as error:  # noqa: BLE001 - the lane prepares it, and meets the error again
            self.defects.note("delivery", error, channel=self.channel.name)
            return False

    def _tell(self, sent: int, loop: asyncio.AbstractEventLoop) -> None:
        if sent:
            try:
                loop.call_soon_threadsafe(self.on_sent, sent)
            except RuntimeError:  # the loop is closed: nobody counts any more
                return


def _written(claimed: tuple[Claimed, ...], look: Look) -> Message:
    if len(claimed) > 1:
        return compose_digest(claimed, look)
    one = claimed[0]
    return compose_plain(one) if one.delivery.defects >= DEFECTS else compose(one, look)


def _sent(report: SendReport) -> Outcome:
    return Outcome(kind=AttemptOutcome.SENT, status_code=report.status, reason=report.reason)
