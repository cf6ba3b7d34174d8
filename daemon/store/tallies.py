"""How many jobs there are of each tracking and state, for the choices beside a list.

Reads the counts that triggers keep. Of a tag it counts the jobs that were tracked last, at most `MOST_TALLIED`, so
that it takes no longer for more of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Text, and_, bindparam, case, func, or_, select

from daemon.domain.jobs import ProjectName, Tracking
from daemon.store.tables import BATCH_COUNTS, JOB_COUNTS, JOB_TAGS, JOBS

MOST_TALLIED = 500
"""Jobs of a tag that are counted: twice as many take four times as long where their rows are not in memory."""

_J, _N, _BN, _T = JOBS.c, JOB_COUNTS.c, BATCH_COUNTS.c, JOB_TAGS.c
_PROJECT, _BATCH, _TAG = (bindparam(name, type_=Text) for name in ("of_project", "of_batch", "of_tag"))
_STATE = func.coalesce(_J.state, "")
_KEPT = select(_N.tracking, _N.state, func.sum(_N.n)).where(
    or_(_PROJECT.is_(None), _N.project == _PROJECT), _N.n > 0
)
_KEPT = _KEPT.group_by(_N.tracking, _N.state)
_OF_BATCH = select(_BN.tracking, _BN.state, func.sum(_BN.n)).where(
    _BN.batch == _BATCH, or_(_PROJECT.is_(None), _BN.project == _PROJECT), _BN.n > 0
)
_OF_BATCH = _OF_BATCH.group_by(_BN.tracking, _BN.state)
_ASKED = ((_PROJECT, _J.project), (_BATCH, _J.batch))
_TAGGED_IDS = select(_T.job).where(_T.tag == _TAG).order_by(_T.job.desc()).limit(bindparam("most")).subquery()
_TAGGED = (
    select(
        _J.tracking,
        _STATE,
        func.count(),
        func.count(case((and_(*(or_(given.is_(None), column == given) for given, column in _ASKED)), 1))),
    )
    .join_from(_TAGGED_IDS, JOBS, _J.id == _TAGGED_IDS.c.job)
    .group_by(_J.tracking, _STATE)
)


class Tallies(Struct, frozen=True, kw_only=True):
    """Numbers of jobs by tracking and state ('': not answered yet). If not `whole`, there may be more of each."""

    counts: Mapping[tuple[str, str], int]
    whole: bool

    def of(self, tracking: Tracking, state: str | None = None) -> int:
        """How many there are, in any state if none is given."""
        if state is not None:
            return self.counts.get((tracking, state), 0)
        return sum(number for (owner, _), number in self.counts.items() if owner == tracking)


def tallies(
    connection: Connection,
    *,
    project: ProjectName | None = None,
    batch: str | None = None,
    tag: str | None = None,
) -> Tallies:
    """Count the jobs, of one project, batch or tag if they are given."""
    values = {"of_project": project, "of_batch": batch, "of_tag": tag}
    if tag is not None:
        rows = connection.execute(_TAGGED, {**values, "most": MOST_TALLIED}).all()
        looked = sum(number for _, _, number, _ in rows)
        return _tallied(((tracking, state, fit) for tracking, state, _, fit in rows), whole=looked < MOST_TALLIED)
    return _tallied(connection.execute(_KEPT if batch is None else _OF_BATCH, values), whole=True)


def _tallied(rows: Iterable[Any], *, whole: bool) -> Tallies:
    counts: Counter[tuple[str, str]] = Counter()
    for tracking, state, number in rows:
        counts[tracking, state] += number
    return Tallies(counts=counts, whole=whole)
