"""Lists the batches and how many of their jobs have ended.

Owns these statements and writes nothing. A page reads kept counts and costs the same however many jobs there are.
`batches` owns the alert of a batch's end.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Select, Text, bindparam, func, select

from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import State
from daemon.store.batches import Batch, end_word
from daemon.store.lists import Page
from daemon.store.mapping import PACED, TransactionPart, chunks, plain, unended_jobs
from daemon.store.paging import Place, RowCount
from daemon.store.rows import BatchRow, to_stamp
from daemon.store.tables import BATCH_COUNTS, BATCHES, JOBS

if TYPE_CHECKING:
    from daemon.domain.production import Unended

_C, _B, _N = JOBS.c, BATCHES.c, BATCH_COUNTS.c
_some: Any = bindparam("of_batches", expanding=True)
_projects: Any = bindparam("of_projects", expanding=True)
_LISTED = (_N.batch.in_(_some), _N.project.in_(_projects), _N.n > 0)
_COUNTS = select(_N.project, _N.batch, _N.tracking, _N.state, _N.n).where(*_LISTED)
# Each way in which jobs are or ended is a step through `jobs_by_batch`.
_FIRST_OF = (
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
_firsts = select(_N.project, _N.batch, _FIRST_OF.label("job")).where(*_LISTED).subquery()
_oldest = (
    select(_firsts.c.project, _firsts.c.batch, func.min(_firsts.c.job).label("job"))
    .group_by(_firsts.c.project, _firsts.c.batch)
    .subquery()
)
_BEGAN = select(_oldest.c.project, _oldest.c.batch, _C.tracked_at).join_from(_oldest, JOBS, _C.id == _oldest.c.job)
_newest = select(_B.newest, _B.project, _B.batch).order_by(_B.newest.desc()).limit(bindparam("among")).subquery()
_UNDER_WAY = (
    select(_newest)
    .where(
        select(1)
        .where(
            _N.batch == _newest.c.batch,
            _N.project == _newest.c.project,
            _N.tracking == plain(Tracking.ACTIVE),
            _N.n > 0,
        )
        .correlate(_newest)
        .exists()
    )
    .order_by(_newest.c.newest.desc())
    .limit(bindparam("most"))
)
_is_tracked = _C.tracking == plain(Tracking.ACTIVE)
_UNENDED = select(_C.batch, *PACED).where(
    _C.batch.in_(_some), _C.project == bindparam("of_project", type_=Text), _is_tracked
)
_UNFROZEN = select(_C.id, *PACED).where(
    _C.id.in_(bindparam("rows", expanding=True)), _is_tracked, _C.state.is_distinct_from(State.BLOCK.value)
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

    def under_way(self, *, limit: int, among: int) -> list[BatchRow]:
        """Return the first `limit` of the `among` newest batches that have tracked jobs, latest first."""
        return self._rows(self._connection.execute(_UNDER_WAY, {"most": limit, "among": among}).all())

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
        found: dict[Batch, datetime] = {}
        for wanted in _wanted(batches):
            for project, batch, at in self._connection.execute(_BEGAN, wanted).all():
                found[ProjectName(project), batch] = at
        return found

    def unended(self, batches: Iterable[Batch], *, now: datetime) -> "Mapping[Batch, list[Unended]]":
        """Return the tracked jobs of each of these batches as of `now`."""
        found: dict[Batch, list[Unended]] = {each: [] for each in batches}
        at = to_stamp(now)
        named: defaultdict[ProjectName, list[str]] = defaultdict(list)
        for project, batch in found:
            named[project].append(batch)
        for project, names in named.items():
            for part in chunks(names):
                values = {"of_project": project, "of_batches": part}
                for batch, job in unended_jobs(self._connection.execute(_UNENDED, values).all(), at):
                    found[project, batch].append(job)
        return found

    def unfrozen(self, jobs: Iterable[int], *, now: datetime) -> "list[Unended]":
        """Return those of the jobs of these row ids that are tracked and not frozen, as of `now`, unordered."""
        parts = (self._connection.execute(_UNFROZEN, {"rows": part}).all() for part in chunks(jobs))
        return [job for part in parts for _, job in unended_jobs(part, to_stamp(now))]

    def _rows(self, found: Sequence[Row[tuple[int, str, str]]]) -> list[BatchRow]:
        """Add to each batch how many of its jobs are tracked or ended in each way."""
        ends: dict[Batch, Counter[str]] = {(ProjectName(row.project), row.batch): Counter() for row in found}
        tracked: dict[Batch, Counter[str]] = {each: Counter() for each in ends}
        for wanted in _wanted(found):
            for project, batch, tracking, state, number in self._connection.execute(_COUNTS, wanted).all():
                if (project, batch) not in ends:
                    continue  # another project's of the same name
                if tracking == Tracking.ACTIVE:
                    tracked[project, batch][state] += number
                else:
                    ends[project, batch][end_word(tracking, state)] += number
        return [
            BatchRow(
                id=row.newest,
                project=of[0],
                batch=of[1],
                jobs=ends[of].total() + tracked[of].total(),
                ends=ends[of],
                unbegun=tracked[of].total() - tracked[of][State.PROCESSING],
            )
            for row, of in zip(found, ends, strict=True)
        ]


def _wanted(rows: Sequence[Any]) -> Iterable[Mapping[str, Sequence[str]]]:
    """The parameters for these batches, in parts of one statement's worth."""
    projects = sorted({row.project for row in rows})
    return ({"of_batches": part, "of_projects": projects} for part in chunks(row.batch for row in rows))


def _batches(project: ProjectName | None) -> Select[tuple[int, str, str]]:
    query = select(_B.newest, _B.project, _B.batch)
    return query if project is None else query.where(_B.project == project)
