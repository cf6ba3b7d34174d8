"""The reason why a delivery is not sent, in words. Pure.

Owns the English sentences; a page gives those of its reader's language.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, field

from daemon.domain import damping
from daemon.domain.events import Event
from daemon.domain.text import stamp

if TYPE_CHECKING:
    from daemon.store import DeliveryRow, MuteRow, Standing

_EVENTS = frozenset(Event)
_COUNTED = 1000


class Why(StrEnum):
    """Why a delivery is not sent."""

    SENDING = "sending"
    STOPPED = "stopped"
    NO_CHANNEL = "no_channel"
    NEWER = "newer"
    MUTED = "muted"
    MUTED_FOR = "muted_for"
    REFUSED = "refused"
    REFUSED_UNTIL = "refused_until"
    UNEXPLAINED = "unexplained"
    QUIET = "quiet"
    FAILED = "failed"
    AFTER_OF_JOB = "after_of_job"
    AFTER_OF_PROJECT = "after_of_project"
    CHANGING = "changing"
    BATCH = "batch"
    DUE = "due"
    NO_DAEMON = "no_daemon"
    NEXT = "next"
    AFTER_ONE = "after_one"
    IN_TURN = "in_turn"
    AMONG_MANY = "among_many"


_MUTED = "until {until} by {who} (#{id})"
WHY: Mapping[str, str] = {
    Why.SENDING: "it is being sent",
    Why.STOPPED: "wrapd stopped while it was being sent",
    Why.NO_CHANNEL: "the config has no such channel",
    Why.NEWER: "written by a newer wrapd; this version does not know the event",
    Why.MUTED: f"muted {_MUTED}",
    Why.MUTED_FOR: f"muted {_MUTED}: {{comment}}",
    Why.REFUSED: "channel refused: {reason} (since {since})",
    Why.REFUSED_UNTIL: "channel refused: {reason} (since {since}, next attempt {time})",
    Why.UNEXPLAINED: "its service refuses the channel",  # where there is no {reason}
    Why.QUIET: "kept for quiet hours until {time}",
    Why.FAILED: "{reason}; next attempt {time}",
    Why.AFTER_OF_JOB: "after #{id}, an earlier one of its job",
    Why.AFTER_OF_PROJECT: "after #{id}, an earlier one of its project",
    Why.CHANGING: "it changes often: the latest is sent {time}",
    Why.BATCH: "due {time}, unless jobs are added to its batch",
    Why.DUE: "due {time}",
    Why.NO_DAEMON: "no daemon runs",
    Why.NEXT: "it is next",
    Why.AFTER_ONE: "due, with another on its channel: sent in turn or in one message",
    Why.IN_TURN: "due, with {n} others on its channel: sent in turn or in one message",
    Why.AMONG_MANY: "due, with {n} others or more on its channel: sent in turn or in one message",
}


class Telling(Struct, frozen=True, kw_only=True):
    """How a reader is told, by default a program: `moment` formats a time, `words` are the sentences, `reason`
    words what an attempt failed for."""

    moment: Callable[[datetime], str | None] = stamp
    words: Mapping[str, str] = field(default_factory=lambda: WHY)
    reason: Callable[[str], str] = str


class Situation(Struct, frozen=True, kw_only=True):
    """What deliveries wait for: the state of the outbox `now`, the channels of the config (None: not known), and
    whether a daemon runs; and how the reader is told."""

    standing: "Standing"
    now: datetime
    telling: Telling = Telling()
    channels: Collection[str] | None = None
    running: bool = True

    def said(self, word: Why, **values: object) -> str:
        """A sentence with its values."""
        return self.telling.words[word].format(**values)

    def moment(self, at: datetime) -> str | None:
        """A time."""
        return self.telling.moment(at)


def why(row: "DeliveryRow", at: Situation) -> str | None:
    """Why the delivery is not sent; None if it is."""
    match str(row.status):
        case "sent":
            return None
        case "sending":
            return at.said(Why.SENDING if at.running else Why.STOPPED)
        case "pending" | "held":
            return _blocked(row, at) or _waits(row, at)
        case _:
            return None if row.last_error is None else at.telling.reason(row.last_error)


def muted(mute: "MuteRow", until: str | None) -> str:
    """Until when an alert is muted, by whom and why; `until` is formatted."""
    said = "" if mute.comment is None else f": {mute.comment}"
    return _MUTED.format(until=until, who=mute.who, id=mute.id) + said


def _blocked(row: "DeliveryRow", at: Situation) -> str | None:
    """Why the delivery is blocked until something changes; None if it only waits for its time."""
    if at.channels is not None and row.channel not in at.channels:
        return at.said(Why.NO_CHANNEL)
    if row.event not in _EVENTS:
        return at.said(Why.NEWER)
    if (mute := at.standing.mutes.get(row.mute or 0)) is not None:
        word = Why.MUTED if mute.comment is None else Why.MUTED_FOR
        return at.said(word, until=at.moment(mute.until), who=mute.who, id=mute.id, comment=mute.comment)
    refusal = at.standing.refusals.get(row.channel)
    if refusal is None:
        return None
    held = str(row.status) == "held"
    given = row.last_error if held else refusal.reason
    reason = at.telling.reason(given) if given else at.said(Why.UNEXPLAINED)
    word = Why.REFUSED_UNTIL if held and row.due_at > at.now else Why.REFUSED
    return at.said(word, reason=reason, since=at.moment(refusal.since), time=at.moment(row.due_at))


def _waits(row: "DeliveryRow", at: Situation) -> str:
    if row.held_until is not None and at.now < row.held_until <= row.due_at:  # otherwise it was released earlier
        return at.said(Why.QUIET, time=at.moment(row.held_until))
    failed = at.telling.reason(row.last_error) if row.attempts and row.last_error is not None else None
    if row.due_at > at.now and failed is not None:
        return at.said(Why.FAILED, reason=failed, time=at.moment(row.due_at))
    if (first := at.standing.after.get(row.id)) is not None:
        return at.said(Why.AFTER_OF_PROJECT if row.job is None else Why.AFTER_OF_JOB, id=first)
    if row.due_at > at.now:
        return _pause(row, at)
    return failed or _turn(row, at)


def _pause(row: "DeliveryRow", at: Situation) -> str:
    batch = row.event is Event.BATCH_FINISHED
    word = Why.CHANGING if damping.group(row.event) else Why.BATCH if batch else Why.DUE
    return at.said(word, time=at.moment(row.due_at))


def _turn(row: "DeliveryRow", at: Situation) -> str:
    """Why a delivery that is due has not been sent yet."""
    if not at.running:
        return at.said(Why.NO_DAEMON)
    others = at.standing.due.get(row.channel, 0) - 1
    if others < 1:
        return at.said(Why.NEXT)
    if others == 1:
        return at.said(Why.AFTER_ONE)
    return at.said(Why.IN_TURN if others < _COUNTED - 1 else Why.AMONG_MANY, n=min(others, _COUNTED - 1))
