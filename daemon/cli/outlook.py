"""Estimates when running jobs and batches end, learned from similar jobs in the database. Asks no service."""

from collections import Counter, defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from daemon import views
from daemon.config import Config
from daemon.domain.durations import ClassKey, Durations, Running
from daemon.domain.jobs import Tracking
from daemon.domain.orphans import move_command
from daemon.domain.production import elapsed_of
from daemon.domain.states import State
from daemon.views.outlooks import BatchOutlook, Outlook, in_production, key_of, last_of, not_running, outlook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.store import BatchRow, JobRow, Transaction

MOST_RUNNING = 1000
"""Running jobs read to learn from. If there are more, none is used: the newest would not represent them all."""


def learned(transaction: "Transaction") -> Durations:
    """The production times learned from ended and running jobs."""
    from daemon.watch.learning import durations_of  # noqa: PLC0415 - SQLAlchemy

    finished = transaction.jobs.finished()
    rows = transaction.jobs.list(tracking=Tracking.ACTIVE, state=State.PROCESSING, limit=MOST_RUNNING + 1)
    running: defaultdict[ClassKey, list[Running]] = defaultdict(list)
    for row in rows if len(rows) <= MOST_RUNNING else ():
        seconds = elapsed_of(row, row.last_polled_at or row.state_since or row.tracked_at)
        if seconds is not None:
            running[key_of(row)].append(Running(seconds=seconds, length=row.expected_length))
    return durations_of(finished, running)


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
            return [not_running(row, self._now) for row in rows]
        return [outlook(row, durations, now=self._now) for row in rows]

    def of_batch(self, transaction: "Transaction", row: "BatchRow") -> "BatchOutlook":
        """The outlook of a batch."""
        if row.ended == row.jobs:
            return BatchOutlook(at=self._now)
        if self._durations is None:
            self._durations = learned(transaction)
        [unended] = transaction.batches.unended([(row.project, row.batch)], now=self._now).values()
        return last_of(self._durations, unended, now=self._now)


def why_orphaned(row: "JobRow", config: Config) -> str | None:
    """Why an active job is not polled, and what to do; None if it is."""
    if not views.is_orphaned(row, config.projects):
        return None
    command = move_command("project", row.project, config.projects)
    return f"none: the config has no project {row.project}; `{command}` moves its jobs"


def counted(numbers: "Counter[str]") -> str:
    """Counts in descending order, as in `3 WAITING, 2 PROCESSING`."""
    return ", ".join(f"{number} {name}" for name, number in numbers.most_common() if number)
