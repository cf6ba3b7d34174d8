"""What `wrapd watch` shows: a live table on a terminal, else a line of text or JSON for each change.

The live table is drawn over itself line by line, never scrolls, and stays where it is at the end. rich would do
no more here: the house fits tables to terminals itself, and what is left are three control sequences.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from daemon import views
from daemon.cli import output
from daemon.cli.layout import cut, wrapped
from daemon.cli.output import Column
from daemon.cli.text import about, band, brief, clean, count, moment
from daemon.cli.zone import local

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.views.outlooks import BatchOutlook, Outlook

_LEAST_ROWS = 3
_NAMED = 5
"""Jobs whose errors are written below the last table."""
_KEPT_FREE = 2
"""Rows below the last table, for why it ended."""
_COLUMNS = (
    Column(title="NAME", gives=True, least=12),
    Column(title="STATE", coloured=True),
    Column(title="FOR", spare=2),
    Column(title="ENDS", alike=True),
    Column(title="RANGE", spare=3, alike=True),
    Column(title="PROJECT", gives=True, least=8, alike=True, spare=1),
    Column(title="JOB", ids=True, spare=4),
)
_WORDS = {
    views.JobEnd.RUNNING: "running",
    views.JobEnd.SUCCEEDED: "done",
    views.JobEnd.PARTIAL: "partly done",
}

Jobs = Mapping[object, views.Followed]


class Source(Protocol):
    """Where followed jobs come from."""

    def look(self) -> Jobs: ...

    def wait(self, seconds: float) -> None: ...

    def outlooks(self, keys: Sequence[object], now: datetime) -> "list[Outlook]": ...

    def last_end(self, now: datetime) -> "BatchOutlook": ...

    def note(self) -> str | None: ...


class Show(Protocol):
    """What people or tools see of followed jobs."""

    def update(self, jobs: Jobs, now: datetime) -> None:
        """Show the jobs as of now."""

    def end(self, jobs: Jobs, now: datetime, reason: str, status: int) -> None:
        """Show how it ended; `reason` is that of `views.Conclusion`."""


class LiveTable:
    """The live table of a terminal."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._drawn: list[str] = []
        self._size = shutil.get_terminal_size()

    def update(self, jobs: Jobs, now: datetime) -> None:
        size = shutil.get_terminal_size()
        self._draw(list(self._lines(jobs, now, columns=size.columns, rows=size.lines - 1)), size)

    def end(self, jobs: Jobs, now: datetime, reason: str, status: int) -> None:
        """Draw the last table, with the errors of some failed jobs, so that it stays whole on the screen with what
        is written below."""
        size = shutil.get_terminal_size()
        rows = size.lines - 1 - _KEPT_FREE
        failed = [job for job in jobs.values() if job.outcome == views.JobEnd.FAILED and job.error]
        failed = sorted(failed, key=views.rank)[: min(_NAMED, rows // 4)]
        errors = [cut(clean(f"{job.name or job.job_id}: {job.error}"), size.columns) for job in failed]
        lines = self._lines(jobs, now, columns=size.columns, rows=rows - len(errors))
        self._draw([*lines, *errors], size)

    def _draw(self, lines: list[str], size: os.terminal_size) -> None:
        if lines == self._drawn and size == self._size:
            return
        back = ""
        if self._drawn:  # a resized terminal may have wrapped or cut what was drawn: begin at its top
            back = f"\x1b[{len(self._drawn)}A\r" if size == self._size else "\x1b[H\x1b[2J"
        sys.stdout.write(back + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()
        self._drawn, self._size = lines, size

    def _lines(self, jobs: Jobs, now: datetime, *, columns: int, rows: int) -> Iterator[str]:
        below = wrapped(summary(jobs, self._source.last_end(now), now), columns)
        note = _note(self._source, jobs)
        if note is not None:
            below = [*wrapped(clean(note), columns), *below]
        room = max(_LEAST_ROWS, rows - len(below) - 1)
        order = sorted(jobs, key=lambda key: views.rank(jobs[key]))
        shown = order if len(order) <= room else order[: room - 1]
        expected = self._source.outlooks(shown, now)
        cells = [
            [clean(cell) for cell in _cells(jobs[key], each)] for key, each in zip(shown, expected, strict=True)
        ]
        if cells:
            yield from output.fitted(_COLUMNS, cells, room=columns)
        if len(shown) < len(order):
            yield cut(f"and {len(order) - len(shown)} more", columns)
        yield from below


class Lines:
    """A line for each job at first, then one for each change."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: dict[object, views.Followed] = {}
        self._note: str | None = None

    def update(self, jobs: Jobs, now: datetime) -> None:
        note = _note(self._source, jobs)
        if note is not None and note != self._note:
            output.hint(note)
        self._note = note
        for key, job in jobs.items():
            if self._seen.get(key) != job:
                self._seen[key] = job
                self.line(job, now)
        sys.stdout.flush()

    def end(self, jobs: Jobs, now: datetime, reason: str, status: int) -> None:
        output.line(summary(jobs, None, None))
        sys.stdout.flush()

    def line(self, job: views.Followed, now: datetime) -> None:
        at = now if job.state_since is None else datetime.fromisoformat(job.state_since)
        said = ": ".join(filter(None, (job.name, job.error)))
        output.line(" ".join(filter(None, (moment(at), _standing(job), job.project, job.job_id, said))))


class JsonLines(Lines):
    """The same as JSON."""

    def line(self, job: views.Followed, now: datetime) -> None:
        output.json_line(views.document(job))

    def end(self, jobs: Jobs, now: datetime, reason: str, status: int) -> None:
        outcomes = dict(views.ends_of(jobs.values()))
        last = views.Conclusion(jobs=len(jobs), outcomes=outcomes, reason=reason, status=status)
        output.json_line(views.document(last))


def summary(jobs: Jobs, expected: "BatchOutlook | None", now: datetime | None) -> str:
    """How many jobs run and how many ended in which way, and by when all should have ended."""
    ends = views.ends_of(jobs.values())
    order = [views.JobEnd.RUNNING, views.JobEnd.SUCCEEDED, *views.JobEnd]
    parts = [f"{ends[end]} {_WORDS.get(end, str(end))}" for end in dict.fromkeys(order) if ends[end]]
    said = ", ".join(parts) or count(0, "job")
    if expected is None or now is None or not ends[views.JobEnd.RUNNING]:
        return said
    dot = " · " if output.carries("·") else " - "
    if expected.eta is not None:
        low, high = (local(expected.ends_at(each)) for each in (expected.eta.low, expected.eta.high))
        return f"{said}{dot}all by {band(low, high, local(now))}"
    if expected.soonest is not None:
        soonest = local(expected.ends_at(expected.soonest))
        return f"{said}{dot}all after {band(soonest, soonest, local(now))}"
    return said


def _note(source: Source, jobs: Jobs) -> str | None:
    """What keeps running jobs from moving on."""
    return source.note() if views.ends_of(jobs.values())[views.JobEnd.RUNNING] else None


def _cells(job: views.Followed, expected: "Outlook") -> list[str]:
    since = None if job.state_since is None else datetime.fromisoformat(job.state_since)
    eta = expected.eta
    return [
        job.name or "-",
        _standing(job),
        "-" if since is None else about((expected.at - since).total_seconds()),
        "-" if eta is None else f"in {brief(eta.median)}",
        "-" if eta is None else f"{brief(eta.low)}-{brief(eta.high)}",
        job.project,
        job.job_id,
    ]


def _standing(job: views.Followed) -> str:
    """The state in a word; if tracking ended for another reason than the state, that reason."""
    return job.tracking if job.tracking in ("lost", "expired", "stopped") else job.state or "new"
