"""Parsing of list answers into up to a hundred summaries.

Owns the tolerance for lists: an unusable entry is skipped and counted without affecting the others. Only an answer
without `jobs` is an error. Fields beyond id, state and time are converted on demand. Source: the official SDK's
`ListDigitalHumanVideoResponse` and `DigitalHumanVideo`.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from daemon.domain.jobs import PLAIN_ID
from daemon.domain.states import read_state
from daemon.metastudio.kinds import kind_named
from daemon.metastudio.listing import Listed, Summary
from daemon.metastudio.wire import (
    PolledTask,
    UnusableAnswer,
    is_number,
    lenient_task,
    read_number,
    read_object,
    read_text,
    read_time,
)

_EARLY_YEAR = 1971
"""Times in years up to this one may mean "not set"; `read_time` decides."""


class ListedTask(PolledTask, gc=False):
    """An entry of the list: the fields that a poll needs, and the kind of task."""

    job_type: str | None = None


class _Page(msgspec.Struct, gc=False):
    jobs: list[ListedTask]
    count: int | None = None


class _RawPage(msgspec.Struct, gc=False):
    jobs: list[msgspec.Raw]
    count: Any = None


_EXACT = msgspec.json.Decoder(_Page)
_RAW = msgspec.json.Decoder(_RawPage)
_EXACT_TASK = msgspec.json.Decoder(ListedTask)
_ERRORS = (msgspec.DecodeError, RecursionError, UnicodeError)


def read_list(body: bytes, *, server_time: datetime | None = None, latest: datetime | None = None) -> Listed:
    """Read the entries of a list answer, dropping update times after `latest`, which cannot be genuine.

    Raises `wire.UnusableAnswer` without `jobs`; null and an absent array count as an empty list if `count` is 0.
    """
    try:
        page = _EXACT.decode(body)
    except _ERRORS:
        return _read_each(body, server_time, latest)
    entries, skipped = _summaries(page.jobs, latest)
    return Listed(entries=entries, count=_count(page.count), server_time=server_time, skipped=skipped)


def _summaries(tasks: Iterable[ListedTask], latest: datetime | None) -> tuple[list[Summary], int]:
    entries, skipped = [], 0
    bound = math.inf if latest is None else latest.timestamp()
    plain = PLAIN_ID.fullmatch
    for task in tasks:
        job_id = task.job_id
        if job_id is None or plain(job_id) is None:
            skipped += 1
            continue
        try:
            state = read_state(task.state)
        except ValueError:
            skipped += 1
            continue
        reported = _epoch(task.lastupdate_time)
        if reported is not None and reported > bound:
            reported = task.lastupdate_time = None
        entries.append(Summary(job_id, state, reported, kind_named(task.job_type), task))
    return entries, skipped


def _epoch(text: str | None) -> float | None:
    """Epoch seconds of a time: a fast path for the service's usual format, `read_time` for others."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.year <= _EARLY_YEAR:
        moment = read_time(text)
    return None if moment is None else moment.timestamp()


def _read_each(body: bytes, server_time: datetime | None, latest: datetime | None) -> Listed:
    """The slow path for answers that deviate from the document: read each entry by itself."""
    jobs: list[Any]
    try:
        page = _RAW.decode(body)
        jobs, count = list(page.jobs), page.count
    except _ERRORS:
        found = read_object(body)
        jobs, count = _jobs(found), found.get("count")
    tasks = [task for job in jobs if (task := _task(job)) is not None]
    entries, skipped = _summaries(tasks, latest)
    skipped += len(jobs) - len(tasks)
    return Listed(entries=entries, count=_count(count), server_time=server_time, skipped=skipped)


def _jobs(found: dict[str, Any]) -> list[Any]:
    jobs = found.get("jobs")
    if isinstance(jobs, list):
        return jobs
    if isinstance(jobs, dict):  # a single object in place of an array, as elsewhere
        return [jobs]
    if jobs is None and _count(found.get("count")) == 0:
        return []
    raise UnusableAnswer("the answer has no list of jobs")


def _task(job: Any) -> ListedTask | None:
    try:
        if isinstance(job, msgspec.Raw):
            try:
                return _EXACT_TASK.decode(job)
            except _ERRORS:
                job = read_object(bytes(job))
        if not isinstance(job, dict):
            return None
        task = lenient_task(job)
    except UnusableAnswer:
        return None
    values = {name: getattr(task, name) for name in PolledTask.__struct_fields__}
    return ListedTask(**values, job_type=read_text(job.get("job_type")))


def _count(value: object) -> int | None:
    number = read_number(value)
    return int(number) if is_number(number) and number >= 0 else None
