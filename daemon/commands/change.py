"""Changes what is known about one job by a tool's request. A job that is not watched stays so."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from daemon.commands.describe import change_tags, read_label, read_note, set_label, set_note
from daemon.commands.entries import RequestFaults
from daemon.commands.noting import note_jobs
from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import KindSource
from daemon.domain.routing import Routing
from daemon.domain.text import word, words
from daemon.store import JobRow, TrackRequest, TrackRule, Transaction

_ONLY_KNOWN = TrackRule(add=False, again=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """What is changed; None means that it stays. An empty label or note removes it; `tags` replace all."""

    label: str | None = None
    tags: tuple[str, ...] | None = None
    batch: str | None = None
    note: str | None = None


def read_change(given: Mapping[str, str | list[str]]) -> JobChange:
    """Check the given values. Raises WrongRequest with all faults."""
    faults = RequestFaults()
    label = faults.of("label", lambda: read_label(str(given.get("label", ""))))
    tags = faults.of("tags", lambda: words(list(given.get("tags", ()))))
    batch = faults.of("batch", lambda: word(str(given["batch"])) if "batch" in given else None)
    said = faults.of("note", lambda: read_note(str(given.get("note", ""))))
    faults.require_none()
    return JobChange(
        label=label or "" if "label" in given else None,
        tags=tags if "tags" in given else None,
        batch=batch,
        note=said or "" if "note" in given else None,
    )


def change_job(
    tx: Transaction, job: JobRow, change: JobChange, *, at: datetime, who: Actor, routing: Routing | None = None
) -> None:
    """Change a job. `routing` applies to the end of a batch caused by this. Each kind of change leaves a row."""
    if change.label is not None and change.label != (job.label or ""):
        set_label(tx, [job.id], change.label or None, at=at, who=who)
    if change.tags is not None and change.tags != job.tags:
        remove = [tag for tag in job.tags if tag not in change.tags]
        change_tags(tx, [job.id], add=change.tags, remove=remove, at=at, who=who)
    if change.note is not None:
        set_note(tx, [job.id], change.note or None, at=at, who=who)
    if change.batch is not None and change.batch != job.batch:
        request = TrackRequest(
            project=job.project,
            kind=job.kind,
            job_id=job.job_id,
            batch=change.batch,
            kind_source=KindSource.GUESSED,
        )
        tx.jobs.take([request], at=at, routing=routing, rule=_ONLY_KNOWN)
        about = [(job.project, job.job_id)]
        note_jobs(tx, Action.BATCH, about, who=who, at=at, count=1, details={"batch": change.batch})
