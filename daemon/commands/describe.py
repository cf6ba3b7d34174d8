"""Changes labels, tags and notes of known jobs. Later events are routed by labels and tags; which alerts were
written does not change, but each message shows them as they are when it is sent."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from daemon.commands.entries import RequestFaults
from daemon.commands.noting import note_jobs
from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import JobId, KindSource, ProjectName
from daemon.domain.routing import Routing
from daemon.domain.text import MAX_TAGS, label, note, word, words
from daemon.store import JobRow, TrackRequest, TrackRule, Transaction


class Described(Struct, frozen=True, kw_only=True):
    """A job's label, tags and note now, and whether they were changed."""

    project: ProjectName
    job_id: JobId
    label: str | None
    tags: tuple[str, ...]
    changed: bool
    note: str | None = None


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
        tx.labels.set_tags(those, tags, at=at)
    about = [(each.project, each.job_id) for each in done]
    changed = sum(each.changed for each in done)
    said = {"add": list(add), "remove": list(remove)}
    note_jobs(tx, Action.TAG, about, who=who, at=at, count=changed, details=said)
    return done


def read_note(text: str) -> str | None:
    """`text` as a note; None for an empty one, which removes the note. Raises ValueError for invisible or too long
    text."""
    found = note(text)
    if text and not found:
        raise ValueError("it has no visible character; give an empty text to remove the note")
    return found or None


def set_note(
    tx: Transaction, jobs: Sequence[int], text: str | None, *, who: Actor, at: datetime
) -> list[Described]:
    """Set the note on the jobs with these row ids to `text`, as returned by `read_note`. What the note says is not
    kept among the actions."""
    done = []
    for job in tx.labels.of(jobs):
        changed = job.note != text
        if changed:
            tx.labels.set_note([job.id], text)
            tx.actions.note(
                Action.NOTE,
                who=who,
                at=at,
                project=job.project,
                subject=job.job_id,
                details={"removed": text is None},
            )
        done.append(
            Described(
                project=job.project, job_id=job.job_id, label=job.label, tags=job.tags, changed=changed, note=text
            )
        )
    return done


_ONLY_KNOWN = TrackRule(add=False, again=frozenset())


class JobChange(Struct, frozen=True, kw_only=True):
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
