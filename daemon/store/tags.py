"""The tags of jobs, by tag: what lists of jobs find them by.

Owns `job_tags`, which says what JOBS.tags says. Whoever writes the one writes the other, in one transaction.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, insert

from daemon.store.tables import JOB_TAGS

_FORGET = delete(JOB_TAGS).where(JOB_TAGS.c.job == bindparam("row"))


def put(connection: Connection, tags: Mapping[int, Sequence[str]]) -> None:
    """These jobs (row ids) have these tags, and no other ones."""
    if tags:
        connection.execute(_FORGET, [{"row": job} for job in tags])
    rows = [{"tag": tag, "job": job} for job, each in tags.items() for tag in dict.fromkeys(each)]
    if rows:
        connection.execute(insert(JOB_TAGS), rows)
