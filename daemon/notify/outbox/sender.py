"""The blocking part of a channel's work: choosing the next message, composing it, sending it, and going on.

The choice (one alert, a digest, or nothing yet) is made in the transaction of the claim. The rest runs in the
channel's own thread, and stays there while all goes well: send, then record and next claim in one transaction,
then the next send. Anything but plain success is left to the lane. One message is in flight at a time.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from daemon.clock import SteadyClock
from daemon.domain.digests import MOST, Decision, Later, Single, Together, decide
from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.logs import LogEvent, logger
from daemon.notify.message import Message
from daemon.notify.message.compose import compose, compose_digest, compose_plain
from daemon.notify.message.language import MessageContext
from daemon.notify.outbox.context import Surroundings
from daemon.notify.outbox.pace import Pace
from daemon.notify.outbox.policy import Judged
from daemon.notify.outbox.prepare import Prepared, Wants
from daemon.notify.transport import Channel, SendReport
from daemon.notify.transport.verdicts import Hold, Retry, Sent, arrived
from daemon.store import DEFECTS, AttemptOutcome, Claimed, Outcome, StoreError, Transaction

log = logger(__name__)

Links: TypeAlias = Mapping[int, str]
"""wrapd's own links by the jobs' row ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Deliveries claimed for one message; several make a digest."""

    claimed: tuple[Claimed, ...]
    links: Links = field(default_factory=dict)

    @property
    def first(self) -> Claimed:
        return self.claimed[0]


@dataclass(slots=True)
class InFlight:
    """Row ids that a lane has in flight. A row that is marked as being sent and is in flight nowhere has lost its
    lane. Other threads read it, so each change assigns a new value."""

    rows: frozenset[int] = frozenset()

    def take(self, claimed: Sequence[Claimed]) -> None:
        """Add these. Called in the transaction that claims them, so that the rescue never sees them unowned."""
        self.rows |= {each.delivery.id for each in claimed}

    def keep(self, after: "ClaimOrIdle | None") -> None:
        """Keep only what is sent next: everything else is stored."""
        self.rows = (
            frozenset(each.delivery.id for each in after.claimed) if isinstance(after, Claim) else frozenset()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Nothing can be sent for `seconds`, unless rows are written meanwhile."""

    seconds: float


ClaimOrIdle: TypeAlias = Claim | Idle
OwnLinksOf: TypeAlias = Callable[[Transaction, Sequence[Claimed], datetime], Links]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimer:
    """Claims what one channel gets next. `above` and `window` (seconds) say when alerts form a digest
    (`domain.digests`; `above` 0: never); `longest` is the poll interval in seconds."""

    channel: ChannelName
    above: int
    window: float
    longest: float
    own_links: OwnLinksOf
    in_flight: InFlight = field(default_factory=InFlight)

    def take(
        self, tx: Transaction, *, now: datetime, singly: bool, resume: bool, probe: bool = True
    ) -> ClaimOrIdle:
        """Claim what goes out next. `singly`: no digest this time; `resume`: deliveries put off because of the
        channel are due, in the order in which they were written; without `probe` a held channel is tried with a
        delivery that it has not refused yet."""
        if resume:
            tx.outbox.resume(self.channel)
        decision = self._decision(tx, now=now, singly=singly)
        match decision:
            case Together():
                group = tx.outbox.claim_together(self.channel, now=now, most=MOST)
                if group:
                    return self._claim(tx, group, now=now)
                claimed = tx.outbox.claim(self.channel, now=now, probe=probe)
            case Later():  # operator alerts never join a digest, so they need not wait for one
                claimed = tx.outbox.claim(self.channel, now=now, apart=True)
                if claimed is None:
                    return Idle(seconds=min(decision.seconds, self.longest))
            case Single():
                claimed = tx.outbox.claim(self.channel, now=now, probe=probe)
            case _:
                assert_never(decision)
        if claimed is None:
            return Idle(seconds=self._until(tx.outbox.next_due(self.channel, now=now), now))
        return self._claim(tx, (claimed,), now=now)

    def glance(self, tx: Transaction, *, now: datetime) -> float:
        """Seconds until there may be something to claim; 0: now. Only reads."""
        return self._until(tx.outbox.next_due(self.channel, now=now), now)

    def _decision(self, tx: Transaction, *, now: datetime, singly: bool) -> Decision:
        if self.above <= 0 or singly:
            return Single()
        waiting = tx.outbox.waiting(self.channel, now=now, window=self.window)
        return decide(waiting, above=self.above, window=self.window, now=now)

    def _claim(self, tx: Transaction, claimed: tuple[Claimed, ...], *, now: datetime) -> Claim:
        self.in_flight.take(claimed)
        return Claim(claimed=claimed, links=self.own_links(tx, claimed, now))

    def _until(self, due: datetime | None, now: datetime) -> float:
        ahead = self.longest if due is None else (due - now).total_seconds()
        return min(max(ahead, 0.0), self.longest)


def finish(tx: Transaction, results: Sequence[Judged], *, at: datetime) -> None:
    """Store the outcomes of a message's deliveries."""
    for judged in results:
        if len(judged.claimed) == 1:
            tx.outbox.finish(judged.claimed[0], judged.outcome, at=at)
        else:
            tx.outbox.finish_together(judged.claimed, judged.outcome, at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A channel's state as its lane begins. `moved`: its URL has changed; `held`: seconds since it is held, None:
    it is not; `sent`: how many seconds ago its messages were sent, as far back as any of its limits counts."""

    moved: bool
    held: float | None
    sent: tuple[float, ...]


def arrive(
    channel: Channel, tx: Transaction, *, salt: str, clock: SteadyClock, elsewhere: bool = False
) -> Arrival:
    """Store the fingerprint of the channel's URL under `salt`. If the URL has changed (`elsewhere`: it is known to
    have), everything that was held or put off is due at once: a person has corrected it."""
    name, now = channel.name, clock.now()
    moved = tx.addresses.moved(name, channel.fingerprint, salt=salt) or elsewhere
    if moved:
        tx.outbox.release(name, at=now)
        tx.outbox.resume(name)
    held = None
    if tx.outbox.is_held(name):
        held = (now - (tx.outbox.held_since(name) or now)).total_seconds()
    window = max((limit.seconds for limit in channel.limits), default=0.0)
    begun = tx.outbox.sent_since(name, now - timedelta(seconds=window)) if window > 0 else ()
    return Arrival(moved=moved, held=held, sent=tuple((now - moment).total_seconds() for moment in begun))


_LINES = {
    AttemptOutcome.RETRY: LogEvent.DELIVERY_RETRY,
    AttemptOutcome.UNKNOWN: LogEvent.DELIVERY_UNKNOWN,
    AttemptOutcome.DEAD: LogEvent.DELIVERY_DEAD,
}


def log_send(
    channel: ChannelName, claim: Claim, report: SendReport, outcome: Outcome, *, pause: float, reported: bool
) -> None:
    """Log a result. `pause`: seconds for which the channel rests now; `reported`: its trouble was known before."""
    first = claim.first
    fields: dict[str, object] = {
        "channel": channel,
        "delivery": first.delivery.id,
        "told": first.delivery.event.value,
        "attempt": first.attempt,
    }
    if len(claim.claimed) > 1:
        fields |= {"told": "digest", "deliveries": [each.delivery.id for each in claim.claimed]}
    match report.verdict:
        case Sent():
            if reported:
                log.info(LogEvent.CHANNEL_RELEASED, channel=channel)
            log.info(LogEvent.DELIVERY_SENT, **fields, seconds=round(report.seconds, 3))
        case Hold():
            if not reported:
                log.error(LogEvent.CHANNEL_HELD, **fields, reason=outcome.reason)
        case _:
            log.warning(_LINES[outcome.kind], **fields, reason=outcome.reason, pause=round(pause, 1))


def held_alert(channel: ChannelName, claim: Claim, report: SendReport, *, at: datetime) -> OperatorAlert:
    """The operator alert that a channel is held: one for each time, however many deliveries wait."""
    first = claim.first
    partly: dict[str, Json] = {"partly": True} if arrived(report.verdict) else {}
    return OperatorAlert(
        event=Event.CHANNEL_HELD,
        key=f"channel/{channel}/held/{first.delivery.id}/{first.attempt}",
        facts={"channel": channel, "reason": report.reason, "observed_at": at.isoformat(), **partly},
    )


_REPORT_EVERY = 0.1
"""Seconds between two reports of results to the event loop during a series."""
AGAIN = Idle(seconds=0.0)
"""Poll again: the transaction did not decide whether the channel may be sent to now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """A message whose outcome is not stored yet. Not `written`: a defect of wrapd kept it from being sent."""

    claim: Claim
    report: SendReport
    written: bool = True


Ended: TypeAlias = Unrecorded | ClaimOrIdle


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """When the channel last failed, and whether it is calm: then a success changes nothing but the delivery."""

    failed_at: datetime | None
    calm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends the messages of one channel. `on_sent` gets the number of deliveries sent, on the event loop;
    `before_take` is called before each claim."""

    channel: Channel
    around: Surroundings
    claimer: Claimer
    pace: Pace
    wants: Wants
    stopped: asyncio.Event
    before_take: Callable[[], None]
    on_sent: Callable[[int], None]

    def series(self, claim: Claim, ready: Prepared, state: LaneState, loop: asyncio.AbstractEventLoop) -> Ended:
        """Send `claim`, and what follows while all goes well. Returns what is left for the lane to do."""
        sent, reported_at = 0, self.around.clock.monotonic()
        try:
            while True:
                ended = self._send(claim, ready, state)
                after = (
                    None if not state.calm or not isinstance(ended.report.verdict, Sent) else self._record(ended)
                )
                if after is None:
                    return ended
                sent += len(claim.claimed)
                log_send(self.channel.name, claim, ended.report, _sent(ended.report), pause=0.0, reported=False)
                if not isinstance(after, Claim) or not self._is_ready(after):
                    return after
                claim, ready = after, Prepared(claimed=after.claimed)
                if (now := self.around.clock.monotonic()) - reported_at >= _REPORT_EVERY:
                    self._report(sent, loop)
                    sent, reported_at = 0, now
        finally:
            self.channel.close_kept()
            self._report(sent, loop)

    def _send(self, claim: Claim, ready: Prepared, state: LaneState) -> Unrecorded:
        """Compose the message and send it."""
        channel, claimed = self.channel, ready.claimed
        try:
            context = MessageContext(
                zone=channel.zone,
                now=self.around.clock.now(),
                language=channel.language,
                links=claim.links,
                cover=ready.cover,
                failed_at=state.failed_at,
            )
            message = _composed(claimed, context)
            report = channel.send(
                message, timeout=self.around.settings.send_timeout, clock=self.around.clock, more=True
            )
        except Exception as error:  # noqa: BLE001 - a defect of ours must not lose the delivery nor end the lane
            return self.failed(claim, error)
        self.pace.sent(self.around.clock.monotonic())
        return Unrecorded(claim=claim, report=report)

    def failed(self, claim: Claim, error: Exception) -> Unrecorded:
        """The result where a defect of wrapd's own kept the message from being sent."""
        first = claim.first.delivery
        self.around.defects.note("delivery", error, channel=self.channel.name, delivery=first.id, job=first.job)
        reason = f"wrapd could not write the message ({type(error).__name__})"
        report = SendReport(verdict=Retry(reason=reason), reason=reason, status=None, requests=0, seconds=0.0)
        return Unrecorded(claim=claim, report=report, written=False)

    def _record(self, ended: Unrecorded) -> ClaimOrIdle | None:
        """Store that it was sent and, if the channel may be sent to at once, claim the next. None if the database
        fails in any way: the lane handles the retry."""
        goes_on = self.pace.book(self.around.clock.monotonic()) <= 0
        result = (Judged(claimed=ended.claim.claimed, outcome=_sent(ended.report)),)
        self.before_take()

        def work(tx: Transaction) -> ClaimOrIdle:
            at = self.around.steady.now()
            finish(tx, result, at=at)
            if not goes_on or self.stopped.is_set():
                return AGAIN
            return self.claimer.take(tx, now=at, singly=False, resume=False)

        try:
            after = self.around.store.write_here(work)
        except StoreError as error:
            log.error(LogEvent.DATABASE_FAILED, channel=self.channel.name, error=error)
            return None
        except Exception as error:  # noqa: BLE001 - the message is sent: the lane must still record that
            self.around.defects.note("delivery", error, channel=self.channel.name)
            return None
        self.claimer.in_flight.keep(after)
        return after

    def _is_ready(self, claim: Claim) -> bool:
        try:
            return self.around.preparer.is_ready(claim.claimed, links=claim.links, wants=self.wants)
        except Exception as error:  # noqa: BLE001 - the lane prepares it and handles the error
            self.around.defects.note("delivery", error, channel=self.channel.name)
            return False

    def _report(self, sent: int, loop: asyncio.AbstractEventLoop) -> None:
        if sent:
            try:
                loop.call_soon_threadsafe(self.on_sent, sent)
            except RuntimeError:  # the loop is closed: results are no longer counted
                return


def _composed(claimed: tuple[Claimed, ...], context: MessageContext) -> Message:
    if len(claimed) > 1:
        return compose_digest(claimed, context)
    one = claimed[0]
    return compose_plain(one) if one.delivery.defects >= DEFECTS else compose(one, context)


def _sent(report: SendReport) -> Outcome:
    return Outcome(kind=AttemptOutcome.SENT, status_code=report.status, reason=report.reason)
