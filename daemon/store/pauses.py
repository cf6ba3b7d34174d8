"""The paused projects: those that are not asked until a person resumes them.

Owns the pauses, one for each project at most. The daemon reads them after each change by another program.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects import sqlite

from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import ProjectName
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.rows import PauseRow
from daemon.store.tables import ACTIONS, PAUSES

_P, _A = PAUSES.c, ACTIONS.c
_ADD = sqlite.insert(PAUSES).on_conflict_do_nothing(index_elements=[_P.project])
_END = delete(PAUSES).where(_P.project == bindparam("of_project"))
_ALL = select(PAUSES).order_by(_P.project)
_PAST = select(_A.details).where(
    _A.subject == bindparam("of_project"),
    _A.what == Action.RESUME.value,
    _A.at >= bindparam("since", type_=_A.at.type),
)


class ProjectPauses(TransactionPart):
    """The pauses, seen through one transaction."""

    def begin(self, project: ProjectName, *, at: datetime, who: Actor, comment: str | None = None) -> bool:
        """Pause the project. False, and nothing is changed, if it is paused."""
        row = {"project": project, "at": at, "who": who, "comment": comment}
        return self._connection.execute(_ADD, row).rowcount == 1

    def end(self, project: ProjectName) -> None:
        """Resume the project."""
        self._connection.execute(_END, {"of_project": project})

    def all(self) -> dict[ProjectName, PauseRow]:
        """Return every pause, including those of projects that the config no longer has."""
        return {ProjectName(row.project): plain_row(PauseRow, row) for row in self._connection.execute(_ALL)}

    def past(self, projects: Iterable[ProjectName], *, since: datetime) -> dict[ProjectName, float]:
        """Return for how many seconds each project was paused, by the pauses that ended since `since`: the actions
        that ended them say it under `seconds`."""
        found = {}
        for project in projects:
            rows = self._connection.execute(_PAST, {"of_project": project, "since": since})
            seconds = [row.details.get("seconds") for row in rows if row.details]
            found[project] = sum(each for each in seconds if isinstance(each, int | float))
        return found
