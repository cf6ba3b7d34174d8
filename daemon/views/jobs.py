"""The views of a job, its remaining production time, its transitions and the result of tracking it. docs/cli.md is
generated from the comments. Pure.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.durations import Eta
from daemon.domain.jobs import Asset, Tracking, link_expiry
from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import JobRow, TrackOutcome, TransitionRow

_LONG_AGO = datetime.max.replace(tzinfo=UTC)


class Remaining(Struct, frozen=True, kw_only=True):
    """A job's remaining production time, in seconds and as times."""

    median_seconds: float  # until `ends_at`
    low_seconds: float  # until `low_at`
    high_seconds: float  # until `high_at`
    ends_at: str | None  # of a job in production: half of the similar jobs end before
    low_at: str | None  # 1 of 10 ends before
    high_at: str | None  # 9 of 10 end before


class Job(Struct, frozen=True, kw_only=True):
    """A job, in `jobs --json`, `show --json` and the API."""

    project: str  # name of the project in the config
    kind: str  # avatar, photo, business_card, photo_detection or picture_modeling
    job_id: str  # MetaStudio's id of the job
    label: str | None  # the label given by `track --label`, or null
    tags: tuple[str, ...]  # the tags given by `track --tag`
    batch: str | None  # the batch given by `track --batch`, or null
    note: str | None  # a person's line on the job from `wrapd note`, or null; messages about it carry it
    # WAITING, PROCESSING, SUCCEED, PARTIAL_SUCCEED, FAILED, CANCELED or BLOCK, an unknown one unchanged;
    state: str | None  # null before the first answer
    state_since: str | None  # when wrapd observed the change to this state
    tracking: str  # active, finished, lost, expired or stopped
    tracked_at: str | None  # when tracking was last requested
    name: str | None  # the service's name of the video
    asset_id: str | None  # the service's id of the video
    cover_url: str | None  # unchanged, as received
    cover_expires_at: str | None  # null if the link does not say
    preview_url: str | None  # unchanged, as received
    preview_expires_at: str | None  # as signed, else 24 hours after it was fetched
    download_url: str | None  # the finished file of an avatar video
    download_expires_at: str | None  # as signed, else 24 hours after it was fetched
    error_code: str | None  # of a failed job
    error_msg: str | None  # of a failed job
    duration: float | None  # length of the video in seconds
    created_at: str | None  # the service's time
    started_at: str | None  # the service's time
    ended_at: str | None  # the service's time
    reported_at: str | None  # the service's time of the last update
    polls: int  # number of polls; updated every 30 s
    last_polled_at: str | None  # recorded every 30 s
    next_poll_at: str | None  # recorded every 30 s; null if nothing is planned
    next_reason: str | None  # the reason for that time, in a word; `explain` has the sentence
    asked_by: str | None  # how it was last polled: single, ids or feed
    expected_length: float | None  # seconds of speech estimated from its script, or null
    # for a job in production: `median_seconds`, `low_seconds`, `high_seconds` until it ends (half of the similar
    # jobs end before the first, 1 of 10 before the second, 9 of 10 before the third), and the same as
    eta: Remaining | None  # times: `ends_at`, `low_at`, `high_at`; else null
    eta_reason: str | None  # why an unfinished job has no `eta`, in words
    last_error: str | None  # why the last query failed, or null
    kind_source: str  # how its kind is known: given, found (the service said so) or guessed
    named_by: str  # who named the job: person (or a tool), service (its list) or callback (only a callback)


class Transition(Struct, frozen=True, kw_only=True):
    """An observed change of state, in `show --json` and the API under `transitions`."""

    from_: str | None  # null for the first answer
    to: str  # the new state
    observed_at: str | None  # when wrapd observed it
    reported_at: str | None  # the service's own time of the update, or null


def job(
    row: "JobRow", *, now: datetime, eta: Eta | None, eta_reason: str | None = None, links: bool = True
) -> Job:
    """The view of a job, with its remaining production time as of `now`. Without `links` it has none, which saves
    a list the reading of their signatures."""
    asset, linked = row.asset, row.asset if links else _NO_LINKS
    return Job(
        project=row.project,
        kind=row.kind,
        job_id=row.job_id,
        label=row.label or None,
        tags=row.tags,
        batch=row.batch,
        note=row.note,
        state=row.state,
        state_since=stamp(row.state_since),
        tracking=str(row.tracking),
        tracked_at=stamp(row.tracked_at),
        name=asset.asset_name,
        asset_id=asset.asset_id,
        cover_url=linked.cover_url,
        cover_expires_at=stamp(link_end(linked.cover_url, row.links_at, signed_only=True)),
        preview_url=linked.preview_url,
        preview_expires_at=stamp(link_end(linked.preview_url, row.links_at)),
        download_url=linked.download_url,
        download_expires_at=stamp(link_end(linked.download_url, row.links_at)),
        error_code=row.error_code,
        error_msg=row.error_msg,
        duration=row.duration,
        created_at=stamp(row.created_at),
        started_at=stamp(row.started_at),
        ended_at=stamp(row.ended_at),
        reported_at=stamp(row.reported_at),
        polls=row.polls,
        last_polled_at=stamp(row.last_polled_at),
        next_poll_at=stamp(row.next_poll_at),
        next_reason=row.next_reason,
        asked_by=row.asked_by,
        expected_length=row.expected_length,
        eta=remaining(eta, now=now),
        eta_reason=eta_reason,
        last_error=row.last_error,
        kind_source=str(row.kind_source),
        named_by=str(row.named_by),
    )


def is_orphaned(row: "JobRow", projects: Collection[str]) -> bool:
    """Whether the job is active but not polled, because its project is not among `projects`, those of the
    config."""
    return row.tracking is Tracking.ACTIVE and row.project not in projects


def kept(row: "JobRow", projects: Collection[str]) -> "JobRow":
    """The job; if it is orphaned, without its plan, which no daemon will execute."""
    return row._replace(next_poll_at=None, next_reason=None) if is_orphaned(row, projects) else row


def remaining(eta: Eta | None, *, now: datetime) -> Remaining | None:
    """The remaining time as of `now`; None without an estimate."""
    if eta is None:
        return None
    return Remaining(
        median_seconds=round(eta.median, 1),
        low_seconds=round(eta.low, 1),
        high_seconds=round(eta.high, 1),
        ends_at=stamp(now + timedelta(seconds=eta.median)),
        low_at=stamp(now + timedelta(seconds=eta.low)),
        high_at=stamp(now + timedelta(seconds=eta.high)),
    )


_NO_LINKS = Asset()


def transition(row: "TransitionRow") -> Transition:
    """The view of a transition."""
    return Transition(
        from_=row.before, to=row.after, observed_at=stamp(row.observed_at), reported_at=stamp(row.reported_at)
    )


def link_end(url: str | None, fetched_at: datetime | None, *, signed_only: bool = False) -> datetime | None:
    """When a link expires: as signed, else (unless `signed_only`) a day after it was fetched. None if there is no
    link or it is not known."""
    if url is None:
        return None
    if signed_only or fetched_at is None:
        return link_expiry(url, fetched_at=_LONG_AGO, unsigned_life=None)
    return link_expiry(url, fetched_at=fetched_at)


class Tracked(Struct, frozen=True, kw_only=True):
    """The result for a job, in `track --json` and the answer to `POST /api/v1/jobs` under `jobs`."""

    project: str  # name of the project in the config
    job_id: str  # MetaStudio's id of the job
    kind: str  # the kind as which it is polled
    # added, already (it is tracked), taken_up (tracked again after it was lost, expired or stopped, or on request)
    result: str | None  # or finished (it has ended and is not polled)
    state: str | None  # the last state reported by the service; null before its first answer
    # a list of what else was done: label_changed, tags_replaced, batch_changed, kind_corrected, link_restored, and
    # kind_kept: another kind was given, but the service has confirmed this one,
    changes: tuple[str, ...]  # so it is kept
    kind_source: str  # how its kind is known: given, found or guessed


def tracked(project: str, job_id: str, came: "TrackOutcome") -> Tracked:
    """The view of the result of tracking a job."""
    return Tracked(
        project=project,
        job_id=job_id,
        kind=came.kind,
        result=None if came.result is None else str(came.result),
        state=came.state,
        changes=tuple(map(str, came.changes)),
        kind_source=str(came.kind_source),
    )
