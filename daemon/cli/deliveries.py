"""`wrapd deliveries`: what was told to whom, what was not, and sending it again."""

from typing import TYPE_CHECKING

import click

from daemon.cli import facts, output
from daemon.cli.numbers import Count
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, json_option, opened
from daemon.cli.text import ago
from daemon.config import Config
from daemon.config.forms import shown, suggestion
from daemon.domain.jobs import ChannelName
from daemon.errors import UnknownName, UsageFault

if TYPE_CHECKING:
    from daemon.store import DeliveryRow, Transaction

STATUSES = ("pending", "sending", "sent", "held", "dead", "canceled")
"""The statuses of a delivery; checked against the store's own by a test."""


@click.group("deliveries", invoke_without_command=True)
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--channel", metavar="NAME", help="Only those of this channel.")
@click.option("--limit", type=Count(), help="At most this many, the newest. [default: all]")
@json_option
@click.pass_context
def command(ctx: click.Context, status: str | None, channel: str | None, limit: int | None, as_json: bool) -> None:
    """List alerts, each for one channel, the newest first. Needs no running daemon."""
    if ctx.invoked_subcommand is not None:
        return
    config = config_of(ctx)
    with opened(config) as store:
        rows, names = store.read(lambda transaction: _read(transaction, status, channel, limit))
    if channel is not None and not rows:
        config.channel(channel)  # a name that was mistyped is a fault, a channel without alerts is none
    if as_json:
        output.document([facts.of_delivery(row, names.get(row.id)) for row in rows])
        return
    now = CLOCK.now()
    columns = [
        Column(title="ID"),
        Column(title="EVENT"),
        Column(title="CHANNEL", gives=True),
        Column(title="STATUS", coloured=True),
        Column(title="TRIES"),
        Column(title="WRITTEN"),
        Column(title="JOB"),
        Column(title="LAST ERROR", gives=True),
    ]
    cells = [
        [
            str(row.id),
            str(row.event),
            row.channel,
            str(row.status),
            str(row.attempts),
            ago(row.created_at, now),
            names.get(row.id) or "-",
            (row.last_error or "-") if row.sent_at is None else "-",
        ]
        for row in rows
    ]
    output.table(
        columns, cells, empty="No alert was written yet." if status is None and channel is None else "None fits."
    )


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


def _read(
    transaction: "Transaction", status: str | None, channel: str | None, limit: int | None
) -> "tuple[list[DeliveryRow], dict[int, str]]":
    from daemon.store import DeliveryStatus  # noqa: PLC0415 - SQLAlchemy

    rows = transaction.outbox.list(
        status=None if status is None else DeliveryStatus(status),
        channel=None if channel is None else ChannelName(channel),
        limit=limit,
    )
    jobs = transaction.jobs.names(row.job for row in rows if row.job is not None)
    return rows, {row.id: jobs[row.job] for row in rows if row.job in jobs}


def _channel(transaction: "Transaction", config: Config, name: str) -> ChannelName:
    """A channel of the config, or one that was there when alerts were written."""
    known = dict.fromkeys([*config.channels, *(channel for channel, _ in transaction.outbox.counts())])
    if name not in known:
        raise UnknownName(f"no channel is called {shown(name)}; {suggestion(name, known)}")
    return ChannelName(name)


def _require(transaction: "Transaction", ids: tuple[int, ...]) -> None:
    known = {row.id for row in transaction.outbox.list()}
    unknown = [str(each) for each in ids if each not in known]
    if unknown:
        raise UnknownName(
            f"nothing was changed: there is no delivery {', '.join(unknown)}; `wrapd deliveries` lists all"
        )
