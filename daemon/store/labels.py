"""What people say of jobs that are known: their labels and their tags.

Owns these statements. Tracking a job gives it its first ones (`tracking`). Nothing else reads them but the alerts,
each when it is written, and the lists: the watch keeps none, so no change needs to be told to it.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, select, update

from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.store.mapping import named
from daemon.store.rows import Labelled
from daemon.store.tables import JOBS
from daemon.store.tracking import chunks

_C = JOBS.c
_OF = select(_C.id, _C.project, _C.job_id, _C.tracking, _C.label, _C.tags).where(
    _C.id.in_(bindparam("rows", expanding=True))
)
_SET_LABEL = update(JOBS).where(_C.id == bindparam("row")).values(label=bindparam("new"))
_SET_TAGS = update(JOBS).where(_C.id == bindparam("row")).values(tags=bindparam("new", type_=_C.tags.type))


class Labels:
    """Labels and tags, seen through one transaction. Jobs are named by their row ids."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, jobs: Iterable[int]) -> list[Labelled]:
        """What is said of the jobs, in their order, each once; those that there are no more are left out."""
        found = {}
        wanted = list(jobs)
        for part in chunks(wanted):
            for row in self._connection.execute(_OF, {"rows": part}):
                found[row.id] = Labelled(
                    id=row.id,
                    project=ProjectName(row.project),
                    job_id=JobId(row.job_id),
                    tracking=named(Tracking, row.tracking),
                    label=row.label,
                    tags=row.tags,
                )
        return [found[row] for row in dict.fromkeys(wanted) if row in found]

    def set_labels(self, labels: Mapping[int, str | None]) -> None:
        """Give jobs other labels; None takes a label away."""
        if labels:
            rows = [{"row": row, "new": label} for row, label in labels.items()]
            self._connection.execute(_SET_LABEL, rows)

    def set_tags(self, tags: Mapping[int, tuple[str, ...]]) -> None:
        """Give jobs other tags in the place of those that they have."""
        if tags:
            self._connection.execute(_SET_TAGS, [{"row": row, "new": new} for row, new in tags.items()])
