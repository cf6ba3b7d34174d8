"""When to retry after a verdict, when to give up, whether a refusal is about the message or the channel, and the
condition of a channel. No I/O, clock or randomness; the two classes keep counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from daemon.domain import backoff
from daemon.notify.outbox import NotifySettings
from daemon.notify.transport.verdicts import Dead, Final, Hold, Retry, Sent, Unknown, arrived
from daemon.store import DEFECTS, AttemptOutcome, Claimed, Outcome

LEAST_TRIES = 5
"""Attempts before a delivery may be given up, however old it is: with few, a service may just have been down."""


class AttemptEnd(Struct, frozen=True, kw_only=True):
    """The circumstances in which an attempt ended `at`.

    `probes` counts the channel's refusals since it is held, this one included; `pause` is how many seconds the
    channel rests; `spread` is a random number in [0, 1); `uptime` is how many seconds wrapd has been running.
    """

    reason: str
    at: datetime
    settings: NotifySettings
    spread: float
    probes: int = 0
    pause: float = 0.0
    uptime: float = float("inf")


def outcome(verdict: Final, claimed: Claimed, end: AttemptEnd) -> Outcome:
    """What to record for an attempt.

    Waits grow with the delivery's own attempts. A delivery is dead once it was tried for `give_up_after`, of which
    only time that wrapd was running counts. A held one waits indefinitely. One that reached some of the recipients
    counts as sent; only its channel is held.
    """
    reason, settings, spread = end.reason, end.settings, end.spread
    match verdict:
        case Sent() | Hold(delivered=True):
            return Outcome(kind=AttemptOutcome.SENT, status_code=verdict.status, reason=reason)
        case Dead():
            return Outcome(kind=AttemptOutcome.DEAD, status_code=verdict.status, reason=reason)
        case Hold():
            kind = AttemptOutcome.HELD
            wait = end.pause or _probe_wait(end.probes, settings, spread)
        case Retry():
            kind = AttemptOutcome.RETRY
            wait = max(end.pause, _retry_wait(verdict, claimed.attempt, settings, spread))
        case Unknown():
            kind = AttemptOutcome.UNKNOWN
            wait = max(end.pause, _unknown_wait(claimed.attempt, settings, spread))
        case _:
            assert_never(verdict)
    too_old = (
        claimed.delivery.tried_until(end.at, uptime=end.uptime) >= settings.give_up_after
        and claimed.attempt >= LEAST_TRIES
    )
    if too_old and kind is not AttemptOutcome.HELD:
        return Outcome(kind=AttemptOutcome.DEAD, status_code=verdict.status, reason=f"given up: {reason}")
    due_at = end.at + timedelta(seconds=wait)
    return Outcome(kind=kind, status_code=verdict.status, reason=reason, due_at=due_at, uptime=end.uptime)


class Judged(Struct, frozen=True, kw_only=True):
    """Deliveries of one message that share an outcome."""

    claimed: tuple[Claimed, ...]
    outcome: Outcome


def outcomes(verdict: Final, claimed: Sequence[Claimed], end: AttemptEnd) -> tuple[Judged, ...]:
    """The same for a message with several alerts. They are retried together; only those that have failed for too
    long are dead. A refused digest says nothing about each alert, so all are due at once, to be sent singly."""
    if len(claimed) > 1 and isinstance(verdict, Dead):
        result = Outcome(kind=AttemptOutcome.RETRY, status_code=verdict.status, reason=end.reason, due_at=end.at)
        return (Judged(claimed=tuple(claimed), outcome=result),)
    latest = max(claimed, key=lambda each: each.attempt)
    found: dict[AttemptOutcome, tuple[Outcome, list[Claimed]]] = {}
    for each in claimed:
        # By the highest attempt of the group: equal waits keep it together for the next digest.
        aged = each if each is latest else replace(each, attempt=latest.attempt)
        result = outcome(verdict, aged, end)
        found.setdefault(result.kind, (result, []))[1].append(each)
    return tuple(Judged(claimed=tuple(members), outcome=result) for result, members in found.values())


def failed_by_us(claimed: Sequence[Claimed], end: AttemptEnd) -> tuple[Judged, ...]:
    """What to record if a defect of wrapd's own kept a message from being sent. The alerts of a digest are due at
    once, to be sent singly. A single alert waits, longer each time; after `DEFECTS` failures it is composed in
    the plainest form, and if that fails too it is dead."""
    if len(claimed) > 1:
        result = Outcome(kind=AttemptOutcome.RETRY, reason=end.reason, due_at=end.at)
        return (Judged(claimed=tuple(claimed), outcome=result),)
    defects = claimed[0].delivery.defects + 1
    if defects > DEFECTS:
        result = Outcome(kind=AttemptOutcome.DEAD, reason=f"given up: {end.reason}", defect=True)
    else:
        due_at = end.at + timedelta(seconds=defect_wait(defects, end.settings, end.spread))
        result = Outcome(kind=AttemptOutcome.RETRY, reason=end.reason, due_at=due_at, defect=True)
    return (Judged(claimed=tuple(claimed), outcome=result),)


def defect_wait(defects: int, settings: NotifySettings, spread: float) -> float:
    """Seconds until a delivery is retried after so many defects."""
    return backoff.delay(defects, base=settings.retry_base, cap=settings.retry_cap, spread=spread)


class PlainRefusals:
    """Decides whether the refusal of a message in its plainest form is about the message or the channel.

    Two different alerts in a row that are refused in the same way count against the channel. If the channel then
    takes another message, the refusals were about those alerts after all.
    """

    def __init__(self) -> None:
        self.dead: tuple[int, ...] = ()
        """Alerts (row ids) given up for refusals in a row; revived once these count against the channel."""
        self._alike: tuple[int | None, str | None] | None = None
        self._suspected: set[int] = set()
        self._guilty: set[int] = set()

    def about_channel(self, verdict: Dead, delivery: int) -> bool:
        """Count a refusal of one alert. Returns whether it is about the channel."""
        if delivery in self._guilty:  # or two bad alerts would hold a good channel by turns forever
            return False
        alike = (verdict.status, verdict.code)
        again, self._alike = alike == self._alike, alike
        others = tuple(each for each in self.dead if each != delivery) if again else ()
        if not others and not (again and self._suspected):
            self.dead = (delivery,)
            return False
        self.dead = others
        self._suspected |= {delivery, *others}
        return True

    @property
    def none(self) -> bool:
        """Whether the channel took the last message."""
        return self._alike is None

    def taken(self) -> None:
        """Note that the channel took a message."""
        self._guilty |= self._suspected
        if len(self._guilty) > _REMEMBERED:  # bounds the memory; a forgotten one is suspected once more
            self._guilty.clear()
        self._suspected.clear()
        self.dead, self._alike = (), None


_REMEMBERED = 10_000


def channel_pause(verdict: Final, *, failures: int, probes: int, settings: NotifySettings, spread: float) -> float:
    """Seconds for which the entire channel rests after a verdict, so that a service that is down is tried with one
    delivery, not with all. `failures` counts the channel's failed sends in a row, `probes` its refusals since it
    is held, this one included."""
    match verdict:
        case Sent() | Dead() | Hold(delivered=True):
            return 0.0
        case Hold():
            return _probe_wait(probes, settings, spread)
        case Retry():
            return _retry_wait(verdict, failures, settings, spread)
        case Unknown():
            return backoff.delay(failures, base=settings.retry_base, cap=settings.retry_cap, spread=spread)
        case _:
            assert_never(verdict)


def _probe_wait(probes: int, settings: NotifySettings, spread: float) -> float:
    return backoff.delay(probes, base=settings.probe_base, cap=settings.probe_cap, spread=spread)


def _unknown_wait(tries: int, settings: NotifySettings, spread: float) -> float:
    return backoff.delay(tries, base=settings.unknown_base, cap=settings.unknown_cap, spread=spread)


def _retry_wait(verdict: Retry, tries: int, settings: NotifySettings, spread: float) -> float:
    """wrapd's own back-off, or the service's requested wait up to `throttled_cap` if that is longer."""
    own = backoff.delay(tries, base=settings.retry_base, cap=settings.retry_cap, spread=spread)
    requested = verdict.after
    if requested is None or not isfinite(requested):
        requested = settings.throttled_wait if verdict.throttled else 0.0
    return max(own, min(requested, settings.throttled_cap))


class Pause(Struct, frozen=True, kw_only=True):
    """A channel rests from `since` to `until` (monotonic seconds). A `strict` pause was requested by the service;
    any other ends early for a delivery that was written, released or revived meanwhile."""

    since: float
    until: float
    strict: bool


@dataclass(slots=True)
class ChannelCondition:
    """The condition of a channel, by the messages that it took and refused."""

    held: bool = False
    partly: bool = False
    """It takes messages for some of its recipients only."""
    probes: int = 0
    """Refusals of the channel since it is held."""
    failures: int = 0
    """Failed sends in a row."""
    failed_at: datetime | None = None
    singly: int = 0
    """How many of the next messages carry one alert each, to find out which alert of a digest is refused."""
    resume: bool = False
    """Deliveries put off because of the channel, not of the message, are due at the next claim."""
    pause: Pause | None = None

    @property
    def is_calm(self) -> bool:
        """Whether a successful send would leave the condition unchanged."""
        return not (self.held or self.failures or self.probes or self.singly or self.resume)

    def was_reported(self, verdict: Final) -> bool:
        """Whether the trouble that this verdict continues or ends was already reported to the operators."""
        match verdict:
            case Sent():
                return self.held or self.partly
            case Hold(delivered=True):
                return self.partly
            case _:
                return self.held

    def note_hold(self, verdict: Final) -> None:
        """Note whether the channel is held, and whether for some of its recipients only."""
        if arrived(verdict):
            self.held, self.partly = False, not isinstance(verdict, Sent)
        elif isinstance(verdict, Hold):
            self.held = True

    def count(self, verdict: Final, *, written: bool, many: int, at: datetime, again: bool = False) -> None:
        """Count the verdict on a message of `many` alerts. Not `written`: a defect of wrapd's own kept it from
        being sent, so it says nothing about the channel. `again`: a message sent at the same time failed too; the
        channel has failed once."""
        self.singly = max(0, self.singly - 1)
        if (isinstance(verdict, Dead) or not written) and many > 1:
            self.singly = max(self.singly, many)
        if not written:
            return
        match verdict:
            case Sent() | Hold(delivered=True):
                self.resume = self.failures >= _OUTAGE
                self.failures = self.probes = 0
                return
            case Dead():
                return
            case Hold():
                self.probes += not again
            case Retry() if verdict.throttled or verdict.status is None:
                self.resume = True  # neither a throttle nor a missing answer can be about this message
                self.failures += not again
            case _:
                self.failures += not again
        self.failed_at = at

    def rest(
        self, verdict: Final, *, now: float, settings: NotifySettings, spread: float, again: bool = False
    ) -> float:
        """Pause the channel if the verdict asks for it. Returns for how many seconds. `now`: monotonic seconds;
        `spread`: a random number in [0, 1); `again`: as for `count`, so a longer pause stays."""
        if isinstance(verdict, Dead) and self.held:  # a refused probe; without a rest the next would follow now
            verdict = Hold(reason=verdict.reason)
        seconds = channel_pause(
            verdict, failures=self.failures, probes=max(1, self.probes), settings=settings, spread=spread
        )
        if seconds > 0:
            strict = isinstance(verdict, Retry) and verdict.throttled
            before, self.pause = self.pause, Pause(since=now, until=now + seconds, strict=strict)
            if again and before is not None:
                until = max(before.until, self.pause.until)
                self.pause = Pause(since=now, until=until, strict=strict or before.strict)
        return seconds


_OUTAGE = 3
"""Failures in a row from which on the service is to blame, not single messages."""
