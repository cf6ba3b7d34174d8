"""Lists the batches and how many of their jobs have ended.

Owns these statements and writes nothing; `batches` owns the alert of a batch's end.
"""

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import Select, Text, bindparam, func, select

from daemon.domain.jobs import ProjectName, Tracking
from daemon.store.batches import Batch, end_word
from daemon.store.lists import Page
from daemon.store.mapping import WATCHED, TransactionPart, chunks, plain, watch_rows
from daemon.store.paging import Place, RowCount
from daemon.store.rows import BatchRow, WatchRow
from daemon.store.tables import JOBS

_Watched = list[WatchRow]

_C = JOBS.c
_LATER = JOBS.alias("later")
# Naming each tracking state makes each one a single index step, however many jobs the batch has.
_IS_NEWEST = ~(
    select(1)
    .where(
        _LATER.c.batch == _C.batch,
        _LATER.c.project == _C.project,
        _LATER.c.tracking.in_([plain(each) for each in Tracking]),
        _LATER.c.id > _C.id,
    )
    .correlate(JOBS)
    .exists()
)
_COUNTS = (
    select(_C.project, _C.batch, _C.tracking, _C.state, func.count())
    .where(_C.batch.in_(bindparam("of_batches", expanding=True)))
    .group_by(_C.batch, _C.project, _C.tracking, _C.state)
)
_UNENDED = select(*WATCHED).where(
    _C.batch == bindparam("of_batch", type_=Text),
    _C.project == bindparam("of_project", type_=Text),
    _C.tracking == plain(Tracking.ACTIVE),
)


class BatchList(TransactionPart):
    """The batches, seen through one transaction."""

    def page(
        self, *, limit: int, project: ProjectName | None = None, after: Place | None = None
    ) -> Page[BatchRow]:
        """Return the first `limit` batches beyond `after`, of one project or of all, by their most recently added
        job, latest first."""
        query = _newest(project).order_by(_C.id.desc()).limit(limit)
        found = self._connection.execute(query if after is None else query.where(_C.id < after.id)).all()
        counts = self._counts({(ProjectName(row.project), row.batch) for row in found})
        rows = [_row(row.id, ProjectName(row.project), row.batch, counts[row.project, row.batch]) for row in found]
        return Page(rows=rows, after=None if len(rows) < limit else Place(0, None, rows[-1].id))

    def count(self, *, most: int, project: ProjectName | None = None) -> RowCount:
        """Count the batches, up to `most`."""
        some = _newest(project).limit(most).subquery()
        found = self._connection.execute(select(func.count()).select_from(some)).scalar_one()
        return RowCount(found, whole=found < most)

    def unended(self, project: ProjectName, batch: str) -> _Watched:
        """Return the tracked jobs of a batch."""
        return watch_rows(self._connection.execute(_UNENDED, {"of_project": project, "of_batch": batch}))

    def _counts(self, wanted: Iterable[Batch]) -> dict[Batch, Counter[str]]:
        """Return, for each batch, how many jobs ended in each way, with `active` for those that have not."""
        counts: dict[Batch, Counter[str]] = {batch: Counter() for batch in wanted}
        for part in chunks(batch for _, batch in counts):
            for project, batch, tracking, state, count in self._connection.execute(_COUNTS, {"of_batches": part}):
                if (project, batch) in counts:
                    counts[project, batch][end_word(tracking, state)] += count
        return counts


def _newest(project: ProjectName | None) -> Select[tuple[int, str, str]]:
    """Select the most recently added job of each batch."""
    query = select(_C.id, _C.project, _C.batch).where(_C.batch.is_not(None), _IS_NEWEST)
    # The concatenation keeps SQLite off the project index, which would mean sorting all jobs of the project.
    return query if project is None else query.where(_C.project.concat("") == project)


def _row(row: int, project: ProjectName, batch: str, counts: Counter[str]) -> BatchRow:
    jobs = counts.total()
    del counts[Tracking.ACTIVE.value]
    return BatchRow(id=row, project=project, batch=batch, jobs=jobs, ends=counts)
