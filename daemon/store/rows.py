"""The rows that the store takes and gives: plain values.

Times are aware UTC. None of these knows how it is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from daemon.domain.events import Event, Json
from daemon.domain.jobs import Asset, ChannelName, JobId, ProjectName, Tracking

MAX_NAME = 128
"""Characters of a project's, kind's, channel's or batch's name, and of a job id."""
MAX_LABEL = 500
"""Characters of a job's label."""
MAX_TAGS = 4000
"""Characters of all tags of a job, as a JSON list."""


class TrackResult(StrEnum):
    """What tracking a job came to."""

    ADDED = "added"  # it was not known
    TAKEN_UP = "taken_up"  # it was lost, expired or stopped, and is tracked again
    ALREADY = "already"  # it is tracked
    FINISHED = "finished"  # the service has ended it: there is nothing to ask


class DeliveryStatus(StrEnum):
    """Where a delivery is. PENDING ⇄ SENDING → SENT; SENDING → HELD or DEAD, which can become PENDING again."""

    PENDING = "pending"  # to be sent when it is due
    SENDING = "sending"  # a worker has it
    SENT = "sent"  # the chat service took it
    HELD = "held"  # the channel refuses messages: one is tried from time to time
    DEAD = "dead"  # given up; a person may send it again
    CANCELED = "canceled"  # it is no longer to be sent


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SENT = "sent"  # the chat service took it
    RETRY = "retry"  # surely not delivered: again later
    UNKNOWN = "unknown"  # nobody can say: again later, marked as a possible repeat
    HELD = "held"  # the channel refuses: it is held
    DEAD = "dead"  # it can never be delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRequest:
    """A job to track. `label`, `tags` and `batch` replace what is stored where they are given."""

    project: ProjectName
    kind: str
    job_id: JobId
    label: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What tracking needs of a job that is stored."""

    id: int
    kind: str
    tracking: Tracking
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRow:
    """What the watch needs of a job. `episode` counts how often it was tracked, from 1."""

    id: int
    project: ProjectName
    kind: str
    job_id: JobId
    state: str | None
    state_since: datetime | None
    tracked_at: datetime
    episode: int
    tracking: Tracking


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """All that is known of a job. `duration` is the video's length in seconds; `links_at` is when the oldest of
    the links was fetched."""

    id: int
    project: ProjectName
    kind: str
    job_id: JobId
    label: str | None
    tags: tuple[str, ...]
    batch: str | None
    tracking: Tracking
    state: str | None
    state_since: datetime | None
    tracked_at: datetime
    episode: int
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    reported_at: datetime | None
    duration: float | None
    asset: Asset
    links_at: datetime | None
    error_code: str | None
    error_msg: str | None
    polls: int
    last_polled_at: datetime | None
    next_poll_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Bookkeeping of a job since the last checkpoint. `polls` is how many to add; `last_polled_at` None leaves
    what is stored."""

    job: int
    last_polled_at: datetime | None
    next_poll_at: datetime | None
    polls: int
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one transaction wrote: the transition's row id (None where tracking ended without one), how many
    deliveries, and the channels that have new ones."""

    transition: int | None
    deliveries: int
    channels: tuple[ChannelName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRow:
    """An observed change of state; `seq` counts those of a job from 1."""

    id: int
    job: int
    seq: int
    before: str | None
    after: str
    observed_at: datetime
    reported_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One event for one channel. `facts` is what the alert tells, as of when it was written."""

    id: int
    key: str
    channel: ChannelName
    event: Event
    job: int | None
    project: ProjectName | None
    transition: int | None
    facts: Mapping[str, Json]
    status: DeliveryStatus
    due_at: datetime
    created_at: datetime
    sent_at: datetime | None
    attempts: int
    possible_repeat: bool
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One try to send a delivery; `n` counts from 1. `outcome` is None while it is under way."""

    delivery: int
    n: int
    started_at: datetime
    ended_at: datetime | None
    outcome: AttemptOutcome | None
    status_code: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that is to be sent now, with what it is about. `attempt` is the number of this try, from 1."""

    delivery: DeliveryRow
    job: JobRow | None
    move: TransitionRow | None
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended. `due_at` says when to try again: needed for retry, unknown and held."""

    kind: AttemptOutcome
    reason: str
    status_code: int | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterHealth:
    """How the writer does: monotonic seconds of its last commit (None before the first), how many works wait or
    are under way, for how many seconds the oldest of them has, and since when (monotonic seconds) transactions
    fail without one in between that changed something (None: they do not)."""

    last_commit_at: float | None
    waiting: int
    oldest_wait: float
    failing_since: float | None = None
