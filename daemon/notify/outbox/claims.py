"""What the next message of a channel tells: one alert, several together, or nothing yet.

Owns the choice, made in one transaction with the claim. Must never send, and never ask the store for more than a
channel's plan needs: one without digests claims and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from daemon.clock import SteadyClock
from daemon.domain.digests import MOST, Decision, Later, Single, Together, decide
from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.logs import LogEvent, logger
from daemon.notify.outbox.policy import Judged, Pace
from daemon.notify.transport import Channel, SendReport
from daemon.notify.transport.verdicts import Hold, Sent, arrived
from daemon.store import AttemptOutcome, Claimed, Outcome, Transaction

Links: TypeAlias = Mapping[int, str]
"""wrapd's own links by the jobs' row ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Deliveries that are claimed, for one message: of several, a digest."""

    claimed: tuple[Claimed, ...]
    links: Links = field(default_factory=dict)

    @property
    def first(self) -> Claimed:
        return self.claimed[0]


@dataclass(slots=True)
class Hand:
    """The deliveries (row ids) that a lane has under way: what is being sent and in no hand has no owner. Read by
    other threads; each change puts in a new value."""

    rows: frozenset[int] = frozenset()

    def take(self, claimed: Sequence[Claimed]) -> None:
        """These come into it, beside what is there; before their claim is stored."""
        self.rows |= {each.delivery.id for each in claimed}

    def keep(self, after: "Taken | None") -> None:
        """What was there is stored; only what is to be sent next stays."""
        self.rows = (
            frozenset(each.delivery.id for each in after.claimed) if isinstance(after, Load) else frozenset()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Nothing is to be sent for `seconds`, as far as is known."""

    seconds: float


Taken: TypeAlias = Load | Idle
OwnLinksOf: TypeAlias = Callable[[Transaction, Sequence[Claimed], datetime], Links]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Takes what one channel is to be sent next. `above` and `window` (seconds) say when alerts are told together
    (`domain.digests`; `above` 0: never), `longest` is how many seconds nothing is looked at."""

    channel: ChannelName
    above: int
    window: float
    longest: float
    own_links: OwnLinksOf
    hand: Hand = field(default_factory=Hand)

    def take(self, tx: Transaction, *, now: datetime, singly: bool, resume: bool, probe: bool = True) -> Taken:
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
                    return self._load(tx, group, now=now)
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
        return self._load(tx, (claimed,), now=now)

    def glance(self, tx: Transaction, *, now: datetime) -> float:
        """Seconds until there may be something to take; 0: now. Only reads."""
        return self._until(tx.outbox.next_due(self.channel, now=now), now)

    def _decision(self, tx: Transaction, *, now: datetime, singly: bool) -> Decision:
        if self.above <= 0 or singly:
            return Single()
        waiting = tx.outbox.waiting(self.channel, now=now, window=self.window)
        return decide(waiting, above=self.above, window=self.window, now=now)

    def _load(self, tx: Transaction, claimed: tuple[Claimed, ...], *, now: datetime) -> Load:
        self.hand.take(claimed)
        return Load(claimed=claimed, links=self.own_links(tx, claimed, now))

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
    how many messages it got within its pace's window."""

    moved: bool
    held: float | None
    sent: int


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
    window = Pace(channel.per_minute).window
    sent = tx.outbox.sent_since(name, now - timedelta(seconds=window)) if window > 0 else 0
    return Arrival(moved=moved, held=held, sent=sent)


log = logger(__name__)

_LINES = {
    AttemptOutcome.RETRY: LogEvent.DELIVERY_RETRY,
    AttemptOutcome.UNKNOWN: LogEvent.DELIVERY_UNKNOWN,
    AttemptOutcome.DEAD: LogEvent.DELIVERY_DEAD,
}


def log_send(
    channel: ChannelName, load: Load, report: SendReport, outcome: Outcome, *, pause: float, told: bool
) -> None:
    """Log what came of it: for how many seconds the channel rests now, and whether its trouble was told before."""
    first = load.first
    fields: dict[str, object] = {
        "channel": channel,
        "delivery": first.delivery.id,
        "told": first.delivery.event.value,
        "attempt": first.attempt,
    }
    if len(load.claimed) > 1:
        fields |= {"told": "digest", "deliveries": [each.delivery.id for each in load.claimed]}
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


def held_alert(channel: ChannelName, load: Load, report: SendReport, *, at: datetime) -> OperatorAlert:
    """One alert for each time that the channel is held, however many deliveries wait."""
    first = load.first
    partly: dict[str, Json] = {"partly": True} if arrived(report.verdict) else {}
    return OperatorAlert(
        event=Event.CHANNEL_HELD,
        key=f"channel/{channel}/held/{first.delivery.id}/{first.attempt}",
        facts={"channel": channel, "reason": report.reason, "observed_at": at.isoformat(), **partly},
    )
