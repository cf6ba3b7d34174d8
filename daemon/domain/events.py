"""Events: what a transition, or the passing of time, means to people.

Owns the list of events and the keys of alerts: an event is sent at most once under its key.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TypeAlias, assert_never

from daemon.domain.jobs import ProjectName
from daemon.domain.states import State
from daemon.domain.transitions import Moved

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""A value in an alert's facts."""


class Event(StrEnum):
    """The kinds of alert. Each comment is the description in docs/events.md."""

    SUCCEEDED = "succeeded"  # the video is finished
    FAILED = "failed"  # production failed
    CANCELED = "canceled"  # the job was canceled
    BLOCKED = "blocked"  # the service froze the job
    UNBLOCKED = "unblocked"  # a frozen job is moving again
    STARTED = "started"  # production has begun
    STUCK = "stuck"  # production takes much longer than for similar jobs
    LOST = "lost"  # the service has not known the job for longer than the grace period
    EXPIRED = "expired"  # the job did not end within give_up_after; wrapd stopped polling it
    LINK_EXPIRING = "link_expiring"  # a finished video's link expires soon and has not been opened
    BATCH_FINISHED = "batch_finished"  # every job of a batch has ended
    # From here on: operator events.
    PROJECT_DOWN = "project_down"  # a project's API gives no usable answers
    PROJECT_RECOVERED = "project_recovered"  # a project's API gives usable answers again
    AUTH_FAILED = "auth_failed"  # the service refuses a project's credentials
    CHANNEL_HELD = "channel_held"  # a chat service refuses a channel's messages
    UNKNOWN_STATE = "unknown_state"  # the service reported a state that wrapd does not know
    OVERLOADED = "overloaded"  # the request budget is too small for the tracked jobs
    DELIVERY_DEAD = "delivery_dead"  # alerts could not be delivered in any form, or not in time, and were given up
    UNCONFIRMED = "unconfirmed"  # callbacks named jobs that the service does not know
    CONFIG_REFUSED = "config_refused"  # a changed config is invalid; wrapd continues with the last valid one
    ORPHANED = "orphaned"  # jobs or alerts belong to a project or channel that the config does not define
    DEFECT = "defect"  # wrapd hit an internal error and continues; the alert says where


JOB_EVENTS = tuple(Event)[: tuple(Event).index(Event.PROJECT_DOWN)]
"""Events about jobs and batches: those that a route may name."""
OPERATOR_EVENTS = frozenset(Event) - frozenset(JOB_EVENTS)
"""Events about wrapd and its environment. They go to the operators' channels and bypass routes."""
DEFAULT_EVENTS = tuple(event for event in JOB_EVENTS if event not in (Event.STARTED, Event.LINK_EXPIRING))
"""Events that every channel gets if no routes are configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One event that happened. `key` identifies it for deduplication; the outbox adds the channel."""

    event: Event
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAlert:
    """An event of `OPERATOR_EVENTS` to send to the operators, once per `key` and channel.

    The key must differ between one outbreak and the next. `facts` are the message's contents.
    """

    event: Event
    key: str
    project: ProjectName | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)


def events_of(move: Moved) -> tuple[Event, ...]:
    """The job events of a transition, in the order of their alerts."""
    if move.unknown:
        return (Event.UNBLOCKED,) if move.before == State.BLOCK else ()
    state = State(move.after)
    match state:
        case State.SUCCEED | State.PARTIAL_SUCCEED:
            return (Event.SUCCEEDED,)
        case State.FAILED:
            return (Event.FAILED,)
        case State.CANCELED:
            return (Event.CANCELED,)
        case State.BLOCK:
            return (Event.BLOCKED,)
        case State.WAITING | State.PROCESSING:
            thawed = (Event.UNBLOCKED,) if move.before == State.BLOCK else ()
            started = (Event.STARTED,) if state is State.PROCESSING else ()
            return thawed + started
        case _:
            assert_never(state)


def membership(jobs: Iterable[tuple[int, int]]) -> str:
    """A digest of a batch's members: pairs of row id and episode (how often tracking of the job began)."""
    return _short(",".join(f"{job}:{episode}" for job, episode in sorted(jobs)))


RESENT = "resent/"
"""Prefix of the keys of alerts that a person has sent again."""


def batch_key(project: ProjectName, batch: str) -> str:
    """Common prefix of the keys of a batch's ends."""
    return f"batch/{project}/{batch}/{Event.BATCH_FINISHED}/"


def batch_occurrence(project: ProjectName, batch: str, *, members: str, after: int) -> Occurrence:
    """The occurrence of the end of a batch with these `members` (see `membership`).

    `after` is the row id of the last end written for the batch (0: none). It lets an end with the same members be
    sent again after one with different members.
    """
    key = f"{batch_key(project, batch)}{_short(f'{members}/{after}')}"
    return Occurrence(event=Event.BATCH_FINISHED, key=key)


def resent_key(key: str, *, after: int) -> str:
    """The key for sending the alert with `key` again; `after` is the row id of the last delivery. Sending an
    original again, or its resent copy, gives the same key."""
    what = key.rpartition("/")[2] if key.startswith(RESENT) else _short(key)
    return f"{RESENT}{after}/{what}"


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def job_occurrence(
    job: int, event: Event, *, transition: int | None = None, episode: int = 0, rerun: bool = False
) -> Occurrence:
    """The occurrence of an event of the job with the row id `job`.

    An end, a start, `stuck` and `link_expiring` are sent once in a job's life, however often its state goes back
    and forth. A freeze or thaw is sent once per `transition` (its row id), `lost` and `expired` once per `episode`
    (how often tracking of the job began). `rerun`: a person resumed tracking of an ended job and this is its new
    end, which is sent once per episode.
    """
    match event:
        case Event.BLOCKED | Event.UNBLOCKED:
            key = f"job/{job}/{event}/{transition}"
        case _ if rerun or event in (Event.LOST, Event.EXPIRED):
            key = f"job/{job}/{event}/{episode}"
        case _:
            key = f"job/{job}/{event}"
    return Occurrence(event=event, key=key)
