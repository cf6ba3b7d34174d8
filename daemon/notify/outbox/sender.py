"""The part of a channel's work that blocks: choosing what the next message tells, writing it, sending it,
going on.

The choice is made in one transaction with the claim: one alert, several together, or nothing yet; a channel
without digests claims and nothing else. The rest runs in the channel's own thread. As long as nothing goes
wrong it stays there: a send, the record of it and the next claim in one transaction, the next send. Whatever is
not plain success is left to the lane. Must never record what did not end so, and never take more than one
message at a time.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from daemon.clock import Clock, SteadyClock
from daemon.domain.digests import MOST, Decision, Later, Single, Together, decide
from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.logs import LogEvent, logger
from daemon.notify.message import Message
from daemon.notify.message.compose import compose, compose_digest, compose_plain
from daemon.notify.message.language import MessageContext
from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.pace import Pace
from daemon.notify.outbox.policy import Judged
from daemon.notify.outbox.prepare import Prepared, Preparer, Wants
from daemon.notify.transport import Channel, SendReport
from daemon.notify.transport.verdicts import Hold, Retry, Sent, arrived
from daemon.store import DEFECTS, AttemptOutcome, Claimed, Outcome, Store, StoreError, Transaction
from daemon.tasks import Defects

Links: TypeAlias = Mapping[int, str]
"""wrapd's own links by the jobs' row ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Deliveries that are claimed, for one message: of several, a digest."""

    claimed: tuple[Claimed, ...]
    links: Links = field(default_factory=dict)

    @property
    def first(self) -> Claimed:
        return self.claimed[0]


@dataclass(slots=True)
class InFlight:
    """The deliveries (row ids) that a lane has under way: what is being sent and in flight nowhere has no owner.
    Read by other threads; each change puts in a new value."""

    rows: frozenset[int] = frozenset()

    def take(self, claimed: Sequence[Claimed]) -> None:
        """These come into it, beside what is there; before their claim is stored."""
        self.rows |= {each.delivery.id for each in claimed}

    def keep(self, after: "ClaimOrIdle | None") -> None:
        """What was there is stored; only what is to be sent next stays."""
        self.rows = (
            frozenset(each.delivery.id for each in after.claimed) if isinstance(after, Claim) else frozenset()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Nothing is to be sent for `seconds`, as far as is known."""

    seconds: float


ClaimOrIdle: TypeAlias = Claim | Idle
OwnLinksOf: TypeAlias = Callable[[Transaction, Sequence[Claimed], datetime], Links]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimer:
    """Takes what one channel is to be sent next. `above` and `window` (seconds) say when alerts are told together
    (`domain.digests`; `above` 0: never), `longest` is how many seconds nothing is looked at."""

    channel: ChannelName
    above: int
    window: float
    longest: float
    own_links: OwnLinksOf
    in_flight: InFlight = field(default_factory=InFlight)

    def take(
        self, tx: Transaction, *, now: datetime, singly: bool, resume: bool, probe: bool = True
    ) -> ClaimOrIdle:
        """Claim what goes out next. `singly`: nothing together this time; `resume`: what was put off because of
        the channel goes in the order in which it was written; without `probe` a held channel is tried with what it
        has not refused."""
        if resume:
            tx.outbox.resume(self.channel)
        decision = self._decision(tx, now=now, singly=singly)
        match decision:
            case Together():
                group = tx.outbox.claim_together(self.channel, now=now, most=MOST)
                if group:
                    return self._claim(tx, group, now=now)
                claimed = tx.outbox.claim(self.channel, now=now, probe=probe)
            case Later():  # what is for the operators is never told together, and need not wait for it
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
        """Seconds until there may be something to take; 0: now. Only reads."""
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
    """Store what becomes of the deliveries of a message."""
    for judged in results:
        if len(judged.claimed) == 1:
            tx.outbox.finish(judged.claimed[0], judged.outcome, at=at)
        else:
            tx.outbox.finish_together(judged.claimed, judged.outcome, at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """`moved`: it leads elsewhere than before; `held`: since how many seconds it is held, None: it is not; `sent`:
    how many seconds ago it got messages, as far back as any limit of it counts."""

    moved: bool
    held: float | None
    sent: tuple[float, ...]


def arrive(
    channel: Channel, tx: Transaction, *, salt: str, clock: SteadyClock, elsewhere: bool = False
) -> Arrival:
    """Note where the channel leads; what it refused under another URL than it has now is due at once: somebody has
    corrected it. `elsewhere`: that it leads elsewhere is known already. A new fingerprint is kept under `salt`."""
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
    channel: ChannelName, claim: Claim, report: SendReport, outcome: Outcome, *, pause: float, told: bool
) -> None:
    """Log what came of it: for how many seconds the channel rests now, and whether its trouble was told before."""
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
            if told:
                log.info(LogEvent.CHANNEL_RELEASED, channel=channel)
            log.info(LogEvent.DELIVERY_SENT, **fields, seconds=round(report.seconds, 3))
        case Hold():
            if not told:
                log.error(LogEvent.CHANNEL_HELD, **fields, reason=outcome.reason)
        case _:
            log.warning(_LINES[outcome.kind], **fields, reason=outcome.reason, pause=round(pause, 1))


def held_alert(channel: ChannelName, claim: Claim, report: SendReport, *, at: datetime) -> OperatorAlert:
    """One alert for each time that the channel is held, however many deliveries wait."""
    first = claim.first
    partly: dict[str, Json] = {"partly": True} if arrived(report.verdict) else {}
    return OperatorAlert(
        event=Event.CHANNEL_HELD,
        key=f"channel/{channel}/held/{first.delivery.id}/{first.attempt}",
        facts={"channel": channel, "reason": report.reason, "observed_at": at.isoformat(), **partly},
    )


log = logger(__name__)

_TELL_EVERY = 0.1
"""Seconds between two reports of results to the loop while messages follow one another."""
AGAIN = Idle(seconds=0.0)
"""Look again: whether the channel may be sent to now is not decided in the transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """A message that was sent, or was to be, and whose outcome is still to be stored. `written`: the fault was the
    service's, not in the writing."""

    claim: Claim
    report: SendReport
    written: bool = True


Ended: TypeAlias = Unrecorded | ClaimOrIdle


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
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
    claimer: Claimer
    pace: Pace
    wants: Wants
    stopped: asyncio.Event
    before_take: Callable[[], None]
    on_sent: Callable[[int], None]

    def series(self, claim: Claim, ready: Prepared, state: LaneState, loop: asyncio.AbstractEventLoop) -> Ended:
        """Send `load`, and what follows it as long as that is plain; what is left to do for the lane."""
        sent, told_at = 0, self.clock.monotonic()
        try:
            while True:
                ended = self._send(claim, ready, state)
                after = (
                    None if not state.calm or not isinstance(ended.report.verdict, Sent) else self._record(ended)
                )
                if after is None:
                    return ended
                sent += len(claim.claimed)
                log_send(self.channel.name, claim, ended.report, _sent(ended.report), pause=0.0, told=False)
                if not isinstance(after, Claim) or not self._is_ready(after):
                    return after
                claim, ready = after, Prepared(claimed=after.claimed)
                if (now := self.clock.monotonic()) - told_at >= _TELL_EVERY:
                    self._tell(sent, loop)
                    sent, told_at = 0, now
        finally:
            self.channel.let_go()
            self._tell(sent, loop)

    def _send(self, claim: Claim, ready: Prepared, state: LaneState) -> Unrecorded:
        """Write the message and send it."""
        channel, claimed = self.channel, ready.claimed
        try:
            context = MessageContext(
                zone=channel.zone,
                now=self.clock.now(),
                language=channel.language,
                links=claim.links,
                cover=ready.cover,
                failed_at=state.failed_at,
            )
            message = _written(claimed, context)
            report = channel.send(message, timeout=self.settings.send_timeout, clock=self.clock, more=True)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the delivery nor end the lane
            return self.failed(claim, error)
        self.pace.sent(self.clock.monotonic())
        return Unrecorded(claim=claim, report=report)

    def failed(self, claim: Claim, error: Exception) -> Unrecorded:
        """An error of wrapd's own kept the message from being sent."""
        first = claim.first.delivery
        self.defects.note("delivery", error, channel=self.channel.name, delivery=first.id, job=first.job)
        reason = f"wrapd could not write the message ({type(error).__name__})"
        report = SendReport(verdict=Retry(reason=reason), reason=reason, status=None, requests=0, seconds=0.0)
        return Unrecorded(claim=claim, report=report, written=False)

    def _record(self, ended: Unrecorded) -> ClaimOrIdle | None:
        """Store that it was sent, and take the next where the channel may be sent to at once. None where the
        database does not take it, for whatever reason: the lane tries again, and knows what to do then."""
        goes_on = self.pace.book(self.clock.monotonic()) <= 0
        result = (Judged(claimed=ended.claim.claimed, outcome=_sent(ended.report)),)
        self.before_take()

        def work(tx: Transaction) -> ClaimOrIdle:
            at = self.steady.now()
            finish(tx, result, at=at)
            if not goes_on or self.stopped.is_set():
                return AGAIN
            return self.claimer.take(tx, now=at, singly=False, resume=False)

        try:
            after = self.store.write_here(work)
        except StoreError as error:
            log.error(LogEvent.DATABASE_FAILED, channel=self.channel.name, error=error)
            return None
        except Exception as error:  # noqa: BLE001 - the message is sent: that must not be forgotten
            self.defects.note("delivery", error, channel=self.channel.name)
            return None
        self.claimer.in_flight.keep(after)
        return after

    def _is_ready(self, claim: Claim) -> bool:
        try:
            return self.preparer.is_ready(claim.claimed, links=claim.links, wants=self.wants)
        except Exception as error:  # noqa: BLE001 - the lane prepares it, and meets the error again
            self.defects.note("delivery", error, channel=self.channel.name)
            return False

    def _tell(self, sent: int, loop: asyncio.AbstractEventLoop) -> None:
        if sent:
            try:
                loop.call_soon_threadsafe(self.on_sent, sent)
            except RuntimeError:  # the loop is closed: nobody counts any more
                return


def _written(claimed: tuple[Claimed, ...], look: MessageContext) -> Message:
    if len(claimed) > 1:
        return compose_digest(claimed, look)
    one = claimed[0]
    return compose_plain(one) if one.delivery.defects >= DEFECTS else compose(one, look)


def _sent(report: SendReport) -> Outcome:
    return Outcome(kind=AttemptOutcome.SENT, status_code=report.status, reason=report.reason)
