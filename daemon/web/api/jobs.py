"""Jobs: `/api/v1/jobs`. Tracking is idempotent, so a tool may safely repeat it."""

from datetime import datetime
from functools import partial
from hashlib import blake2b
from types import GenericAlias
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from msgspec.structs import asdict

from daemon import views
from daemon.commands import JobChange, Stopped, WrongRequest, change_job, read_change, track, untrack
from daemon.domain.actions import Action
from daemon.domain.jobs import ProjectName, Tracking, parse_job_id
from daemon.store import JobFilter, JobRow, JobSort, Transaction
from daemon.web.access import Context, who
from daemon.web.api.lists import (
    USUAL,
    Cursor,
    Since,
    page_answer,
    read_cursor,
    read_since,
    whole_answer,
    word,
    wrong,
)
from daemon.web.api.shapes import URLS, answers, listing, shape
from daemon.web.api.sheets import JobsFormat, sheet_answer
from daemon.web.bodies import ApiRequest, HttpError, machine_answer, read_body
from daemon.web.context import WebContext
from daemon.web.tracking import MAX_BODY, read_tracking

JOB = "/api/v1/jobs/{project:str}/{job_id:str}"
JobItem = shape(views.Job, name="JobItem", without=URLS)
TransitionItem = shape(views.Transition)
JobStory = shape(views.Job, views.JobLog, name="JobStory")
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        max_length=500,
        description="Only if the job is as its ETag said: nobody has changed it since, and its state is the same.",
    ),
]

TrackedJobs = msgspec.defstruct("TrackedJobs", [("jobs", GenericAlias(list, (shape(views.Tracked),)))])


class AskAnswer(msgspec.Struct, kw_only=True):
    """The result of asking about a job."""

    project: str
    job_id: str
    watched: bool


class JobPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Changes of a job. What is not given stays."""

    label: str | msgspec.UnsetType | None = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType = msgspec.UNSET
    batch: str | msgspec.UnsetType = msgspec.UNSET
    note: str | msgspec.UnsetType | None = msgspec.UNSET


@get("/api/v1/jobs", responses=answers(listing(JobItem, "Jobs"), "A page of jobs, without links."))
async def list_jobs(
    *,
    request: ApiRequest,
    context: Context,
    project: Annotated[str | None, word("Name of the project.")] = None,
    kind: Annotated[str | None, word("Its kind, such as avatar.")] = None,
    job_state: Annotated[str | None, QueryParameter(name="state", max_length=200, description="State.")] = None,
    tracking: Annotated[Tracking | None, QueryParameter(description="Whether it is watched.")] = None,
    tag: Annotated[str | None, word("One of its tags.")] = None,
    batch: Annotated[str | None, word("Its batch.")] = None,
    q: Annotated[str | None, word("Part of its id, label, name, batch or tags, in any case.")] = None,
    since: Since = None,
    sort: Annotated[JobSort | None, QueryParameter(description="The order; with `since` only changed.")] = None,
    as_: Annotated[
        JobsFormat, QueryParameter(name="format", description="JSON, or a CSV for programs or for Excel.")
    ] = JobsFormat.JSON,
    limit: Annotated[
        int | None,
        QueryParameter(ge=1, le=200, description=f"At most this many items, else {USUAL}; not of a CSV."),
    ] = None,
    cursor: Cursor = None,
) -> Response[Any]:
    """List jobs, ended ones included."""
    fit: JobFilter = {
        "project": None if project is None else ProjectName(project),
        "kind": kind,
        "tracking": tracking,
        "state": job_state,
        "tag": tag,
        "batch": batch,
        "since": read_since(since),
    }
    order = sort or (JobSort.NEWEST if since is None else JobSort.CHANGED)
    if since is not None and order is not JobSort.CHANGED:
        raise HttpError(422, f"sort: `since` sorts by the last change of state; leave out sort={order}")
    given = {**fit, "q": q, "sort": order, "of": "jobs"}
    after, now = read_cursor(cursor, given), context.clock.now()
    if as_ is not JobsFormat.JSON:
        if limit is not None:
            raise wrong("limit", "a CSV holds all that fit, up to its bounds; leave it out")
        view = partial(job_view, context, now=now)
        return await sheet_answer(
            request, context, fit, sort=order, search=q, after=after, given=given, view=view, as_=as_
        )
    page = await context.store.read_async(
        lambda tx: tx.jobs.page(limit=limit or USUAL, after=after, sort=order, search=q, **fit)
    )
    items = [views.document(job_view(context, row, now), without=URLS) for row in page.rows]
    return page_answer(page, items, given, now=now)


@post("/api/v1/jobs", status_code=200, responses=answers(TrackedJobs, "What was done with each."))
async def post_jobs(request: ApiRequest, context: Context) -> Response[object]:
    """Track one job, or several as `{"jobs": […]}`."""
    wanted = await read_tracking(await read_body(request, most=MAX_BODY), context.projects)
    at, by = context.clock.now(), who(request)
    done = await context.store.write(
        lambda tx: track(tx, wanted.jobs, at=at, routing=context.routing, retrack=wanted.retrack, who=by)
    )
    tracked = [views.document(views.tracked(each.project, each.job_id, each.tracked)) for each in done]
    return machine_answer({"jobs": tracked})


@get(JOB, responses=answers(JobStory, "The job."))
async def get_job(project: FromPath[str], job_id: FromPath[str], context: Context) -> Response[object]:
    """Return a job with its transitions, deliveries and actions."""
    now = context.clock.now()
    job, told = await context.store.read_async(
        lambda tx: story_of(tx, context, known_job(tx, project, job_id), now)
    )
    return _answer(context, job, told)


@get(f"{JOB}/transitions", responses=answers(listing(TransitionItem, "Transitions"), "All changes."))
async def list_transitions(project: FromPath[str], job_id: FromPath[str], context: Context) -> Response[object]:
    """List the observed changes of a job's state, oldest first."""
    rows = await context.store.read_async(lambda tx: tx.history.transitions(known_job(tx, project, job_id).id))
    return whole_answer([views.document(views.transition(row)) for row in rows], now=context.clock.now())


@patch(JOB, responses=answers(JobStory, "The job as it is now."))
async def patch_job(
    *,
    request: ApiRequest,
    project: FromPath[str],
    job_id: FromPath[str],
    data: JSONBody[JobPatch],
    context: Context,
    if_match: IfMatch = None,
) -> Response[object]:
    """Change a job's label or note (null removes it), its tags (all of them) or its batch."""
    by, now = who(request), context.clock.now()
    wanted = _read_change(data)

    def work(tx: Transaction) -> tuple[JobRow, views.JobLog]:
        row = _unchanged(known_job(tx, project, job_id), if_match)
        change_job(tx, row, wanted, at=now, who=by, routing=context.routing)
        return story_of(tx, context, known_job(tx, project, job_id), now)

    job, told = await context.store.write(work)
    return _answer(context, job, told)


@delete(JOB, status_code=200, responses=answers(Stopped, "What was done."))
async def delete_job(
    *,
    request: ApiRequest,
    project: FromPath[str],
    job_id: FromPath[str],
    context: Context,
    if_match: IfMatch = None,
) -> Response[object]:
    """Stop watching a job, and revoke wrapd's own link to its video. Its record stays; `tracking` is the one
    before."""
    at, by = context.clock.now(), who(request)

    def work(tx: Transaction) -> list[Stopped]:
        row = _unchanged(known_job(tx, project, job_id), if_match)
        return untrack(tx, [row.id], at=at, who=by, routing=context.routing)

    [done] = await context.store.write(work)
    return machine_answer(asdict(done))


@post(f"{JOB}/ask", status_code=200, responses=answers(AskAnswer, "Whether it is queried."))
async def ask_job(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], context: Context
) -> Response[object]:
    """Query the service for a job now. `watched` is false if the daemon does not watch it."""
    at, by = context.clock.now(), who(request)

    def work(tx: Transaction) -> JobRow:
        row = known_job(tx, project, job_id)
        tx.actions.note(Action.ASK, who=by, at=at, project=row.project, subject=row.job_id)
        return row

    row = await context.store.write(work)
    watched = context.hint(row.project, row.job_id)
    return machine_answer({"project": row.project, "job_id": row.job_id, "watched": watched})


def known_job(tx: Transaction, project: str, job_id: str) -> JobRow:
    """The job. Raises HttpError 404."""
    try:
        rows = tx.jobs.find(parse_job_id(job_id), ProjectName(project))
    except ValueError:
        rows = []
    if not rows:
        raise HttpError(404, "no such job is known; POST it to /api/v1/jobs to have it tracked", key="no_job")
    return rows[0]


def _etag(row: JobRow) -> str:
    """The version of a job, as an entity tag: another one once people changed it or its state changed; the same
    after a poll without news, so that a change is not refused because of one."""
    seen = (row.episode, row.tracking, row.state, row.state_since, row.label, row.tags, row.batch, row.note)
    return f'"{blake2b(msgspec.json.encode(seen), digest_size=12).hexdigest()}"'


def _unchanged(row: JobRow, if_match: str | None) -> JobRow:
    """The job, if its version is one that If-Match names. A proxy that compresses makes a tag weak: it counts.
    Raises HttpError 412."""
    tags = [each.strip().removeprefix("W/") for each in (if_match or "*").split(",")]
    if "*" not in tags and _etag(row) not in tags:
        raise HttpError(
            412,
            "nothing was changed: the job is no longer as If-Match says; GET it again, and send its new ETag",
            headers={"ETag": _etag(row)},
        )
    return row


def story_of(
    tx: Transaction,
    context: WebContext,
    row: JobRow,
    now: datetime,
    *,
    telling: views.Telling | None = None,
) -> tuple[JobRow, views.JobLog]:
    """The job, and everything that happened to it; `telling` as for `shown_deliveries`."""
    deliveries = sorted(tx.deliveries.list(job=row.id), key=lambda each: each.id)
    standing = tx.queue.standing(deliveries, now=now)
    at = views.Situation(standing=standing, now=now, telling=telling or views.Telling(), channels=context.channels)
    tries = tx.deliveries.attempts_of([each.id for each in deliveries])
    told = views.story(
        row.job_id,
        tx.history.transitions(row.id),
        [(each, tries.get(each.id, [])) for each in deliveries],
        tx.actions.page(limit=views.MOST_ACTIONS, project=row.project, subject=row.job_id).rows[::-1],
        at,
    )
    return row, told


def job_view(context: WebContext, row: JobRow, now: datetime, *, links: bool = True) -> views.Job:
    """The view of a job, with what the daemon has learned; `links` as for `views.job`."""
    kept = views.kept(row, context.projects)
    expected = views.outlook(kept, context.durations(), now=now)
    return views.job(kept, now=now, eta=expected.eta, eta_reason=expected.reason, links=links)


def _answer(context: WebContext, row: JobRow, told: views.JobLog) -> Response[object]:
    job = job_view(context, row, context.clock.now())
    return machine_answer(views.document(job) | views.document(told), headers={"ETag": _etag(row)})


def _read_change(data: JobPatch) -> JobChange:
    """Check a change. Raises HttpError 422 with all faults."""
    given = {key: value or "" for key in _CHANGES if (value := getattr(data, key)) is not msgspec.UNSET}
    try:
        return read_change(given)
    except WrongRequest as wrong:
        listed = [asdict(fault) for fault in wrong.faults]
        raise HttpError(422, "nothing was changed; every fault is named with its place", faults=listed) from None


_CHANGES = ("label", "tags", "batch", "note")

HANDLERS = (list_jobs, post_jobs, get_job, list_transitions, patch_job, delete_job, ask_job)
