"""What is stored of a message that was sent, or was to be: what becomes of its deliveries, and who is told of it.

Owns whom a refusal is held against, the message or the channel; the alerts about the channel's trouble and about
what is given up, in one for many; and when another channel is told in this one's place. Must never send, wait or
count, and never tell of an alert that is itself about dead ones: two channels that take nothing would tell of each
other for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Target
from daemon.notify.outbox import ChannelPlan
from daemon.notify.outbox.context import Surroundings
from daemon.notify.outbox.policy import Judged, PlainRefusals, failed_by_us, outcomes
from daemon.notify.outbox.sender import Unrecorded, held_alert
from daemon.notify.transport import Channel
from daemon.notify.transport.verdicts import Dead, Hold, Sent, arrived
from daemon.store import AttemptOutcome, Transaction


class Fallback:
    """The fallback of one channel; without one in its plan nothing is ever due."""

    def __init__(self, *, channel: ChannelName, plan: ChannelPlan, look_interval: float) -> None:
        self.to = plan.fallback
        self._channel = channel
        self._after = plan.fallback_after
        self._held_from: float | None = None
        self._look_interval = look_interval
        self._again = float("-inf")

    def held(self, now: float, *, seconds: float = 0.0) -> None:
        """The channel is held, for so many seconds already; `now`: monotonic seconds."""
        if self._held_from is None:
            self._held_from = now - max(0.0, seconds)

    def follow(self, other: "Fallback") -> None:
        """Go on where another one of the same channel ended: it is held for as long."""
        self._held_from = other._held_from

    def freed(self) -> None:
        """It is not held any more."""
        self._held_from = None

    def is_due(self, now: float, *, news: bool) -> bool:
        """Whether to look (`now`: monotonic seconds) if the channel is held for long enough: after some time, and
        at once where rows of it were written (`news`)."""
        if self.to is None or (now < self._again and not news):
            return False
        self._again = now + self._look_interval
        return self._held_from is not None and now - self._held_from >= self._after

    def divert(self, tx: Transaction, *, at: datetime) -> int:
        """Copy what the channel has not taken to the other one, each once; how many were copied."""
        return 0 if self.to is None else tx.outbox.divert(self._channel, self.to, at=at)


GATHER = 10.0
"""Seconds in which dead ones are gathered before the first alert about them."""
PAUSE = 600.0
"""Seconds between two alerts about dead ones of one channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An alert about dead deliveries, to be told in `wait` seconds; where another one about the same channel still
    waits, it becomes a part of that."""

    alert: OperatorAlert
    wait: float


class DeadLetters:
    """The dead deliveries of one channel; `fallback` is told in its place."""

    def __init__(self, channel: ChannelName, *, fallback: ChannelName | None) -> None:
        self.fallback = fallback
        self.about = f"channel/{channel}/dead/"
        """What the keys of all alerts about them begin with."""
        self._channel = channel
        self._told_at = float("-inf")

    def follow(self, other: "DeadLetters") -> None:
        """Go on where those of the same channel ended: they were told of when they were."""
        self._told_at = other._told_at

    def notice(self, dead: Sequence[tuple[int, str]], *, reason: str, at: datetime, now: float) -> Notice | None:
        """The alert about these, by row id and event; None where there is nothing to tell. `now`: monotonic
        seconds."""
        told = [row for row, event in dead if event != Event.DELIVERY_DEAD]
        if not told:
            return None
        if now >= self._told_at:
            self._told_at = max(now + GATHER, self._told_at + PAUSE)
        facts: dict[str, Json] = {
            "channel": self._channel,
            "reason": reason,
            "deliveries": len(told),
            "observed_at": at.isoformat(),
        }
        key = f"{self.about}{told[0]}/{int(at.timestamp() * 1000)}"
        alert = OperatorAlert(event=Event.DELIVERY_DEAD, key=key, facts=facts)
        return Notice(alert=alert, wait=max(0.0, self._told_at - now))

    def take_back(self) -> None:
        """Some were not dead after all: the next alert need not wait for the pause after one that told of them."""
        self._told_at = float("-inf")

    def write(
        self,
        tx: Transaction,
        rows: Sequence[int],
        notice: Notice | None,
        *,
        operators: Sequence[Target],
        at: datetime,
    ) -> None:
        """Tell `operators`, and copy `rows` (ids) to the fallback, each once."""
        if self.fallback is not None:
            tx.outbox.copy(rows, self.fallback, at=at)
        if notice is not None:
            due_at = at + timedelta(seconds=notice.wait)
            tx.outbox.tell_dead(notice.alert, about=self.about, channels=operators, at=at, due_at=due_at)


Work = Callable[[Transaction], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelHealth:
    """How the channel stands as a message ends: whether the operators were told of its trouble, how often it has
    refused since it is held, for how many seconds it rests now, and for how many its lane has been at work."""

    told: bool
    probes: int
    pause: float
    uptime: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is to be stored of a message, as of `at`; `wakes` are the channels that are told of it."""

    results: tuple[Judged, ...]
    at: datetime
    alerts: tuple[Work, ...] = ()
    wakes: tuple[ChannelName, ...] = ()

    def tell(self, tx: Transaction) -> None:
        """Write who is told of it."""
        for work in self.alerts:
            work(tx)


class Judge:
    """Judges the messages of one channel."""

    def __init__(self, channel: Channel, around: Surroundings) -> None:
        self._name = channel.name
        self._around = around
        self._refusals = PlainRefusals()
        self._revived: tuple[int, ...] = ()
        self._dead = DeadLetters(channel.name, fallback=channel.plan.fallback)
        self.suspects = False
        """Whether the channel is held because it refused one alert after another, each as if for what it says."""

    def follow(self, other: "Judge", *, moved: bool) -> None:
        """Go on where the judge of the same channel ended; `moved`: it leads elsewhere now, so nothing is held
        against it."""
        self._dead.follow(other._dead)
        if not moved:
            self._refusals, self.suspects = other._refusals, other.suspects

    @property
    def trusts(self) -> bool:
        """Whether the channel took the last message."""
        return self._refusals.none

    def blame(self, ended: Unrecorded) -> Unrecorded:
        """The outcome; one that looks like a refusal of the message, and is one of the channel, as that."""
        verdict, claimed = ended.report.verdict, ended.claim.claimed
        self._revived = ()
        if arrived(verdict):
            self._refusals.taken()
        if isinstance(verdict, Sent | Hold):
            self.suspects = False
        if not isinstance(verdict, Dead) or len(claimed) > 1:
            return ended
        if not self._refusals.about_channel(verdict, claimed[0].delivery.id):
            return ended
        self.suspects, self._revived = True, self._refusals.dead
        if self._revived:
            self._dead.take_back()
        reason = f"one alert after another is refused, in the plainest form too: {verdict.reason}"
        hold = Hold(reason=reason, status=verdict.status)
        return replace(ended, report=replace(ended.report, verdict=hold, reason=reason))

    def of(self, ended: Unrecorded, standing: ChannelHealth) -> Callable[[], Judgement]:
        """What is to be stored, made at the moment at which it is: waits begin then."""
        around, report, claimed = self._around, ended.report, ended.claim.claimed
        spread, revived = around.rng.random(), self._revived

        def judge() -> Judgement:
            at = around.steady.now()
            if not ended.written:
                results = failed_by_us(
                    claimed, reason=report.reason, at=at, settings=around.settings, spread=spread
                )
                return self._told(ended, results, standing, revived, at=at)
            results = outcomes(
                report.verdict,
                claimed,
                reason=report.reason,
                at=at,
                probes=standing.probes,
                pause=standing.pause,
                settings=around.settings,
                spread=spread,
                uptime=standing.uptime,
            )
            return self._told(ended, results, standing, revived, at=at)

        return judge

    def bury(
        self,
        tx: Transaction,
        dead: Sequence[tuple[int, str]],
        *,
        reason: str,
        at: datetime,
    ) -> None:
        """These (row ids and events) are dead: tell the operators, and another channel in place of this one."""
        now = self._around.clock.monotonic()
        notice = self._dead.notice(dead, reason=reason, at=at, now=now)
        operators = self._around.operators(Event.DELIVERY_DEAD, at)
        self._dead.write(tx, [row for row, _ in dead], notice, operators=operators, at=at)

    def _told(
        self,
        ended: Unrecorded,
        results: tuple[Judged, ...],
        standing: ChannelHealth,
        revived: tuple[int, ...],
        *,
        at: datetime,
    ) -> Judgement:
        """The same with those who are told, beside the log: that the channel is held, or what is given up."""
        report = ended.report
        dead = [one for each in results if each.outcome.kind is AttemptOutcome.DEAD for one in each.claimed]
        alerts: list[Work] = []
        wakes: list[ChannelName] = []
        if isinstance(report.verdict, Hold):
            due_at, about = results[0].outcome.due_at or at, self._dead.about
            alerts.append(lambda tx: tx.outbox.hold_dead(self._name, revived, about=about, at=at, due_at=due_at))
        if isinstance(report.verdict, Hold) and not standing.told:
            alert = held_alert(self._name, ended.claim, report, at=at)
            told = [each for each in self._around.operators(alert.event, at) if each.channel != self._name]
            alerts.append(lambda tx: tx.outbox.add_operator(alert, channels=told, at=at))
            wakes += [each.channel for each in told]
        if dead:
            ids = [(each.delivery.id, each.delivery.event.value) for each in dead]
            alerts.append(lambda tx: self.bury(tx, ids, reason=report.reason, at=at))
            wakes += [each.channel for each in self._around.operators(Event.DELIVERY_DEAD, at)]
            wakes += [] if self._dead.fallback is None else [self._dead.fallback]
        return Judgement(results=results, at=at, alerts=tuple(alerts), wakes=tuple(dict.fromkeys(wakes)))
