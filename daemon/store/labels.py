"""Labels, tags and notes of known jobs.

Owns these statements, and `job_tags`, an index of JOBS.tags for lists: both are written in one transaction.
`tracking` writes a job's first labels and tags. The watch keeps none of them: events are routed by what the row
says at that time, so a running daemon need not be notified of changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, delete, insert, select, update

from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.store.mapping import TransactionPart, chunks, named
from daemon.store.mutes import words_changed
from daemon.store.rows import Labelled
from daemon.store.tables import JOB_TAGS, JOBS

_C = JOBS.c
_THESE = _C.id.in_(bindparam("rows", expanding=True))
_OF = select(_C.id, _C.project, _C.job_id, _C.tracking, _C.label, _C.tags, _C.note).where(_THESE)
_SET_LABEL = update(JOBS).where(_THESE).values(label=bindparam("new"))
_SET_NOTE = update(JOBS).where(_THESE).values(note=bindparam("new"))
_SET_TAGS = update(JOBS).where(_THESE).values(tags=bindparam("new", type_=_C.tags.type))


class Labels(TransactionPart):
    """Labels, tags and notes, seen through one transaction. Jobs are named by their row ids."""

    def of(self, jobs: Iterable[int]) -> list[Labelled]:
        """Return the labels, tags and notes of the jobs, in order, each once; missing rows are left out."""
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
                    note=row.note,
                )
        return [found[row] for row in dict.fromkeys(wanted) if row in found]

    def set_label(self, jobs: Iterable[int], label: str | None) -> None:
        """Set the label of the jobs; None removes it."""
        for part in chunks(jobs):
            self._connection.execute(_SET_LABEL, {"rows": part, "new": label})

    def set_note(self, jobs: Iterable[int], note: str | None) -> None:
        """Set the note on the jobs; None removes it."""
        for part in chunks(jobs):
            self._connection.execute(_SET_NOTE, {"rows": part, "new": note})

    def set_tags(self, jobs: Iterable[int], tags: tuple[str, ...], *, at: datetime) -> None:
        """Replace the tags of the jobs; mutes of tags apply accordingly from `at` on."""
        for part in chunks(jobs):
            self._connection.execute(_SET_TAGS, {"rows": part, "new": tags})
            put_tags(self._connection, dict.fromkeys(part, tags))
            words_changed(self._connection, part, at=at)


_ADD = insert(JOB_TAGS).from_select(
    ["tag", "job"],
    select(bindparam("of_tag", type_=Text), JOBS.c.id).where(
        JOBS.c.job_id == bindparam("of_job"), JOBS.c.project == bindparam("of_project")
    ),
)
_FORGET = delete(JOB_TAGS).where(JOB_TAGS.c.job == bindparam("row"))


def put_tags(connection: Connection, tags: Mapping[int, Sequence[str]]) -> None:
    """Replace the tags of these jobs (row ids)."""
    if tags:
        connection.execute(_FORGET, [{"row": job} for job in tags])
    rows = [{"tag": tag, "job": job} for job, each in tags.items() for tag in dict.fromkeys(each)]
    if rows:
        connection.execute(insert(JOB_TAGS), rows)


def add_tags(connection: Connection, tags: Iterable[tuple[ProjectName, JobId, Sequence[str]]]) -> None:
    """Add the tags of new jobs."""
    rows = [
        {"of_tag": tag, "of_job": job_id, "of_project": project}
        for project, job_id, each in tags
        for tag in dict.fromkeys(each)
    ]
    if rows:
        connection.execute(_ADD, rows)
