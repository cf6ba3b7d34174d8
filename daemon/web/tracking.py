"""Tracking over HTTP: `POST /api/v1/jobs` hands jobs over, `GET /api/v1/jobs/{project}/{job_id}` tells of one.

Owns who may and what is answered. Storing is idempotent: a tool that is not sure asks again.
"""

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.routing import Routing
from daemon.metastudio.kinds import AVATAR
from daemon.store import JobRow, StoreError, TrackRequest, Transaction
from daemon.web import facts
from daemon.web.bodies import Refused, machine_answer, read_body, same
from daemon.web.ground import WebGround
from daemon.web.requests import Wanted, read_wanted

MAX_BODY = 1024 * 1024
_LATER = {"Retry-After": "5"}


def router(ground: WebGround) -> APIRouter:
    """The routes of the API."""
    routes = APIRouter(prefix="/api/v1")

    @routes.post("/jobs")
    async def track(request: Request) -> JSONResponse:
        try:
            require_token(request, ground.settings.token)
            wanted = read_wanted(await read_body(request, most=MAX_BODY), ground.projects)
            return machine_answer({"jobs": await _track(ground, wanted)})
        except Refused as refused:
            return refused.answer()
        except StoreError:
            return _busy().answer()

    @routes.get("/jobs/{project}/{job_id}")
    async def show(request: Request, project: str, job_id: str) -> JSONResponse:
        try:
            require_token(request, ground.settings.token)
            return machine_answer(await _show(ground, project, job_id))
        except Refused as refused:
            return refused.answer()
        except StoreError:
            return _busy().answer()

    return routes


def require_token(request: Request, token: str | None) -> None:
    """Raises Refused: 401 without the right bearer token, 403 where the config has none."""
    if token is None:
        raise Refused(403, "the API is off: set web.token in wrapd's config, and send it as a bearer token")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not same(given.strip(), token):
        raise Refused(
            401,
            "the bearer token is missing or wrong: send `Authorization: Bearer TOKEN` with that of web.token",
            headers={"WWW-Authenticate": 'Bearer realm="wrapd"'},
        )


def _busy() -> Refused:
    return Refused(503, "the database does not take it now; nothing was tracked, try again", headers=_LATER)


async def _track(ground: WebGround, wanted: Sequence[Wanted]) -> list[dict[str, object]]:
    at = ground.clock.now()
    told = await ground.store.write(lambda tx: track_wanted(tx, wanted, at=at, routing=ground.routing))
    ground.tracked()
    return told


def track_wanted(
    tx: Transaction, wanted: Sequence[Wanted], *, at: datetime, routing: Routing | None = None
) -> list[dict[str, object]]:
    """Track the jobs, all or none, and say what became of each. One that is known keeps its kind unless another
    is given."""
    known = {
        (project, job_id): job
        for project in dict.fromkeys(each.project for each in wanted)
        for job_id, job in tx.jobs.known(project, [w.job_id for w in wanted if w.project == project]).items()
    }
    kinds = {key: job.kind for key, job in known.items()}
    requests = []
    for each in wanted:
        key = (each.project, each.job_id)
        kinds[key] = each.kind or kinds.get(key, AVATAR.name)  # for those of the same job that follow
        requests.append(
            TrackRequest(
                project=each.project,
                kind=kinds[key],
                job_id=each.job_id,
                label=each.label,
                tags=each.tags,
                batch=each.batch,
            )
        )
    results = tx.jobs.track_many(requests, at=at, routing=routing)
    states = {key: job.state for key, job in known.items()}
    return [
        {
            "project": request.project,
            "job_id": request.job_id,
            "kind": request.kind,
            "result": str(result),
            "state": states.get((request.project, request.job_id)),
        }
        for request, result in zip(requests, results, strict=True)
    ]


async def _show(ground: WebGround, project: str, job_id: str) -> facts.Facts:
    row = None
    try:
        wanted = parse_job_id(job_id)
    except ValueError:
        wanted = None
    if wanted is not None:
        row = await ground.store.read_async(lambda tx: _find(tx, ProjectName(project), wanted))
    if row is None:
        raise Refused(404, "no such job is known; POST it to /api/v1/jobs to have it tracked")
    job, story = row
    now = ground.clock.now()
    return facts.of_job(job, ground.eta(job, now), now=now) | story


def _find(tx: Transaction, project: ProjectName, job_id: JobId) -> tuple[JobRow, facts.Facts] | None:
    rows = tx.jobs.find(job_id, project)
    if not rows:
        return None
    deliveries = sorted(tx.outbox.list(job=rows[0].id), key=lambda row: row.id)
    return rows[0], {
        "transitions": [facts.of_transition(row) for row in tx.history.transitions(rows[0].id)],
        "deliveries": [facts.of_delivery(row, tx.outbox.attempts(row.id), job_id) for row in deliveries],
    }
