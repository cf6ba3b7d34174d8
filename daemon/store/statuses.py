"""What the daemon last said of each project's watch, for the commands that explain it.

Owns the project statuses: one row a project, written over each time. Must never decide anything by them: they are
for people.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import sqlite

from daemon.domain.events import Json
from daemon.domain.jobs import ProjectName
from daemon.store.rows import Status
from daemon.store.tables import PROJECT_STATUS

_ADD = sqlite.insert(PROJECT_STATUS)
_SET = _ADD.on_conflict_do_update(
    index_elements=[PROJECT_STATUS.c.project], set_={"facts": _ADD.excluded.facts, "at": _ADD.excluded.at}
)
_ALL = select(PROJECT_STATUS.c.project, PROJECT_STATUS.c.facts, PROJECT_STATUS.c.at).order_by(
    PROJECT_STATUS.c.project
)


class Statuses:
    """The project statuses, seen through one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def set(self, project: ProjectName, facts: Mapping[str, Json], at: datetime) -> None:
        """Say `facts` of the project, as of `at`, in the place of all that was said before."""
        self._connection.execute(_SET, {"project": project, "facts": facts, "at": at})

    def all(self) -> dict[ProjectName, Status]:
        """The last word on each project, also on those that the config no longer has."""
        return {
            ProjectName(project): Status(facts=facts, at=at)
            for project, facts, at in self._connection.execute(_ALL)
        }
