"""When running jobs and batches should end, by the production times of similar jobs; and which jobs take too long.

Owns the sentences that say why there is no estimate. The laws are an argument: those of the running daemon, or
those that a command learned from the database. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from daemon.domain.batches import LastEnd, Unended, last_end
from daemon.domain.durations import ETA_FROM, ClassKey, Durations, Eta, eta
from daemon.domain.jobs import Tracking
from daemon.domain.production import elapsed_of, is_credible
from daemon.domain.states import State

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from collections.abc import Iterable

    from daemon.store import JobRow, WatchRow

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class NoEta(StrEnum):
    """Why a job has no estimate."""

    UNKNOWN_START = "unknown_start"
    TOO_FEW = "too_few"
    OLDER = "older"
    NOT_ANSWERED = "not_answered"
    WAITING = "waiting"
    FROZEN = "frozen"
    UNKNOWN_STATE = "unknown_state"


NO_ETA: Mapping[NoEta, str] = {
    NoEta.UNKNOWN_START: "the start of its production is not known",
    NoEta.TOO_FEW: "fewer than {least} finished jobs of this kind",
    NoEta.OLDER: "it has run longer than every known job of its kind",
    NoEta.NOT_ANSWERED: "the service has not answered for it yet",
    NoEta.WAITING: "its production has not begun",
    NoEta.FROZEN: "it is frozen",
    NoEta.UNKNOWN_STATE: "wrapd does not know its state",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A job's remaining production time as of `at`, or the `reason` why there is none (None if not applicable), of
    a job also as a word."""

    at: datetime
    eta: Eta | None = None
    reason: str | None = None
    why: NoEta | None = None

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


def outlook(row: "JobRow | WatchRow", durations: Durations, *, now: datetime) -> Outlook:
    """The outlook of one job."""
    if not in_production(row):
        return not_running(row, now)
    elapsed = elapsed_of(row, now)
    if elapsed is None:
        return _none(now, NoEta.UNKNOWN_START)
    finished = durations.finished(key_of(row))
    if finished < ETA_FROM:
        return _none(now, NoEta.TOO_FEW, f" ({finished or 'none'} so far)")
    expected = eta(durations, key_of(row), row.expected_length, elapsed)
    return _none(now, NoEta.OLDER) if expected is None else Outlook(at=now, eta=expected)


def _none(now: datetime, why: NoEta | None, more: str = "") -> Outlook:
    reason = None if why is None else NO_ETA[why].format(least=ETA_FROM) + more
    return Outlook(at=now, reason=reason, why=why)


def last_of(durations: Durations, jobs: "Iterable[WatchRow | JobRow]", *, now: datetime) -> BatchOutlook:
    """The outlook of the last end of these tracked jobs."""
    last = last_end(durations, (_unended(job, now) for job in jobs))
    return BatchOutlook(at=now, eta=last.eta, reason=_no_last_end(last), soonest=last.soonest)


def overdue(rows: "Iterable[WatchRow]", durations: Durations, now: datetime) -> "list[tuple[WatchRow, datetime]]":
    """The jobs in production that take too long by the law of jobs like them, in order, each with the time since
    which it does. Works on the times as stored, since a list of what needs a person asks about hundreds."""
    at, found = (now - _EPOCH) // _MICROSECOND, []
    for row in rows:
        seen, started = row.state_since_stamp, row.started_stamp
        begin = started if started is not None and is_credible(started, row.created_stamp, seen) else seen
        if begin is None or row.state_text != State.PROCESSING:
            continue
        late = (at - begin) / 1e6 - durations.law((row.project, row.kind), row.expected_length).stuck_after
        if late > 0:
            found.append((row, now - timedelta(seconds=late)))
    return found


def in_production(row: "JobRow | WatchRow") -> bool:
    """Whether the job is in production, as far as wrapd knows."""
    return row.tracking is Tracking.ACTIVE and row.state == State.PROCESSING


def not_running(row: "JobRow | WatchRow", now: datetime) -> Outlook:
    """The outlook of a job that is not in production."""
    if row.tracking is not Tracking.ACTIVE:
        return _none(now, None)
    match row.state:
        case None:
            return _none(now, NoEta.NOT_ANSWERED)
        case State.WAITING:
            return _none(now, NoEta.WAITING)
        case State.BLOCK:
            return _none(now, NoEta.FROZEN)
        case _:
            return _none(now, NoEta.UNKNOWN_STATE)


def _unended(job: "WatchRow | JobRow", now: datetime) -> Unended:
    return Unended(key=(str(job.project), job.kind), length=job.expected_length, elapsed=elapsed_of(job, now))


def _no_last_end(last: LastEnd) -> str | None:
    """Why there is no estimate for the last end."""
    if last.not_begun:
        return f"not in production yet: {_jobs(last.not_begun)}"
    return f"no estimate for {_jobs(last.unknown)}" if last.unknown else None


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"
