"""Projects: `/api/v1/projects`, how each is polled, its figures, and its pause."""

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from daemon import views
from daemon.commands import pause, resume
from daemon.domain.actions import Actor
from daemon.domain.jobs import ProjectName
from daemon.store import PauseRow, Transaction
from daemon.views.figures import DAYS, first_day
from daemon.web.access import Context, who
from daemon.web.api.lists import whole_answer, word, wrong
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.bodies import ApiRequest, HttpError, machine_answer
from daemon.web.context import WebContext

MOST_DAYS = 366
_FIGURES = ("production", "days")
"""What only the statistics tell."""
ProjectItem = shape(views.Stats, name="Project", without=_FIGURES)
PauseItem = shape(views.Paused)
ResumedProject = msgspec.defstruct(
    "ResumedProject", [("project", str), ("paused", PauseItem | None)], kw_only=True
)


class NewPause(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why a project is paused."""

    comment: str | None = None


@get("/api/v1/projects", responses=answers(listing(ProjectItem, "Projects"), "All projects of the config."))
async def list_projects(context: Context) -> Response[object]:
    """List the projects with what the daemon last reported on each."""
    found = await context.store.read_async(lambda tx: tx.figures.read(context.projects, since=None))
    now = context.clock.now()
    items = [views.document(views.stats(each, running=True, now=now), without=_FIGURES) for each in found]
    return whole_answer(items, now=now)


@get("/api/v1/stats", responses=answers(listing(shape(views.Stats), "StatsList"), "The projects' figures."))
async def list_stats(
    context: Context,
    project: Annotated[str | None, word("Name of the project.")] = None,
    days: Annotated[int, QueryParameter(ge=1, le=MOST_DAYS, description="The last days, today included.")] = DAYS,
) -> Response[object]:
    """List the projects with how long production takes, and how many jobs ended on each of the last days."""
    names = [name for name in context.projects if project in (None, name)]
    now = context.clock.now()

    def read(tx: Transaction) -> list[dict[str, object]]:
        found = tx.figures.read(names, since=first_day(now, days))
        return [views.document(views.stats(each, running=True, now=now, days=days)) for each in found]

    return whole_answer(await context.store.read_async(read), now=now)


@post("/api/v1/projects/{name:str}/pause", status_code=200, responses=answers(PauseItem, "Its pause."))
async def pause_project(
    request: ApiRequest, name: FromPath[str], context: Context, data: JSONBody[NewPause | None] = None
) -> Response[object]:
    """Ask a project's service nothing until it is resumed. A paused project keeps the pause it has."""
    comment = None if data is None else data.comment
    return answer(views.paused(await pause_one(context, name, comment, by=who(request))))


@post("/api/v1/projects/{name:str}/resume", status_code=200, responses=answers(ResumedProject, "What ended."))
async def resume_project(request: ApiRequest, name: FromPath[str], context: Context) -> Response[object]:
    """Ask a paused project's service again. `paused` is the pause that ends; null if there was none."""
    row = await resume_one(context, name, by=who(request))
    return machine_answer({"project": name, "paused": row and views.document(views.paused(row))})


async def pause_one(context: WebContext, name: str, comment: str | None, *, by: Actor) -> PauseRow:
    """Pause a project. Returns its pause. Raises HttpError: 404 if the config has no such project, 422 for the
    comment."""
    project, at = _known(context, name), context.clock.now()
    try:
        row, _ = await context.store.write(lambda tx: pause(tx, project, who=by, at=at, comment=comment))
    except ValueError as error:
        raise wrong("comment", str(error)) from None
    return row


async def resume_one(context: WebContext, name: str, *, by: Actor) -> PauseRow | None:
    """Resume a project, also one that the config no longer has. Returns the pause that ends. Raises HttpError 404
    if there is neither."""
    project, at = ProjectName(name), context.clock.now()
    row = await context.store.write(lambda tx: resume(tx, project, who=by, at=at))
    if row is None:
        _known(context, name)
    return row


def _known(context: WebContext, name: str) -> ProjectName:
    """The project of the config. Raises HttpError 404."""
    if name not in context.projects:
        raise HttpError(404, "the config has no such project", key="no_project")
    return ProjectName(name)


HANDLERS = (list_projects, list_stats, pause_project, resume_project)
