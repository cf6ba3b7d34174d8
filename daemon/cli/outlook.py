"""Estimates when running jobs and batches end, learned from similar jobs in the database.

Owns the sentences that say why there is no estimate. Never queries the service.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daemon import views
from daemon.cli.text import count
from daemon.config import Config
from daemon.domain.batches import LastEnd, Unended, last_end
from daemon.domain.durations import ETA_FROM, ClassKey, Durations, Eta, Running, eta
from daemon.domain.jobs import Tracking
from daemon.domain.orphans import move_command
from daemon.domain.states import State

if TYPE_CHECKING:
    from daemon.store import BatchRow, JobRow, Transaction, WatchRow

MOST_RUNNING = 1000
"""Running jobs read to learn from. If there are more, none is used: the newest would not represent them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A job's remaining production time as of `at`, or the `reason` why there is none (None if not applicable)."""

    at: datetime
    eta: Eta | None = None
    reason: str | None = None

    def ends_at(self, seconds: float) -> datetime:
        """The time `seconds` after `at`."""
        return self.at + timedelta(seconds=seconds)


def learned(transaction: "Transaction") -> Durations:
    """The production times learned from ended and running jobs."""
    from daemon.watch.learning import durations_of, elapsed_of  # noqa: PLC0415 - SQLAlchemy

    finished = transaction.jobs.finished()
    rows = transaction.jobs.list(tracking=Tracking.ACTIVE, state=State.PROCESSING, limit=MOST_RUNNING + 1)
    running: defaultdict[ClassKey, list[Running]] = defaultdict(list)
    for row in rows if len(rows) <= MOST_RUNNING else ():
        seconds = elapsed_of(row, row.last_polled_at or row.state_since or row.tracked_at)
        if seconds is not None:
            running[key_of(row)].append(Running(seconds=seconds, length=row.expected_length))
    return durations_of(finished, running)


def key_of(row: "JobRow") -> ClassKey:
    """The class of a job."""
    return str(row.project), row.kind


class Outlooks:
    """The outlooks, as of `now`, of jobs read page by page. Learns once, and only if a job is in production."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._durations: Durations | None = None

    def of(self, transaction: "Transaction", rows: "Sequence[JobRow]") -> list[Outlook]:
        """The outlook of each job."""
        if self._durations is None and any(in_production(row) for row in rows):
            self._durations = learned(transaction)
        durations = self._durations
        if durations is None:
            return [Outlook(at=self._now, reason=_not_running(row)) for row in rows]
        return [outlook(row, durations, now=self._now) for row in rows]

    def of_batch(self, transaction: "Transaction", row: "BatchRow") -> "BatchOutlook":
        """The outlook of a batch."""
        if row.ended == row.jobs:
            return BatchOutlook(at=self._now)
        if self._durations is None:
            self._durations = learned(transaction)
        return last_of(self._durations, transaction.batches.unended(row.project, row.batch), now=self._now)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutlook(Outlook):
    """The time until the last job of a batch ends. Without an ETA, it takes at least `soonest` seconds, if
    known."""

    soonest: float | None = None


def last_of(durations: Durations, jobs: "Iterable[WatchRow | JobRow]", *, now: datetime) -> BatchOutlook:
    """The outlook of the last end of these tracked jobs."""
    last = last_end(durations, (_unended(job, now) for job in jobs))
    return BatchOutlook(at=now, eta=last.eta, reason=_no_last_end(last), soonest=last.soonest)


def _unended(job: "WatchRow | JobRow", now: datetime) -> Unended:
    from daemon.watch.learning import elapsed_of  # noqa: PLC0415 - SQLAlchemy

    return Unended(key=(str(job.project), job.kind), length=job.expected_length, elapsed=elapsed_of(job, now))


def _no_last_end(last: LastEnd) -> str | None:
    """Why there is no estimate for the last end."""
    if last.not_begun:
        return f"not in production yet: {count(last.not_begun, 'job')}"
    return f"no estimate for {count(last.unknown, 'job')}" if last.unknown else None


def outlook(row: "JobRow", durations: Durations, *, now: datetime) -> Outlook:
    """The outlook of one job."""
    from daemon.watch.learning import elapsed_of  # noqa: PLC0415 - SQLAlchemy

    if not in_production(row):
        return Outlook(at=now, reason=_not_running(row))
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


def why_orphaned(row: "JobRow", config: Config) -> str | None:
    """Why an active job is not polled, and what to do; None if it is."""
    if not views.is_orphaned(row, config.projects):
        return None
    command = move_command("project", row.project, config.projects)
    return f"none: the config has no project {row.project}; `{command}` moves its jobs"


def in_production(row: "JobRow") -> bool:
    """Whether the job is in production, as far as wrapd knows."""
    return row.tracking is Tracking.ACTIVE and row.state == State.PROCESSING


def _not_running(row: "JobRow") -> str | None:
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


def spread(seconds: Sequence[float]) -> tuple[float, float, float] | None:
    """The 10%, 50% and 90% quantiles, each the value of the nearest rank; None for an empty sequence."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    low, median, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9))
    return low, median, high


def counted(numbers: "Counter[str]") -> str:
    """Counts in descending order, as in `3 WAITING, 2 PROCESSING`."""
    return ", ".join(f"{number} {name}" for name, number in numbers.most_common() if number)
