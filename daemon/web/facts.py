"""A job as the API tells it: the keys of `wrapd show --json`, with the same meanings (docs/cli.md). Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from daemon.domain.durations import Eta
from daemon.domain.jobs import link_expiry
from daemon.domain.text import stamp
from daemon.store import AttemptRow, DeliveryRow, JobRow, TransitionRow

Facts = dict[str, object]
_LONG_AGO = datetime.max.replace(tzinfo=UTC)


def of_job(row: JobRow, eta: Eta | None, *, now: datetime) -> Facts:
    """A job and what remains of its production as of `now`."""
    asset = row.asset
    return {
        "project": row.project,
        "kind": row.kind,
        "job_id": row.job_id,
        "label": row.label or None,
        "tags": list(row.tags),
        "batch": row.batch,
        "state": row.state,
        "state_since": stamp(row.state_since),
        "tracking": str(row.tracking),
        "tracked_at": stamp(row.tracked_at),
        "name": asset.asset_name,
        "asset_id": asset.asset_id,
        "cover_url": asset.cover_url,
        "cover_expires_at": stamp(ends_at(asset.cover_url, None)),
        "preview_url": asset.preview_url,
        "preview_expires_at": stamp(ends_at(asset.preview_url, row.links_at)),
        "download_url": asset.download_url,
        "download_expires_at": stamp(ends_at(asset.download_url, row.links_at)),
        "error_code": row.error_code,
        "error_msg": row.error_msg,
        "duration": row.duration,
        "created_at": stamp(row.created_at),
        "started_at": stamp(row.started_at),
        "ended_at": stamp(row.ended_at),
        "reported_at": stamp(row.reported_at),
        "polls": row.polls,
        "last_polled_at": stamp(row.last_polled_at),
        "next_poll_at": stamp(row.next_poll_at),
        "next_reason": row.next_reason,
        "asked_by": row.asked_by,
        "expected_length": row.expected_length,
        "eta": None if eta is None else _of_eta(eta, now),
        "last_error": row.last_error,
    }


def _of_eta(eta: Eta, now: datetime) -> Facts:
    ends = {name: now + timedelta(seconds=seconds) for name, seconds in _named(eta)}
    return {
        **{f"{name}_seconds": round(seconds, 1) for name, seconds in _named(eta)},
        "ends_at": stamp(ends["median"]),
        "low_at": stamp(ends["low"]),
        "high_at": stamp(ends["high"]),
    }


def _named(eta: Eta) -> tuple[tuple[str, float], ...]:
    return ("median", eta.median), ("low", eta.low), ("high", eta.high)


def of_transition(row: TransitionRow) -> Facts:
    """An observed change of state."""
    return {
        "from": row.before,
        "to": row.after,
        "observed_at": stamp(row.observed_at),
        "reported_at": stamp(row.reported_at),
    }


def of_delivery(row: DeliveryRow, tries: Sequence[AttemptRow], job_id: str) -> Facts:
    """One event for one channel, with its attempts."""
    return {
        "id": row.id,
        "event": str(row.event),
        "channel": row.channel,
        "project": row.project,
        "job_id": job_id,
        "status": str(row.status),
        "attempts": row.attempts,
        "last_error": row.last_error,
        "possible_repeat": row.possible_repeat,
        "created_at": stamp(row.created_at),
        "due_at": stamp(row.due_at),
        "held_until": stamp(row.held_until),
        "sent_at": stamp(row.sent_at),
        "tries": [_of_attempt(each) for each in tries],
    }


def _of_attempt(row: AttemptRow) -> Facts:
    return {
        "n": row.n,
        "started_at": stamp(row.started_at),
        "ended_at": stamp(row.ended_at),
        "outcome": None if row.outcome is None else str(row.outcome),
        "status_code": row.status_code,
        "reason": row.reason,
        "shared": row.shared,
    }


def ends_at(url: str | None, fetched_at: datetime | None) -> datetime | None:
    """When a link ends: as it is signed, else a day after it was fetched; None where nobody knows."""
    if url is None:
        return None
    if fetched_at is None:
        return link_expiry(url, fetched_at=_LONG_AGO, unsigned_life=None)
    return link_expiry(url, fetched_at=fetched_at)
