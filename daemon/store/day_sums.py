"""How many jobs ended on each day, and how long their production took, kept for good.

A trigger (migration 0009) adds each end as it is stored. It takes an end out again when that end is undone: when a
person has the job tracked again, the end leaves its day, and the job counts on the day of its next end (the same
one, if the service reports the end unchanged). Jobs that move to another project take their ends with them. The
sums outlive the jobs that retention deletes.

A read costs the same however many jobs there are: it depends on days, kinds and states alone.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Text, bindparam, func, select

from daemon.domain.jobs import ProjectName
from daemon.store.mapping import TransactionPart
from daemon.store.tables import DAY_SUMS

_C = DAY_SUMS.c
_SINCE = (
    select(DAY_SUMS)
    .where(_C.day >= bindparam("first", type_=Text), _C.n > 0)
    .order_by(_C.day, _C.project, _C.kind, _C.state)
)

_TOTAL = (
    select(_C.state, func.sum(_C.n), func.sum(_C.timed), func.sum(_C.micros))
    .where(_C.day.between(bindparam("first", type_=Text), bindparam("last", type_=Text)), _C.n > 0)
    .where(_C.project.in_(bindparam("projects", expanding=True)))
    .group_by(_C.state)
)


class Total(NamedTuple):
    """Jobs that ended in one state: how many, those of them whose production time is known, and their seconds of
    production together."""

    jobs: int
    timed: int
    seconds: float


class DaySum(Struct, frozen=True, kw_only=True):
    """The jobs of a project and kind that ended in `state` on a day (UTC, by when wrapd observed it)."""

    day: date
    project: ProjectName
    kind: str
    state: str
    jobs: int
    timed: int  # those of them whose production time is known
    seconds: float  # production time of these, together


class DaySums(TransactionPart):
    """The sums, seen through one transaction."""

    def since(self, first: date) -> Sequence[DaySum]:
        """Return the sums of `first` and of each later day, oldest first."""
        return [
            DaySum(
                day=date.fromisoformat(row.day),
                project=ProjectName(row.project),
                kind=row.kind,
                state=row.state,
                jobs=row.n,
                timed=row.timed,
                seconds=row.micros / 1e6,
            )
            for row in self._connection.execute(_SINCE, {"first": first.isoformat()})
        ]

    def total(self, first: date, last: date, projects: Collection[ProjectName]) -> dict[str, Total]:
        """Return the sums over some days, both included, and these projects, by state."""
        values = {"first": first.isoformat(), "last": last.isoformat(), "projects": list(projects)}
        return {
            state: Total(int(jobs), int(timed), int(micros) / 1e6)
            for state, jobs, timed, micros in self._connection.execute(_TOTAL, values)
        }
