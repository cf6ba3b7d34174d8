"""The statistics, `/stats`: how many jobs ended on each day and how, how long production takes against the law,
how soon wrapd saw the ends, and the success rate."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import QueryParameter
from msgspec import Struct

from daemon import views
from daemon.domain.durations import eta
from daemon.store import Transaction
from daemon.views.figures import first_day
from daemon.web.access import Context
from daemon.web.api.lists import wrong
from daemon.web.bodies import ApiRequest, HttpError
from daemon.web.context import WebContext
from daemon.web.pages import plots
from daemon.web.pages.rendering import page

SPANS = (7, 30, 90)
"""Days that the page can show."""
USUAL = 30
LAST = 100
"""Ended jobs of each kind whose production times are shown, of up to `_CLASSES` kinds."""
_CLASSES = 12


class StatsChoice(Struct, frozen=True, kw_only=True):
    """A span of days or a project to choose (None: all projects), and its address."""

    name: str | int | None
    url: str
    chosen: bool


class ProjectDays(Struct, frozen=True, kw_only=True):
    """The days of a project together, and the address of its own statistics."""

    project: str
    ends: views.Day
    url: str


@get("/stats")
async def get_stats(
    request: ApiRequest,
    context: Context,
    days: Annotated[int, QueryParameter()] = USUAL,
    project: Annotated[str | None, QueryParameter(max_length=200)] = None,
) -> Response[bytes]:
    """Show the statistics of the last `days`, of one project or of all."""
    if days not in SPANS:
        raise wrong("days", f"choose one of {', '.join(map(str, SPANS))}")
    if project and project not in context.projects:
        raise HttpError(404, "the config has no such project", key="no_project")
    now, chosen = context.clock.now(), project or None
    names = [name for name in context.projects if chosen in (None, name)]

    def read(tx: Transaction) -> tuple[list[views.Stats], list[float]]:
        first = first_day(now, days)
        found = tx.figures.read(names, since=first, last=LAST)
        told = [views.stats(each, running=True, now=now, days=days) for each in found]
        return told, tx.figures.delays(names, since=datetime.combine(first, time(), now.tzinfo))

    found, delays = await context.store.read_async(read)
    return page(
        request,
        context,
        "stats.html",
        spans=[StatsChoice(name=each, url=_url(each, chosen), chosen=each == days) for each in SPANS],
        projects=_projects(context, days, chosen),
        span=days,
        by_project=_by_project(found, days),
        last=LAST,
        **_plots(context, found, delays, [_empty(now, ago) for ago in reversed(range(days))]),
    )


def _plots(
    context: WebContext, found: Sequence[views.Stats], delays: Sequence[float], none: Sequence[views.Day]
) -> dict[str, Any]:
    """What the plots and tables show; `none` are the days if there is no project."""
    each_day = plots.by_day(found) or none
    every = views.together(each_day)
    end, kinds = plots.placed(_kinds(context, found))
    return {
        "days": each_day,
        "every": every,
        "bars": plots.day_bars(each_day),
        "rates": plots.day_line(each_day),
        "kinds": kinds,
        "end": end,
        "delays": plots.delays_of(delays),
        "base": plots.TOP + plots.HEIGHT,
        "top": plots.TOP,
        "tones": plots.OUTCOMES,
        "outcomes": [each for each in plots.OUTCOMES if every.states.get(each)],
        "within": plots.WITHIN[-1],
    }


def _kinds(context: WebContext, found: Sequence[views.Stats]) -> list[plots.KindTimes]:
    """The classes with most finished jobs, each with what the daemon expects of its next one."""
    durations = context.durations()
    every = [(stats.project, each) for stats in found for each in stats.production]
    every.sort(key=lambda each: (-each[1].finished, each[0], each[1].kind))
    return [
        plots.KindTimes(
            project=project,
            kind=each.kind,
            finished=each.finished,
            taken=_taken(each),
            law=plots.expected(eta(durations, (project, each.kind), None, 0.0)),
        )
        for project, each in every[:_CLASSES]
    ]


def _taken(each: views.Produced) -> plots.Spread | None:
    if each.low_seconds is None or each.median_seconds is None or each.high_seconds is None:
        return None
    return plots.Spread(low=each.low_seconds, median=each.median_seconds, high=each.high_seconds)


def _empty(now: datetime, ago: int) -> views.Day:
    return views.Day(day=(now.date() - timedelta(days=ago)).isoformat(), states={}, timed=0, seconds=0.0)


def _projects(context: WebContext, days: int, chosen: str | None) -> list[StatsChoice]:
    """All projects and each one, if there are several."""
    several = len(context.projects) > 1
    return [
        StatsChoice(name=each, url=_url(days, each), chosen=each == chosen)
        for each in (None, *context.projects)
        if several
    ]


def _by_project(found: Sequence[views.Stats], days: int) -> list[ProjectDays]:
    """Each project, if several are shown."""
    return [
        ProjectDays(project=each.project, ends=views.together(plots.by_day([each])), url=_url(days, each.project))
        for each in found
        if len(found) > 1
    ]


def _url(days: int, project: str | None) -> str:
    given = {} if days == USUAL else {"days": days}
    return f"/stats?{urlencode(given | ({'project': project} if project else {}))}".rstrip("?")


HANDLERS = (get_stats,)
