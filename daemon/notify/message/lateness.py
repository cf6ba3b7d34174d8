"""Notes of a message about itself: it is late and why, may be a repeat, was requested again, or was meant for
another channel. Pure.

Owns the rule for the stated cause of lateness: that of the longest wait, and only if it is known.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.jobs import ChannelName
from daemon.notify.message.facts import NAME_LIMIT, JobAlert, moment, number, observed, text
from daemon.notify.message.language import MessageContext

if TYPE_CHECKING:
    from daemon.store import DeliveryRow

LATE = timedelta(minutes=10)
"""A message sent this long after its event says so."""


class _Wait(Struct, frozen=True, kw_only=True):
    """One stage between the event and the chat, and why it took so long ('' if unknown)."""

    seconds: float
    why: str


def notes(delivery: "DeliveryRow", context: MessageContext, late: str) -> tuple[str, ...]:
    """All notes of an alert. `late` is the one about lateness, '' for none; a requested repeat is never late."""
    texts = context.voice.texts
    diverted = diverted_from(delivery)
    repeated = damped(delivery, context)
    again = resent(delivery, context)
    found = (
        again,
        texts.repeat if delivery.possible_repeat else "",
        texts.diverted.format(channel=diverted) if diverted else "",
        repeated or ("" if again else late),
    )
    return tuple(filter(None, found))


def damped(delivery: "DeliveryRow", context: MessageContext) -> str:
    """How often it happened since the last message, if this one covers several times; else ''."""
    times, since = number(delivery.facts, "times"), moment(delivery.facts, "times_since")
    if times < 2 or since is None:
        return ""
    return context.voice.texts.damped.format(n=times, since=context.voice.moment(since))


def resent(delivery: "DeliveryRow", context: MessageContext) -> str:
    """Says that a person requested this repeat; '' otherwise."""
    if not is_resent(delivery):
        return ""
    voice, first = context.voice, moment(delivery.facts, "first_sent_at") or observed(delivery)
    return voice.texts.resent.format(first=voice.moment(first))


def is_resent(delivery: "DeliveryRow") -> bool:
    """Whether a person requested this as a repeat of an earlier delivery."""
    return number(delivery.facts, "resent_from") > 0


def diverted_from(delivery: "DeliveryRow") -> ChannelName | None:
    """The channel that the alert was written for, if it goes to another one."""
    return ChannelName(text(delivery.facts, "diverted_from", NAME_LIMIT)) or None


def job_late(alert: JobAlert, happened: str, context: MessageContext) -> str:
    """The note for a late alert about a job. `happened` is the event's text with a placeholder {at}."""
    ended, tracked = alert.times.ended, alert.job.tracked_at
    if context.now - ended <= LATE:
        return ""
    voice, texts = context.voice, context.voice.texts
    known = max(ended, tracked) if alert.times.reported else ended
    waits = [_queued(alert.delivery, context)]
    if alert.times.reported:
        waits.append(
            _Wait(seconds=_between(ended, tracked), why=texts.why_tracked.format(at=voice.clock(tracked)))
        )
        waits.append(_Wait(seconds=_between(known, alert.times.seen), why=_unseen(alert, known, context)))
    return _late(happened, ended, waits, context)


def late(delivery: "DeliveryRow", happened: str, at: datetime, context: MessageContext) -> str:
    """The note for a late alert that is not about a job."""
    if context.now - at <= LATE:
        return ""
    return _late(happened, at, [_queued(delivery, context)], context)


def _late(happened: str, at: datetime, waits: list[_Wait], context: MessageContext) -> str:
    voice, texts = context.voice, context.voice.texts
    longest = max(waits, key=lambda wait: wait.seconds)
    first, reported = voice.clocks((at, context.now))
    known = longest.why if longest.seconds > LATE.total_seconds() / 2 else ""
    pattern = texts.late_why if known else texts.late
    return pattern.format(happened=happened.format(at=first), told=reported, why=known)


def _queued(delivery: "DeliveryRow", context: MessageContext) -> _Wait:
    """The wait in the outbox: for the end of quiet hours or of a mute, then for the channel."""
    texts, written = context.voice.texts, delivery.created_at
    failed = delivery.attempts > 1 or (context.failed_at is not None and context.failed_at >= written)
    ends = ((delivery.held_until, texts.why_quiet), (delivery.unmuted_at, texts.why_muted))
    kept = [(_between(written, min(end, context.now)), why) for end, why in ends if end is not None]
    longest, why = max(kept, default=(0.0, ""))
    rest = _between(written, context.now) - longest
    if longest > 0 and (longest >= rest or not failed):
        return _Wait(seconds=longest, why=why)
    return _Wait(seconds=rest, why=texts.why_unreachable if failed else "")


def _unseen(alert: JobAlert, known: datetime, context: MessageContext) -> str:
    """Why wrapd saw an end late: the service reported it late, or wrapd could not see it. Whether wrapd was
    stopped or the service unreachable is not recorded."""
    voice, texts = context.voice, context.voice.texts
    reported = alert.move.reported_at if alert.move is not None else None
    if reported is not None and _between(known, reported) >= _between(reported, alert.times.seen):
        return texts.why_service.format(at=voice.clock(reported))
    return texts.why_seen.format(at=voice.clock(alert.times.seen))


def _between(first: datetime, last: datetime) -> float:
    return max(0.0, (last - first).total_seconds())
