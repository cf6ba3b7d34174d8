"""The rows that the store accepts and returns: plain values.

Times are aware UTC; a stamp is the number that is stored for one: microseconds since 1970.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from daemon.domain.actions import Actor
from daemon.domain.events import Event, Json
from daemon.domain.jobs import Asset, ChannelName, JobId, KindSource, NamedBy, ProjectName, Tracking
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.domain.routing import Subject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# In 2106. Up to then a float can represent every microsecond.
_MOST_IN_A_FLOAT = 2**32 * 1_000_000
MAX_NAME = 128
"""Characters in the name of a project, kind, channel or batch, and in a job id."""
MAX_LABEL = 500
"""Characters in a job's label."""
MAX_TAGS = 4000
"""Characters in all tags of a job, as a JSON list."""
MAX_WORD = 64
"""Characters in `asked_by` and `next_reason`."""


def to_stamp(moment: datetime) -> int:
    """Return `moment` as exact microseconds since 1970 in UTC. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without an offset cannot be stored: {moment!r}")
    return (moment - _EPOCH) // _MICROSECOND


def from_stamp(stamp: int) -> datetime:
    """Return the moment, in UTC, of a number made by `to_stamp`."""
    if 0 <= stamp < _MOST_IN_A_FLOAT:
        return datetime.fromtimestamp(stamp / 1_000_000, UTC)  # twice as fast, and called for every row
    return _EPOCH + timedelta(microseconds=stamp)


class TrackResult(StrEnum):
    """The result of tracking a job."""

    ADDED = "added"  # it was not known
    TAKEN_UP = "taken_up"  # it was lost, expired or stopped (or had ended), and is tracked again
    ALREADY = "already"  # it was tracked already
    FINISHED = "finished"  # the service has ended it: there is nothing to poll


class Change(StrEnum):
    """What tracking changed in a known job."""

    LABEL = "label_changed"
    TAGS = "tags_replaced"
    BATCH = "batch_changed"
    KIND = "kind_corrected"
    KIND_KEPT = "kind_kept"  # another kind was given; the one under which the service answered stays
    LINK = "link_restored"  # wrapd's own link, which had been revoked, is live again


class DeliveryStatus(StrEnum):
    """The state of a delivery. PENDING ⇄ SENDING → SENT; SENDING → HELD or DEAD, which can become PENDING
    again."""

    PENDING = "pending"  # to be sent when it is due
    SENDING = "sending"  # a worker has it
    SENT = "sent"  # the chat service accepted it
    HELD = "held"  # the channel is refused by its service: one is tried from time to time
    DEAD = "dead"  # given up; a person may retry it
    CANCELED = "canceled"  # not to be sent any more


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SENT = "sent"  # the chat service accepted it
    RETRY = "retry"  # certainly not delivered: retried later
    UNKNOWN = "unknown"  # possibly delivered: retried later, marked as a possible repeat
    HELD = "held"  # the channel is refused, so the delivery is held
    DEAD = "dead"  # it can never be delivered


class TrackRequest(Struct, frozen=True, kw_only=True):
    """A job to track. `label`, `tags` and `batch` replace the stored ones if given. A guessed kind replaces none,
    and a kind that was merely given does not replace one under which the service answered."""

    project: ProjectName
    kind: str
    job_id: JobId
    label: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None
    kind_source: KindSource = KindSource.GIVEN
    named_by: NamedBy = NamedBy.PERSON


GIVEN_UP = frozenset({Tracking.LOST, Tracking.EXPIRED})


class TrackRule(Struct, frozen=True, kw_only=True):
    """What tracking may do: whether unknown jobs are added (`most_unconfirmed`: only while fewer jobs than that
    are known from callbacks alone), which untracked ones are taken up again, and whether label, tags and batch of
    known ones are changed."""

    add: bool = True
    again: frozenset[Tracking] = GIVEN_UP | {Tracking.STOPPED}
    change: bool = True
    most_unconfirmed: int | None = None


class TrackOutcome(Struct, frozen=True, kw_only=True):
    """What became of a request to track a job. `result` is None if the job was left alone; `kind` and `tracking`
    are those from now on (None: unknown job), `state` is the last one reported by the service."""

    result: TrackResult | None
    kind: str
    kind_source: KindSource
    tracking: Tracking | None
    state: str | None
    changes: tuple[Change, ...] = ()


class Known(Struct, frozen=True, kw_only=True):
    """What tracking needs of a stored job."""

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
    """A job with its label, tags and note."""

    id: int
    project: ProjectName
    job_id: JobId
    tracking: Tracking
    label: str | None
    tags: tuple[str, ...]
    note: str | None = None


class BatchRow(NamedTuple):
    """A batch. `id` is the row id of its newest job, `ends` how many of its `jobs` ended in each way, in the words
    of the alert of its end; the others are tracked, and `unbegun` of those are not in production."""

    id: int
    project: ProjectName
    batch: str
    jobs: int
    ends: Mapping[str, int]
    unbegun: int

    @property
    def ended(self) -> int:
        """How many of its jobs are no longer tracked."""
        return sum(self.ends.values())


class JobName(NamedTuple):
    """A job's id and its name for people (None: it has no name)."""

    job_id: JobId
    name: str | None


class FinishedRow(Struct, frozen=True, kw_only=True):
    """An ended job, for learning. `state_since` is when wrapd saw the end; the other times are the service's own.
    `blocked` is whether wrapd ever saw it frozen."""

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


class JobRow(NamedTuple):
    """Everything known of a job. `duration` is the video's length in seconds, `expected_length` the one estimated
    from its script; `links_at` is when the oldest of the links was fetched; `asked_by` is how the service was last
    polled about it, `next_reason` why it will be at `next_poll_at`."""

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
    """When the last of the links to the video expires; None without links."""
    seen_at: datetime | None = None
    """When the video was first opened through wrapd's own link."""
    kind_source: KindSource = KindSource.GIVEN
    named_by: NamedBy = NamedBy.PERSON
    kind_tries: int = 0
    """Completed rounds of asking for its kind."""
    note: str | None = None
    """A person's line on the job."""

    @property
    def unconfirmed(self) -> bool:
        """Whether it is known from a callback alone, not yet confirmed by the service."""
        return self.named_by is NamedBy.CALLBACK and self.kind_source is KindSource.GUESSED

    @property
    def answered(self) -> bool:
        """Whether the service has ever reported anything about it."""
        return any(value is not None for value in (self.state, self.created_at, self.reported_at))

    def subject(self, event: Event) -> Subject:
        """What routes match of an alert about the job."""
        return Subject(
            event=event, project=self.project, kind=self.kind, tags=self.tags, batch=self.batch, label=self.label
        )


class PictureRow(Struct, frozen=True, kw_only=True):
    """A job's cover as fetched. If it could not be, `data` is None and `error` says why."""

    job: int
    url: str
    content_type: str | None
    data: bytes | None
    fetched_at: datetime
    error: str | None


class ActionRow(Struct, frozen=True, kw_only=True):
    """What somebody did to `count` jobs or deliveries, or to the `subject`: a job's id or a name."""

    id: int
    at: datetime
    who: Actor
    what: str
    project: ProjectName | None
    subject: str | None
    count: int
    details: Mapping[str, Json] | None


class MuteRow(Struct, frozen=True, kw_only=True):
    """Alerts of the `subject` (in `project`, None: in any) are not sent until `until`, then sent or dropped. It
    has `ended_at` and `ended_by` once they were."""

    id: int
    scope: MuteScope
    project: ProjectName | None
    subject: str
    started_at: datetime
    until: datetime
    who: Actor
    comment: str | None
    then: MuteEnd
    ended_at: datetime | None
    ended_by: Actor | None


class PauseRow(Struct, frozen=True, kw_only=True):
    """A project that is not asked: since when, who paused it, and why if they said."""

    project: ProjectName
    at: datetime
    who: Actor
    comment: str | None


class LinkRow(Struct, frozen=True, kw_only=True):
    """wrapd's own link to a job's video. Anyone with `token` may open it until `expires_at`, unless it is
    revoked."""

    id: int
    job: int
    token: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    clicks: int
    last_click_at: datetime | None


class Bookkeeping(Struct, frozen=True, gc=False):
    """Bookkeeping of a job since the last checkpoint, with times as `to_stamp` returns them. `polls` is the number
    to add. None for `last_polled_at` or `asked_by` keeps the stored value. `next_reason` is a word for why
    `next_poll_at` was chosen, stored only with it."""

    job: int
    polls: int
    last_polled_at: int | None
    next_poll_at: int | None
    last_error: str | None
    asked_by: str | None = None
    next_reason: str | None = None


class Recorded(Struct, frozen=True, kw_only=True):
    """What a transaction wrote: the transition's row id (None if there is none), the number of deliveries, and the
    channels that have new ones."""

    transition: int | None
    deliveries: int
    channels: tuple[ChannelName, ...]


class TransitionRow(Struct, frozen=True, kw_only=True):
    """An observed change of state; `seq` numbers those of a job from 1."""

    id: int
    job: int
    seq: int
    before: str | None
    after: str
    observed_at: datetime
    reported_at: datetime | None


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """One event for one channel. `facts` is what the alert says, as of when it was written."""

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
    """The end of the quiet hours for which it was held back."""
    tried_for: float = 0.0
    """Seconds spent trying, without the time that wrapd was off."""
    tried_at: datetime | None = None
    """When the last attempt was judged, by the wall clock as set now."""
    defects: int = 0
    """Total errors of wrapd's own that kept it from being sent."""
    mute: int | None = None
    """The mute that keeps it, if any."""
    unmuted_at: datetime | None = None
    """When the last mute that kept it ended."""

    def tried_until(self, at: datetime, *, uptime: float) -> float:
        """Return `tried_for` after an attempt that ended `at`: it adds the time since the last one, as far as
        wrapd was running (for `uptime` seconds)."""
        if self.tried_at is None:
            return self.tried_for
        return self.tried_for + max(0.0, min((at - self.tried_at).total_seconds(), uptime))


REPLACED = "a later alert takes its place"
"""The `last_error` of a delivery canceled by wrapd, not by a person."""


class Refusal(Struct, frozen=True, kw_only=True):
    """A channel refused by its service: since when, and why."""

    since: datetime
    reason: str | None


class Standing(Struct, frozen=True, kw_only=True):
    """What keeps deliveries waiting: the channels that are refused, the row id that is sent ahead of each
    (`after`), if any, how many are due on each channel, counted up to 1000, and the mutes that keep any, by row
    id."""

    refusals: Mapping[ChannelName, Refusal]
    after: Mapping[int, int]
    due: Mapping[ChannelName, int]
    mutes: Mapping[int, MuteRow] = field(default_factory=dict)


class AttemptRow(Struct, frozen=True, kw_only=True):
    """One try to send a delivery; `n` counts from 1. `outcome` is None while it is in progress."""

    delivery: int
    n: int
    started_at: datetime
    ended_at: datetime | None
    outcome: AttemptOutcome | None
    status_code: int | None
    reason: str | None
    shared: int = 1
    """Deliveries sent in the same message."""


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery to send now, with what it is about. `attempt` is the number of this try, from 1."""

    delivery: DeliveryRow
    job: JobRow | None
    move: TransitionRow | None
    attempt: int
    channel_held: bool = True
    """Whether the channel may be held. If not, a successful send has nothing to release."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended. `due_at` is when to try again: required for retry, unknown and held. `uptime` is for
    how many seconds wrapd has been running, `defect` whether an error of its own ended the attempt."""

    kind: AttemptOutcome
    reason: str
    status_code: int | None = None
    due_at: datetime | None = None
    uptime: float = 0.0
    defect: bool = False


class Status(Struct, frozen=True, kw_only=True):
    """What the daemon last reported of a project's watch, and when."""

    facts: Mapping[str, Json]
    at: datetime


class DiscoveryRow(Struct, frozen=True, kw_only=True):
    """A request to take up jobs from a project's job list; `filters` say which. While it waits, `ended_at`,
    `found` and `added` are None. `found` counts the matching jobs, `added` those not tracked before. `error` is a
    message for people if it was not carried out in full; the daemon and the command agree on the content of
    `result`."""

    id: int
    project: ProjectName
    filters: Mapping[str, Json]
    asked_at: datetime
    ended_at: datetime | None
    found: int | None
    added: int | None
    error: str | None
    result: Mapping[str, Json] | None = None


class WriterHealth(Struct, frozen=True, kw_only=True):
    """The state of the writer: monotonic seconds of its last commit (None before the first), how many works are
    queued or in progress, the age of the oldest in seconds, and since when (monotonic seconds) transactions have
    been failing without one that changed something (None: they are not)."""

    last_commit_at: float | None
    waiting: int
    oldest_wait: float
    failing_since: float | None = None
