"""What is stored after a message: the outcome of its deliveries, and the alerts that the outcome causes.

Owns the decision whether a refusal is about the message or the channel, the operator alerts about held channels
and dead deliveries (gathered into one), and the diversion to a fallback channel. It does not send, wait or count.
An alert about dead deliveries that dies itself causes no further alert: two broken channels would report each
other forever.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Target
from daemon.notify.outbox import ChannelPlan
from daemon.notify.outbox.context import Surroundings
from daemon.notify.outbox.policy import AttemptEnd, Judged, PlainRefusals, failed_by_us, outcomes
from daemon.notify.outbox.sender import Unrecorded, held_alert
from daemon.notify.transport import Channel
from daemon.notify.transport.verdicts import Dead, Hold, Sent, arrived
from daemon.store import AttemptOutcome, Transaction


class Fallback:
    """The fallback of one channel. Without one in the channel's plan nothing is ever due."""

    def __init__(self, *, channel: ChannelName, plan: ChannelPlan, look_interval: float) -> None:
        self.to = plan.fallback
        self._channel = channel
        self._after = plan.fallback_after
        self._held_from: float | None = None
        self._look_interval = look_interval
        self._again = float("-inf")

    def held(self, now: float, *, seconds: float = 0.0) -> None:
        """Note that the channel is held, and has been for `seconds`. `now`: monotonic seconds."""
        if self._held_from is None:
            self._held_from = now - max(0.0, seconds)

    def follow(self, other: "Fallback") -> None:
        """Take over from the predecessor of the same channel."""
        self._held_from = other._held_from

    def freed(self) -> None:
        """Note that the channel is no longer held."""
        self._held_from = None

    def is_due(self, now: float, *, news: bool) -> bool:
        """Whether to divert now (monotonic seconds): the channel has been held for long enough, and rows were
        written (`news`) or the last check is one poll interval ago."""
        if self.to is None or (now < self._again and not news):
            return False
        self._again = now + self._look_interval
        return self._held_from is not None and now - self._held_from >= self._after

    def divert(self, tx: Transaction, *, at: datetime) -> int:
        """Copy the channel's waiting deliveries to the fallback, each once. Returns how many were copied."""
        return 0 if self.to is None else tx.outbox.divert(self._channel, self.to, at=at)


GATHER = 10.0
"""Seconds for which dead deliveries are gathered before the first alert about them."""
PAUSE = 600.0
"""Seconds between two alerts about dead deliveries of one channel."""


class Notice(Struct, frozen=True, kw_only=True):
    """An alert about dead deliveries, due in `wait` seconds. It is merged into an earlier one about the same
    channel that still waits."""

    alert: OperatorAlert
    wait: float


class DeadLetters:
    """The dead deliveries of one channel, which are copied to its `fallback`."""

    def __init__(self, channel: ChannelName, *, fallback: ChannelName | None) -> None:
        self.fallback = fallback
        self.about = f"channel/{channel}/dead/"
        """The prefix of the keys of all alerts about them."""
        self._channel = channel
        self._due_at = float("-inf")

    def follow(self, other: "DeadLetters") -> None:
        """Take over from the predecessor of the same channel."""
        self._due_at = other._due_at

    def notice(self, dead: Sequence[tuple[int, str]], *, reason: str, at: datetime, now: float) -> Notice | None:
        """The alert about these (row ids and events); None if there is nothing to report. `now`: monotonic
        seconds."""
        reported = [row for row, event in dead if event != Event.DELIVERY_DEAD]
        if not reported:
            return None
        if now >= self._due_at:
            self._due_at = max(now + GATHER, self._due_at + PAUSE)
        facts: dict[str, Json] = {
            "channel": self._channel,
            "reason": reason,
            "deliveries": len(reported),
            "observed_at": at.isoformat(),
        }
        key = f"{self.about}{reported[0]}/{int(at.timestamp() * 1000)}"
        alert = OperatorAlert(event=Event.DELIVERY_DEAD, key=key, facts=facts)
        return Notice(alert=alert, wait=max(0.0, self._due_at - now))

    def withdraw(self) -> None:
        """Some were revived, so the alert about them is withdrawn: the next alert does not wait for its pause."""
        self._due_at = float("-inf")

    def write(
        self,
        tx: Transaction,
        rows: Sequence[int],
        notice: Notice | None,
        *,
        operators: Sequence[Target],
        at: datetime,
    ) -> None:
        """Write the alert for `operators`, and copy `rows` (ids) to the fallback, each once."""
        if self.fallback is not None:
            tx.outbox.copy(rows, self.fallback, at=at)
        if notice is not None:
            due_at = at + timedelta(seconds=notice.wait)
            tx.outbox.tell_dead(notice.alert, about=self.about, channels=operators, at=at, due_at=due_at)


Work = Callable[[Transaction], object]


class ChannelHealth(Struct, frozen=True, kw_only=True):
    """The channel as a message ends. `reported`: the operators know of its trouble; `probes`: refusals since it is
    held; `pause`: seconds for which it rests now; `uptime`: seconds since its lane started."""

    reported: bool
    probes: int
    pause: float
    uptime: float


class Judgement(Struct, frozen=True, kw_only=True):
    """What to store after a message, as of `at`; `wakes` are the channels that got alerts."""

    results: tuple[Judged, ...]
    at: datetime
    alerts: tuple[Work, ...] = ()
    wakes: tuple[ChannelName, ...] = ()

    def write_alerts(self, tx: Transaction) -> None:
        """Write the alerts."""
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
        """Whether the channel is held because it refused one alert after another, each as if for its content."""

    def follow(self, other: "Judge", *, moved: bool) -> None:
        """Take over from the predecessor of the same channel. `moved`: its URL changed, so its refusals are
        forgotten."""
        self._dead.follow(other._dead)
        if not moved:
            self._refusals, self.suspects = other._refusals, other.suspects

    @property
    def trusts(self) -> bool:
        """Whether the channel took the last message."""
        return self._refusals.none

    def blame(self, ended: Unrecorded) -> Unrecorded:
        """`ended`, its verdict changed to a hold if a seeming refusal of the message is one of the channel."""
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
            self._dead.withdraw()
        reason = f"one alert after another is refused, in the plainest form too: {verdict.reason}"
        hold = Hold(reason=reason, status=verdict.status)
        return replace(ended, report=replace(ended.report, verdict=hold, reason=reason))

    def of(self, ended: Unrecorded, health: ChannelHealth) -> Callable[[], Judgement]:
        """A function that makes the judgement. It is called as the outcome is stored, because waits begin then."""
        around, report, claimed = self._around, ended.report, ended.claim.claimed
        spread, revived = around.rng.random(), self._revived

        def judge() -> Judgement:
            at = around.steady.now()
            end = AttemptEnd(
                reason=report.reason,
                at=at,
                settings=around.settings,
                spread=spread,
                probes=health.probes,
                pause=health.pause,
                uptime=health.uptime,
            )
            results = outcomes(report.verdict, claimed, end) if ended.written else failed_by_us(claimed, end)
            return self._with_alerts(ended, results, revived, reported=health.reported, at=at)

        return judge

    def bury(self, tx: Transaction, dead: Sequence[tuple[int, str]], *, reason: str, at: datetime) -> None:
        """Report dead deliveries (row ids and events) to the operators, and copy them to the fallback."""
        now = self._around.clock.monotonic()
        notice = self._dead.notice(dead, reason=reason, at=at, now=now)
        operators = self._around.operators(Event.DELIVERY_DEAD, at)
        self._dead.write(tx, [row for row, _ in dead], notice, operators=operators, at=at)

    def _with_alerts(
        self,
        ended: Unrecorded,
        results: tuple[Judged, ...],
        revived: tuple[int, ...],
        *,
        reported: bool,
        at: datetime,
    ) -> Judgement:
        """The judgement with its alerts: that the channel is held, and what was given up."""
        report = ended.report
        dead = [one for each in results if each.outcome.kind is AttemptOutcome.DEAD for one in each.claimed]
        alerts: list[Work] = []
        wakes: list[ChannelName] = []
        if isinstance(report.verdict, Hold):
            due_at, about = results[0].outcome.due_at or at, self._dead.about
            alerts.append(lambda tx: tx.outbox.hold_dead(self._name, revived, about=about, at=at, due_at=due_at))
        if isinstance(report.verdict, Hold) and not reported:
            alert = held_alert(self._name, ended.claim, report, at=at)
            others = [each for each in self._around.operators(alert.event, at) if each.channel != self._name]
            alerts.append(lambda tx: tx.outbox.add_operator(alert, channels=others, at=at))
            wakes += [each.channel for each in others]
        if dead:
            ids = [(each.delivery.id, each.delivery.event.value) for each in dead]
            alerts.append(lambda tx: self.bury(tx, ids, reason=report.reason, at=at))
            wakes += [each.channel for each in self._around.operators(Event.DELIVERY_DEAD, at)]
            wakes += [] if self._dead.fallback is None else [self._dead.fallback]
        return Judgement(results=results, at=at, alerts=tuple(alerts), wakes=tuple(dict.fromkeys(wakes)))
