"""Changes labels and tags of known jobs. Later events are routed by them; written alerts are not changed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.commands.entries import RequestFaults
from daemon.commands.noting import note_jobs
from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.text import MAX_TAGS, label
from daemon.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A job's label and tags now, and whether they were changed."""

    project: ProjectName
    job_id: JobId
    label: str | None
    tags: tuple[str, ...]
    changed: bool


def read_label(text: str) -> str | None:
    """`text` as a label; None for an empty one, which removes the label. Raises ValueError for invisible text."""
    found = label(text)
    if text and not found:
        raise ValueError("it has no visible character; give an empty text to remove the label")
    return found or None


def set_label(
    tx: Transaction, jobs: Sequence[int], text: str | None, *, at: datetime, who: Actor
) -> list[Described]:
    """Set the label of the jobs with these row ids to `text`, as returned by `read_label`."""
    known = tx.labels.of(jobs)
    others = {job.id for job in known if (job.label or None) != text}
    tx.labels.set_label(sorted(others), text)
    about = [(job.project, job.job_id) for job in known]
    note_jobs(tx, Action.LABEL, about, who=who, at=at, count=len(others), details={"label": text})
    return [
        Described(project=job.project, job_id=job.job_id, label=text, tags=job.tags, changed=job.id in others)
        for job in known
    ]


def change_tags(
    tx: Transaction,
    jobs: Sequence[int],
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    at: datetime,
    who: Actor,
) -> list[Described]:
    """Add tags to and remove tags from the jobs with these row ids; `add` and `remove` as returned by `words`.
    Raises WrongRequest that lists every job that would have too many tags."""
    faults = RequestFaults()
    new: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    done = []
    for job in tx.labels.of(jobs):
        tags = tuple(dict.fromkeys([*(tag for tag in job.tags if tag not in remove), *add]))
        if len(tags) > MAX_TAGS:
            faults.add(job.job_id, f"it would have {len(tags)} tags; at most {MAX_TAGS} are allowed")
        if tags != job.tags:
            new[tags].append(job.id)
        done.append(
            Described(project=job.project, job_id=job.job_id, label=job.label, tags=tags, changed=tags != job.tags)
        )
    faults.require_none()
    for tags, those in new.items():
        tx.labels.set_tags(those, tags)
    about = [(each.project, each.job_id) for each in done]
    changed = sum(each.changed for each in done)
    said = {"add": list(add), "remove": list(remove)}
    note_jobs(tx, Action.TAG, about, who=who, at=at, count=changed, details=said)
    return done
