"""When to try again after a verdict, and when to give up. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from daemon.domain import backoff
from daemon.notify.settings import NotifySettings
from daemon.notify.verdicts import Dead, Final, Hold, Retry, Sent, Unknown
from daemon.store import AttemptOutcome, Claimed, Outcome


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
) -> Outcome:
    """What to record of an attempt that ended `at`.

    `probes` counts the refusals of the channel since it is held, this one included; `pause` is for how many
    seconds the channel rests; `spread` is a random number in [0, 1). Waits grow with the delivery's own attempts.
    One that has been failing for `give_up_after` is dead; a held one waits without end. One that arrived,
    though not with everybody, is sent: its channel alone is held.
    """
    match verdict:
        case Sent() | Hold(delivered=True):
            return Outcome(kind=AttemptOutcome.SENT, status_code=verdict.status, reason=reason)
        case Dead():
            return Outcome(kind=AttemptOutcome.DEAD, status_code=verdict.status, reason=reason)
        case Hold():
            kind = AttemptOutcome.HELD
            wait = backoff.delay(probes, base=settings.probe_base, cap=settings.probe_cap, spread=spread)
        case Retry():
            kind = AttemptOutcome.RETRY
            wait = max(pause, _retry_wait(verdict, claimed.attempt, settings, spread))
        case Unknown():
            kind = AttemptOutcome.UNKNOWN
            wait = max(pause, _unknown_wait(claimed.attempt, settings, spread))
        case _:
            assert_never(verdict)
    old = at - claimed.delivery.created_at >= timedelta(seconds=settings.give_up_after)
    if old and kind is not AttemptOutcome.HELD:
        return Outcome(kind=AttemptOutcome.DEAD, status_code=verdict.status, reason=f"given up: {reason}")
    due_at = at + timedelta(seconds=wait)
    return Outcome(kind=kind, status_code=verdict.status, reason=reason, due_at=due_at)


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
        )
        found.setdefault(result.kind, (result, []))[1].append(each)
    return tuple(Judged(claimed=tuple(members), outcome=result) for result, members in found.values())


def channel_pause(verdict: Final, *, failures: int, settings: NotifySettings, spread: float) -> float:
    """Seconds for which the whole channel rests after a verdict: a service that is down is asked with one
    delivery, not with all of them. `failures` counts the channel's failed sends in a row, this one included."""
    match verdict:
        case Sent() | Dead() | Hold():
            return 0.0
        case Retry():
            return _retry_wait(verdict, failures, settings, spread)
        case Unknown():
            return backoff.delay(failures, base=settings.retry_base, cap=settings.retry_cap, spread=spread)
        case _:
            assert_never(verdict)


def _unknown_wait(tries: int, settings: NotifySettings, spread: float) -> float:
    return backoff.delay(tries, base=settings.unknown_base, cap=settings.unknown_cap, spread=spread)


def _retry_wait(verdict: Retry, tries: int, settings: NotifySettings, spread: float) -> float:
    if verdict.after is not None:
        return min(verdict.after, settings.throttled_cap)
    if verdict.throttled:
        return settings.throttled_wait
    return backoff.delay(tries, base=settings.retry_base, cap=settings.retry_cap, spread=spread)
