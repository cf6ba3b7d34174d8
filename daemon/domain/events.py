"""What a transition, or the passing of time, means to people.

Owns the list of events and the rule that gives each alert its key: an event is told at most once under its key.
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
"""What an alert's facts are made of."""


class Event(StrEnum):
    """Everything that wrapd can tell. The comment is what docs/events.md says of it."""

    SUCCEEDED = "succeeded"  # the video is finished
    FAILED = "failed"  # production failed
    CANCELED = "canceled"  # somebody canceled the job
    BLOCKED = "blocked"  # the service froze the job
    UNBLOCKED = "unblocked"  # a frozen job moves again
    STARTED = "started"  # production has begun
    STUCK = "stuck"  # production takes much longer than that of jobs like it
    LOST = "lost"  # the service does not know the job, for longer than the grace
    EXPIRED = "expired"  # the job did not end within give_up_after; wrapd stopped asking
    LINK_EXPIRING = "link_expiring"  # a finished video's link dies soon, and nobody has opened it
    BATCH_FINISHED = "batch_finished"  # every job of a batch has ended
    PROJECT_DOWN = "project_down"  # a project's API gives no usable answers
    PROJECT_RECOVERED = "project_recovered"  # it can again
    AUTH_FAILED = "auth_failed"  # the service refuses a project's credentials
    CHANNEL_HELD = "channel_held"  # a chat service refuses a channel's messages
    UNKNOWN_STATE = "unknown_state"  # the service named a state that wrapd does not know
    OVERLOADED = "overloaded"  # the request budget is too small for the jobs tracked
    DELIVERY_DEAD = "delivery_dead"  # alerts were given up: the chat service takes them in no form, or not in time
    UNCONFIRMED = "unconfirmed"  # callbacks named jobs that the service does not know
    CONFIG_REFUSED = "config_refused"  # a changed config has a fault; wrapd goes on with the last good one
    ORPHANED = "orphaned"  # jobs or alerts are of a project or channel that the config does not have
    DEFECT = "defect"  # wrapd met an error of its own; it goes on, and says where


OPERATOR_EVENTS = frozenset(
    {
        Event.PROJECT_DOWN,
        Event.PROJECT_RECOVERED,
        Event.AUTH_FAILED,
        Event.CHANNEL_HELD,
        Event.UNKNOWN_STATE,
        Event.OVERLOADED,
        Event.DELIVERY_DEAD,
        Event.UNCONFIRMED,
        Event.CONFIG_REFUSED,
        Event.ORPHANED,
        Event.DEFECT,
    }
)
"""Events about wrapd and its surroundings: they go to the operators' channels, not by route."""

DEFAULT_EVENTS = (
    Event.SUCCEEDED,
    Event.FAILED,
    Event.BLOCKED,
    Event.UNBLOCKED,
    Event.CANCELED,
    Event.STUCK,
    Event.LOST,
    Event.EXPIRED,
    Event.BATCH_FINISHED,
)
"""Events that every channel gets where no route is configured."""

JOB_EVENTS = tuple(event for event in Event if event not in OPERATOR_EVENTS)
"""Events that a route may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One event that happened, under the key that makes it tell once.

    `key` is unique for what happened, not for where it is told: the outbox adds the channel.
    """

    event: Event
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAlert:
    """Something that the operators are to hear: an event of `OPERATOR_EVENTS`.

    `key` makes it tell once on each channel: whoever raises it puts into the key what tells one outbreak from the
    next. `facts` is what the message says of it.
    """

    event: Event
    key: str
    project: ProjectName | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)


def events_of(move: Moved) -> tuple[Event, ...]:
    """The job events that a transition means, in the order to tell them."""
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
    """A short name of which jobs a batch has: their row ids, each with its episode (how often it was taken up)."""
    return _short(",".join(f"{job}:{episode}" for job, episode in sorted(jobs)))


RESENT = "resent/"
"""What the keys of all alerts begin with that a person has told again."""


def batch_key(project: ProjectName, batch: str) -> str:
    """What the keys of all ends of a batch begin with."""
    return f"batch/{project}/{batch}/{Event.BATCH_FINISHED}/"


def batch_occurrence(project: ProjectName, batch: str, *, members: str, after: int) -> Occurrence:
    """The occurrence of a batch's end under its key: the end of these jobs (see `membership`) that came `after`
    the last one that was written (its row id, 0: none). The same jobs are told again after others."""
    key = f"{batch_key(project, batch)}{_short(f'{members}/{after}')}"
    return Occurrence(event=Event.BATCH_FINISHED, key=key)


def resent_key(key: str, *, after: int) -> str:
    """The key of what a person has told again that was told under `key`: written `after` the last delivery that
    there was (its row id). What was told again already has the same key as its original."""
    what = key.rpartition("/")[2] if key.startswith(RESENT) else _short(key)
    return f"{RESENT}{after}/{what}"


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def job_occurrence(
    job: int, event: Event, *, transition: int | None = None, episode: int = 0, rerun: bool = False
) -> Occurrence:
    """The occurrence of a job's event under its key.

    `job` is the job's row id. An end, a start, `stuck` and `link_expiring` are told once in a job's life, however
    often the service steps back and forth; a freeze and a thaw once for each `transition` (its row id); `lost` and
    `expired` once for each `episode` of tracking (how often the job was taken up). `rerun`: a person had an ended
    job looked at again, and this is its new end: it is told once for the episode.
    """
    match event:
        case Event.BLOCKED | Event.UNBLOCKED:
            key = f"job/{job}/{event}/{transition}"
        case _ if rerun or event in (Event.LOST, Event.EXPIRED):
            key = f"job/{job}/{event}/{episode}"
        case _:
            key = f"job/{job}/{event}"
    return Occurrence(event=event, key=key)
