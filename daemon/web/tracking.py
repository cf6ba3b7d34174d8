"""Tracking over HTTP: `POST /api/v1/jobs` tracks jobs, `GET /api/v1/jobs/{project}/{job_id}` returns one.

Owns authentication and the form of requests and answers; daemon/commands defines what may be said about a job.
A request is checked completely before anything is stored. Tracking is idempotent, so a tool may safely repeat it.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from daemon import views
from daemon.commands import JobEntry, RequestFaults, WrongRequest, read_job, track
from daemon.domain.actions import actor
from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import stamp
from daemon.store import JobRow, StoreError, Transaction
from daemon.web.bodies import HttpError, machine_answer, read_body, same
from daemon.web.context import WebContext

MOST_JOBS = 1000
"""Maximum number of jobs in one request."""
_READ_AT_ONCE = 16 * 1024
"""Maximum size in bytes of a body that is parsed in the event loop."""
MAX_BODY = 1024 * 1024
_LATER = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackBody:
    """A request to track `jobs`, with `retrack` also those that have ended."""

    jobs: list[JobEntry]
    retrack: bool = False


def router(context: WebContext) -> APIRouter:
    """The routes of the API."""
    routes = APIRouter(prefix="/api/v1")

    @routes.post("/jobs")
    async def post(request: Request) -> JSONResponse:
        try:
            require_token(request, context.settings.token)
            wanted = await _read(await read_body(request, most=MAX_BODY), context.projects)
            return machine_answer({"jobs": await _track(context, wanted)})
        except HttpError as refused:
            return refused.answer()
        except StoreError:
            return _busy().answer()

    @routes.get("/jobs/{project}/{job_id}")
    async def show(request: Request, project: str, job_id: str) -> JSONResponse:
        try:
            require_token(request, context.settings.token)
            return machine_answer(await _show(context, project, job_id))
        except HttpError as refused:
            return refused.answer()
        except StoreError:
            return _busy().answer()

    return routes


def require_token(request: Request, token: str | None) -> None:
    """Raise HttpError: 401 without the right bearer token, 403 if the config has none."""
    if token is None:
        raise HttpError(403, "the API is off: set web.token in wrapd's config, and send it as a bearer token")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not same(given.strip(), token):
        raise HttpError(
            401,
            "the bearer token is missing or wrong: send `Authorization: Bearer TOKEN` with the value of web.token",
            headers={"WWW-Authenticate": 'Bearer realm="wrapd"'},
        )


def _busy() -> HttpError:
    return HttpError(503, "the database is not available now; nothing was tracked, try again", headers=_LATER)


async def _track(context: WebContext, wanted: TrackBody) -> list[dict[str, object]]:
    at, who = context.clock.now(), actor("token", "web.token")
    done = await context.store.write(
        lambda tx: track(tx, wanted.jobs, at=at, routing=context.routing, retrack=wanted.retrack, who=who)
    )
    context.tracked()
    return [views.document(views.tracked(each.project, each.job_id, each.tracked)) for each in done]


async def _read(body: bytes, projects: Sequence[ProjectName]) -> TrackBody:
    """Parse the body; a large one in a thread, so that other requests do not wait for it."""
    if len(body) <= _READ_AT_ONCE:
        return read_wanted(body, projects)
    return await asyncio.to_thread(read_wanted, body, projects)


async def _show(context: WebContext, project: str, job_id: str) -> dict[str, object]:
    found, now = None, context.clock.now()
    with contextlib.suppress(ValueError):
        wanted = parse_job_id(job_id)
        found = await context.store.read_async(lambda tx: _find(tx, ProjectName(project), wanted, now))
    if found is None:
        raise HttpError(404, "no such job is known; POST it to /api/v1/jobs to have it tracked")
    job, story = found
    now = context.clock.now()
    shown = views.job(views.kept(job, context.projects), now=now, eta=context.eta(job, now))
    return views.document(shown, without=["eta_reason"]) | story


def _find(
    tx: Transaction, project: ProjectName, job_id: JobId, now: datetime
) -> tuple[JobRow, dict[str, object]] | None:
    rows = tx.jobs.find(job_id, project)
    if not rows:
        return None
    deliveries = sorted(tx.outbox.list(job=rows[0].id), key=lambda row: row.id)
    at = views.Situation(standing=tx.queue.standing(deliveries, now=now), now=now, moment=stamp)
    deliveries_shown = [
        views.delivery(row, tx.outbox.attempts(row.id), job_id, why=views.why(row, at)) for row in deliveries
    ]
    return rows[0], {
        "transitions": [views.document(views.transition(row)) for row in tx.history.transitions(rows[0].id)],
        "deliveries": [views.document(each) for each in deliveries_shown],
    }


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
