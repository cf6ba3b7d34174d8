"""The figures of each project: its jobs by state, what the daemon last reported, and the jobs that ended by day.

Owns this reading, which costs the same on any day and for any number of jobs.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, func, select, type_coerce

from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import TERMINAL
from daemon.store.day_sums import DaySum, DaySums
from daemon.store.discoveries import Discoveries
from daemon.store.jobs import Jobs
from daemon.store.mapping import TransactionPart, plain
from daemon.store.memory import Statuses
from daemon.store.pauses import ProjectPauses
from daemon.store.rows import DiscoveryRow, FinishedRow, PauseRow, Status, to_stamp
from daemon.store.tables import JOBS

_MARKS = (5, 200)
"""Discoveries that are read to find the last one that recorded its progress: mostly it is among the newest."""
LAST = 200
"""Ended jobs of each kind that are read."""
DELAYS = 200
"""Ended jobs of a project and outcome whose delay is read."""
_C = JOBS.c
_SINCE = type_coerce(_C.state_since, BigInteger)
_ENDS = (
    select(
        _SINCE,
        type_coerce(func.coalesce(_C.ended_at, _C.reported_at), BigInteger),
        type_coerce(_C.tracked_at, BigInteger),
    )
    .where(
        _C.project == bindparam("of_project", type_=Text),
        _C.tracking == plain(Tracking.FINISHED),
        _C.state == bindparam("of_state", type_=Text),
        bindparam("since", type_=BigInteger) <= _SINCE,
    )
    .order_by(_SINCE.desc())
    .limit(DELAYS)
)


class ProjectFigures(Struct, frozen=True, kw_only=True):
    """The figures of one project. `states` counts active jobs by state (`new`: none yet), `ended` the others by
    tracking. `finished` has the last ended jobs of each kind, `sums` the days since the first one asked for."""

    project: ProjectName
    states: Counter[str]
    ended: Counter[str]
    status: Status | None
    pause: PauseRow | None
    discovery: DiscoveryRow | None
    finished: Mapping[str, Sequence[FinishedRow]]
    sums: Sequence[DaySum]


class Figures(TransactionPart):
    """The figures, seen through one transaction."""

    def read(
        self, projects: Collection[ProjectName], *, since: date | None, last: int = LAST
    ) -> list[ProjectFigures]:
        """Return the figures of these projects, in this order, with the `last` ended jobs of each kind. Without
        `since` there are neither these nor the days."""
        jobs, marks = Jobs(self._connection), Discoveries(self._connection)
        states, counts = jobs.states(), jobs.counts()
        statuses, pauses = Statuses(self._connection).all(), ProjectPauses(self._connection).all()
        sums = [] if since is None else DaySums(self._connection).since(since)
        return [
            ProjectFigures(
                project=name,
                states=Counter({state or "new": number for state, number in states.get(name, {}).items()}),
                ended=Counter(
                    {
                        str(tracking): number
                        for (owner, tracking), number in counts.items()
                        if owner == name and tracking is not Tracking.ACTIVE
                    }
                ),
                status=statuses.get(name),
                pause=pauses.get(name),
                discovery=_recorded(marks, name),
                finished={}
                if since is None
                else {kind: rows for (_, kind), rows in jobs.finished(name, limit=last).items()},
                sums=[each for each in sums if each.project == name],
            )
            for name in projects
        ]

    def delays(self, projects: Collection[ProjectName], *, since: datetime) -> list[float]:
        """Return for the last ended jobs of these projects, up to `DELAYS` of each and each outcome and none seen
        to end before `since`, the seconds from the service's own time of the end until wrapd saw it; 0 where a
        difference of the clocks would make them negative. Jobs that were tracked after their end are left out."""
        return [
            max(0, seen - end) / 1e6
            for project in projects
            for state in sorted(TERMINAL)
            for seen, end, tracked in self._connection.execute(
                _ENDS, {"of_project": project, "of_state": state, "since": to_stamp(since)}
            )
            if end is not None and tracked <= end
        ]


def _recorded(marks: Discoveries, project: ProjectName) -> DiscoveryRow | None:
    """The last discovery of a project that recorded its progress."""
    for most in _MARKS:
        rows = marks.done(project, limit=most)
        found = next((row for row in rows if "until" in row.filters), None)
        if found is not None or len(rows) < most:
            return found
    return None
