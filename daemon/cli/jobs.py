"""`wrapd jobs`: list all jobs."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import move, output
from daemon.cli.filters import Word, since_option
from daemon.cli.notices import Notices, name_of
from daemon.cli.outlook import Outlooks
from daemon.cli.output import Column
from daemon.cli.pages import Pages, most_of, note_rest, part_of
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, list_options, opened
from daemon.cli.standings import job_standing, view_of
from daemon.cli.text import about, brief
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.config.values import LISTED_KINDS, UNLISTED_KINDS, shown, suggestion
from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import State, read_state
from daemon.errors import UnknownName, UsageFault
from daemon.views.outlooks import Outlook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daemon.store import JobFilter, JobRow, Page, PauseRow, Place, Store, Transaction

SORTS = ("newest", "oldest", "changed")
"""The orders of a list of jobs; checked against the store's own by a test."""


@click.group("jobs", invoke_without_command=True)
@click.option("--project", type=Word(), metavar="NAME", help="Only jobs of this project.")
@click.option("--kind", type=click.Choice(LISTED_KINDS + UNLISTED_KINDS), help="Only jobs of this kind.")
@click.option("--state", type=Word(), metavar="STATE", help="Only jobs in this state, such as PROCESSING.")
@click.option(
    "--tracking", type=click.Choice([each.value for each in Tracking]), help="Only jobs with this tracking status."
)
@click.option("--tag", type=Word(), metavar="WORD", help="Only jobs with this tag.")
@click.option("--batch", type=Word(), metavar="WORD", help="Only jobs of this batch.")
@since_option("Only jobs whose state has changed")
@click.option(
    "--search",
    metavar="TEXT",
    help="Only jobs with this text (ignoring case) in their id, label, name, batch or a tag.",
)
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    help="Newest or oldest tracked first, or the latest change of state. [default: newest; changed with --since]",
)
@list_options
@zone_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV: UTF-8, RFC 4180, one line for each job.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    project: str | None,
    kind: str | None,
    state: str | None,
    tracking: str | None,
    tag: str | None,
    batch: str | None,
    since: datetime | None,
    search: str | None,
    sort: str | None,
    limit: int | None,
    everything: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List jobs, ended ones included, newest first. Needs no running daemon.

    FOR is how long a job has been in its state, NEXT when it is polled again, ENDS when its production should end:
    half of the similar jobs end earlier, 8 of 10 within RANGE. See also `wrapd explain`. On a terminal, ids are
    shortened to a unique prefix, which commands accept.
    """
    if ctx.invoked_subcommand is not None:
        return
    if as_json and as_csv:
        raise UsageFault("--json and --csv exclude each other; leave one out")
    config = config_of(ctx)
    most = most_of(limit, everything=everything, as_json=as_json or as_csv)
    fit: JobFilter = {
        "project": None if project is None else ProjectName(project),
        "kind": kind,
        "tracking": None if tracking is None else Tracking(tracking),
        "state": None if state is None or not state.strip() else read_state(state),
        "tag": tag,
        "batch": batch,
        "since": since,
    }
    text = part_of(search)
    if since is not None and sort not in {None, "changed"}:
        raise UsageFault(f"--since sorts by the last change of state; leave out --sort {sort}")
    order = sort or ("newest" if since is None else "changed")
    with opened(config) as store:
        found = _found(store, config, fit, sort=order, search=text, most=most)
        if found.is_empty:
            _require_known(config, project, fit["state"])
        if as_json:
            output.documents(views.document(view_of(*pair)) for page in found for pair in page)
        elif as_csv:
            _write_csv(found)
        else:
            filtered = text is not None or any(value is not None for value in fit.values())
            pauses = store.read(lambda tx: tx.pauses.all())
            _show(config, found, pauses, several=project is None and len(config.projects) > 1, filtered=filtered)
        newest = order == "newest"
        note_rest(
            found, lambda tx, upto: tx.jobs.count(most=upto, **fit), newest=newest, as_json=as_json or as_csv
        )


command.add_command(move.jobs)


def _show(
    config: Config,
    found: "Pages[tuple[JobRow, Outlook]]",
    pauses: "Mapping[ProjectName, PauseRow]",
    *,
    several: bool,
    filtered: bool,
) -> None:
    running = daemon_runs(config)
    notices = Notices(running=running, grace=config.polling.not_found_grace, pauses=pauses)
    cells = (
        [
            _cells(row, config, each, running=running and row.project not in pauses)
            for row, each in notices.watch(page)
        ]
        for page in found
    )
    empty = (
        "No job matches; `wrapd jobs` without options lists all."
        if filtered
        else "No job is tracked yet; `wrapd track JOB_ID` adds one."
    )
    output.tables(_columns(several=several), cells, empty=empty)
    output.notes(notices.lines())


def _write_csv(found: "Pages[tuple[JobRow, Outlook]]") -> None:
    """Write a CSV, page by page."""
    from daemon.views.sheets import head, lines  # noqa: PLC0415 - only this way needs csv

    output.csv_part(head())
    for page in found:
        output.csv_part(lines(view_of(*pair) for pair in page))


def _require_known(config: Config, project: str | None, state: str | None) -> None:
    """Raise UnknownName if a name is unknown: a mistyped name is an error, a project without jobs is not."""
    if project is not None:
        config.project(project)
    if state is not None and state not in State.__members__:
        raise UnknownName(f"no job is in state {shown(state)}; {suggestion(state, State.__members__)}")


def _found(
    store: "Store", config: Config, fit: "JobFilter", *, sort: str, search: str | None, most: int | None
) -> "Pages[tuple[JobRow, Outlook]]":
    from daemon.store import JobSort  # noqa: PLC0415 - SQLAlchemy

    expected = Outlooks(CLOCK.now())

    def read(transaction: "Transaction", /, *, after: "Place | None", size: int) -> "Page[tuple[JobRow, Outlook]]":
        page = transaction.jobs.page(after=after, limit=size, sort=JobSort(sort), search=search, **fit)
        rows = [views.kept(row, config.projects) for row in page.rows]
        return page.of(list(zip(rows, expected.of(transaction, rows), strict=True)))

    return Pages(store, read, most=most)


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


def _cells(row: "JobRow", config: Config, expected: Outlook, *, running: bool) -> list[str]:
    now = expected.at
    return [
        name_of(row) or "-",
        job_standing(row).split(" ")[0],
        "-" if row.state_since is None else about((now - row.state_since).total_seconds()),
        "-" if views.is_orphaned(row, config.projects) else _next(row, now, running=running),
        "-" if expected.eta is None else f"in {brief(expected.eta.median)}",
        "-" if expected.eta is None else f"{brief(expected.eta.low)}-{brief(expected.eta.high)}",
        row.project,
        row.job_id,
    ]


def _next(row: "JobRow", now: datetime, *, running: bool) -> str:
    if row.tracking is not Tracking.ACTIVE or not running:
        return "-"
    if row.next_poll_at is None or row.next_poll_at <= now:
        return "soon"  # the daemon records its plan only every 30 s
    return f"in {about((row.next_poll_at - now).total_seconds())}"
