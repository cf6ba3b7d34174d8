"""What people do about what needs them, on the overview: the acts that no other page has."""

from litestar import Response, post

from daemon.commands import JobEntry, SentFilter, release, resend, resendable, resume, retry, track
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.errors import UnknownName, UsageFault
from daemon.store import Transaction
from daemon.web.access import Context, form_of, who
from daemon.web.api.jobs import known_job
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.login import go


@post("/needs/retry", status_code=303)
async def retry_given_up(request: ApiRequest, context: Context) -> Response[bytes]:
    """Send the alerts of a channel that were given up."""
    channel, at, by = _channel(request, context), context.clock.now(), who(request)
    await context.store.write(lambda tx: retry(tx, (), dead=True, channel=channel, at=at, who=by))
    return _done("retried_all")


@post("/needs/release", status_code=303)
async def release_held(request: ApiRequest, context: Context) -> Response[bytes]:
    """Try what a refused channel holds again."""
    channel, at, by = _channel(request, context), context.clock.now(), who(request)
    await context.store.write(lambda tx: release(tx, channel, at=at, who=by))
    return _done("released")


@post("/needs/resume", status_code=303)
async def resume_paused(request: ApiRequest, context: Context) -> Response[bytes]:
    """Resume a paused project."""
    project, at, by = form_of(request).get("project", ""), context.clock.now(), who(request)
    if project not in context.projects:
        raise UnknownName("nothing was changed: the config has no such project", key="no_project")
    await context.store.write(lambda tx: resume(tx, ProjectName(project), at=at, who=by))
    return _done("resumed")


@post("/needs/track", status_code=303)
async def track_again(request: ApiRequest, context: Context) -> Response[bytes]:
    """Track a job again that expired."""
    form, at, by = form_of(request), context.clock.now(), who(request)

    def work(tx: Transaction) -> None:
        row = known_job(tx, form.get("project", ""), form.get("job_id", ""))
        if row.project not in context.projects:
            raise UnknownName("nothing was changed: the config no longer has the job's project", key="no_project")
        track(tx, [JobEntry(project=row.project, job_id=row.job_id)], at=at, who=by, routing=context.routing)

    await context.store.write(work)
    return _done("tracked")


@post("/needs/resend", status_code=303)
async def resend_links(request: ApiRequest, context: Context) -> Response[bytes]:
    """Send the messages about a job again, with fresh links."""
    form, at, by = form_of(request), context.clock.now(), who(request)

    def work(tx: Transaction) -> None:
        row = known_job(tx, form.get("project", ""), form.get("job_id", ""))
        sent = resendable(tx, SentFilter(job=row.id))
        if not sent:
            raise UsageFault("nothing was sent: no message about the job has been sent yet", key="not_sent")
        resend(tx, sent, channels=context.channels, at=at, who=by)

    await context.store.write(work)
    return _done("links_sent")


def _channel(request: ApiRequest, context: WebContext) -> ChannelName:
    name = form_of(request).get("channel", "")
    if name not in context.channels:
        raise UnknownName("nothing was changed: the config has no such channel", key="no_channel")
    return ChannelName(name)


def _done(what: str) -> Response[bytes]:
    return go(f"/?done={what}")


DONE = ("retried_all", "released", "resumed", "tracked", "links_sent")
"""What the overview then says, by the keys of its texts."""
HANDLERS = (retry_given_up, release_held, resume_paused, track_again, resend_links)
