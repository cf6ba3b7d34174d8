"""Lists the batches and how many of their jobs have ended.

Owns these statements and writes nothing. A page reads kept counts and costs the same however many jobs ended.
`batches` owns the alert of a batch's end.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, Text, bindparam, func, select, union_all

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
_ACTIVE = (
    select(func.count())
    .where(_C.batch == _B.batch, _C.project == _B.project, _C.tracking == plain(Tracking.ACTIVE))
    .correlate(BATCHES)
    .scalar_subquery()
)
# `batch_counts` has the ways in which jobs ended; each is a step through `jobs_by_batch`.
_ACTIVE_FROM = (
    select(func.min(_C.id))
    .where(_C.batch == _B.batch, _C.project == _B.project, _C.tracking == plain(Tracking.ACTIVE))
    .correlate(BATCHES)
    .scalar_subquery()
)
_ENDED_FROM = (
    select(func.min(_C.id))
    .where(
        _C.batch == _N.batch,
        _C.project == _N.project,
        _C.tracking == _N.tracking,
        _C.state.is_not_distinct_from(func.nullif(_N.state, "")),
    )
    .correlate(BATCH_COUNTS)
    .scalar_subquery()
)
_some: Any = bindparam("of_batches", expanding=True)
_firsts = union_all(
    select(_B.project, _B.batch, _ACTIVE_FROM.label("job")).where(_B.batch.in_(_some)),
    select(_N.project, _N.batch, _ENDED_FROM.label("job")).where(_N.batch.in_(_some), _N.n > 0),
).subquery()
_FIRST = select(_firsts.c.project, _firsts.c.batch, func.min(_firsts.c.job)).group_by(
    _firsts.c.project, _firsts.c.batch
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
        rows = self._rows(found)
        return Page(rows=rows, after=None if len(rows) < limit else Place(0, None, rows[-1].id))

    def get(self, project: ProjectName, batch: str) -> BatchRow | None:
        """Return one batch, or None if the project has none of that name."""
        row = self._connection.execute(_batches(project).where(_B.batch == batch)).one_or_none()
        if row is None:
            return None
        return self._rows([row])[0]

    def projects(self, batch: str) -> list[ProjectName]:
        """Return the projects that have a batch of that name, by name."""
        query = select(_B.project).where(_B.batch == batch).order_by(_B.project)
        return [ProjectName(name) for name in self._connection.execute(query).scalars()]

    def count(self, *, most: int, project: ProjectName | None = None) -> RowCount:
        """Count the batches, up to `most`."""
        some = _batches(project).with_only_columns(_B.newest).limit(most).subquery()
        found = self._connection.execute(select(func.count()).select_from(some)).scalar_one()
        return RowCount(found, whole=found < most)

    def began(self, batches: Sequence[BatchRow]) -> dict[Batch, datetime]:
        """Return when the first of the present jobs of each of these batches was tracked."""
        first: dict[int, Batch] = {}
        for part in chunks(row.batch for row in batches):
            for project, batch, job in self._connection.execute(_FIRST, {"of_batches": part}):
                if job is not None:
                    first[job] = (ProjectName(project), batch)
        found: dict[Batch, datetime] = {}
        for jobs in chunks(first):
            for job, at in self._connection.execute(select(_C.id, _C.tracked_at).where(_C.id.in_(jobs))):
                found[first[job]] = at
        return found

    def unended(self, project: ProjectName, batch: str) -> _Watched:
        """Return the tracked jobs of a batch."""
        return watch_rows(self._connection.execute(_UNENDED, {"of_project": project, "of_batch": batch}))

    def _rows(self, found: Sequence[Row[tuple[int, str, str, int]]]) -> list[BatchRow]:
        """Add to each batch how many of its jobs ended in each way."""
        ends: dict[Batch, Counter[str]] = {(ProjectName(row.project), row.batch): Counter() for row in found}
        for part in chunks(row.batch for row in found):
            for project, batch, tracking, state, number in self._connection.execute(_ENDED, {"of_batches": part}):
                if (project, batch) in ends:
                    ends[project, batch][end_word(tracking, state)] += number
        return [
            BatchRow(
                id=row.newest,
                project=project,
                batch=batch,
                jobs=row.active + ends[project, batch].total(),
                ends=ends[project, batch],
            )
            for row, (project, batch) in zip(found, ends, strict=True)
        ]


def _batches(project: ProjectName | None) -> Select[tuple[int, str, str, int]]:
    query = select(_B.newest, _B.project, _B.batch, _ACTIVE.label("active"))
    return query if project is None else query.where(_B.project == project)
