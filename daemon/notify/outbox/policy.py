"""When to try again after a verdict, when to give up, whose fault a refusal is, and how a channel does. Pure, but
for what is remembered of refusals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import assert_never

from daemon.domain import backoff
from daemon.notify.outbox import NotifySettings
from daemon.notify.transport.verdicts import Dead, Final, Hold, Retry, Sent, Unknown, arrived
from daemon.store import DEFECTS, AttemptOutcome, Claimed, Outcome

LEAST_TRIES = 5
"""Attempts after which a delivery may be given up, however long they took."""


def outcome(
    verdict: Final,
    claimed: Claimed,
    *,
    reason: str,
    at: datetime,
    probes: int,
    pause: float,
    settings: NotifySettings,
    spread: float,
    uptime: float = float("inf"),
) -> Outcome:
    """What to record of an attempt that ended `at`.

    `probes` counts the refusals of the channel since it is held, this one included; `pause` is for how many
    seconds the channel rests; `spread` is a random number in [0, 1). Waits grow with the delivery's own attempts.
    One that was tried for `give_up_after` is dead, of which no more counts than wrapd has been at work (`uptime`,
    seconds); a held one waits without end. One that arrived, though not with everybody, is sent: its channel
    alone is held.
    """
    match verdict:
        case Sent() | Hold(delivered=True):
            return Outcome(kind=AttemptOutcome.SENT, status_code=verdict.status, reason=reason)
        case Dead():
            return Outcome(kind=AttemptOutcome.DEAD, status_code=verdict.status, reason=reason)
        case Hold():
            kind = AttemptOutcome.HELD
            wait = pause or _probe_wait(probes, settings, spread)
        case Retry():
            kind = AttemptOutcome.RETRY
            wait = max(pause, _retry_wait(verdict, claimed.attempt, settings, spread))
        case Unknown():
            kind = AttemptOutcome.UNKNOWN
            wait = max(pause, _unknown_wait(claimed.attempt, settings, spread))
        case _:
            assert_never(verdict)
    old = (
        claimed.delivery.tried_until(at, uptime=uptime) >= settings.give_up_after
        and claimed.attempt >= LEAST_TRIES
    )
    if old and kind is not AttemptOutcome.HELD:
        return Outcome(kind=AttemptOutcome.DEAD, status_code=verdict.status, reason=f"given up: {reason}")
    due_at = at + timedelta(seconds=wait)
    return Outcome(kind=kind, status_code=verdict.status, reason=reason, due_at=due_at, uptime=uptime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Deliveries of one message, and what becomes of all of them."""

    claimed: tuple[Claimed, ...]
    outcome: Outcome


def outcomes(
    verdict: Final,
    claimed: Sequence[Claimed],
    *,
    reason: str,
    at: datetime,
    probes: int,
    pause: float,
    settings: NotifySettings,
    spread: float,
    uptime: float = float("inf"),
) -> tuple[Judged, ...]:
    """The same for a message that told of several: those that are tried again are so together, and only those that
    have been failing for too long are dead. A refusal of the message is none of each alert: they are due at once,
    to be told one by one."""
    if len(claimed) > 1 and isinstance(verdict, Dead):
        result = Outcome(kind=AttemptOutcome.RETRY, status_code=verdict.status, reason=reason, due_at=at)
        return (Judged(claimed=tuple(claimed), outcome=result),)
    latest = max(claimed, key=lambda each: each.attempt)
    found: dict[AttemptOutcome, tuple[Outcome, list[Claimed]]] = {}
    for each in claimed:
        aged = each if each is latest else replace(each, attempt=latest.attempt)
        result = outcome(
            verdict,
            aged,
            reason=reason,
            at=at,
            probes=probes,
            pause=pause,
            settings=settings,
            spread=spread,
            uptime=uptime,
        )
        found.setdefault(result.kind, (result, []))[1].append(each)
    return tuple(Judged(claimed=tuple(members), outcome=result) for result, members in found.values())


def failed_by_us(
    claimed: Sequence[Claimed], *, reason: str, at: datetime, settings: NotifySettings, spread: float
) -> tuple[Judged, ...]:
    """What to record where an error of wrapd's own kept a message from being sent. One that told of many says
    nothing about each: they are due at once, to be told one by one. A single one waits, longer each time; after
    `DEFECTS` of them it is to be told in the plainest form, and if that fails too it is dead."""
    if len(claimed) > 1:
        result = Outcome(kind=AttemptOutcome.RETRY, reason=reason, due_at=at)
        return (Judged(claimed=tuple(claimed), outcome=result),)
    defects = claimed[0].delivery.defects + 1
    if defects > DEFECTS:
        result = Outcome(kind=AttemptOutcome.DEAD, reason=f"given up: {reason}", defect=True)
    else:
        due_at = at + timedelta(seconds=defect_wait(defects, settings, spread))
        result = Outcome(kind=AttemptOutcome.RETRY, reason=reason, due_at=due_at, defect=True)
    return (Judged(claimed=tuple(claimed), outcome=result),)


def defect_wait(defects: int, settings: NotifySettings, spread: float) -> float:
    """Seconds until a delivery is tried again that wrapd itself failed so often."""
    return backoff.delay(defects, base=settings.retry_base, cap=settings.retry_cap, spread=spread)


class PlainRefusals:
    """Whether a refusal of a message in its plainest form is about the message or about the channel: two alerts
    running that are refused in the same way are the channel's. If the channel takes another message after that, it
    was about these alerts after all."""

    def __init__(self) -> None:
        self.dead: tuple[int, ...] = ()
        """The alerts (row ids) that were refused in a row, each given up for it."""
        self._alike: tuple[int | None, str | None] | None = None
        self._suspected: set[int] = set()
        self._guilty: set[int] = set()

    def about_channel(self, verdict: Dead, delivery: int) -> bool:
        """Take in a refusal of one alert; whether it is the channel that refuses."""
        if delivery in self._guilty:
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
        """The channel took a message."""
        self._guilty |= self._suspected
        if len(self._guilty) > _REMEMBERED:
            self._guilty.clear()
        self._suspected.clear()
        self.dead, self._alike = (), None


_REMEMBERED = 10_000


def channel_pause(verdict: Final, *, failures: int, probes: int, settings: NotifySettings, spread: float) -> float:
    """Seconds for which the whole channel rests after a verdict: a service that is down is asked with one
    delivery, not with all of them. `failures` counts the channel's failed sends in a row, `probes` its refusals
    since it is held, this one included."""
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
    """Our own back-off, and no less than what the service asks for, within bounds."""
    own = backoff.delay(tries, base=settings.retry_base, cap=settings.retry_cap, spread=spread)
    asked = verdict.after
    if asked is None or not isfinite(asked):
        asked = settings.throttled_wait if verdict.throttled else 0.0
    return max(own, min(asked, settings.throttled_cap))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A channel rests from `since` to `until` (monotonic seconds). A `strict` one is the service's own wish; any
    other ends early for a delivery that was written, released or revived meanwhile."""

    since: float
    until: float
    strict: bool


@dataclass(slots=True)
class ChannelCondition:
    """How a channel does, by the messages that it took and refused. Times are arguments."""

    held: bool = False
    partly: bool = False
    """It takes messages for some of its recipients only."""
    probes: int = 0
    """Refusals of the channel since it is held."""
    failures: int = 0
    """Sends in a row that failed."""
    failed_at: datetime | None = None
    singly: int = 0
    """Messages that tell of one alert each, to find out which of many is refused."""
    resume: bool = False
    """What was put off for the channel, and for no message, is due as soon as it takes one."""
    pause: Pause | None = None

    @property
    def is_calm(self) -> bool:
        """Whether a success would change nothing of it."""
        return not (self.held or self.failures or self.probes or self.singly or self.resume)

    def is_told(self, verdict: Final) -> bool:
        """Whether the operators have heard of the trouble that this is about, or that it ends."""
        match verdict:
            case Sent():
                return self.held or self.partly
            case Hold(delivered=True):
                return self.partly
            case _:
                return self.held

    def stands(self, verdict: Final) -> None:
        """Keep whether the channel is held, and whether for all."""
        if arrived(verdict):
            self.held, self.partly = False, not isinstance(verdict, Sent)
        elif isinstance(verdict, Hold):
            self.held = True

    def count(self, verdict: Final, *, written: bool, many: int, at: datetime) -> None:
        """Take in the verdict on a message of `many` alerts. Not `written`: it was an error of wrapd's own, and
        nothing was asked of the channel."""
        self.singly = max(0, self.singly - 1)
        if (isinstance(verdict, Dead) or not written) and many > 1:  # each alert by itself
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
                self.probes += 1
            case Retry() if verdict.throttled or verdict.status is None:
                self.resume = True  # nothing came of it that could be about this message
                self.failures += 1
            case _:
                self.failures += 1
        self.failed_at = at

    def rest(self, verdict: Final, *, now: float, settings: NotifySettings, spread: float) -> float:
        """Let the channel rest where the verdict asks for it; for how many seconds. `now`: monotonic seconds;
        `spread`: a random number in [0, 1)."""
        if isinstance(verdict, Dead) and self.held:  # it was a probe
            verdict = Hold(reason=verdict.reason)
        seconds = channel_pause(
            verdict, failures=self.failures, probes=max(1, self.probes), settings=settings, spread=spread
        )
        if seconds > 0:
            strict = isinstance(verdict, Retry) and verdict.throttled
            self.pause = Pause(since=now, until=now + seconds, strict=strict)
        return seconds


_OUTAGE = 3
"""Failures in a row from which on they are taken for the service's, not for those of single messages."""
