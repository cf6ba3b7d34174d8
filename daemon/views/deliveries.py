"""The views of a delivery and its attempts. docs/cli.md is generated from the comments. Pure."""

from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from collections.abc import Sequence

    from daemon.store import AttemptRow, DeliveryRow


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt to send, under `tries` of a delivery."""

    n: int  # its number, from 1
    started_at: str | None  # when it began
    ended_at: str | None  # null while in progress
    outcome: str | None  # sent, retry, unknown, held or dead
    status_code: int | None  # the HTTP status, or null
    reason: str | None  # in words
    shared: int  # number of alerts in the same message; more than 1: a digest


class Delivery(Struct, frozen=True, kw_only=True):
    """One event for one channel, in `deliveries --json`, and in `show --json` and the API under `deliveries`."""

    id: int  # for `deliveries retry`
    event: str  # see docs/events.md
    channel: str  # name of the channel in the config
    project: str | None  # null for an event of no project
    job_id: str | None  # null for an event of no job
    status: str  # pending, sending, sent, held, dead or canceled
    attempts: int  # number of attempts to send it
    last_error: str | None  # why the last one failed, or null
    why: str | None  # why it is not sent, in words; null if it is sent
    possible_repeat: bool  # whether an earlier message may have arrived
    created_at: str | None  # when the event happened or, if it was sent again on request, when it was requested
    due_at: str | None  # when it is sent next, if it is still to be sent
    held_until: str | None  # end of the quiet hours for which it was kept, or null
    mute: int | None  # the mute that keeps it (`mute list`), or null
    sent_at: str | None  # when the chat service accepted it
    resent_from: int | None  # the delivery that this one repeats on request, or null
    tries: tuple[Attempt, ...]  # every attempt, as below


def delivery(
    row: "DeliveryRow", tries: "Sequence[AttemptRow]", job_id: str | None, *, why: str | None = None
) -> Delivery:
    """The view of a delivery with its attempts; `job_id` is that of its job, `why` comes from `views.waiting`."""
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
        mute=row.mute,
        sent_at=stamp(row.sent_at),
        resent_from=resent_from(row),
        tries=tuple(map(attempt, tries)),
    )


def resent_from(row: "DeliveryRow") -> int | None:
    """The row id of the delivery that this one repeats on request, or None."""
    found = row.facts.get("resent_from")
    return found if isinstance(found, int) else None


def attempt(row: "AttemptRow") -> Attempt:
    """The view of one attempt to send."""
    return Attempt(
        n=row.n,
        started_at=stamp(row.started_at),
        ended_at=stamp(row.ended_at),
        outcome=None if row.outcome is None else str(row.outcome),
        status_code=row.status_code,
        reason=row.reason,
        shared=row.shared,
    )
