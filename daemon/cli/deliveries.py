"""`wrapd deliveries`: the alerts, sent or not, and why not. (The commands that change them are in `outbox`.)"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import move, output
from daemon.cli.filters import Word, require_event, since_option
from daemon.cli.notices import no_daemon
from daemon.cli.numbers import Count
from daemon.cli.outbox import cancel, resend, retry, revive
from daemon.cli.output import Column
from daemon.cli.pages import Pages, most_of, note_rest, part_of
from daemon.cli.session import CLOCK, config_of, daemon_runs, jobs_of, json_option, list_options, one_id, opened
from daemon.cli.standings import attempt_line, situation
from daemon.cli.text import ago, clean, moment
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.errors import UnknownName, UsageFault

if TYPE_CHECKING:
    from daemon.domain.jobs import JobId
    from daemon.store import AttemptRow, DeliveryFilter, DeliveryRow, Page, Place, Store, Transaction

STATUSES = ("pending", "sending", "sent", "held", "dead", "canceled")
"""The statuses of a delivery; checked against the store's own by a test."""
SORTS = ("newest", "oldest")
"""The orders of a list of deliveries; checked against the store's own by a test."""
_COLUMNS = (
    Column(title="NAME", gives=True, least=20, free=True),
    Column(title="ID"),
    Column(title="EVENT"),
    Column(title="CHANNEL", gives=True, least=10),
    Column(title="STATUS", coloured=True),
    Column(title="TRIES", spare=2),
    Column(title="WRITTEN"),
    Column(title="JOB", ids=True, spare=1),
    Column(title="WHY", below=True, free=True),
)
_WAITING = frozenset({"pending", "sending", "held"})


@click.group("deliveries", invoke_without_command=True)
@click.option("--status", type=click.Choice(STATUSES), help="Only alerts with this status.")
@click.option("--dead", is_flag=True, help="Only dead alerts: the same as --status dead.")
@click.option("--channel", type=Word(), metavar="NAME", help="Only alerts for this channel.")
@click.option("--event", type=Word(), metavar="EVENT", help="Only alerts of this event, such as failed.")
@click.option("--project", type=Word(), metavar="NAME", help="Only alerts of this project.")
@click.option("--job", metavar="JOB_ID", help="Only alerts about this job.")
@click.option("--batch", type=Word(), metavar="WORD", help="Only alerts about jobs of this batch or its end.")
@click.option("--tag", type=Word(), metavar="WORD", help="Only alerts about jobs with this tag.")
@since_option("Only alerts written")
@click.option(
    "--search",
    metavar="TEXT",
    help="Only alerts with this text (ignoring case) in WHY, or in their job's id, label, name or batch.",
)
@click.option("--sort", type=click.Choice(SORTS), default="newest", help="Newest or oldest alerts first.")
@list_options
@zone_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    status: str | None,
    dead: bool,
    channel: str | None,
    event: str | None,
    project: str | None,
    job: str | None,
    batch: str | None,
    tag: str | None,
    since: datetime | None,
    search: str | None,
    sort: str,
    limit: int | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List alerts, each for one channel, newest first. Needs no running daemon."""
    if ctx.invoked_subcommand is not None:
        return
    if dead and status not in {None, "dead"}:
        raise UsageFault(f"--dead and --status {status} exclude each other; leave one out")
    most = most_of(limit, everything=everything, as_json=as_json)
    text = part_of(search)
    config = config_of(ctx)
    with opened(config) as store:
        fit = _fit("dead" if dead else status, channel)
        fit |= {"event": event, "batch": batch, "tag": tag, "since": since}
        if project is not None:
            fit["project"] = ProjectName(project)
        if job is not None:
            fit["jobs"] = _rows_of(store, job, project)
        found = _found(store, config, fit, sort=sort, search=text, most=most, as_json=as_json)
        if found.is_empty:
            _require_known(config, channel=channel, event=event, project=project)
        if as_json:
            output.documents(_document(each) for page in found for each in page)
        else:
            filtered = text is not None or any(value is not None for value in fit.values())
            _show(config, found, filtered=filtered)
        newest = sort == "newest"
        note_rest(found, lambda tx, upto: tx.deliveries.count(most=upto, **fit), newest=newest, as_json=as_json)


def _show(config: Config, found: "Pages[ListedDelivery]", *, filtered: bool) -> None:
    now, waits = CLOCK.now(), False

    def cells(page: "list[ListedDelivery]") -> list[list[str]]:
        nonlocal waits
        waits = waits or any(each.row.status in _WAITING for each in page)
        return [_cells(each, now) for each in page]

    empty = (
        "No alert matches; `wrapd deliveries` without options lists all."
        if filtered
        else "No alerts yet: changes of tracked jobs create them. `wrapd routes` says which channels get them."
    )
    output.tables(_COLUMNS, map(cells, found), empty=empty)
    output.notes([no_daemon("nothing is sent") if waits and not daemon_runs(config) else None])


def _rows_of(store: "Store", job: str, project: str | None) -> list[int]:
    """The job's row ids, one for each project that has it. Raises UnknownName if none has."""
    job_id = one_id(job, "deliveries --job")
    return [row.id for row in store.read(lambda transaction: jobs_of(transaction, job_id, project))]


def _require_known(config: Config, *, channel: str | None, event: str | None, project: str | None) -> None:
    """Raise UnknownName if a name is unknown: a mistyped name is an error, a channel without alerts is not."""
    if channel is not None:
        config.channel(channel)
    if project is not None:
        config.project(project)
    require_event(event)


def _cells(each: "ListedDelivery", now: datetime) -> list[str]:
    return [
        each.name or "-",
        str(each.row.id),
        str(each.row.event),
        each.row.channel,
        str(each.row.status),
        str(each.row.attempts),
        ago(each.row.created_at, now),
        each.job_id or "-",
        each.why or "-",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelivery:
    """A delivery with the id of its job, the name of its subject, the reason why it is not sent, and its attempts
    if they were requested."""

    row: "DeliveryRow"
    job_id: "JobId | None"
    name: str | None
    why: str | None
    tries: "list[AttemptRow]"


@command.command("show", short_help="Show one alert with every attempt and its outcome.")
@click.argument("id", type=Count(), metavar="ID")
@zone_option
@json_option
@click.pass_context
def show(ctx: click.Context, id: int, as_json: bool) -> None:  # noqa: A002 - as the help calls it
    """Show one alert with every attempt to send it, its outcome and reason.

    ID is the number that `wrapd deliveries` shows.
    """
    config = config_of(ctx)
    with opened(config) as store:
        found = store.read(lambda transaction: _one(transaction, config, id, as_json=as_json))
    if as_json:
        output.document(_document(found))
        return
    for text in _story(found, CLOCK.now()):
        click.echo(text)


def _document(listed: ListedDelivery) -> dict[str, object]:
    return views.document(views.delivery(listed.row, listed.tries, listed.job_id, why=listed.why))


def _story(listed: ListedDelivery, now: datetime) -> Iterator[str]:
    row = listed.row
    head = f"#{row.id} {row.event} to {clean(row.channel)}: {row.status}"
    yield click.style(output.hanging("", head, indent=2), bold=True)
    named = f"{clean(listed.name)}, " if listed.name and listed.job_id else ""
    about = f"{named}job {listed.job_id}" if listed.job_id else "no job"
    project = f" of project {clean(row.project)}" if row.project else ""
    yield output.hanging("  of       ", about + project)
    yield output.hanging("  written  ", f"{moment(row.created_at)} ({ago(row.created_at, now)})")
    if row.sent_at is not None:
        yield output.hanging("  sent     ", f"{moment(row.sent_at)} ({ago(row.sent_at, now)})")
    elif str(row.status) in {"pending", "held"}:
        yield output.hanging("  due      ", f"{moment(row.due_at)} ({ago(row.due_at, now)})")
    if listed.why is not None:
        yield output.hanging("  why      ", clean(listed.why))
    if (original := views.resent_from(row)) is not None:
        yield output.hanging("  again    ", f"#{original} sent again on request")
    if row.possible_repeat:
        which = "the last one" if row.sent_at is not None else "the next one"
        yield output.hanging("  ", f"An earlier message may have arrived: {which} says so.")
    yield ""
    yield click.style("Tries", bold=True)
    if not listed.tries:
        yield "  none yet"
    for each in listed.tries:
        yield attempt_line(each)


def _one(transaction: "Transaction", config: Config, delivery: int, *, as_json: bool) -> ListedDelivery:
    found = transaction.deliveries.get(delivery)
    if found is None:
        raise UnknownName(f"there is no delivery {delivery}; `wrapd deliveries` lists all")
    at = situation(transaction, config, [found], running=daemon_runs(config), as_json=as_json)
    return _listed(transaction, [found], at, tries=True)[0]


def _found(
    store: "Store",
    config: Config,
    fit: "DeliveryFilter",
    *,
    sort: str,
    search: str | None,
    most: int | None,
    as_json: bool,
) -> Pages[ListedDelivery]:
    from daemon.store import DeliverySort  # noqa: PLC0415 - SQLAlchemy

    running = daemon_runs(config)  # checked once, not for each page

    def read(transaction: "Transaction", /, *, after: "Place | None", size: int) -> "Page[ListedDelivery]":
        page = transaction.deliveries.page(after=after, limit=size, sort=DeliverySort(sort), search=search, **fit)
        at = situation(transaction, config, page.rows, running=running, as_json=as_json)
        return page.of(_listed(transaction, page.rows, at, tries=as_json))

    return Pages(store, read, most=most)


def _listed(
    transaction: "Transaction", rows: "Sequence[DeliveryRow]", at: views.Situation, *, tries: bool
) -> list[ListedDelivery]:
    jobs = transaction.jobs.names(row.job for row in rows if row.job is not None)
    attempts = transaction.deliveries.attempts_of([row.id for row in rows]) if tries else {}
    found = []
    for row in rows:
        job = None if row.job is None else jobs.get(row.job)
        found.append(
            ListedDelivery(
                row=row,
                job_id=None if job is None else job.job_id,
                name=_subject(row) if job is None else job.name,
                why=views.why(row, at),
                tries=attempts.get(row.id, []),
            )
        )
    return found


def _subject(row: "DeliveryRow") -> str | None:
    """The subject of an alert without a job."""
    batch = row.facts.get("batch")
    return batch if isinstance(batch, str) else row.project


def _fit(status: str | None, channel: str | None) -> "DeliveryFilter":
    from daemon.store import DeliveryStatus  # noqa: PLC0415 - SQLAlchemy

    return {
        "status": None if status is None else DeliveryStatus(status),
        "channel": None if channel is None else ChannelName(channel),
    }


for _each in (retry, cancel, revive, resend, move.deliveries):
    command.add_command(_each)
