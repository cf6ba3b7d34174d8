"""The list of jobs, as a table and as a wall of covers: `/jobs`. Its filters are those of the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import QueryParameter

from daemon import views
from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import State
from daemon.store import JobFilter, JobRow, JobSort, Page, Transaction
from daemon.web.access import Context
from daemon.web.api.jobs import job_view
from daemon.web.api.lists import Cursor, cursor_after, read_cursor
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.rendering import page
from daemon.web.pages.wording import job_path, tone

ROWS = 50
Text = Annotated[str | None, QueryParameter(max_length=200)]


class JobsAs(StrEnum):
    """How a list is shown."""

    TABLE = "table"
    WALL = "wall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A choice of jobs with their number, `more` if there are more, and its address."""

    name: str
    tone: str
    count: int
    more: bool
    url: str
    chosen: bool


CHIPS: Mapping[str, tuple[str, JobFilter]] = {
    "running": ("run", {"tracking": Tracking.ACTIVE, "state": State.PROCESSING}),
    "waiting": ("wait", {"tracking": Tracking.ACTIVE, "state": State.WAITING}),
    "frozen": ("held", {"tracking": Tracking.ACTIVE, "state": State.BLOCK}),
    "finished": ("done", {"tracking": Tracking.FINISHED, "state": State.SUCCEED}),
    "failed": ("bad", {"tracking": Tracking.FINISHED, "state": State.FAILED}),
    "canceled": ("stop", {"tracking": Tracking.FINISHED, "state": State.CANCELED}),
    "lost": ("bad", {"tracking": Tracking.LOST}),
    "expired": ("bad", {"tracking": Tracking.EXPIRED}),
}
"""The choices by the parameter `show`: the tone of each, and its filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A job on a page: its view, whether its small cover is kept, and its address."""

    job: views.Job
    cover: bool
    path: str
    tone: str


def items_of(tx: Transaction, context: WebContext, rows: list[JobRow], now: datetime) -> list[Item]:
    """The items of these rows."""
    small = tx.pictures.small([row.id for row in rows])
    return [
        Item(job=job, cover=row.id in small, path=job_path(row.project, row.job_id), tone=tone(job))
        for row in rows
        for job in (job_view(context, row, now, links=False),)
    ]


@get("/jobs")
async def get_jobs(
    request: ApiRequest,
    *,
    context: Context,
    show: Text = None,
    project: Text = None,
    batch: Text = None,
    tag: Text = None,
    q: Text = None,
    view: Annotated[JobsAs, QueryParameter()] = JobsAs.TABLE,
    cursor: Cursor = None,
) -> Response[bytes]:
    """List jobs, latest first."""
    now = context.clock.now()
    given = {"project": project or None, "batch": batch or None, "tag": tag or None}
    chosen = JobFilter() if show is None or show not in CHIPS else CHIPS[show][1]
    base: JobFilter = {
        "project": None if given["project"] is None else ProjectName(given["project"]),
        "batch": given["batch"],
        "tag": given["tag"],
    }
    marked = {**given, "show": show, "q": q or None, "of": "page"}
    after = read_cursor(cursor, marked)

    def read(tx: Transaction) -> tuple[Page[JobRow], list[Item], list[Chip]]:
        found = tx.jobs.page(
            limit=ROWS, after=after, sort=JobSort.NEWEST, search=q or None, **_joined(base, chosen)
        )
        return found, items_of(tx, context, found.rows, now), _chips(tx, base, show, parameters)

    parameters = {**given, "q": q or None, "view": None if view is JobsAs.TABLE else view.value}
    found, items, chips = await context.store.read_async(read)
    shown = None if show not in CHIPS else show
    onward = cursor_after(found, marked)
    return page(
        request,
        context,
        "jobs.html",
        items=items,
        chips=chips,
        everything=_url(parameters),
        show=shown,
        given={**given, "q": q or ""},
        wall=view is JobsAs.WALL,
        other_view=_url({**parameters, "show": shown, "view": "wall" if view is JobsAs.TABLE else None}),
        following=None if onward is None else _url({**parameters, "show": shown, "cursor": onward}),
        first=None if cursor is None else _url({**parameters, "show": shown}),
        projects=context.projects,
        filtered=any(value for value in (*given.values(), q, shown)),
        searched=found.searched if onward is not None and q and not items else 0,
    )


def _chips(tx: Transaction, base: JobFilter, show: str | None, parameters: Mapping[str, str | None]) -> list[Chip]:
    """The choices that have jobs; where not all jobs were counted, all of them."""
    numbers = tx.jobs.tallies(project=base.get("project"), batch=base.get("batch"), tag=base.get("tag"))
    chips = []
    for name, (mark, fit) in CHIPS.items():
        tracking = fit["tracking"]
        assert tracking is not None
        number = numbers.of(tracking, fit.get("state"))
        if number or name == show or not numbers.whole:
            chips.append(
                Chip(
                    name=name,
                    tone=mark,
                    count=number,
                    more=not numbers.whole,
                    url=_url({**parameters, "show": name}),
                    chosen=name == show,
                )
            )
    return chips


def _joined(base: JobFilter, more: JobFilter) -> JobFilter:
    found = base.copy()
    found.update(more)
    return found


def _url(parameters: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in parameters.items() if value}
    return f"/jobs?{urlencode(given)}" if given else "/jobs"


HANDLERS = (get_jobs,)
