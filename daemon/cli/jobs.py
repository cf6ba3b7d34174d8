"""`wrapd jobs`: all jobs at a glance."""

from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output
from daemon.cli.notices import Notices, name_of
from daemon.cli.outlook import Outlook, Outlooks
from daemon.cli.output import Column
from daemon.cli.pages import more, most_of, pages
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, list_options, opened
from daemon.cli.text import about, brief
from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import read_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemon.store import JobFilter, JobRow, Store, Transaction


@click.command("jobs")
@click.option("--project", metavar="NAME", help="Only jobs of this project.")
@click.option("--state", metavar="STATE", help="Only jobs in this state, such as PROCESSING.")
@click.option("--tracking", type=click.Choice([each.value for each in Tracking]), help="Only these.")
@click.option("--tag", metavar="WORD", help="Only jobs with this tag.")
@click.option("--batch", metavar="WORD", help="Only jobs of this batch.")
@list_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    project: str | None,
    state: str | None,
    tracking: str | None,
    tag: str | None,
    batch: str | None,
    limit: int | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List jobs, ended ones too, the newest first. Needs no running daemon.

    FOR is how long a job has been in its state, NEXT when it is looked at again, ENDS in how much time its
    production should end: half of the jobs like it end before, 8 of 10 in the RANGE. `wrapd explain` tells more.
    On a terminal so much of an id is shown as tells it apart; commands take that for the whole.
    """
    config = config_of(ctx)
    most = most_of(limit, everything=everything, as_json=as_json)
    fit: JobFilter = {
        "project": None if project is None else ProjectName(project),
        "tracking": None if tracking is None else Tracking(tracking),
        "state": None if state is None or not state.strip() else read_state(state),
        "tag": tag,
        "batch": batch,
    }
    with opened(config) as store:
        running = daemon_runs(config)
        found = _found(store, fit, most=most)
        first = next(found)
        if project is not None and not first:
            config.project(project)  # a name that was mistyped is a fault, a project without jobs is none
        if as_json:
            output.documents(views.document(view_of(*pair)) for page in chain([first], found) for pair in page)
            return
        filtered = any(value is not None for value in (project, state, tracking, tag, batch))
        empty = (
            "No job fits; `wrapd jobs` without options lists all."
            if filtered
            else "No job is tracked yet; `wrapd track JOB_ID` adds one."
        )
        notices = Notices(running=running, grace=config.polling.not_found_grace)
        cells = (
            [_cells(*pair, running=running) for pair in notices.watch(page)] for page in chain([first], found)
        )
        output.tables(_columns(several=project is None and len(config.projects) > 1), cells, empty=empty)
        left = more(store, lambda tx, upto: tx.jobs.count(most=upto, **fit), most=most)
    output.notes([*notices.lines(), left])


def _found(store: "Store", fit: "JobFilter", *, most: int | None) -> "Iterator[list[tuple[JobRow, Outlook]]]":
    expected = Outlooks(CLOCK.now())

    def read(transaction: "Transaction", before: int | None, size: int) -> "list[tuple[JobRow, Outlook]]":
        rows = transaction.jobs.list(before=before, limit=size, **fit)
        return list(zip(rows, expected.of(transaction, rows), strict=True))

    return pages(store, read, lambda pair: pair[0].id, most=most)


def _columns(*, several: bool) -> list[Column]:
    return [
        Column(title="NAME", gives=True, least=24, free=True),
        Column(title="STATE", coloured=True),
        Column(title="FOR"),
        Column(title="NEXT", spare=1),
        Column(title="ENDS"),
        Column(title="RANGE", spare=2),
        Column(title="PROJECT", gives=True, least=12, alike=not several),
        Column(title="JOB", ids=True),
    ]


def view_of(row: "JobRow", expected: Outlook) -> views.Job:
    """A job as `--json` gives it."""
    return views.job(row, now=expected.at, eta=expected.eta, eta_reason=expected.reason)


def _cells(row: "JobRow", expected: Outlook, *, running: bool) -> list[str]:
    now = expected.at
    return [
        name_of(row) or "-",
        standing(row).split(" ")[0],
        "-" if row.state_since is None else about((now - row.state_since).total_seconds()),
        _next(row, now, running=running),
        "-" if expected.eta is None else f"in {brief(expected.eta.median)}",
        "-" if expected.eta is None else f"{brief(expected.eta.low)}-{brief(expected.eta.high)}",
        row.project,
        row.job_id,
    ]


def standing(row: "JobRow") -> str:
    """The state in a word or two: why tracking ended where that was not the service's word."""
    state = row.state or "new"
    if row.tracking in (Tracking.ACTIVE, Tracking.FINISHED):
        return state
    return f"{row.tracking} ({state})"


def _next(row: "JobRow", now: datetime, *, running: bool) -> str:
    if row.tracking is not Tracking.ACTIVE or not running:
        return "-"
    if row.next_poll_at is None or row.next_poll_at <= now:
        return "soon"  # the daemon notes its plan every half minute only
    return f"in {about((row.next_poll_at - now).total_seconds())}"
