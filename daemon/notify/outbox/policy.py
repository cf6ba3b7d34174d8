"""When to try again after a verdict, when to give up, and whose fault a refusal is. Pure, but for what is
remembered of refusals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import assert_never

from daemon.domain import backoff
from daemon.notify.outbox import NotifySettings
from daemon.notify.transport.verdicts import Dead, Final, Hold, Retry, Sent, Unknown
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
