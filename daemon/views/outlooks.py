"""When running jobs and batches should end, by the production times of similar jobs; and which jobs take too long.

Owns the sentences that say why there is no estimate. The laws are an argument: those of the running daemon, or
those that a command learned from the database. Pure.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from daemon.domain.batches import last_end
from daemon.domain.durations import ETA_FROM, ClassKey, Durations, Eta, eta
from daemon.domain.jobs import Tracking
from daemon.domain.production import Unended, elapsed_of
from daemon.domain.states import State

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from collections.abc import Iterable

    from daemon.store import JobRow


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


class NoEnd(StrEnum):
    """Why a batch has no expected end."""

    NOT_BEGUN = "not_begun"
    UNKNOWN = "unknown"
    TOO_MANY = "too_many"


class Outlook(Struct, frozen=True, kw_only=True):
    """A job's remaining production time as of `at`, or the `reason` why there is none (None if not applicable), of
    a job also as a word."""

    at: datetime
    eta: Eta | None = None
    reason: str | None = None
    why: NoEta | None = None

    def ends_at(self, seconds: float) -> datetime:
        """The time `seconds` after `at`."""
        return self.at + timedelta(seconds=seconds)


class BatchOutlook(Outlook, frozen=True, kw_only=True):
    """The time until the last job of a batch ends. Without an ETA, it takes at least `soonest` seconds, if
    known, and the reason is also there as a word (None if not applicable), with the `number` of jobs to which it
    applies."""

    soonest: float | None = None
    no_end: NoEnd | None = None
    number: int = 0


def key_of(row: "JobRow") -> ClassKey:
    """The class of a job."""
    return str(row.project), row.kind


def outlook(row: "JobRow", durations: Durations, *, now: datetime) -> Outlook:
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


def last_of(durations: Durations, jobs: "Iterable[Unended]", *, now: datetime) -> BatchOutlook:
    """The outlook of the last end of these jobs."""
    last = last_end(durations, jobs)
    found = BatchOutlook(at=now)
    if last.not_begun:
        found = not_begun(last.not_begun, now=now)
    elif last.unknown:
        reason = f"no estimate for {_jobs(last.unknown)}"
        found = BatchOutlook(at=now, reason=reason, no_end=NoEnd.UNKNOWN, number=last.unknown)
    return replace(found, eta=last.eta, soonest=last.soonest)


def not_begun(number: int, *, now: datetime) -> BatchOutlook:
    """The outlook of a batch of which so many jobs are not in production, without the bound on its end."""
    reason = f"not in production yet: {_jobs(number)}"
    return BatchOutlook(at=now, reason=reason, no_end=NoEnd.NOT_BEGUN, number=number)


def overdue(running: Mapping[int, Unended], durations: Durations, now: datetime) -> dict[int, datetime]:
    """Which of these jobs in production take too long by the law of jobs like them, in order, each with the time
    since which it does."""
    found = {}
    for row_id, (key, length, elapsed) in running.items():
        late = (elapsed or 0.0) - durations.law(key, length).stuck_after
        if late > 0:
            found[row_id] = now - timedelta(seconds=late)
    return found


def in_production(row: "JobRow") -> bool:
    """Whether the job is in production, as far as wrapd knows."""
    return row.tracking is Tracking.ACTIVE and row.state == State.PROCESSING


def not_running(row: "JobRow", now: datetime) -> Outlook:
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


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"
