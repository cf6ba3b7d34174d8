"""The notes below a list of jobs: no daemon polls them, or the service does not know some of them yet."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from daemon.cli.layout import SHORT
from daemon.cli.text import about, moment
from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.planning import Reason

if TYPE_CHECKING:
    from daemon.store import JobRow, PauseRow

Pair = TypeVar("Pair", bound="tuple[JobRow, object]")

NOT_POLLED = "none: no daemon uses this database; start one with `wrapd run`"
"""The next poll of a job when no daemon runs."""
_NAMED = 3
"""Jobs named in a note."""


def no_daemon(so: str) -> str:
    """The note that no daemon runs, with the consequence `so`."""
    return f"No daemon uses this database: {so}. `wrapd run` starts one."


def paused(pause: "PauseRow") -> str:
    """Since when a project is paused, and by whom, as in "since 12:00 by cli:ann (maintenance)"."""
    return f"since {moment(pause.at)} by {pause.who}{f' ({pause.comment})' if pause.comment else ''}"


def name_of(row: "JobRow") -> str | None:
    """The job's label, else the name of its video."""
    return row.label or row.asset.asset_name


def is_unknown(row: "JobRow") -> bool:
    """Whether the service did not know the job at the last poll."""
    return row.tracking is Tracking.ACTIVE and row.next_reason == Reason.UNKNOWN


def unknown_yet(grace: float) -> str:
    """The note that the service does not know a job yet; after `grace` seconds it counts as lost."""
    return f"the service does not know it yet; after {about(grace)} it is reported as lost"


class Notices:
    """Collects notes about the rows of a list while they are printed."""

    def __init__(
        self, *, running: bool, grace: float, pauses: "Mapping[ProjectName, PauseRow] | None" = None
    ) -> None:
        self._running = running
        self._pauses = pauses or {}
        self._paused: dict[ProjectName, None] = {}
        self._grace = grace
        self._active = False
        self._unknown = 0
        self._names: list[str] = []

    def watch(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Yield the same pairs."""
        for pair in pairs:
            row = pair[0]
            self._active = self._active or row.tracking is Tracking.ACTIVE
            if self._pauses and row.tracking is Tracking.ACTIVE and row.project in self._pauses:
                self._paused[row.project] = None
            if is_unknown(row):
                self._unknown += 1
                if self._unknown <= _NAMED:
                    name, short = name_of(row), row.job_id[:SHORT]
                    self._names.append(f"{name} ({short})" if name else short)
            yield pair

    def lines(self) -> Iterator[str]:
        """The notes."""
        if self._active and not self._running:
            yield no_daemon("these jobs are not polled")
        for project in self._paused:
            yield f"Project {project} is paused {paused(self._pauses[project])}: `wrapd resume {project}` ends it."
        if self._unknown:
            rest = self._unknown - len(self._names)
            named = ", ".join(self._names) + (f" and {rest} more" if rest else "")
            yield f"Not known to the service yet: {named}. After {about(self._grace)} they are reported as lost."
