"""Following chosen jobs: a small mark of each, to read again only those that changed.

Owns these statements. A mark is a primary key step, so a look costs by the jobs that are followed, not by all.
"""

from collections.abc import Collection, Iterable
from typing import TypeAlias

from sqlalchemy import BigInteger, bindparam, select, type_coerce

from daemon.store.looks import JOB_ROWS
from daemon.store.mapping import TransactionPart, chunks, job_row
from daemon.store.rows import JobRow
from daemon.store.tables import JOBS

Mark: TypeAlias = tuple[object, ...]

_C = JOBS.c
_ROWS = _C.id.in_(bindparam("rows", expanding=True))
_MARKS = select(
    *(_C.id, _C.tracking, _C.state, type_coerce(_C.state_since, BigInteger), _C.episode),
    *(_C.project, _C.label, _C.asset_name, _C.error_code),
).where(_ROWS)
_WHOLE = JOB_ROWS.where(_ROWS)


class Following(TransactionPart):
    """The followed jobs, seen through one transaction."""

    def marks(self, jobs: Iterable[int]) -> dict[int, Mark]:
        """Return the mark of each job by its row id; equal as long as nothing changed that people follow. Deleted
        jobs have none."""
        found: dict[int, Mark] = {}
        for part in chunks(jobs):
            for row, *mark in self._connection.execute(_MARKS, {"rows": part}):
                found[row] = tuple(mark)
        return found

    def rows(self, jobs: Collection[int]) -> list[JobRow]:
        """Return the jobs of these row ids, unordered."""
        return [job_row(row) for part in chunks(jobs) for row in self._connection.execute(_WHOLE, {"rows": part})]
