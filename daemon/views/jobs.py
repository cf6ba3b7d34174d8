"""A job, its changes of state, what remains of its production, and what tracking it came to. The comments are what
docs/cli.md says of the keys: they may grow, none goes or changes its meaning. Pure.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from daemon.domain.durations import Eta
from daemon.domain.jobs import Tracking, link_expiry
from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import, and most commands show something
    from daemon.store import JobRow, TransitionRow
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # SQLAlchemy is slow to import, and most commands show something
    from daemon import store

_LONG_AGO = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What remains of a job's production, in seconds and as moments."""

    median_seconds: float
    low_seconds: float
    high_seconds: float
    ends_at: str | None
    low_at: str | None
    high_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job, as `jobs --json`, `show --json` and the API give it."""

    project: str  # name of the project in the config
    kind: str  # avatar, photo, business_card, photo_detection or picture_modeling
    job_id: str  # as MetaStudio names it
    label: str | None  # what `track --label` said, or null
    tags: tuple[str, ...]  # what `track --tag` said
    batch: str | None  # what `track --batch` said, or null
    # WAITING, PROCESSING, SUCCEED, PARTIAL_SUCCEED, FAILED, CANCELED or BLOCK, an unknown one as it came;
    state: str | None  # null before the first answer
    state_since: str | None  # when wrapd saw it change to this state
    tracking: str  # active, finished, lost, expired or stopped
    tracked_at: str | None  # when it was last told to be tracked
    name: str | None  # the service's name of the video
    asset_id: str | None  # the service's id of the video
    cover_url: str | None  # exactly as it came
    cover_expires_at: str | None  # null where the link does not say
    preview_url: str | None  # exactly as it came
    preview_expires_at: str | None  # signed, or 24 hours after it was fetched
    download_url: str | None  # the finished file of an avatar video
    download_expires_at: str | None  # signed, or 24 hours after it was fetched
    error_code: str | None  # of a failed job
    error_msg: str | None  # of a failed job
    duration: float | None  # length of the video in seconds
    created_at: str | None  # the service's time
    started_at: str | None  # the service's time
    ended_at: str | None  # the service's time
    reported_at: str | None  # the service's time of the last update
    polls: int  # how often the service was asked; counted every 30 s
    last_polled_at: str | None  # noted every 30 s
    next_poll_at: str | None  # noted every 30 s; null where nothing is planned
    next_reason: str | None  # why then, in a word; `explain` has the sentence
    asked_by: str | None  # how it was last asked about: single, ids or feed
    expected_length: float | None  # seconds of speech by its script, or null
    # of a job in production: `median_seconds`, `low_seconds`, `high_seconds` until it ends (half of the jobs
    # like it end before the first, 1 of 10 before the second, 9 of 10 before the third), and the same as
    eta: Remaining | None  # moments: `ends_at`, `low_at`, `high_at`; else null
    eta_reason: str | None  # why a job that has not ended has no `eta`, in words
    last_error: str | None  # why the last question had no answer, or null
    kind_source: str  # how its kind is known: given, found (the service said so) or guessed
    named_by: str  # who named the job: person (or a tool), service (its list) or callback (nothing else did)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An observed change of state, in `show --json` and the API under `transitions`."""

    from_: str | None  # null for the first answer
    to: str  # the new state
    observed_at: str | None  # when wrapd saw it
    reported_at: str | None  # the service's own time of the update, or null


def job(row: "JobRow", *, now: datetime, eta: Eta | None, eta_reason: str | None = None) -> Job:
    """A job, with what remains of its production as of `now`."""
    asset = row.asset
    return Job(
        project=row.project,
        kind=row.kind,
        job_id=row.job_id,
        label=row.label or None,
        tags=row.tags,
        batch=row.batch,
        state=row.state,
        state_since=stamp(row.state_since),
        tracking=str(row.tracking),
        tracked_at=stamp(row.tracked_at),
        name=asset.asset_name,
        asset_id=asset.asset_id,
        cover_url=asset.cover_url,
        cover_expires_at=stamp(link_end(asset.cover_url, row.links_at, signed_only=True)),
        preview_url=asset.preview_url,
        preview_expires_at=stamp(link_end(asset.preview_url, row.links_at)),
        download_url=asset.download_url,
        download_expires_at=stamp(link_end(asset.download_url, row.links_at)),
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
    """Whether the job is to be asked about, but nobody does: its project is none of `projects`, which the config
    has."""
    return row.tracking is Tracking.ACTIVE and row.project not in projects


def kept(row: "JobRow", projects: Collection[str]) -> "JobRow":
    """The job without a plan that nobody keeps."""
    return replace(row, next_poll_at=None, next_reason=None) if is_orphaned(row, projects) else row


def remaining(eta: Eta | None, *, now: datetime) -> Remaining | None:
    """What remains as of `now`; None where nobody can say."""
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


def transition(row: "TransitionRow") -> Transition:
    """An observed change of state."""
    return Transition(
        from_=row.before, to=row.after, observed_at=stamp(row.observed_at), reported_at=stamp(row.reported_at)
    )


def link_end(url: str | None, fetched_at: datetime | None, *, signed_only: bool = False) -> datetime | None:
    """When a link ends: as it is signed, else (but not with `signed_only`) a day after it was fetched. None where
    there is no link or nobody knows."""
    if url is None:
        return None
    if signed_only or fetched_at is None:
        return link_expiry(url, fetched_at=_LONG_AGO, unsigned_life=None)
    return link_expiry(url, fetched_at=fetched_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What became of a job, in `track --json` and the answer to `POST /api/v1/jobs` under `jobs`."""

    project: str  # name of the project in the config
    job_id: str  # as MetaStudio names it
    kind: str  # that it is asked about as
    # added, already (it is tracked), taken_up (it was lost, expired or stopped, or is to be looked at again) or
    result: str | None  # finished (it has ended: it is not asked about)
    state: str | None  # the last that the service said, null before its first answer
    # what else was done, a list: label_changed, tags_replaced, batch_changed, kind_corrected, link_restored, and
    # kind_kept: another kind was given, but the service has answered under this one
    changes: tuple[str, ...]  # and it stays
    kind_source: str  # how its kind is known: given, found or guessed


def tracked(project: str, job_id: str, came: "store.TrackOutcome") -> Tracked:
    """What became of a job."""
    return Tracked(
        project=project,
        job_id=job_id,
        kind=came.kind,
        result=None if came.result is None else str(came.result),
        state=came.state,
        changes=tuple(map(str, came.changes)),
        kind_source=str(came.kind_source),
    )
