"""Lists the batches and how many of their jobs have ended.

Owns these statements and writes nothing. A page reads kept counts and costs the same however many jobs ended.
`batches` owns the alert of a batch's end.
"""

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import Select, Text, bindparam, func, select

from daemon.domain.jobs import ProjectName, Tracking
from daemon.store.batches import Batch, end_word
from daemon.store.lists import Page
from daemon.store.mapping import WATCHED, TransactionPart, chunks, plain, watch_rows
from daemon.store.paging import Place, RowCount
from daemon.store.rows import BatchRow
from daemon.store.tables import BATCH_COUNTS, BATCHES, JOBS
from daemon.store.watch_row import WatchRow

_Watched = list[WatchRow]

_C, _B, _N = JOBS.c, BATCHES.c, BATCH_COUNTS.c
_ENDED = select(_N.project, _N.batch, _N.tracking, _N.state, _N.n).where(
    _N.batch.in_(bindparam("of_batches", expanding=True)), _N.n > 0
)
_ACTIVE = select(func.count()).where(
    _C.batch == bindparam("of_batch", type_=Text),
    _C.project == bindparam("of_project", type_=Text),
    _C.tracking == plain(Tracking.ACTIVE),
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
        query = _batches(project).order_by(_B.newest.desc()).limit(limit)
        found = self._connection.execute(query if after is None else query.where(_B.newest < after.id)).all()
        counts = self._counts({(ProjectName(row.project), row.batch) for row in found})
        rows = [
            _row(row.newest, ProjectName(row.project), row.batch, counts[row.project, row.batch]) for row in found
        ]
        return Page(rows=rows, after=None if len(rows) < limit else Place(0, None, rows[-1].id))

    def count(self, *, most: int, project: ProjectName | None = None) -> RowCount:
        """Count the batches, up to `most`."""
        some = _batches(project).limit(most).subquery()
        found = self._connection.execute(select(func.count()).select_from(some)).scalar_one()
        return RowCount(found, whole=found < most)

    def get(self, project: ProjectName, batch: str) -> BatchRow | None:
        """Return a batch; None if no job ever belonged to it."""
        query = _batches(project).where(_B.batch == batch)
        found = self._connection.execute(query).one_or_none()
        if found is None:
            return None
        return _row(found.newest, project, batch, self._counts({(project, batch)})[project, batch])

    def unended(self, project: ProjectName, batch: str) -> _Watched:
        """Return the tracked jobs of a batch."""
        return watch_rows(self._connection.execute(_UNENDED, {"of_project": project, "of_batch": batch}))

    def _counts(self, wanted: Iterable[Batch]) -> dict[Batch, Counter[str]]:
        """Return, for each batch, how many jobs ended in each way, with `active` for those that have not."""
        counts: dict[Batch, Counter[str]] = {batch: Counter() for batch in wanted}
        for part in chunks(batch for _, batch in counts):
            for project, batch, tracking, state, number in self._connection.execute(_ENDED, {"of_batches": part}):
                if (project, batch) in counts:
                    counts[project, batch][end_word(tracking, state)] += number
        for (project, batch), found in counts.items():
            names = {"of_project": project, "of_batch": batch}
            found[Tracking.ACTIVE.value] = self._connection.execute(_ACTIVE, names).scalar_one()
        return counts


def _batches(project: ProjectName | None) -> Select[tuple[int, str, str]]:
    query = select(_B.newest, _B.project, _B.batch)
    return query if project is None else query.where(_B.project == project)


def _row(row: int, project: ProjectName, batch: str, counts: Counter[str]) -> BatchRow:
    jobs = counts.total()
    del counts[Tracking.ACTIVE.value]
    return BatchRow(id=row, project=project, batch=batch, jobs=jobs, ends=counts)
