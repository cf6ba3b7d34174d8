"""The first page, `/`: what needs a person, what runs, what ended today, batches under way, and wrapd itself."""

from dataclasses import dataclass

from litestar import Response, get

from daemon import views
from daemon.domain.jobs import Tracking
from daemon.domain.states import State
from daemon.store import JobFilter, JobSort, Transaction
from daemon.views.figures import first_day
from daemon.web.access import Context
from daemon.web.api.batches import shown_batches
from daemon.web.api.channels import channel_view
from daemon.web.api.jobs import job_view
from daemon.web.api.overview import needs_of
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.drawing import bars
from daemon.web.pages.jobs import COUNTED
from daemon.web.pages.rendering import page
from daemon.web.pages.wording import job_path, need_path

NEEDS = 20
RUNNING = 12
"""Running jobs that are shown, of the `_READ` that changed last."""
_READ = 100
_UNKNOWN = 4
"""Those without an estimate that are shown beside them."""
_BATCHES = 8
_LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """What ended today (in UTC), over all projects, and how long production took, today and on the days before, in
    seconds."""

    finished: int
    failed: int
    canceled: int
    seconds: float | None
    usual: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewRows:
    """What is read for the page besides what needs a person."""

    running: list[views.Job]
    count: int
    more: bool
    batches: list[views.Batch]
    projects: list[views.Stats]
    channels: list[views.ListedChannel]


@get("/")
async def get_overview(request: ApiRequest, context: Context) -> Response[bytes]:
    """Show the overview."""
    now = context.clock.now()
    needs = await needs_of(context, limit=NEEDS)
    around = await context.store.read_async(lambda tx: _read(tx, context))
    drawn = bars(around.running, now=now)
    return page(
        request,
        context,
        "overview.html",
        needs=needs,
        around=around,
        axis=None if drawn is None else drawn[0],
        bars=[] if drawn is None else drawn[1][:RUNNING],
        unknown=[job for job in around.running if job.eta is None][:_UNKNOWN],
        today=today_of(around.projects),
        path_of=job_path,
        need_path=need_path,
    )


def _read(tx: Transaction, context: WebContext) -> OverviewRows:
    now = context.clock.now()
    fit = JobFilter(tracking=Tracking.ACTIVE, state=State.PROCESSING)
    rows = tx.jobs.page(limit=_READ, sort=JobSort.CHANGED, **fit).rows
    number = tx.jobs.count(most=COUNTED, **fit)
    under_way = [row for row in tx.batches.page(limit=_LISTED).rows if row.jobs - row.ended > 0][:_BATCHES]
    figures = tx.figures.read(context.projects, since=first_day(now))
    alerts = tx.deliveries.counts()
    return OverviewRows(
        running=[job_view(context, row, now) for row in rows],
        count=number.rows,
        more=not number.whole,
        batches=shown_batches(tx, context, under_way, now),
        projects=[views.stats(each, running=True, now=now) for each in figures],
        channels=[channel_view(tx, context, name, alerts) for name in context.channels],
    )


def today_of(projects: list[views.Stats]) -> Today:
    """The sums of the last day, and the usual production time of the days before it."""
    days = [project.days for project in projects]
    last, before = [each[-1] for each in days if each], [day for each in days for day in each[:-1]]

    def count(*states: State) -> int:
        return sum(day.states.get(state.value, 0) for day in last for state in states)

    def mean(some: list[views.Day]) -> float | None:
        timed = sum(day.timed for day in some)
        return sum(day.seconds for day in some) / timed if timed else None

    return Today(
        finished=count(State.SUCCEED, State.PARTIAL_SUCCEED),
        failed=count(State.FAILED),
        canceled=count(State.CANCELED),
        seconds=mean(last),
        usual=mean(before),
    )


HANDLERS = (get_overview,)
