"""When running jobs and batches should end, by the production times of similar jobs; and which jobs take too long.

Owns the sentences that say why there is no estimate. The laws are an argument: those of the running daemon, or
those that a command learned from the database. Pure.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daemon.domain.batches import LastEnd, Unended, last_end
from daemon.domain.durations import ETA_FROM, ClassKey, Durations, Eta, eta
from daemon.domain.jobs import Tracking
from daemon.domain.production import elapsed_of
from daemon.domain.states import State

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from collections.abc import Iterable

    from daemon.store import JobRow, WatchRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A job's remaining production time as of `at`, or the `reason` why there is none (None if not applicable)."""

    at: datetime
    eta: Eta | None = None
    reason: str | None = None

    def ends_at(self, seconds: float) -> datetime:
        """The time `seconds` after `at`."""
        return self.at + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutlook(Outlook):
    """The time until the last job of a batch ends. Without an ETA, it takes at least `soonest` seconds, if
    known."""

    soonest: float | None = None


def key_of(row: "JobRow | WatchRow") -> ClassKey:
    """The class of a job."""
    return str(row.project), row.kind


def outlook(row: "JobRow", durations: Durations, *, now: datetime) -> Outlook:
    """The outlook of one job."""
    if not in_production(row):
        return Outlook(at=now, reason=not_running(row))
    elapsed = elapsed_of(row, now)
    if elapsed is None:
        return Outlook(at=now, reason="the start of its production is not known")
    finished = durations.finished(key_of(row))
    if finished < ETA_FROM:
        so_far = f"{finished} so far" if finished else "none so far"
        return Outlook(at=now, reason=f"fewer than {ETA_FROM} finished jobs of this kind ({so_far})")
    expected = eta(durations, key_of(row), row.expected_length, elapsed)
    if expected is None:
        return Outlook(at=now, reason="it has run longer than every known job of its kind")
    return Outlook(at=now, eta=expected)


def last_of(durations: Durations, jobs: "Iterable[WatchRow | JobRow]", *, now: datetime) -> BatchOutlook:
    """The outlook of the last end of these tracked jobs."""
    last = last_end(durations, (_unended(job, now) for job in jobs))
    return BatchOutlook(at=now, eta=last.eta, reason=_no_last_end(last), soonest=last.soonest)


def overdue(rows: "Iterable[WatchRow]", durations: Durations, now: datetime) -> "list[tuple[WatchRow, datetime]]":
    """The jobs in production that take too long by the law of jobs like them, in order, each with the time since
    which it does."""
    found = []
    for row in rows:
        elapsed = elapsed_of(row, now)
        if elapsed is not None:
            late = elapsed - durations.law(key_of(row), row.expected_length).stuck_after
            if late > 0:
                found.append((row, now - timedelta(seconds=late)))
    return found


def in_production(row: "JobRow") -> bool:
    """Whether the job is in production, as far as wrapd knows."""
    return row.tracking is Tracking.ACTIVE and row.state == State.PROCESSING


def not_running(row: "JobRow") -> str | None:
    """Why a job that is not in production has no estimate; None if it is no longer tracked."""
    if row.tracking is not Tracking.ACTIVE:
        return None
    match row.state:
        case None:
            return "the service has not answered for it yet"
        case State.WAITING:
            return "its production has not begun"
        case State.BLOCK:
            return "it is frozen"
        case _:
            return "wrapd does not know its state"


def _unended(job: "WatchRow | JobRow", now: datetime) -> Unended:
    return Unended(key=(str(job.project), job.kind), length=job.expected_length, elapsed=elapsed_of(job, now))


def _no_last_end(last: LastEnd) -> str | None:
    """Why there is no estimate for the last end."""
    if last.not_begun:
        return f"not in production yet: {_jobs(last.not_begun)}"
    return f"no estimate for {_jobs(last.unknown)}" if last.unknown else None


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"
