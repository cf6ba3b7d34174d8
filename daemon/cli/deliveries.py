"""`wrapd deliveries`: what was told to whom, what was not and why; sending it again, or giving it up."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output
from daemon.cli.filters import Since, Word
from daemon.cli.numbers import Count
from daemon.cli.output import Column
from daemon.cli.pages import Pages, most_of, part_of, tell_rest
from daemon.cli.session import CLOCK, config_of, job_ids, jobs_of, json_option, list_options, opened
from daemon.cli.text import ago, clean, moment
from daemon.config import Config
from daemon.config.forms import shown, suggestion
from daemon.domain.events import Event
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
    Column(title="ID"),
    Column(title="EVENT"),
    Column(title="CHANNEL", gives=True),
    Column(title="STATUS", coloured=True),
    Column(title="TRIES"),
    Column(title="WRITTEN"),
    Column(title="JOB"),
    Column(title="WHY", gives=True),
)


@click.group("deliveries", invoke_without_command=True)
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--dead", is_flag=True, help="Only dead ones: the same as --status dead.")
@click.option("--channel", type=Word(), metavar="NAME", help="Only those of this channel.")
@click.option("--event", type=Word(), metavar="EVENT", help="Only those of this event, such as failed.")
@click.option("--project", type=Word(), metavar="NAME", help="Only those of this project.")
@click.option("--job", metavar="JOB_ID", help="Only those about this job.")
@click.option(
    "--batch", type=Word(), metavar="WORD", help="Only those about jobs of this batch, and about its end."
)
@click.option("--tag", type=Word(), metavar="WORD", help="Only those about jobs with this tag.")
@click.option(
    "--since",
    type=Since(),
    metavar="TIME",
    help='Only those written since: "30m", "2h", "3d" ago, or a date and time (UTC).',
)
@click.option(
    "--search",
    metavar="TEXT",
    help="Only those with this text, in capitals or not, in WHY, or in their job's id, label, name or batch.",
)
@click.option("--sort", type=click.Choice(SORTS), default="newest", help="The last written first, or the first.")
@list_options
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
    """List alerts, each for one channel, the newest first. Needs no running daemon."""
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
        found = _found(store, fit, sort=sort, search=text, most=most, tries=as_json)
        if found.is_empty:
            _require_known(config, channel=channel, event=event, project=project)
        if as_json:
            output.documents(_document(each) for page in found for each in page)
        else:
            now = CLOCK.now()
            filtered = text is not None or any(value is not None for value in fit.values())
            cells = ([_cells(each, now) for each in page] for page in found)
            output.tables(_COLUMNS, cells, empty="None fits." if filtered else "No alert was written yet.")
        newest = sort == "newest"
        tell_rest(found, lambda tx, upto: tx.outbox.count(most=upto, **fit), newest=newest, as_json=as_json)


def _rows_of(store: "Store", job: str, project: str | None) -> list[int]:
    """The job's row ids, in each project that has it. Raises UnknownName where none has."""
    (job_id,) = job_ids([job])
    rows = store.read(lambda transaction: jobs_of(transaction, job_id, project))
    return [row.id for row in rows]


def _require_known(config: Config, *, channel: str | None, event: str | None, project: str | None) -> None:
    """Nothing was found. A name that was mistyped is a fault, a channel without alerts is none. Raises
    UnknownName."""
    if channel is not None:
        config.channel(channel)
    if project is not None:
        config.project(project)
    events = [each.value for each in Event]
    if event is not None and event not in events:
        raise UnknownName(f"no event is called {shown(event)}; {suggestion(event, events)}")


def _cells(each: "Told", now: datetime) -> list[str]:
    return [
        str(each.row.id),
        str(each.row.event),
        each.row.channel,
        str(each.row.status),
        str(each.row.attempts),
        ago(each.row.created_at, now),
        each.job_id or "-",
        _why(each.row, now) or "-",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A delivery with the id of its job, and its attempts where they were asked for."""

    row: "DeliveryRow"
    job_id: "JobId | None"
    tries: "list[AttemptRow]"


@command.command("show")
@click.argument("id", type=Count(), metavar="ID")
@json_option
@click.pass_context
def show(ctx: click.Context, id: int, as_json: bool) -> None:  # noqa: A002 - as the help calls it
    """Tell all of one alert: every try to send it, with its outcome and reason.

    ID is the number that `wrapd deliveries` shows.
    """
    config = config_of(ctx)
    with opened(config) as store:
        found = store.read(lambda transaction: _one(transaction, id))
    if as_json:
        output.document(_document(found))
        return
    for text in _story(found, CLOCK.now()):
        click.echo(text)


@command.command("retry")
@click.argument("ids", nargs=-1, type=Count(), metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All dead ones.")
@click.option(
    "--channel", metavar="NAME", help="Of this channel: its held and dead ones; with --dead only the dead."
)
@click.pass_context
def retry(ctx: click.Context, ids: tuple[int, ...], dead: bool, channel: str | None) -> None:
    """Send dead and held alerts again, now. Those that were sent stay sent.

    ID is the number that `wrapd deliveries` shows.
    """
    if ids and dead:
        raise UsageFault("name either ids or --dead")
    if not ids and not dead and channel is None:
        raise UsageFault("which ones? Name ids, --dead for all dead ones, or --channel NAME")
    config = config_of(ctx)

    def work(transaction: "Transaction") -> int:
        at = CLOCK.now()
        named = None if channel is None else _channel(transaction, config, channel)
        if ids:
            again = transaction.outbox.retry(ids=ids, channel=named, at=at)
            if again < len(set(ids)):
                _require(transaction, ids)
            return again
        released = 0 if dead or named is None else transaction.outbox.release(named, at=at)
        return released + transaction.outbox.retry(ids=None, channel=named, at=at)

    with opened(config) as store:
        count = store.write_now(work)
    output.line(
        f"{count} alert{'s' if count != 1 else ''} will be sent again" if count else "nothing to send again"
    )


@command.command("cancel")
@click.argument("ids", nargs=-1, type=Count(), metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All dead ones; with --channel those of this channel.")
@click.option(
    "--channel", metavar="NAME", help="Of this channel: all that are not sent yet; with --dead the dead."
)
@click.option("--yes", is_flag=True, help="Do not ask. Needed for more than one without a terminal.")
@click.pass_context
def cancel(ctx: click.Context, *, ids: tuple[int, ...], dead: bool, channel: str | None, yes: bool) -> None:
    """Give up alerts that are not sent: pending, held and dead ones. One that is being sent stays. Asks before it
    gives up more than one.

    ID is the number that `wrapd deliveries` shows.
    """
    if ids and (dead or channel is not None):
        raise UsageFault("name either ids, or --dead or --channel")
    if not ids and not dead and channel is None:
        raise UsageFault("which ones? Name ids, --dead for all dead ones, or --channel NAME")
    config = config_of(ctx)

    def choose(transaction: "Transaction") -> list[int]:
        if ids:
            rows = _require(transaction, ids)
            return [row.id for row in rows if str(row.status) not in {"sent", "canceled"}]
        named = None if channel is None else _channel(transaction, config, channel)
        statuses = ("dead",) if dead else ("pending", "held", "dead")
        return [row.id for each in statuses for row in transaction.outbox.list(**_fit(each, named))]

    with opened(config) as store:
        chosen = store.read(choose)
        if len(chosen) > 1 and not yes and not _agreed(len(chosen)):
            output.line("nothing was canceled")
            return
        # Exactly what was asked about: not what was written while somebody thought about it.
        count = store.write_now(lambda transaction: transaction.outbox.cancel(chosen, at=CLOCK.now()))
    output.line(f"{count} alert{'s' if count != 1 else ''} will not be sent" if count else "nothing to cancel")


def _agreed(count: int) -> bool:
    """Ask whether so many are given up. Raises UsageFault where nobody can answer."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageFault(f"this gives up {count} alerts; add --yes to do it without being asked")
    return click.confirm(f"Give up {count} alerts? They will not be sent", err=True)


def _document(told: Told) -> dict[str, object]:
    return views.document(views.delivery(told.row, told.tries, told.job_id))


def _why(row: "DeliveryRow", now: datetime) -> str | None:
    """Why it is not sent."""
    if row.sent_at is not None:
        return None
    kept = row.held_until is not None and now < row.held_until <= row.due_at  # else something let it go before
    if row.held_until is not None and kept and str(row.status) == "pending":
        return f"kept for quiet hours until {moment(row.held_until)}"
    return row.last_error


def _story(told: Told, now: datetime) -> Iterator[str]:
    row = told.row
    yield click.style(f"#{row.id} {row.event} to {clean(row.channel)}: {row.status}", bold=True)
    about = f"job {told.job_id}" if told.job_id else "no job"
    yield f"  of       {about}{f' of project {clean(row.project)}' if row.project else ''}"
    yield f"  written  {moment(row.created_at)} ({ago(row.created_at, now)})"
    if row.sent_at is not None:
        yield f"  sent     {moment(row.sent_at)} ({ago(row.sent_at, now)})"
    elif str(row.status) in {"pending", "held"}:
        yield f"  due      {moment(row.due_at)} ({ago(row.due_at, now)})"
    if (reason := _why(row, now)) is not None:
        yield f"  why      {clean(reason)}"
    if row.possible_repeat:
        which = "the last one" if row.sent_at is not None else "the next one"
        yield f"  A message may have arrived before: {which} says so."
    yield ""
    yield click.style("Tries", bold=True)
    if not told.tries:
        yield "  none yet"
    for each in told.tries:
        yield attempt_line(each)


def attempt_line(each: "AttemptRow") -> str:
    """One try, for people."""
    reason = clean(each.reason or "")
    status = f"HTTP {each.status_code}" if each.status_code else ""
    if reason == status or reason.startswith(f"{status}:"):
        status = ""
    shared = f"with {each.shared - 1} others in one message" if each.shared > 1 else ""
    said = ": ".join(filter(None, (each.outcome or "under way", shared, status, reason)))
    return f"  {each.n}. {moment(each.started_at)}  {said}"


def _one(transaction: "Transaction", delivery: int) -> Told:
    found = transaction.outbox.get(delivery)
    if found is None:
        raise UnknownName(f"there is no delivery {delivery}; `wrapd deliveries` lists all")
    return _told(transaction, [found], tries=True)[0]


def _found(
    store: "Store", fit: "DeliveryFilter", *, sort: str, search: str | None, most: int | None, tries: bool
) -> Pages[Told]:
    from daemon.store import DeliverySort  # noqa: PLC0415 - SQLAlchemy

    def read(transaction: "Transaction", /, *, after: "Place | None", size: int) -> "Page[Told]":
        page = transaction.outbox.page(after=after, limit=size, sort=DeliverySort(sort), search=search, **fit)
        return page.of(_told(transaction, page.rows, tries=tries))

    return Pages(store, read, most=most)


def _told(transaction: "Transaction", rows: "Sequence[DeliveryRow]", *, tries: bool) -> list[Told]:
    jobs = transaction.jobs.names(row.job for row in rows if row.job is not None)
    attempts = transaction.outbox.attempts_of([row.id for row in rows]) if tries else {}
    return [
        Told(row=row, job_id=None if row.job is None else jobs.get(row.job), tries=attempts.get(row.id, []))
        for row in rows
    ]


def _fit(status: str | None, channel: str | None) -> "DeliveryFilter":
    from daemon.store import DeliveryStatus  # noqa: PLC0415 - SQLAlchemy

    return {
        "status": None if status is None else DeliveryStatus(status),
        "channel": None if channel is None else ChannelName(channel),
    }


def _channel(transaction: "Transaction", config: Config, name: str) -> ChannelName:
    """A channel of the config, or one that was there when alerts were written."""
    known = dict.fromkeys([*config.channels, *(channel for channel, _ in transaction.outbox.counts())])
    if name not in known:
        raise UnknownName(f"no channel is called {shown(name)}; {suggestion(name, known)}")
    return ChannelName(name)


def _require(transaction: "Transaction", ids: tuple[int, ...]) -> "list[DeliveryRow]":
    """The deliveries of these ids, each once. Raises UnknownName that names every one that there is not."""
    found = {each: transaction.outbox.get(each) for each in dict.fromkeys(ids)}
    unknown = [str(each) for each, row in found.items() if row is None]
    if unknown:
        raise UnknownName(
            f"nothing was changed: there is no delivery {', '.join(unknown)}; `wrapd deliveries` lists all"
        )
    return [row for row in found.values() if row is not None]
