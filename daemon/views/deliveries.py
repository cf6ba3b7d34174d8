"""A delivery and its attempts. The comments are what docs/cli.md says of the keys: they may grow, none goes or
changes its meaning. Pure.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import, and most commands show something
    from collections.abc import Sequence

    from daemon.store import AttemptRow, DeliveryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to send, under `tries` of a delivery."""

    n: int  # counts from 1
    started_at: str | None  # when it began
    ended_at: str | None  # null while it is under way
    outcome: str | None  # sent, retry, unknown, held or dead
    status_code: int | None  # the HTTP status, or null
    reason: str | None  # in words
    shared: int  # how many alerts the same message told; more than 1: a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one channel, in `deliveries --json`, and in `show --json` and the API under `deliveries`."""

    id: int  # for `deliveries retry`
    event: str  # see docs/events.md
    channel: str  # name of the channel in the config
    project: str | None  # null for an event of no project
    job_id: str | None  # null for an event of no job
    status: str  # pending, sending, sent, held, dead or canceled
    attempts: int  # how many sends were tried
    last_error: str | None  # why the last one failed, or null
    why: str | None  # why it is not sent, in words; null where it is
    possible_repeat: bool  # whether a message may have arrived before
    created_at: str | None  # when the event happened, or, of one that repeats another, when that was asked for
    due_at: str | None  # when it is sent next, where it still is to be
    held_until: str | None  # the end of the quiet hours that it was kept for, or null
    sent_at: str | None  # when the chat service took it
    resent_from: int | None  # the delivery that this one repeats, because somebody asked for it, or null
    tries: tuple[Attempt, ...]  # every attempt, as below


def delivery(
    row: "DeliveryRow", tries: "Sequence[AttemptRow]", job_id: str | None, *, why: str | None = None
) -> Delivery:
    """A delivery with its attempts; `job_id` is that of its job, `why` as `views.why` says."""
    return Delivery(
        id=row.id,
        event=str(row.event),
        channel=row.channel,
        project=row.project,
        job_id=job_id,
        status=str(row.status),
        attempts=row.attempts,
        last_error=row.last_error,
        why=why,
        possible_repeat=row.possible_repeat,
        created_at=stamp(row.created_at),
        due_at=stamp(row.due_at),
        held_until=stamp(row.held_until),
        sent_at=stamp(row.sent_at),
        resent_from=resent_from(row),
        tries=tuple(map(attempt, tries)),
    )


def resent_from(row: "DeliveryRow") -> int | None:
    """The row id of the delivery that this one repeats, because somebody asked for it."""
    found = row.facts.get("resent_from")
    return found if isinstance(found, int) else None


def attempt(row: "AttemptRow") -> Attempt:
    """One try to send."""
    return Attempt(
        n=row.n,
        started_at=stamp(row.started_at),
        ended_at=stamp(row.ended_at),
        outcome=None if row.outcome is None else str(row.outcome),
        status_code=row.status_code,
        reason=row.reason,
        shared=row.shared,
    )
