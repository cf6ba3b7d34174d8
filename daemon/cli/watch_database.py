"""The followed jobs of `wrapd watch`, read from the database beside a daemon.

Asks four times a second whether anything was committed, which costs no transaction, and then reads again only the
jobs whose marks differ. ETAs are learned again at most every ten seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, cast

from daemon import views
from daemon.cli.choosing import Followable
from daemon.cli.layout import SHORT
from daemon.cli.notices import no_daemon
from daemon.cli.outlook import learned, why_orphaned
from daemon.cli.session import CLOCK, daemon_runs, job_ids, one_job
from daemon.config import Config
from daemon.config.values import shown
from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.production import Unended, elapsed_of
from daemon.errors import UnknownName
from daemon.views.outlooks import BatchOutlook, Outlook, key_of, last_of, outlook

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.domain.durations import Durations
    from daemon.store import JobFilter, JobRow, Store, Transaction
    from daemon.store.following import Mark

PAUSE = 0.25
"""Seconds between two questions whether anything was committed."""
_SHARE = 4.0
"""After a look, the next one waits this many times as long as it took: many jobs may not take a whole core."""
_BAND_SHARE = 50.0
"""The same for the estimate of the last end, which takes 0.5 s for 10,000 jobs."""
_LEARN = 10.0
"""Seconds between two fits of the production times, at least."""
_CHECK = 5.0
"""Seconds between two checks whether a daemon runs."""


class DatabaseJobs:
    """The jobs that `which` chooses. `sleep` waits for seconds."""

    def __init__(
        self, store: "Store", config: Config, which: Followable, *, sleep: Callable[[float], None]
    ) -> None:
        """Raises UnknownName if there is no such job."""
        self._store, self._config, self._which, self._sleep = store, config, which, sleep
        self._version: object = None
        self._marks: dict[int, Mark] = {}
        self._rows: dict[int, JobRow] = {}
        self._views: dict[object, views.Followed] = {}
        self._given = self._ids() if which.ids else []
        self._durations: Durations | None = None
        self._learned = self._checked = -inf
        self._note: str | None = None
        self._rest = 0.0
        self._last: BatchOutlook | None = None
        self._last_until = -inf

    def look(self) -> Mapping[object, views.Followed]:
        """The jobs as of now. Raises StoreError, and UnknownName if none was ever chosen."""
        version = self._store.others_version()
        if version != self._version:
            begun = CLOCK.monotonic()
            self._store.read(self._read)
            self._version, self._rest = version, _SHARE * (CLOCK.monotonic() - begun)
        return self._views

    def wait(self, seconds: float) -> None:
        """Return after a commit, or after `seconds`."""
        until = CLOCK.monotonic() + seconds
        pause = max(PAUSE, self._rest)
        while (left := until - CLOCK.monotonic()) > 0:
            self._sleep(min(pause, left))
            if self._store.others_version() != self._version:
                return
            pause = PAUSE

    def outlooks(self, keys: Sequence[object], now: datetime) -> list[Outlook]:
        """When each of these jobs should end."""
        durations = self._laws()
        return [outlook(self._rows[cast("int", key)], durations, now=now) for key in keys]

    def last_end(self, now: datetime) -> BatchOutlook:
        """When the last of the running jobs should end: as of now, or not long ago."""
        begun = CLOCK.monotonic()
        if self._last is None or begun >= self._last_until:
            running = [row for row in self._rows.values() if self._views[row.id].outcome == views.JobEnd.RUNNING]
            jobs = (Unended(key_of(row), row.expected_length, elapsed_of(row, now)) for row in running)
            self._last = last_of(self._laws(), jobs, now=now)
            self._last_until = begun + _BAND_SHARE * (CLOCK.monotonic() - begun)
        return self._last

    def note(self) -> str | None:
        """What keeps the jobs from moving on: no daemon runs, or their project is not in the config."""
        now = CLOCK.monotonic()
        if now - self._checked >= _CHECK:
            running, self._checked = daemon_runs(self._config), now
            self._note = self._orphaned() if running else no_daemon("these jobs are not polled")
        return self._note

    def _orphaned(self) -> str | None:
        for row in self._rows.values():
            why = why_orphaned(row, self._config)
            if why is not None:
                return f"The next poll of {row.job_id[:SHORT]} is {why}"
        return None

    def _laws(self) -> "Durations":
        now = CLOCK.monotonic()
        if self._durations is None or now - self._learned >= _LEARN:
            self._durations, self._learned = self._store.read(learned), now
        return self._durations

    def _read(self, transaction: "Transaction") -> None:
        chosen = self._given or self._found(transaction)
        marks = transaction.following.marks([*self._marks, *chosen])
        news = [row for row, mark in marks.items() if self._marks.get(row) != mark]
        for row in transaction.following.rows(news):
            self._rows[row.id], self._views[row.id] = row, views.followed(row)
        self._marks.update(marks)

    def _ids(self) -> list[int]:
        wanted, project = job_ids(self._which.ids), self._which.project
        return self._store.read(lambda tx: [one_job(tx, job_id, project).id for job_id in wanted])

    def _found(self, transaction: "Transaction") -> list[int]:
        """The jobs that fit the filter, those that were added meanwhile included."""
        which = self._which
        fit: JobFilter = {
            "project": None if which.project is None else ProjectName(which.project),
            "tracking": Tracking.ACTIVE if which.everything else None,
            "batch": which.batch,
            "tag": which.tag,
        }
        found = transaction.jobs.ids(**fit)
        if found or self._marks:
            return found
        if which.project is not None:
            self._config.project(which.project)  # a mistyped name is an error, a project without jobs is not
        if not which.everything:
            given = {"batch": which.batch, "tag": which.tag}
            named = " and ".join(f"{name} {shown(text)}" for name, text in given.items() if text is not None)
            raise UnknownName(f"no job has the {named}; `wrapd jobs` lists all")
        return found
