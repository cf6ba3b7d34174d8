"""A job's page, `/jobs/{project}/{job_id}`, and what people do there."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from daemon import views
from daemon.commands import MuteWish, end_mutes, mute, note_asked, read_note, retry, set_note
from daemon.domain.durations import ETA_FROM
from daemon.domain.mutes import MuteScope
from daemon.store import AnswerRow, JobRow, MuteRow, Transaction
from daemon.views import link_end
from daemon.web.access import Context, form_of, who
from daemon.web.api.jobs import job_view, known_job, story_of
from daemon.web.bodies import ApiRequest, HttpError
from daemon.web.context import WebContext
from daemon.web.pages.drawing import timeline
from daemon.web.pages.login import go
from daemon.web.pages.rendering import page, pretty, read_live, wording_of
from daemon.web.pages.wording import batch_path, job_path, to_https, tone
from daemon.web.settings import own_url

JOB = "/jobs/{project:str}/{job_id:str}"
HOURS = (1, 4, 24, 168)
"""For how long a job can be muted on its page."""
Done = Annotated[str, QueryParameter(max_length=20)]
_Kept = tuple[str | None, AnswerRow | None]
"""Which cover there is, and the service's last answer."""


class VideoLinks(Struct, frozen=True, kw_only=True):
    """Where its video can be seen: links that a page may lead to and that have not expired."""

    watch: str | None
    download: str | None
    copy: str | None


@get(JOB)
async def get_job(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], context: Context, done: Done = ""
) -> Response[bytes]:
    """Show a job."""
    now, w = context.clock.now(), wording_of(request, context)

    def read(tx: Transaction) -> tuple[JobRow, views.JobLog, VideoLinks, list[MuteRow], _Kept]:
        row = known_job(tx, project, job_id)
        _, log = story_of(tx, context, row, now, telling=w.telling())
        mutes = list(tx.mutes.of_job(row.id))
        full = tx.pictures.get(row.id)
        small = bool(tx.pictures.small([row.id]))
        cover = "full" if full is not None and full.data is not None else "small" if small else None
        return row, log, _links(tx, context, row), mutes, (cover, tx.history.answer(row.id))

    changes, (row, log, links, mutes, (cover, said)) = await read_live(context, read)
    job = job_view(context, row, now)
    return page(
        request,
        context,
        "job.html",
        after=changes,
        job=job,
        why=views.outlook(row, context.durations(), now=now).why,
        least=ETA_FROM,
        tone=tone(job),
        log=log,
        links=links,
        mutes=[views.mute(each, kept=0, now=now) for each in mutes],
        cover=cover,
        answer=None if said is None else pretty(said.body),
        answered_at=None if said is None else said.at,
        path=job_path(row.project, row.job_id),
        batch_path_of=batch_path,
        drawn=timeline(job, log),
        hours=HOURS,
        done=done if done in ("asked", "unwatched", "noted", "muted", "unmuted", "retried") else "",
    )


@post(f"{JOB}/ask", status_code=303)
async def ask_about(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], context: Context
) -> Response[bytes]:
    """Query the service for a job now."""
    at, by = context.clock.now(), who(request)

    def work(tx: Transaction) -> JobRow:
        row = known_job(tx, project, job_id)
        note_asked(tx, [row.id], who=by, at=at)
        return row

    row = await context.store.write(work)
    watched = context.hint(row.project, row.job_id)
    return _back(row, "asked" if watched else "unwatched")


@post(f"{JOB}/note", status_code=303)
async def note_on(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], context: Context
) -> Response[bytes]:
    """Put a line on a job, or take it off."""
    at, by = context.clock.now(), who(request)
    try:
        text = read_note(form_of(request).get("note", ""))
    except ValueError as error:
        raise HttpError(422, f"nothing was changed: {error}", key="note") from None

    def work(tx: Transaction) -> JobRow:
        row = known_job(tx, project, job_id)
        set_note(tx, [row.id], text, who=by, at=at)
        return row

    return _back(await context.store.write(work), "noted")


def mute_lasts(form: Mapping[str, str]) -> timedelta:
    """How long a form mutes. Raises HttpError 422 for what it does not offer."""
    if form.get("hours", "") not in map(str, HOURS):
        raise HttpError(422, "nothing was muted: choose for how long", key="mute")
    return timedelta(hours=int(form["hours"]))


@post(f"{JOB}/mute", status_code=303)
async def mute_alerts(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], context: Context
) -> Response[bytes]:
    """Keep the alerts of a job for some hours."""
    at, by, form = context.clock.now(), who(request), form_of(request)
    lasts, comment = mute_lasts(form), form.get("comment", "")

    def work(tx: Transaction) -> JobRow:
        row = known_job(tx, project, job_id)
        wish = MuteWish(scope=MuteScope.JOB, subject=row.job_id, project=row.project, lasts=lasts, comment=comment)
        mute(tx, wish, at=at, who=by)
        return row

    return _back(await context.store.write(work), "muted")


@post(f"{JOB}/unmute", status_code=303)
async def unmute_alerts(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], context: Context
) -> Response[bytes]:
    """End the mutes of this job; those of its batch, tags or channels stay."""
    at, by = context.clock.now(), who(request)

    def work(tx: Transaction) -> JobRow:
        row = known_job(tx, project, job_id)
        own = [each.id for each in tx.mutes.of_job(row.id) if each.scope is MuteScope.JOB]
        end_mutes(tx, own, at=at, who=by)
        return row

    return _back(await context.store.write(work), "unmuted")


@post(f"{JOB}/retry", status_code=303)
async def retry_alert(
    request: ApiRequest, project: FromPath[str], job_id: FromPath[str], context: Context
) -> Response[bytes]:
    """Send an alert of a job now that was given up, is held or muted."""
    at, by, given = context.clock.now(), who(request), form_of(request).get("delivery", "")

    def work(tx: Transaction) -> JobRow:
        row = known_job(tx, project, job_id)
        wanted = [each.id for each in tx.deliveries.list(job=row.id) if str(each.id) == given]
        if not wanted:
            raise HttpError(404, "nothing was changed: the job has no such alert", key="no_alert")
        retry(tx, wanted, at=at, who=by)
        return row

    return _back(await context.store.write(work), "retried")


def _back(row: JobRow, done: str) -> Response[bytes]:
    return go(f"{job_path(row.project, row.job_id)}?done={done}")


def _links(tx: Transaction, context: WebContext, row: JobRow) -> VideoLinks:
    now = context.clock.now()

    def usable(url: str | None) -> str | None:
        end = link_end(url, row.links_at)
        return to_https(url) if end is None or end > now else None

    watch, download = usable(row.asset.preview_url), usable(row.asset.download_url)
    link, public = tx.links.get(row.id), context.settings.public_url
    own = None
    if link is not None and public is not None and link.revoked_at is None and link.expires_at > now:
        own = own_url(public, link.token)
    return VideoLinks(
        watch=own or watch, download=f"{own}/download" if own else download, copy=own or watch or download
    )


HANDLERS = (get_job, ask_about, note_on, mute_alerts, unmute_alerts, retry_alert)
