"""The keys that `--json` gives for a job, a transition, a delivery. Documented in docs/cli.md, which is generated
from the comments here: they may grow, none goes or changes its meaning.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from daemon.cli.text import stamp
from daemon.domain.jobs import link_expiry

if TYPE_CHECKING:
    from daemon.cli.checks import Finding
    from daemon.store import AttemptRow, DeliveryRow, JobRow, TransitionRow

Facts = dict[str, object]


def of_job(row: "JobRow") -> Facts:
    """A job, as `jobs --json` and `show --json` give it."""
    asset = row.asset
    cover_end = expiry(asset.cover_url, row.links_at, signed_only=True)
    preview_end = expiry(asset.preview_url, row.links_at)
    download_end = expiry(asset.download_url, row.links_at)
    return {
        "project": row.project,  # name of the project in the config
        "kind": row.kind,  # avatar or photo
        "job_id": row.job_id,  # as MetaStudio names it
        "label": row.label or None,  # what `track --label` said, or null
        "tags": list(row.tags),  # what `track --tag` said
        "batch": row.batch,  # what `track --batch` said, or null
        # WAITING, PROCESSING, SUCCEED, FAILED, CANCELED or BLOCK, an unknown one as it came;
        "state": row.state,  # null before the first answer
        "state_since": stamp(row.state_since),  # when wrapd saw it change to this state
        "tracking": str(row.tracking),  # active, finished, lost, expired or stopped
        "tracked_at": stamp(row.tracked_at),  # when it was last told to be tracked
        "name": asset.asset_name,  # the service's name of the video
        "asset_id": asset.asset_id,  # the service's id of the video
        "cover_url": asset.cover_url,  # exactly as it came
        "cover_expires_at": stamp(cover_end),  # null where the link does not say
        "preview_url": asset.preview_url,  # exactly as it came
        "preview_expires_at": stamp(preview_end),  # signed, or 24 hours after it was fetched
        "download_url": asset.download_url,  # the finished file of an avatar video
        "download_expires_at": stamp(download_end),  # signed, or 24 hours after it was fetched
        "error_code": row.error_code,  # of a failed job
        "error_msg": row.error_msg,  # of a failed job
        "duration": row.duration,  # length of the video in seconds
        "created_at": stamp(row.created_at),  # the service's time
        "started_at": stamp(row.started_at),  # the service's time
        "ended_at": stamp(row.ended_at),  # the service's time
        "reported_at": stamp(row.reported_at),  # the service's time of the last update
        "polls": row.polls,  # how often the service was asked; counted every 30 s
        "last_polled_at": stamp(row.last_polled_at),  # noted every 30 s
        "next_poll_at": stamp(row.next_poll_at),  # noted every 30 s; null where nothing is planned
        "last_error": row.last_error,  # why the last question had no answer, or null
    }


def of_transition(row: "TransitionRow") -> Facts:
    """An observed change of state, in `show --json` under `transitions`."""
    return {
        "from": row.before,  # null for the first answer
        "to": row.after,  # the new state
        "observed_at": stamp(row.observed_at),  # when wrapd saw it
        "reported_at": stamp(row.reported_at),  # the service's own time of the update, or null
    }


def of_delivery(row: "DeliveryRow", job_id: str | None) -> Facts:
    """One event for one channel, in `deliveries --json` and in `show --json` under `deliveries`."""
    return {
        "id": row.id,  # for `deliveries retry`
        "event": str(row.event),  # see docs/events.md
        "channel": row.channel,  # name of the channel in the config
        "project": row.project,  # null for an event of no project
        "job_id": job_id,  # null for an event of no job
        "status": str(row.status),  # pending, sending, sent, held, dead or canceled
        "attempts": row.attempts,  # how many sends were tried
        "last_error": row.last_error,  # why the last one failed, or null
        "possible_repeat": row.possible_repeat,  # whether a message may have arrived before
        "created_at": stamp(row.created_at),  # when the event happened
        "due_at": stamp(row.due_at),  # when it is sent next, where it still is to be
        "sent_at": stamp(row.sent_at),  # when the chat service took it
    }


def of_attempt(row: "AttemptRow") -> Facts:
    """One try to send, in `show --json` under `tries` of a delivery."""
    return {
        "n": row.n,  # counts from 1
        "started_at": stamp(row.started_at),  # when it began
        "ended_at": stamp(row.ended_at),  # null while it is under way
        "outcome": None if row.outcome is None else str(row.outcome),  # sent, retry, unknown, held or dead
        "status_code": row.status_code,  # the HTTP status, or null
        "reason": row.reason,  # in words
    }


def of_channel(name: str, timezone: str, events: Sequence[str], counts: Mapping[str, int]) -> Facts:
    """A channel of the config, in `channels --json`. `counts` is by status."""
    return {
        "channel": name,  # as the config calls it
        "timezone": timezone,  # of the times in its messages
        "events": list(events),  # what goes there; `operators` stands for all events of operators
        "sent": counts.get("sent", 0),  # alerts that the chat service took
        "waiting": counts.get("pending", 0) + counts.get("sending", 0),  # alerts that are to be sent
        "held": counts.get("held", 0),  # alerts that wait because the service refuses the channel
        "dead": counts.get("dead", 0),  # alerts that were given up
    }


def of_finding(finding: "Finding") -> Facts:
    """One thing that was looked at, in `doctor --json`."""
    return {
        "verdict": finding.verdict,  # ok, warn or fail
        "what": finding.what,  # version, config, database, daemon, readyz, …
        "text": finding.text,  # how it stands, with the mend where it does not
    }


def expiry(url: str | None, fetched_at: datetime | None, *, signed_only: bool = False) -> datetime | None:
    """When a link ends, None where there is no link or nobody knows."""
    if url is None:
        return None
    if signed_only or fetched_at is None:
        return link_expiry(url, fetched_at=datetime.max.replace(tzinfo=UTC), unsigned_life=None)
    return link_expiry(url, fetched_at=fetched_at)
