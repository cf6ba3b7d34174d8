"""The first page, `/`: what needs a person, what runs, what ended today, batches under way, and wrapd itself."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter
from msgspec import Struct

from daemon import views
from daemon.domain.durations import eta
from daemon.domain.jobs import Tracking
from daemon.domain.states import State
from daemon.store import Total, Transaction
from daemon.views.figures import first_day
from daemon.web.access import Context
from daemon.web.api.batches import batch_outlooks
from daemon.web.api.channels import channel_view
from daemon.web.api.jobs import job_view
from daemon.web.api.overview import NeedsFound, needs_found
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.drawing import bars
from daemon.web.pages.needs import DONE
from daemon.web.pages.rendering import page, read_live
from daemon.web.pages.wording import batch_path, job_path, need_path

NEEDS = 20
RUNNING = 12
"""Running jobs that are shown: the next to end of the `_ESTIMATED` that have been in production longest."""
_ESTIMATED = 60
_UNKNOWN = 4
"""Those without an estimate that are shown beside them."""
_BATCHES = 8
_LISTED = 50
_IN_BATCHES = 100
"""Jobs of batches from which their ends are estimated."""


class Today(Struct, frozen=True, kw_only=True):
    """What ended today (in UTC), over all projects, and how long production took, today and on the days before, in
    seconds."""

    finished: int
    failed: int
    canceled: int
    seconds: float | None
    usual: float | None


class OverviewRows(Struct, frozen=True, kw_only=True):
    """What the page shows; `count` is how many jobs are running, `known` whether any was ever tracked."""

    needs: views.Needs
    running: list[views.Job]
    count: int
    known: bool
    today: Today
    batches: list[views.Batch]
    projects: list[views.Stats]
    channels: list[views.ListedChannel]


@get("/")
async def get_overview(
    request: ApiRequest, context: Context, done: Annotated[str, QueryParameter(max_length=20)] = ""
) -> Response[bytes]:
    """Show the overview; `done` says what was done there before."""
    now = context.clock.now()
    changes, around = await read_live(context, lambda tx: _read(tx, context, now))
    drawn = bars(around.running, now=now)
    return page(
        request,
        context,
        "overview.html",
        after=changes,
        needs=around.needs,
        around=around,
        axis=None if drawn is None else drawn[0],
        bars=[] if drawn is None else drawn[1],
        unknown=[job for job in around.running if job.eta is None],
        today=around.today,
        path_of=job_path,
        batch_path_of=batch_path,
        need_path=need_path,
        done=done if done in DONE else "",
    )


def _read(tx: Transaction, context: WebContext, now: datetime) -> OverviewRows:
    found = needs_found(tx, context, now=now, limit=NEEDS)
    under_way = tx.batches.under_way(limit=_BATCHES, among=_LISTED)
    tallies = tx.jobs.tallies()
    figures = tx.figures.read(context.projects, since=None)
    expected = batch_outlooks(tx, context, under_way, now, most=_IN_BATCHES, begun=True)
    alerts = tx.deliveries.counts(context.channels.keys())
    return OverviewRows(
        needs=found.needs,
        running=_next_to_end(tx, context, found, now),
        count=tallies.of(Tracking.ACTIVE, State.PROCESSING),
        known=bool(tallies.counts),
        today=_today(tx, context, now),
        batches=list(map(views.batch, under_way, expected)),
        projects=[views.stats(each, running=True, now=now) for each in figures],
        channels=[channel_view(tx, context, name, alerts) for name in context.channels],
    )


def _next_to_end(tx: Transaction, context: WebContext, found: NeedsFound, now: datetime) -> list[views.Job]:
    """The jobs to show: the next to end, and some without an estimate. What takes too long needs a person, and is
    shown as such."""
    rows = [(row_id, job) for row_id, job in found.running.items() if row_id not in found.overdue]
    rows.sort(key=lambda row: row[1].elapsed or 0.0, reverse=True)
    durations = context.durations()
    etas = [(row_id, eta(durations, job.key, job.length, job.elapsed or 0.0)) for row_id, job in rows[:_ESTIMATED]]
    known = sorted((expected.median, row_id) for row_id, expected in etas if expected is not None)[:RUNNING]
    shown = [row_id for _, row_id in known] + [row_id for row_id, expected in etas if expected is None][:_UNKNOWN]
    return [job_view(context, row, now, links=False) for row in tx.following.rows(shown)]


def _today(tx: Transaction, context: WebContext, now: datetime) -> Today:
    """The sums of the day, and the usual production time of the days before it."""
    day = now.date()
    last = tx.day_sums.total(day, day, context.projects)
    before = tx.day_sums.total(first_day(now), day - timedelta(days=1), context.projects)
    done = (State.SUCCEED, State.PARTIAL_SUCCEED)

    def count(*states: State) -> int:
        return sum(last[state].jobs for state in states if state in last)

    def mean(sums: Mapping[str, Total]) -> float | None:
        some = [sums[state] for state in done if state in sums]
        timed = sum(each.timed for each in some)
        return sum(each.seconds for each in some) / timed if timed else None

    return Today(
        finished=count(*done),
        failed=count(State.FAILED),
        canceled=count(State.CANCELED),
        seconds=mean(last),
        usual=mean(before),
    )


HANDLERS = (get_overview,)
