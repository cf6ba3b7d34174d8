"""What people say of jobs that are known: changing labels and tags.

What happens to the jobs from then on is routed by them; an alert that waits to be sent stays where it goes.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.commands.entries import RequestFaults
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.text import MAX_TAGS, label
from daemon.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is said of a job now, and whether that is another thing than before."""

    project: ProjectName
    job_id: JobId
    label: str | None
    tags: tuple[str, ...]
    changed: bool


def read_label(text: str) -> str | None:
    """`text` as a label; None for an empty one, which takes a label away. Raises ValueError for one that shows
    nothing."""
    found = label(text)
    if text and not found:
        raise ValueError("it has no character that can be seen; give an empty one to take the label away")
    return found or None


def set_label(tx: Transaction, jobs: Sequence[int], text: str | None) -> list[Described]:
    """Call the jobs of these row ids `text`, as `read_label` gave it."""
    known = tx.labels.of(jobs)
    others = {job.id for job in known if (job.label or None) != text}
    tx.labels.set_label(sorted(others), text)
    return [
        Described(project=job.project, job_id=job.job_id, label=text, tags=job.tags, changed=job.id in others)
        for job in known
    ]


def change_tags(
    tx: Transaction, jobs: Sequence[int], *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> list[Described]:
    """Give the jobs of these row ids the tags of `add` and take those of `remove`, as `words` gave them. Raises
    WrongRequest, which names every job that would have too many."""
    faults = RequestFaults()
    new: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    done = []
    for job in tx.labels.of(jobs):
        tags = tuple(dict.fromkeys([*(tag for tag in job.tags if tag not in remove), *add]))
        if len(tags) > MAX_TAGS:
            faults.add(job.job_id, f"it would have {len(tags)} tags; at most {MAX_TAGS} fit a job")
        if tags != job.tags:
            new[tags].append(job.id)
        done.append(
            Described(project=job.project, job_id=job.job_id, label=job.label, tags=tags, changed=tags != job.tags)
        )
    faults.require_none()
    for tags, those in new.items():
        tx.labels.set_tags(those, tags)
    return done
