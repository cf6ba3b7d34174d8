"""Jobs as a CSV (RFC 4180), for spreadsheets: which columns it has, and how a value becomes a cell. Pure.

Owns the guard against formulas: names come from outside, and a spreadsheet would execute one that begins like a
formula.
"""

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

from daemon.views.jobs import Job

COLUMNS: Final = (
    *("project", "job_id", "kind", "label", "name", "batch", "tags", "note", "state", "state_since", "tracking"),
    *("tracked_at", "created_at", "started_at", "ended_at", "duration", "error_code", "error_msg", "eta.ends_at"),
    *("eta.low_at", "eta.high_at", "polls", "last_polled_at", "last_error"),
)
"""The columns by their titles: a key of `Job`, or after a dot one of its `eta`. Links to videos are left out:
whoever has one can open the video."""
BOM = "\ufeff"
"""Written first, it tells Excel that the text is UTF-8."""
_BETWEEN = "; "
_FORMULA = re.compile(r"[^\S\t\r\n]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet takes for a formula, full-width signs included, or skips to find one."""


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet executes: after an apostrophe, if it begins like a formula, spaces
    before that included.

    >>> guarded("=1+1"), guarded("  @x"), guarded("a=b")
    ("'=1+1", "'  @x", 'a=b')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def head() -> str:
    """The first line: the titles."""
    return _lines([COLUMNS])


def lines(jobs: Iterable[Job]) -> str:
    """A line for each job, more if a cell has line breaks."""
    return _lines(map(cells, jobs))


def cells(job: Job) -> list[str]:
    """The cells of a job; an empty one where there is no value. What UTF-8 or a CSV cannot carry is replaced."""
    return [_cell(_value(job, *path)) for path in _PATHS]


def _value(view: object, key: str, inner: str | None = None) -> object:
    found = getattr(view, key)
    return found if inner is None or found is None else _value(found, inner)


_PATHS = tuple(title.split(".") for title in COLUMNS)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        value = _BETWEEN.join(value)
    if not isinstance(value, str):
        return str(value)
    whole = value if value.isascii() else value.encode("utf-8", "replace").decode()
    return guarded(whole.replace("\0", "\ufffd"))


def _lines(rows: Iterable[Iterable[str]]) -> str:
    into = io.StringIO()
    csv.writer(into).writerows(rows)
    return into.getvalue()
