"""The tags of jobs, by tag: what lists of jobs find them by.

Owns `job_tags`, which says what JOBS.tags says. Whoever writes the one writes the other, in one transaction.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Text, bindparam, delete, insert, select

from daemon.domain.jobs import JobId, ProjectName
from daemon.store.tables import JOB_TAGS, JOBS

_ADD = insert(JOB_TAGS).from_select(
    ["tag", "job"],
    select(bindparam("of_tag", type_=Text), JOBS.c.id).where(
        JOBS.c.job_id == bindparam("of_job"), JOBS.c.project == bindparam("of_project")
    ),
)
_FORGET = delete(JOB_TAGS).where(JOB_TAGS.c.job == bindparam("row"))


def put(connection: Connection, tags: Mapping[int, Sequence[str]]) -> None:
    """These jobs (row ids) have these tags, and no other ones."""
    if tags:
        connection.execute(_FORGET, [{"row": job} for job in tags])
    rows = [{"tag": tag, "job": job} for job, each in tags.items() for tag in dict.fromkeys(each)]
    if rows:
        connection.execute(insert(JOB_TAGS), rows)


def add(connection: Connection, tags: Iterable[tuple[ProjectName, JobId, Sequence[str]]]) -> None:
    """These jobs, which had none before, have these tags."""
    rows = [
        {"of_tag": tag, "of_job": job_id, "of_project": project}
        for project, job_id, each in tags
        for tag in dict.fromkeys(each)
    ]
    if rows:
        connection.execute(_ADD, rows)
