"""Tracking over HTTP: `POST /api/v1/jobs` hands jobs over, `GET /api/v1/jobs/{project}/{job_id}` tells of one.

Owns who may and what is answered. Storing is idempotent: a tool that is not sure asks again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from daemon import views
from daemon.commands import track
from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import stamp
from daemon.store import JobRow, StoreError, Transaction
from daemon.web.bodies import HttpError, machine_answer, read_body, same
from daemon.web.context import WebGround
from daemon.web.requests import TrackBody, read_wanted

_READ_AT_ONCE = 16 * 1024
"""Bytes of a body that is read where all else goes on."""
MAX_BODY = 1024 * 1024
_LATER = {"Retry-After": "5"}


def router(ground: WebGround) -> APIRouter:
    """The routes of the API."""
    routes = APIRouter(prefix="/api/v1")

    @routes.post("/jobs")
    async def post(request: Request) -> JSONResponse:
        try:
            require_token(request, ground.settings.token)
            asked = await _read(await read_body(request, most=MAX_BODY), ground.projects)
            return machine_answer({"jobs": await _track(ground, asked)})
        except HttpError as refused:
            return refused.answer()
        except StoreError:
            return _busy().answer()

    @routes.get("/jobs/{project}/{job_id}")
    async def show(request: Request, project: str, job_id: str) -> JSONResponse:
        try:
            require_token(request, ground.settings.token)
            return machine_answer(await _show(ground, project, job_id))
        except HttpError as refused:
            return refused.answer()
        except StoreError:
            return _busy().answer()

    return routes


def require_token(request: Request, token: str | None) -> None:
    """Raises Refused: 401 without the right bearer token, 403 where the config has none."""
    if token is None:
        raise HttpError(403, "the API is off: set web.token in wrapd's config, and send it as a bearer token")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not same(given.strip(), token):
        raise HttpError(
            401,
            "the bearer token is missing or wrong: send `Authorization: Bearer TOKEN` with that of web.token",
            headers={"WWW-Authenticate": 'Bearer realm="wrapd"'},
        )


def _busy() -> HttpError:
    return HttpError(503, "the database does not take it now; nothing was tracked, try again", headers=_LATER)


async def _track(ground: WebGround, asked: TrackBody) -> list[dict[str, object]]:
    at = ground.clock.now()
    done = await ground.store.write(
        lambda tx: track(tx, asked.jobs, at=at, routing=ground.routing, retrack=asked.retrack)
    )
    ground.tracked()
    return [views.document(views.tracked(each.project, each.job_id, each.tracked)) for each in done]


async def _read(body: bytes, projects: Sequence[ProjectName]) -> TrackBody:
    """What the body wants. A large one takes its time: others do not wait for it."""
    if len(body) <= _READ_AT_ONCE:
        return read_wanted(body, projects)
    return await asyncio.to_thread(read_wanted, body, projects)


async def _show(ground: WebGround, project: str, job_id: str) -> dict[str, object]:
    found, now = None, ground.clock.now()
    with contextlib.suppress(ValueError):
        wanted = parse_job_id(job_id)
        found = await ground.store.read_async(lambda tx: _find(tx, ProjectName(project), wanted, now))
    if found is None:
        raise HttpError(404, "no such job is known; POST it to /api/v1/jobs to have it tracked")
    job, story = found
    now = ground.clock.now()
    shown = views.job(views.kept(job, ground.projects), now=now, eta=ground.eta(job, now))
    return views.document(shown, without=["eta_reason"]) | story


def _find(
    tx: Transaction, project: ProjectName, job_id: JobId, now: datetime
) -> tuple[JobRow, dict[str, object]] | None:
    rows = tx.jobs.find(job_id, project)
    if not rows:
        return None
    deliveries = sorted(tx.outbox.list(job=rows[0].id), key=lambda row: row.id)
    at = views.Situation(standing=tx.queue.standing(deliveries, now=now), now=now, moment=stamp)
    told = [views.delivery(row, tx.outbox.attempts(row.id), job_id, why=views.why(row, at)) for row in deliveries]
    return rows[0], {
        "transitions": [views.document(views.transition(row)) for row in tx.history.transitions(rows[0].id)],
        "deliveries": [views.document(each) for each in told],
    }
