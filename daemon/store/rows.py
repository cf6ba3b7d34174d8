"""The rows that the store takes and gives: plain values.

Times are aware UTC. None of these knows how it is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from daemon.domain.events import Event, Json
from daemon.domain.jobs import Asset, ChannelName, JobId, KindSource, NamedBy, ProjectName, Tracking

MAX_NAME = 128
"""Characters of a project's, kind's, channel's or batch's name, and of a job id."""
MAX_LABEL = 500
"""Characters of a job's label."""
MAX_TAGS = 4000
"""Characters of all tags of a job, as a JSON list."""
MAX_WORD = 64
"""Characters of `asked_by` and `next_reason`."""


class TrackResult(StrEnum):
    """What tracking a job came to."""

    ADDED = "added"  # it was not known
    TAKEN_UP = "taken_up"  # it was lost, expired or stopped (or has ended), and is tracked again
    ALREADY = "already"  # it is tracked
    FINISHED = "finished"  # the service has ended it: there is nothing to ask


class Change(StrEnum):
    """What tracking changed of a job that was known."""

    LABEL = "label_changed"
    TAGS = "tags_replaced"
    BATCH = "batch_changed"
    KIND = "kind_corrected"
    KIND_KEPT = "kind_kept"  # another kind was given; the one that the service answered under stays
    LINK = "link_restored"  # wrapd's own link, which had been taken back, opens again


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
    """A job to track. `label`, `tags` and `batch` replace what is stored where they are given. A kind that is only
    guessed replaces none, and none that the service answered under is replaced by one that was merely given."""

    project: ProjectName
    kind: str
    job_id: JobId
    label: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None
    kind_source: KindSource = KindSource.GIVEN
    named_by: NamedBy = NamedBy.PERSON


GIVEN_UP = frozenset({Tracking.LOST, Tracking.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRule:
    """What may become of jobs that are asked to be tracked: whether unknown ones are added (`most_unconfirmed`: as
    long as not so many wait that only callbacks named), which that are not watched are taken up again, and whether
    the words of known ones are changed."""

    add: bool = True
    again: frozenset[Tracking] = GIVEN_UP | {Tracking.STOPPED}
    change: bool = True
    most_unconfirmed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOutcome:
    """What became of a request to track a job. `result` is None where it was left as it is; `kind` and `tracking`
    hold now (None: it is not known), `state` is the last that the service said."""

    result: TrackResult | None
    kind: str
    kind_source: KindSource
    tracking: Tracking | None
    state: str | None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What tracking needs of a job that is stored."""

    id: int
    kind: str
    tracking: Tracking
    state: str | None
    batch: str | None
    label: str | None
    tags: tuple[str, ...]
    kind_source: KindSource
    named_by: NamedBy


class Labelled(NamedTuple):
    """A job, with what people say of it."""

    id: int
    project: ProjectName
    job_id: JobId
    tracking: Tracking
    label: str | None
    tags: tuple[str, ...]


class BatchRow(NamedTuple):
    """A batch. `id` is the row id of its newest job, `ends` how many of its `jobs` ended in each way, in the words
    of the alert of its end; the others are tracked."""

    id: int
    project: ProjectName
    batch: str
    jobs: int
    ends: Mapping[str, int]

    @property
    def ended(self) -> int:
        """How many are not tracked any more."""
        return sum(self.ends.values())


class WatchRow(NamedTuple):
    """What the watch needs of a job. `episode` counts how often it was tracked, from 1, `kind_tries` the rounds of
    asking for its kind; `created_at`, `started_at` and `reported_at` are the service's own times, as of the last
    transition; `expected_length` is seconds of speech, None where it is not known.

    A tuple: the start reads 100,000 of them, and as a dataclass each would cost half as much again.
    """

    id: int
    project: ProjectName
    kind: str
    job_id: JobId
    state: str | None
    state_since: datetime | None
    tracked_at: datetime
    episode: int
    tracking: Tracking
    created_at: datetime | None
    started_at: datetime | None
    reported_at: datetime | None
    expected_length: float | None
    kind_source: KindSource = KindSource.GIVEN
    named_by: NamedBy = NamedBy.PERSON
    kind_tries: int = 0


class JobName(NamedTuple):
    """What a job is called: by the service, and by people (None: by nobody)."""

    job_id: JobId
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRow:
    """A job that the service ended, for learning. `state_since` is when wrapd saw the end; the other times are the
    service's own. `blocked`: it was frozen at some time, as far as wrapd saw."""

    project: ProjectName
    kind: str
    state: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    reported_at: datetime | None
    state_since: datetime
    expected_length: float | None
    blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """All that is known of a job. `duration` is the video's length in seconds, `expected_length` what its script
    foretells of it; `links_at` is when the oldest of the links was fetched; `asked_by` is how the service was last
    asked about it, `next_reason` why it will be at `next_poll_at`."""

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
    expected_length: float | None = None
    asked_by: str | None = None
    next_reason: str | None = None
    link_until: datetime | None = None
    """When the last of the links to the video dies; None where there is none."""
    seen_at: datetime | None = None
    """When somebody first opened the video by wrapd's own link."""
    kind_source: KindSource = KindSource.GIVEN
    named_by: NamedBy = NamedBy.PERSON
    kind_tries: int = 0
    """How many rounds of asking for its kind are over."""

    @property
    def unconfirmed(self) -> bool:
        """Whether only a callback named it, and the service never said that it knows it."""
        return self.named_by is NamedBy.CALLBACK and self.kind_source is KindSource.GUESSED

    @property
    def answered(self) -> bool:
        """Whether the service ever told anything of it."""
        return any(value is not None for value in (self.state, self.created_at, self.reported_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """A job's cover as it was fetched; of one that could not be had, `data` is None and `error` says why."""

    job: int
    url: str
    content_type: str | None
    data: bytes | None
    fetched_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow:
    """wrapd's own link to a job's video. Who has `token` may open it until `expires_at`, unless it is revoked."""

    id: int
    job: int
    token: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    clicks: int
    last_click_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookkeeping:
    """Bookkeeping of a job since the last checkpoint. `polls` is how many to add; `last_polled_at` or `asked_by`
    None leaves what is stored. `next_reason` is a word for why `next_poll_at` is when it is, kept only with it."""

    job: int
    last_polled_at: datetime | None
    next_poll_at: datetime | None
    polls: int
    last_error: str | None
    asked_by: str | None = None
    next_reason: str | None = None


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
    held_until: datetime | None = None
    """The end of the quiet hours for which it was kept back."""
    tried_for: float = 0.0
    """Seconds for which wrapd has been trying: time that it was off does not count."""
    tried_at: datetime | None = None
    """When the last attempt was judged, by the wall clock as it is set now."""
    defects: int = 0
    """How often in all an error of wrapd's own kept it from being sent."""

    def tried_until(self, at: datetime, *, uptime: float) -> float:
        """`tried_for` as an attempt makes it that ended `at`: since the last one it was tried, as far as wrapd was
        at work (for `uptime` seconds)."""
        if self.tried_at is None:
            return self.tried_for
        return self.tried_for + max(0.0, min((at - self.tried_at).total_seconds(), uptime))


REPLACED = "a later alert takes its place"
"""Why a delivery is canceled that no person has canceled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A channel that its service refuses: since when, and why."""

    since: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What keeps deliveries waiting: `refusals` are the channels that refuse, `after` the row id that is sent
    before each, where there is one, `due` how many of each channel are due, counted up to 1000."""

    refusals: Mapping[ChannelName, Refusal]
    after: Mapping[int, int]
    due: Mapping[ChannelName, int]


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
    shared: int = 1
    """How many deliveries were told by the same message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that is to be sent now, with what it is about. `attempt` is the number of this try, from 1."""

    delivery: DeliveryRow
    job: JobRow | None
    move: TransitionRow | None
    attempt: int
    channel_held: bool = True
    """Whether the channel may be held: where it is not, a send that succeeds has nothing to free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended. `due_at` says when to try again: needed for retry, unknown and held. wrapd has been at
    work for `uptime` seconds; `defect`: an error of its own ended the attempt."""

    kind: AttemptOutcome
    reason: str
    status_code: int | None = None
    due_at: datetime | None = None
    uptime: float = 0.0
    defect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the daemon last said of a project's watch, and when."""

    facts: Mapping[str, Json]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRow:
    """A wish to take a project's jobs from the service's list; `filters` say which. While it waits `ended_at`,
    `found` and `added` are None; `found` counts the jobs that fit, `added` those that were not tracked before.
    `error` is a message for people where it could not be done wholly; `result` is what was found, as who does it
    and who asks agree."""

    id: int
    project: ProjectName
    filters: Mapping[str, Json]
    asked_at: datetime
    ended_at: datetime | None
    found: int | None
    added: int | None
    error: str | None
    result: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterHealth:
    """How the writer does: monotonic seconds of its last commit (None before the first), how many works wait or
    are under way, for how many seconds the oldest of them has, and since when (monotonic seconds) transactions
    fail without one in between that changed something (None: they do not)."""

    last_commit_at: float | None
    waiting: int
    oldest_wait: float
    failing_since: float | None = None
