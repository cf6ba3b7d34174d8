"""Writes down who did what, once for each command, in the command's own transaction."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from daemon.domain.actions import Action, Actor
from daemon.domain.events import Json
from daemon.domain.jobs import JobId, ProjectName
from daemon.store import DeliveryRow, Transaction

MOST_NAMED = 50
"""Deliveries listed with an action, at most: `count` says how many there were."""


def note_jobs(
    tx: Transaction,
    what: Action,
    jobs: Iterable[tuple[ProjectName, JobId]],
    *,
    who: Actor,
    at: datetime,
    count: int,
    subject: str | None = None,
    details: Mapping[str, Json] | None = None,
) -> None:
    """Record what was done to `jobs`, of which `count` were changed. If it is one job, it is the subject, and its
    project or that of all is kept."""
    each = dict.fromkeys(jobs)
    projects = {project for project, _ in each}
    if len(each) == 1:
        [(_, subject)] = each
    project = projects.pop() if len(projects) == 1 else None
    tx.actions.note(what, who=who, at=at, project=project, subject=subject, count=count, details=details)


def note_deliveries(
    tx: Transaction,
    what: Action,
    rows: Iterable[DeliveryRow],
    *,
    who: Actor,
    at: datetime,
    count: int,
    subject: str | None = None,
    details: Mapping[str, Json] | None = None,
) -> None:
    """Record what was done to `rows`, of which `count` were changed. If all are about one job, that is the
    subject."""
    deliveries = list(rows)
    jobs = {row.job for row in deliveries}
    known = tx.jobs.get(next(iter(jobs)) or 0) if len(jobs) == 1 else None
    ids: list[Json] = [row.id for row in deliveries[:MOST_NAMED]]
    said: dict[str, Json] = {**(details or {}), **({"deliveries": ids} if ids else {})}
    about = [] if known is None else [(known.project, known.job_id)]
    note_jobs(tx, what, about, who=who, at=at, count=count, subject=subject, details=said or None)
