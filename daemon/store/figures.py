"""The figures of each project: its jobs by state, what the daemon last reported, and the jobs that ended by day.

Owns this reading, which costs the same on any day and for any number of jobs.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from daemon.domain.jobs import ProjectName, Tracking
from daemon.store.day_sums import DaySum, DaySums
from daemon.store.discoveries import Discoveries
from daemon.store.jobs import Jobs
from daemon.store.mapping import TransactionPart
from daemon.store.memory import Statuses
from daemon.store.pauses import ProjectPauses
from daemon.store.rows import DiscoveryRow, FinishedRow, PauseRow, Status

_LAST_MARKS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFigures:
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

    def read(self, projects: Collection[ProjectName], *, since: date | None) -> list[ProjectFigures]:
        """Return the figures of these projects, in this order. Without `since` there are neither the last ended
        jobs nor the days."""
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
                discovery=next(
                    (row for row in marks.done(name, limit=_LAST_MARKS) if "until" in row.filters), None
                ),
                finished={} if since is None else {kind: rows for (_, kind), rows in jobs.finished(name).items()},
                sums=[each for each in sums if each.project == name],
            )
            for name in projects
        ]
