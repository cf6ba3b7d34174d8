"""The reason why a delivery is not sent, in words. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from daemon.domain import damping
from daemon.domain.events import Event

if TYPE_CHECKING:
    from daemon.store import DeliveryRow, MuteRow, Standing

_EVENTS = frozenset(Event)
_COUNTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What deliveries wait for: the state of the outbox `now`, the channels of the config (None: not known), and
    whether a daemon runs; `moment` formats a time."""

    standing: "Standing"
    now: datetime
    moment: Callable[[datetime], str | None]
    channels: Collection[str] | None = None
    running: bool = True


def why(row: "DeliveryRow", at: Situation) -> str | None:
    """Why the delivery is not sent; None if it is."""
    match str(row.status):
        case "sent":
            return None
        case "sending":
            return "it is being sent" if at.running else "wrapd stopped while it was being sent"
        case "pending" | "held":
            return _blocked(row, at) or _waits(row, at)
        case _:
            return row.last_error


def muted(mute: "MuteRow", until: str | None) -> str:
    """Until when an alert is muted, by whom and why; `until` is formatted."""
    said = "" if mute.comment is None else f": {mute.comment}"
    return f"until {until} by {mute.who} (#{mute.id}){said}"


def _blocked(row: "DeliveryRow", at: Situation) -> str | None:
    """Why the delivery is blocked until something changes; None if it only waits for its time."""
    if at.channels is not None and row.channel not in at.channels:
        return "the config has no such channel"
    if row.event not in _EVENTS:
        return "written by a newer wrapd; this version does not know the event"
    if (mute := at.standing.mutes.get(row.mute or 0)) is not None:
        return f"muted {muted(mute, at.moment(mute.until))}"
    refusal = at.standing.refusals.get(row.channel)
    if refusal is None:
        return None
    held = str(row.status) == "held"
    reason = (row.last_error if held else refusal.reason) or "its service refuses the channel"
    again = f", next attempt {at.moment(row.due_at)}" if held and row.due_at > at.now else ""
    return f"channel refused: {reason} (since {at.moment(refusal.since)}{again})"


def _waits(row: "DeliveryRow", at: Situation) -> str:
    if row.held_until is not None and at.now < row.held_until <= row.due_at:  # otherwise it was released earlier
        return f"kept for quiet hours until {at.moment(row.held_until)}"
    failed = row.last_error if row.attempts else None
    if row.due_at > at.now and failed is not None:
        return f"{failed}; next attempt {at.moment(row.due_at)}"
    if (first := at.standing.after.get(row.id)) is not None:
        return f"after #{first}, an earlier one of {'its job' if row.job is not None else 'its project'}"
    if row.due_at > at.now:
        return _pause(row, at)
    return failed or _turn(row, at)


def _pause(row: "DeliveryRow", at: Situation) -> str:
    if damping.group(row.event):
        return f"it changes often: the latest is sent {at.moment(row.due_at)}"
    if row.event is Event.BATCH_FINISHED:
        return f"due {at.moment(row.due_at)}, unless jobs are added to its batch"
    return f"due {at.moment(row.due_at)}"


def _turn(row: "DeliveryRow", at: Situation) -> str:
    """Why a delivery that is due has not been sent yet."""
    if not at.running:
        return "no daemon runs"
    others = at.standing.due.get(row.channel, 0) - 1
    if others < 1:
        return "it is next"
    many = f"{others} others" if others < _COUNTED - 1 else f"{_COUNTED - 1} others or more"
    return f"due, with {many} on its channel: sent in turn or in one message"
