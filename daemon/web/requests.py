"""What a tool asks to be tracked: its JSON, read whole and checked before anything is stored. Pure.

Owns the form of `POST /api/v1/jobs`; what may be said of a job is daemon/commands' own.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from daemon.commands import JobEntry, RequestFaults, WrongRequest, read_job
from daemon.domain.jobs import ProjectName
from daemon.web.bodies import HttpError

MOST_JOBS = 1000
"""Jobs of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackBody:
    """What a request wants: these jobs, those that have ended looked at again or not."""

    jobs: list[JobEntry]
    retrack: bool = False


def read_wanted(body: bytes, projects: Sequence[ProjectName]) -> TrackBody:
    """What a request wants. Raises Refused: 400 where the body is no JSON, 422 with all faults."""
    value = _parsed(body)
    retrack = value.pop("retrack", None)
    faults = RequestFaults()
    if retrack is not None and not isinstance(retrack, bool):
        faults.add("retrack", "it must be true or false")
    found = [read_job(job, projects, faults, place=partial(str.__add__, place)) for place, job in _jobs(value)]
    try:
        faults.require_none()
    except WrongRequest as wrong:
        told = [asdict(fault) for fault in wrong.faults]
        raise HttpError(422, "nothing was tracked; every fault is named with its place", faults=told) from None
    return TrackBody(jobs=[each for each in found if each is not None], retrack=retrack is True)


def _parsed(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        where = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise HttpError(400, f'the body is not JSON{where}; send one job, or {{"jobs": […]}}') from None
    if not isinstance(value, dict):
        raise HttpError(400, 'the body is not an object; send one job, or {"jobs": […]}')
    return value


def _jobs(value: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Each job with its place."""
    if "jobs" not in value:
        yield "", value
        return
    jobs = value["jobs"]
    if len(value) > 1:
        raise _one_fault("jobs", "it stands alone, but for retrack: put the other keys into each job")
    if not isinstance(jobs, list) or not jobs:
        raise _one_fault("jobs", "it must be a list with a job at least")
    if len(jobs) > MOST_JOBS:
        raise _one_fault("jobs", f"{len(jobs)} jobs are too many; send at most {MOST_JOBS} at once")
    for number, job in enumerate(jobs):
        if not isinstance(job, dict):
            raise _one_fault(f"jobs[{number}]", 'it must be an object, as in {"job_id": "…"}')
        yield f"jobs[{number}].", job


def _one_fault(place: str, text: str) -> HttpError:
    return HttpError(422, "nothing was tracked", faults=[{"place": place, "text": text}])
