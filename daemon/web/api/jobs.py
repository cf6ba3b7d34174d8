"""Jobs: `/api/v1/jobs`. Tracking is idempotent, so a tool may safely repeat it."""

import contextlib
from datetime import datetime

from litestar import Response, get, post
from litestar.params import FromPath

from daemon import views
from daemon.commands import track
from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import stamp
from daemon.store import JobRow, Transaction
from daemon.web.access import Context, who
from daemon.web.bodies import ApiRequest, HttpError, machine_answer, read_body
from daemon.web.tracking import MAX_BODY, read_tracking


@post("/api/v1/jobs", status_code=200)
async def post_jobs(request: ApiRequest, context: Context) -> Response[object]:
    """Track one job, or several as `{"jobs": […]}`."""
    wanted = await read_tracking(await read_body(request, most=MAX_BODY), context.projects)
    at, by = context.clock.now(), who(request)
    done = await context.store.write(
        lambda tx: track(tx, wanted.jobs, at=at, routing=context.routing, retrack=wanted.retrack, who=by)
    )
    context.tracked()
    tracked = [views.document(views.tracked(each.project, each.job_id, each.tracked)) for each in done]
    return machine_answer({"jobs": tracked})


@get("/api/v1/jobs/{project:str}/{job_id:str}")
async def get_job(project: FromPath[str], job_id: FromPath[str], context: Context) -> Response[object]:
    """Return a job with its transitions and deliveries."""
    found, now = None, context.clock.now()
    with contextlib.suppress(ValueError):
        wanted = parse_job_id(job_id)
        found = await context.store.read_async(lambda tx: _find(tx, ProjectName(project), wanted, now))
    if found is None:
        raise HttpError(404, "no such job is known; POST it to /api/v1/jobs to have it tracked")
    job, story = found
    now = context.clock.now()
    shown = views.job(views.kept(job, context.projects), now=now, eta=context.eta(job, now))
    return machine_answer(views.document(shown, without=["eta_reason"]) | story)


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


HANDLERS = [post_jobs, get_job]
