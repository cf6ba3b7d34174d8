"""Mutes: `/api/v1/mutes`, whose alerts are kept for a while, and the mute of one job."""

from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from daemon import views
from daemon.commands import MuteWish, end_mutes, mute
from daemon.domain.jobs import ProjectName
from daemon.domain.mutes import LEAST_MUTE, MOST_COMMENT, MOST_MUTE, MuteEnd, MuteScope
from daemon.domain.text import word
from daemon.store import MuteRow, Page, Transaction
from daemon.web.access import Context, who
from daemon.web.api.jobs import JOB, known_job
from daemon.web.api.lists import USUAL, Cursor, Limit, page_answer, read_cursor, wrong
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.bodies import ApiRequest, HttpError, machine_answer
from daemon.web.context import WebContext

MuteItem = shape(views.Mute)
EndedMute = msgspec.defstruct("EndedMute", [("mute", MuteItem), ("count", int)], kw_only=True)
Seconds = Annotated[
    int,
    msgspec.Meta(
        ge=int(LEAST_MUTE.total_seconds()), le=int(MOST_MUTE.total_seconds()), description="How long, in seconds."
    ),
]
Comment = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_COMMENT, description="Why, for the others.")]


class JobMute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to mute a job; `then` is what becomes of its alerts at the end."""

    for_: Seconds = msgspec.field(name="for")
    comment: Comment
    then: MuteEnd = MuteEnd.SEND


class NewMute(JobMute, kw_only=True, forbid_unknown_fields=True):
    """What to mute: the id of a job, or the name of a batch, tag or channel; null for `project`: in any."""

    scope: MuteScope
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    project: str | None = None


@get("/api/v1/mutes", responses=answers(listing(MuteItem, "Mutes"), "A page of mutes."))
async def list_mutes(
    context: Context,
    everything: Annotated[bool, QueryParameter(name="all", description="Also those that have ended.")] = False,
    limit: Limit = USUAL,
    cursor: Cursor = None,
) -> Response[object]:
    """List mutes, the first to end first; with `all` the latest first."""
    given = {"all": everything, "of": "mutes"}
    after = read_cursor(cursor, given)

    def read(tx: Transaction) -> tuple[Page[MuteRow], dict[int, int]]:
        return tx.mutes.page(ended=everything, limit=limit, after=after), tx.mutes.kept()

    page, kept = await context.store.read_async(read)
    now = context.clock.now()
    items = [views.document(views.mute(row, kept=kept.get(row.id, 0), now=now)) for row in page.rows]
    return page_answer(page, items, given, now=now)


@post("/api/v1/mutes", status_code=200, responses=answers(MuteItem, "The mute."))
async def post_mute(request: ApiRequest, data: JSONBody[NewMute], context: Context) -> Response[object]:
    """Keep the alerts of a job, batch, tag or channel for a while."""
    project = None if data.project is None else ProjectName(data.project)
    if project is not None and project not in context.projects:
        raise wrong("project", "the config has no such project")
    subject = _subject(data, context)
    if data.scope is MuteScope.JOB and project is None:
        raise wrong("project", "it is missing: ids of jobs are those of a project")

    def work(tx: Transaction) -> tuple[MuteRow, int]:
        if data.scope is MuteScope.JOB:
            known_job(tx, str(project), subject)
        return mute(tx, _wish(data, data.scope, subject, project), at=at, who=by)

    at, by = context.clock.now(), who(request)
    row, kept = await context.store.write(work)
    return answer(views.mute(row, kept=kept, now=at))


@post(f"{JOB}/mute", status_code=200, responses=answers(MuteItem, "The mute."))
async def mute_job(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], data: JSONBody[JobMute], context: Context
) -> Response[object]:
    """Keep the alerts of a job for a while."""
    at, by = context.clock.now(), who(request)

    def work(tx: Transaction) -> tuple[MuteRow, int]:
        job = known_job(tx, project, job_id)
        return mute(tx, _wish(data, MuteScope.JOB, job.job_id, job.project), at=at, who=by)

    row, kept = await context.store.write(work)
    return answer(views.mute(row, kept=kept, now=at))


@delete("/api/v1/mutes/{id:int}", status_code=200, responses=answers(EndedMute, "The mute as it is now."))
async def delete_mute(
    request: ApiRequest,
    id: Annotated[int, PathParameter(ge=1, le=2**53, description="The mute's number.")],  # noqa: A002
    context: Context,
    then: Annotated[
        MuteEnd | None, QueryParameter(description="What becomes of its alerts; if absent, as asked at its start.")
    ] = None,
) -> Response[object]:
    """End a mute now. `count` is how many alerts were sent or dropped because of it; 0 if it had ended."""
    at, by = context.clock.now(), who(request)

    def work(tx: Transaction) -> tuple[MuteRow, int]:
        if id not in tx.mutes.get([id]):
            raise HttpError(404, "there is no such mute")
        ended = end_mutes(tx, [id], at=at, who=by, then=then)
        return tx.mutes.get([id])[id], sum(each.count for each in ended)

    row, count = await context.store.write(work)
    return machine_answer({"mute": views.document(views.mute(row, kept=0, now=at)), "count": count})


def _wish(how: JobMute, scope: MuteScope, subject: str, project: ProjectName | None) -> MuteWish:
    lasts = timedelta(seconds=how.for_)
    return MuteWish(scope=scope, subject=subject, project=project, lasts=lasts, comment=how.comment, then=how.then)


def _subject(data: NewMute, context: WebContext) -> str:
    """Whose alerts. Raises HttpError 422 for a name that can be no one's."""
    if data.scope is MuteScope.CHANNEL and data.subject not in context.channels:
        raise wrong("subject", "the config has no such channel")
    if data.scope in (MuteScope.BATCH, MuteScope.TAG):
        try:
            return word(data.subject)
        except ValueError as error:
            raise wrong("subject", str(error)) from None
    return data.subject


HANDLERS = (list_mutes, post_mute, mute_job, delete_mute)
