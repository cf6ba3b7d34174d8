"""Reads a request to track jobs: `POST /api/v1/jobs`. daemon/commands defines what may be said about a job.

A request is checked completely before anything is stored.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import asdict

from daemon.commands import JobEntry, RequestFaults, WrongRequest, read_job
from daemon.domain.jobs import ProjectName
from daemon.web.bodies import HttpError

MOST_JOBS = 1000
"""Maximum number of jobs in one request."""
_READ_AT_ONCE = 16 * 1024
"""Maximum size in bytes of a body that is parsed in the event loop."""
MAX_BODY = 1024 * 1024


class TrackBody(Struct, frozen=True, kw_only=True):
    """A request to track `jobs`, with `retrack` also those that have ended."""

    jobs: list[JobEntry]
    retrack: bool = False


async def read_tracking(body: bytes, projects: Sequence[ProjectName]) -> TrackBody:
    """Parse the body; a large one in a thread, so that other requests do not wait for it. Raises HttpError."""
    if len(body) <= _READ_AT_ONCE:
        return read_wanted(body, projects)
    return await asyncio.to_thread(read_wanted, body, projects)


def read_wanted(body: bytes, projects: Sequence[ProjectName]) -> TrackBody:
    """Parse a request. Raises HttpError: 400 if the body is not JSON, 422 with all faults."""
    value = _parsed(body)
    retrack = value.pop("retrack", None)
    faults = RequestFaults()
    if retrack is not None and not isinstance(retrack, bool):
        faults.add("retrack", "it must be true or false")
    found = [read_job(job, projects, faults, place=partial(str.__add__, place)) for place, job in _jobs(value)]
    try:
        faults.require_none()
    except WrongRequest as wrong:
        faulty = [asdict(fault) for fault in wrong.faults]
        raise HttpError(422, "nothing was tracked; every fault is named with its place", faults=faulty) from None
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
    """Yield each job with its place."""
    if "jobs" not in value:
        yield "", value
        return
    jobs = value["jobs"]
    if len(value) > 1:
        raise _one_fault("jobs", "only retrack may accompany it: put the other keys into each job")
    if not isinstance(jobs, list) or not jobs:
        raise _one_fault("jobs", "it must be a list with at least one job")
    if len(jobs) > MOST_JOBS:
        raise _one_fault("jobs", f"{len(jobs)} jobs are too many; send at most {MOST_JOBS} at once")
    for number, job in enumerate(jobs):
        if not isinstance(job, dict):
            raise _one_fault(f"jobs[{number}]", 'it must be an object, as in {"job_id": "…"}')
        yield f"jobs[{number}].", job


def _one_fault(place: str, text: str) -> HttpError:
    return HttpError(422, "nothing was tracked", faults=[{"place": place, "text": text}])
