"""The list of jobs, as a table and as a wall of covers: `/jobs`. Its filters are those of the API."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter
from msgspec import Struct

from daemon import views
from daemon.domain.actions import Action
from daemon.store import JobFilter, JobRow, JobSort, Page, Transaction
from daemon.web.access import Context
from daemon.web.api.jobs import job_view
from daemon.web.api.lists import Cursor, cursor_after, read_cursor
from daemon.web.api.sheets import JobsFormat
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.filters import CHIPS, PERIODS, JobFilters, read_filters
from daemon.web.pages.rendering import page, read_live, wording_of
from daemon.web.pages.wording import job_path, tone

ROWS = 50
BULK = (Action.ASK, Action.MUTE, Action.UNTRACK, Action.RETRY)
"""What can be done to several jobs at once."""


class JobsAs(StrEnum):
    """How a list is shown."""

    TABLE = "table"
    WALL = "wall"


class Chip(Struct, frozen=True, kw_only=True):
    """A choice of jobs with their number (None if they were not counted), `more` if there are more, and its
    address."""

    name: str
    tone: str
    count: int | None
    more: bool
    url: str
    chosen: bool


class Item(Struct, frozen=True, kw_only=True):
    """A job on a page: its row id and view, whether its small cover is kept, and its address."""

    id: int
    job: views.Job
    cover: bool
    path: str
    tone: str


def items_of(tx: Transaction, context: WebContext, rows: list[JobRow], now: datetime) -> list[Item]:
    """The items of these rows."""
    small = tx.pictures.small([row.id for row in rows])
    return [
        Item(id=row.id, job=job, cover=row.id in small, path=job_path(row.project, row.job_id), tone=tone(job))
        for row in rows
        for job in (job_view(context, row, now, links=False),)
    ]


@get("/jobs")
async def get_jobs(
    request: ApiRequest,
    *,
    context: Context,
    view: Annotated[JobsAs, QueryParameter()] = JobsAs.TABLE,
    cursor: Cursor = None,
    done: Annotated[str, QueryParameter(max_length=20)] = "",
    number: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 0,
) -> Response[bytes]:
    """List jobs, by default latest first; `done` and `number` say what was done to some before."""
    now, zone = context.clock.now(), wording_of(request, context).zone
    filters = read_filters(request.query_params)
    base, fit = filters.of_all(now, zone), filters.fit(now, zone)
    marked = {**filters.given(), "of": "page"}
    after = read_cursor(cursor, marked)
    shown_as = None if view is JobsAs.TABLE else view.value

    def url(show: str | None) -> str:
        return filters.url(show=show, view=shown_as)

    def read(tx: Transaction) -> tuple[Page[JobRow], list[Item], list[Chip]]:
        found = tx.jobs.page(limit=ROWS, after=after, sort=filters.order, search=filters.q, **fit)
        return found, items_of(tx, context, found.rows, now), _chips(tx, base, filters.show, url)

    changes, (found, items, chips) = await read_live(context, read)
    onward = cursor_after(found, marked)
    return page(
        request,
        context,
        "jobs.html",
        after=changes,
        items=items,
        chips=chips,
        everything=url(None),
        filters=filters,
        wall=view is JobsAs.WALL,
        other_view=filters.url(view="wall" if view is JobsAs.TABLE else None),
        following=None if onward is None else filters.url(view=shown_as, cursor=onward),
        first=None if cursor is None else filters.url(view=shown_as),
        projects=context.projects,
        periods=PERIODS,
        sorts=list(JobSort),
        narrowed=any((filters.batch, filters.tag, filters.kind, filters.since, filters.sort)),
        goes_on=onward is not None and not items,
        links=[(name, filters.api(as_, now, zone)) for name, as_ in _LINKS],
        bulk=BULK,
        fitting=_fitting(filters, chips, None if onward or cursor else len(items)),
        done=done if done in list(BULK) else "",
        number=number,
    )


_LINKS = (("CSV", JobsFormat.EXCEL), ("JSON", JobsFormat.JSON))


def _chips(tx: Transaction, base: JobFilter, show: str | None, url: Callable[[str], str]) -> list[Chip]:
    """The choices that have jobs; all of them where not all jobs were counted, without numbers where an index of
    their own would be needed to count."""
    if base.get("kind") is not None or base.get("since") is not None:
        return [
            Chip(name=name, tone=mark, count=None, more=False, url=url(name), chosen=name == show)
            for name, (mark, _) in CHIPS.items()
        ]
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
                    url=url(name),
                    chosen=name == show,
                )
            )
    return chips


def _fitting(filters: JobFilters, chips: list[Chip], on_one_page: int | None) -> str:
    """How many jobs fit the filters, as far as that is known without counting."""
    if on_one_page is not None:
        return str(on_one_page)
    for chip in chips:
        if chip.chosen and chip.count is not None and not filters.q:
            return f"{chip.count}{'+' if chip.more else ''}"
    return ""


def _joined(base: JobFilter, more: JobFilter) -> JobFilter:
    found = base.copy()
    found.update(more)
    return found


HANDLERS = (get_jobs,)
