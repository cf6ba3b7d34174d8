"""The paused projects: those that are not asked until a person resumes them.

Owns the pauses, one for each project at most. The daemon reads them after each change by another program.
"""

from datetime import datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects import sqlite

from daemon.domain.actions import Actor
from daemon.domain.jobs import ProjectName
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.rows import PauseRow
from daemon.store.tables import PAUSES

_P = PAUSES.c
_ADD = sqlite.insert(PAUSES).on_conflict_do_nothing(index_elements=[_P.project])
_END = delete(PAUSES).where(_P.project == bindparam("of_project"))
_ALL = select(PAUSES).order_by(_P.project)


class ProjectPauses(TransactionPart):
    """The pauses, seen through one transaction."""

    def begin(self, project: ProjectName, *, at: datetime, who: Actor, comment: str | None = None) -> bool:
        """Pause the project. False, and nothing is changed, if it is paused."""
        row = {"project": project, "at": at, "who": who, "comment": comment}
        return self._connection.execute(_ADD, row).rowcount == 1

    def end(self, project: ProjectName) -> bool:
        """Resume the project. False if it is not paused."""
        return self._connection.execute(_END, {"of_project": project}).rowcount == 1

    def all(self) -> dict[ProjectName, PauseRow]:
        """Return every pause, including those of projects that the config no longer has."""
        return {ProjectName(row.project): plain_row(PauseRow, row) for row in self._connection.execute(_ALL)}
