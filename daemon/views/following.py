"""The views of a job that `wrapd watch` follows, and of how all of them ended. docs/cli.md is generated from the
comments. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.jobs import Tracking
from daemon.domain.states import State
from daemon.domain.text import stamp
from daemon.errors import Exit

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import JobRow


class JobEnd(StrEnum):
    """How a followed job ended, in the order in which people have to look at them."""

    FAILED = "failed"
    FROZEN = "frozen"  # it may go on, but only a person can say
    LOST = "lost"
    EXPIRED = "expired"
    STOPPED = "stopped"  # untracked: how it ends will not be known
    PARTIAL = "partial"
    CANCELED = "canceled"
    RUNNING = "running"  # it has not ended
    SUCCEEDED = "succeeded"


_OF_STATE: Mapping[str, JobEnd] = {
    State.SUCCEED: JobEnd.SUCCEEDED,
    State.PARTIAL_SUCCEED: JobEnd.PARTIAL,
    State.FAILED: JobEnd.FAILED,
    State.CANCELED: JobEnd.CANCELED,
    State.BLOCK: JobEnd.FROZEN,
}
_OF_TRACKING = {
    Tracking.LOST: JobEnd.LOST,
    Tracking.EXPIRED: JobEnd.EXPIRED,
    Tracking.STOPPED: JobEnd.STOPPED,
}
_STATUS = {
    JobEnd.SUCCEEDED: Exit.OK,
    JobEnd.CANCELED: Exit.JOB_CANCELED,
    JobEnd.PARTIAL: Exit.JOB_PARTIAL,
    **dict.fromkeys((JobEnd.FROZEN, JobEnd.LOST, JobEnd.EXPIRED, JobEnd.STOPPED), Exit.JOB_OPEN),
    JobEnd.FAILED: Exit.JOB_FAILED,
    JobEnd.RUNNING: Exit.TIMED_OUT,
}

_ORDER = {end.value: 2 * number for number, end in enumerate(JobEnd)}


class Followed(Struct, frozen=True, kw_only=True):
    """A job as last seen, in `watch --json`: one line for each job at first, then one for each change."""

    project: str  # name of the project in the config
    job_id: str  # MetaStudio's id of the job
    name: str | None  # its label, else the service's name of the video, or null
    state: str | None  # as in `jobs --json`
    state_since: str | None  # when wrapd observed the change to this state
    tracking: str  # as in `jobs --json`
    # running, or how it ended: succeeded, partial, canceled, failed, frozen, lost, expired or stopped (by
    outcome: str  # `untrack`)
    error: str | None  # of a failed job: the service's message, else its code


class Conclusion(Struct, frozen=True, kw_only=True):
    """How `watch` ended, in the last line of `watch --json`."""

    jobs: int  # how many jobs were followed
    outcomes: Mapping[str, int]  # how many of them by `outcome`
    # ended: each has ended or is frozen; or, where some still run, timeout, once or
    reason: str  # interrupted
    status: int  # the exit status


def followed(row: "JobRow") -> Followed:
    """The view of a job from its row."""
    return followed_of(
        {
            **{name: getattr(row, name) for name in ("project", "job_id", "label", "state")},
            **{name: getattr(row, name) for name in ("error_code", "error_msg")},
            "tracking": str(row.tracking),
            "name": row.asset.asset_name,
            "state_since": stamp(row.state_since),
        }
    )


def followed_of(job: Mapping[str, object]) -> Followed:
    """The same from the keys of a `Job` in an answer of the API. A text of another type counts as missing."""

    def text(name: str) -> str | None:
        value = job.get(name)
        return value if isinstance(value, str) else None

    tracking, state = text("tracking") or Tracking.ACTIVE.value, text("state")
    return Followed(
        project=text("project") or "",
        job_id=text("job_id") or "",
        name=text("label") or text("name"),
        state=state,
        state_since=_time(text("state_since")),
        tracking=tracking,
        outcome=_outcome(tracking, state).value,
        error=text("error_msg") or text("error_code"),
    )


def _time(text: str | None) -> str | None:
    """The time as it is given; None if it cannot be read."""
    try:
        return text if text is not None and datetime.fromisoformat(text).tzinfo is not None else None
    except ValueError:
        return None


def ends_of(jobs: Iterable[Followed]) -> Counter[str]:
    """How many jobs by `outcome`."""
    return Counter(job.outcome for job in jobs)


def status_of(ends: Iterable[str]) -> Exit:
    """The exit status of jobs by their `outcome`: the highest of them; 0 for none."""
    return max((_STATUS[JobEnd(end)] for end in ends), default=Exit.OK)


def rank(job: Followed) -> tuple[int, float]:
    """Sorts jobs: what a person must look at first; those that run longest before others; of the succeeded ones
    the last."""
    since = 0.0 if job.state_since is None else datetime.fromisoformat(job.state_since).timestamp()
    order = _ORDER[job.outcome]
    if job.outcome == JobEnd.RUNNING:
        return (order if job.state == State.PROCESSING else order + 1), since
    return order, -since


def _outcome(tracking: str, state: str | None) -> JobEnd:
    if tracking in _OF_TRACKING:
        return _OF_TRACKING[Tracking(tracking)]
    return _OF_STATE.get(state, JobEnd.RUNNING) if state is not None else JobEnd.RUNNING
