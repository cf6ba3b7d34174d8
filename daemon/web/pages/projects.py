"""The projects, `/projects`: how each is polled, against which budget, and its pause."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from daemon import views
from daemon.domain.events import Json
from daemon.web.access import Context, form_of, who
from daemon.web.api.projects import pause_one, resume_one
from daemon.web.bodies import ApiRequest
from daemon.web.pages.login import go
from daemon.web.pages.rendering import page, read_live

KINDS = ("feed", "urgent", "news", "detail", "discovery")
"""What requests are for, the most urgent first."""
DONE = ("project_paused", "project_resumed")
Done = Annotated[str, QueryParameter(max_length=20)]


class ProjectItem(Struct, frozen=True, kw_only=True):
    """A project on the page: its view, its address, and what has the right type of the last report, which another
    version may have written. `usage` is a share of the budget, `requests` are those of the last 10 seconds by
    kind."""

    project: views.Stats
    path: str
    tracked: int
    down_since: datetime | None
    refused_since: datetime | None
    rate: float | None
    usage: float | None
    requests: tuple[tuple[str, int], ...]
    late: float | None
    feed: str | None
    feed_reason: str | None


@get("/projects")
async def get_projects(request: ApiRequest, context: Context, done: Done = "") -> Response[bytes]:
    """List the projects of the config."""
    changes, found = await read_live(context, lambda tx: tx.figures.read(context.projects, since=None))
    now = context.clock.now()
    items = [item_of(views.stats(each, running=True, now=now)) for each in found]
    return page(request, context, "projects.html", after=changes, items=items, done=done if done in DONE else "")


@post("/projects/{name:str}/pause", status_code=303)
async def post_pause(request: ApiRequest, name: FromPath[str], context: Context) -> Response[bytes]:
    """Pause a project: its service is asked nothing."""
    await pause_one(context, name, form_of(request).get("comment"), by=who(request))
    return go("/projects?done=project_paused")


@post("/projects/{name:str}/resume", status_code=303)
async def post_resume(request: ApiRequest, name: FromPath[str], context: Context) -> Response[bytes]:
    """Resume a project."""
    await resume_one(context, name, by=who(request))
    return go("/projects?done=project_resumed")


def item_of(project: views.Stats) -> ProjectItem:
    """The item of a project."""
    facts = project.watch or {}
    by_kind = facts.get("requests")
    sent = by_kind if isinstance(by_kind, dict) else {}
    return ProjectItem(
        project=project,
        path=f"/projects/{quote(project.project, safe='')}",
        tracked=sum(project.states.values()),
        down_since=_time(facts.get("down_since")),
        refused_since=_time(facts.get("refused_since")),
        rate=_number(facts.get("rate")),
        usage=_number(facts.get("usage")),
        requests=tuple((kind, number) for kind in KINDS if isinstance(number := sent.get(kind), int) and number),
        late=_number(facts.get("late_seconds")),
        feed=_text(facts.get("feed")),
        feed_reason=_text(facts.get("feed_reason")),
    )


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: Json) -> datetime | None:
    try:
        at = datetime.fromisoformat(_text(value) or "")
    except ValueError:
        return None
    return at if at.tzinfo else None


HANDLERS = (get_projects, post_pause, post_resume)
