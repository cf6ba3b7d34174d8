"""The blocking part of a channel's work: choosing the next message, composing it, sending it, and going on.

The choice (one alert, a digest, or nothing yet) is made in the transaction of the claim. The rest runs in the
channel's own thread, and stays there while all goes well: send, then record and next claim in one transaction,
then the next send. Anything but plain success is left to the lane. To a webhook without limits up to `OVERLAP`
messages are in flight at a time, none of them about the same job; to all other channels one.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias, TypeVar, assert_never

from msgspec import Struct, field

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
T = TypeVar("T")

OVERLAP = 4
"""Messages in flight at a time to a webhook without limits."""
Links: TypeAlias = Mapping[int, str]
"""wrapd's own links by the jobs' row ids."""


class Claim(Struct, frozen=True, kw_only=True):
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

    def keep(self, after: "ClaimsOrIdle", rest: "Sequence[Claim]" = ()) -> None:
        """Keep only what is sent next, and the `rest`, whose outcomes are stored next: all else is stored."""
        claims = rest if isinstance(after, Idle) else (*after, *rest)
        self.rows = frozenset(each.delivery.id for claim in claims for each in claim.claimed)


class Idle(Struct, frozen=True, kw_only=True):
    """Nothing can be sent for `seconds`, unless rows are written meanwhile."""

    seconds: float


Claims: TypeAlias = tuple[Claim, ...]
"""What is sent at the same time."""
ClaimsOrIdle: TypeAlias = Claims | Idle
OwnLinksOf: TypeAlias = Callable[[Transaction, Sequence[Claimed], datetime], Links]


class Claimer(Struct, frozen=True, kw_only=True):
    """Claims what one channel gets next. `above` and `window` (seconds) say when alerts form a digest
    (`domain.digests`; `above` 0: never); `longest` is the poll interval in seconds, `idle`
    that of an empty outbox."""

    channel: ChannelName
    above: int
    window: float
    longest: float
    idle: float
    own_links: OwnLinksOf
    in_flight: InFlight = field(default_factory=InFlight)

    def take(
        self,
        tx: Transaction,
        *,
        now: datetime,
        singly: bool = False,
        resume: bool = False,
        probe: bool = True,
        most: int = 1,
    ) -> ClaimsOrIdle:
        """Claim what goes out next, `most` messages at a time. `singly`: no digest this time; `resume`: deliveries
        put off because of the channel are due, in the order in which they were written; without `probe` a held
        channel is tried with a delivery that it has not refused yet."""
        if resume:
            tx.outbox.resume(self.channel)
        decision = self._decision(tx, now=now, singly=singly)
        claimed: Sequence[Claimed]
        match decision:
            case Together():
                if claimed := tx.outbox.claim_together(self.channel, now=now, most=MOST):
                    return (self._claim(tx, claimed, now=now),)
                claimed = _some(tx.outbox.claim(self.channel, now=now, probe=probe))
            case Later():  # operator alerts never join a digest, so they need not wait for one
                claimed = _some(tx.outbox.claim(self.channel, now=now, apart=True))
                if not claimed:
                    return Idle(seconds=min(decision.seconds, self.longest))
            case Single() if most > 1:
                claimed = tx.outbox.claim_each(self.channel, now=now, most=most)
            case Single():
                claimed = _some(tx.outbox.claim(self.channel, now=now, probe=probe))
            case _:
                assert_never(decision)
        if not claimed:
            return Idle(seconds=self._until(tx.outbox.next_due(self.channel, now=now), now))
        return tuple(self._claim(tx, (each,), now=now) for each in claimed)

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
        if due is None:
            return self.idle
        return min(max((due - now).total_seconds(), 0.0), self.longest)


def _some(claimed: Claimed | None) -> tuple[Claimed, ...]:
    return () if claimed is None else (claimed,)


def finish(tx: Transaction, results: Sequence[Judged], *, at: datetime) -> None:
    """Store the outcomes of messages' deliveries."""
    tx.outbox.finish_all((claimed, judged.outcome, at) for judged in results for claimed in judged.claimed)


class Arrival(Struct, frozen=True, kw_only=True):
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


class Unrecorded(Struct, frozen=True, kw_only=True):
    """A message whose outcome is not stored yet. Not `written`: a defect of wrapd kept it from being sent."""

    claim: Claim
    report: SendReport
    written: bool = True


class SeriesEnd(Struct, frozen=True, kw_only=True):
    """What a series leaves to the lane: outcomes to store, and what follows if there are none."""

    unrecorded: tuple[Unrecorded, ...] = ()
    after: ClaimsOrIdle = AGAIN


class Helper:
    """Makes calls in a thread of its own, which starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] | None = None

    def begin(self, call: Callable[[], T]) -> Callable[[], T]:
        """Begin a call. Returns what waits for its result, and raises what it raises."""
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=_work, args=[self._calls], name=self._name, daemon=True).start()
        future: Future[T] = Future()
        self._calls.put(lambda: _resolve(future, call))
        return future.result

    def stop(self) -> None:
        """End the thread after its call."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _work(calls: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
    while (call := calls.get()) is not None:
        call()


def _resolve(future: "Future[T]", call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
        future.set_exception(error)


class LaneState(Struct, frozen=True, kw_only=True):
    """When the channel last failed, and whether it is calm: then a success changes nothing but the delivery."""

    failed_at: datetime | None
    calm: bool


class Sender(Struct, frozen=True, kw_only=True):
    """Sends the messages of one channel. `twins` and `helpers` are the channels and threads of messages that
    overlap; `on_sent` gets the number of deliveries sent, on the event loop; `before_take` is called before each
    claim."""

    channel: Channel
    twins: tuple[Channel, ...]
    helpers: tuple["Helper", ...]
    around: Surroundings
    claimer: Claimer
    pace: Pace
    wants: Wants
    stopped: asyncio.Event
    before_take: Callable[[], None]
    on_sent: Callable[[int], None]

    def series(
        self, claims: Claims, ready: Sequence[Prepared], state: LaneState, loop: asyncio.AbstractEventLoop
    ) -> SeriesEnd:
        """Send `claims`, and what follows while all goes well. Returns what is left for the lane to do."""
        sent, reported_at = 0, self.around.clock.monotonic()
        try:
            while True:
                ended = self._send_all(claims, ready, state)
                well = state.calm and all(isinstance(each.report.verdict, Sent) for each in ended)
                after = self._record(ended) if well else None
                if after is None:
                    return SeriesEnd(unrecorded=ended)
                sent += sum(len(claim.claimed) for claim in claims)
                for each in ended:
                    outcome = _sent(each.report)
                    log_send(self.channel.name, each.claim, each.report, outcome, pause=0.0, reported=False)
                if isinstance(after, Idle) or not all(map(self._is_ready, after)):
                    return SeriesEnd(after=after)
                claims, ready = after, [Prepared(claimed=each.claimed) for each in after]
                if (now := self.around.clock.monotonic()) - reported_at >= _REPORT_EVERY:
                    self._report(sent, loop)
                    sent, reported_at = 0, now
        finally:
            for channel in (self.channel, *self.twins):
                channel.close_kept()
            self._report(sent, loop)

    def _send_all(self, claims: Claims, ready: Sequence[Prepared], state: LaneState) -> tuple[Unrecorded, ...]:
        """Send messages at the same time, each over a channel and in a thread of its own. Returns when all ended,
        at the latest after the send timeout."""
        others = [
            helper.begin(partial(self._send, claim, prepared, state, channel=twin))
            for claim, prepared, twin, helper in zip(claims[1:], ready[1:], self.twins, self.helpers, strict=False)
        ]
        return (self._send(claims[0], ready[0], state), *(wait() for wait in others))

    def _send(
        self, claim: Claim, ready: Prepared, state: LaneState, *, channel: Channel | None = None
    ) -> Unrecorded:
        """Compose the message and send it."""
        channel, claimed = channel or self.channel, ready.claimed
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

    def _record(self, ended: Sequence[Unrecorded]) -> ClaimsOrIdle | None:
        """Store that these were sent and, if the channel may be sent to at once, claim what is next, in one
        transaction. None if the database fails in any way: the lane handles the retry."""
        goes_on = self.pace.book(self.around.clock.monotonic()) <= 0
        results = [Judged(claimed=each.claim.claimed, outcome=_sent(each.report)) for each in ended]
        self.before_take()

        def work(tx: Transaction) -> ClaimsOrIdle:
            at = self.around.steady.now()
            finish(tx, results, at=at)
            if not goes_on or self.stopped.is_set():
                return AGAIN
            # Several at a time only after a success: a service that is down is tried with one.
            return self.claimer.take(tx, now=at, most=1 + len(self.twins))

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
