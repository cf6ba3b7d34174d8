"""What the lines below a list of jobs say of its rows: that nobody asks about them, that the service does not know
some of them yet."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from daemon.cli.layout import SHORT
from daemon.cli.text import about
from daemon.domain.jobs import Tracking
from daemon.domain.planning import Reason

if TYPE_CHECKING:
    from daemon.store import JobRow

Pair = TypeVar("Pair", bound="tuple[JobRow, object]")

NO_LOOK = "none: no daemon works on this database; start it with `wrapd run`"
"""When a job is asked about next, where nobody asks."""
_NAMED = 3
"""Jobs that a line names."""


def no_daemon(so: str) -> str:
    """That no daemon runs, and what follows."""
    return f"No daemon runs on this database: {so}. `wrapd run` starts one."


def name_of(row: "JobRow") -> str | None:
    """What people call the job."""
    return row.label or row.asset.asset_name


def is_unknown(row: "JobRow") -> bool:
    """Whether the service did not know the job when it was last asked."""
    return row.tracking is Tracking.ACTIVE and row.next_reason == Reason.UNKNOWN


def unknown_yet(grace: float) -> str:
    """That the service does not know a job yet, and what comes of it after `grace` seconds."""
    return f"the service does not know it yet; if that stays so for {about(grace)} it is reported as lost"


class Notices:
    """Watches the rows of a list go by, and says at its end what a person should know of them."""

    def __init__(self, *, running: bool, grace: float) -> None:
        self._running = running
        self._grace = grace
        self._active = False
        self._unknown = 0
        self._names: list[str] = []

    def watch(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The same pairs."""
        for pair in pairs:
            row = pair[0]
            self._active = self._active or row.tracking is Tracking.ACTIVE
            if is_unknown(row):
                self._unknown += 1
                if self._unknown <= _NAMED:
                    name, short = name_of(row), row.job_id[:SHORT]
                    self._names.append(f"{name} ({short})" if name else short)
            yield pair

    def lines(self) -> Iterator[str]:
        """What there is to say."""
        if self._active and not self._running:
            yield no_daemon("nobody asks about these jobs")
        if self._unknown:
            rest = self._unknown - len(self._names)
            named = ", ".join(self._names) + (f" and {rest} more" if rest else "")
            yield (
                f"The service does not know yet: {named}. What it does not know for {about(self._grace)} is "
                "reported as lost."
            )
