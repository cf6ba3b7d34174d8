"""`wrapd share`: share a batch with people who have no login, list shares, and revoke them."""

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from daemon import views
from daemon.cli import output
from daemon.cli.addresses import pages_address
from daemon.cli.filters import Word
from daemon.cli.numbers import Count, Duration
from daemon.cli.output import Column
from daemon.cli.pages import Pages
from daemon.cli.session import CLOCK, config_of, json_option, opened, who
from daemon.cli.text import ago, band, clean, moment
from daemon.cli.zone import local, zone_option
from daemon.config.values import shown
from daemon.domain.hosts import is_loopback
from daemon.domain.jobs import ProjectName
from daemon.domain.sessions import RANDOM_BYTES
from daemon.domain.shares import USUAL_SHARE
from daemon.errors import UnknownName, UsageFault

if TYPE_CHECKING:
    from daemon.commands.shares import SharedBatch
    from daemon.domain.shares import BatchShare
    from daemon.store import Page, Place, Transaction


@click.group("share", invoke_without_command=True)
@click.option("--batch", type=Word(), metavar="WORD", help="The batch to share.")
@click.option("--project", type=Word(), metavar="NAME", help="Its project; required if several have the batch.")
@click.option(
    "--for",
    "lasts",
    type=Duration(),
    metavar="DURATION",
    default=f"{USUAL_SHARE.days}d",
    show_default=True,
    help="How long the address works; 90d at most.",
)
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, *, batch: str | None, project: str | None, lasts: float, as_json: bool) -> None:
    """Share a batch with people who have no login: print an address that shows its names, states and covers.
    Needs no running daemon, but only a running one answers at the address.

    Anyone who has the address can open it until it expires or is revoked. It is not kept, so it cannot be printed
    again. It begins with web.public_url if that is set, else with web.listen. See docs/pages.md.
    """
    if ctx.invoked_subcommand is not None:
        return
    if batch is None:
        raise UsageFault("what is to be shared? Add --batch, such as --batch week-12")
    config = config_of(ctx)
    if project is not None:
        config.project(project)
    address = pages_address(config, under_path=True)
    from daemon.commands.shares import share_batch  # noqa: PLC0415 - SQLAlchemy
    from daemon.web.settings import share_url  # noqa: PLC0415

    name, random, at, by = clean(batch), secrets.token_bytes(RANDOM_BYTES), CLOCK.now(), who()

    def work(tx: "Transaction") -> "SharedBatch":
        within = _project_of(tx, name, project)
        return share_batch(tx, within, name, lasts=timedelta(seconds=lasts), random=random, who=by, at=at)

    with opened(config) as store:
        made = store.write_now(work)
    share, url = made.share, share_url(address, made.secret)
    if as_json:
        output.document({**views.document(views.share(share, now=at)), "url": url})
        return
    output.line(url)
    until = moment(share.expires_at)
    output.hint(f"#{share.id}: {_subject(share)} is shared until {until}; `wrapd share revoke {share.id}` ends it")
    if is_loopback(urlsplit(address).hostname or ""):
        output.hint(
            "Only this machine can open the address; web.public_url in the config makes it one for others."
        )


def _project_of(tx: "Transaction", batch: str, project: str | None) -> ProjectName:
    """The named project, or the only one that has the batch. Raises UnknownName or UsageFault."""
    if project is not None:
        return ProjectName(project)
    found = tx.batches.projects(batch)
    if not found:
        raise UnknownName(f"no job belongs to a batch {shown(batch)}; `wrapd batches` lists all")
    if len(found) > 1:
        raise UsageFault(
            f"several projects have a batch {shown(batch)}; add --project with one of {', '.join(found)}"
        )
    return found[0]


@command.command("list", short_help="List shares, by whom and until when.")
@click.option("--all", "everything", is_flag=True, help="Also those that have expired or were revoked.")
@zone_option
@json_option
@click.pass_context
def list_shares(ctx: click.Context, everything: bool, as_json: bool) -> None:
    """List what is shared: until when, when it was last opened, and by whom it was shared, latest first. Addresses
    are not shown, because they are not kept."""
    config, now = config_of(ctx), CLOCK.now()

    def read(tx: "Transaction", /, *, after: "Place | None", size: int) -> "Page[BatchShare]":
        return tx.shares.page(limit=size, after=after, open_at=None if everything else now)

    with opened(config) as store:
        found = Pages(store, read, most=None)
        if as_json:
            output.documents(views.document(views.share(each, now=now)) for page in found for each in page)
            return
        columns = [
            Column(title="ID"),
            Column(title="BATCH", gives=True, least=16),
            Column(title="PROJECT", gives=True, least=12, alike=len(config.projects) < 2),
            Column(title="UNTIL"),
            Column(title="LAST OPENED", spare=1),
            Column(title="CREATED BY", spare=2),
        ]
        empty = "No shares are kept." if everything else "Nothing is shared."
        output.tables(columns, ([_cells(each, now) for each in page] for page in found), empty=empty)


@command.command("revoke", short_help="Revoke a share.", epilog="ID is the number that `wrapd share list` shows.")
@click.argument("number", type=Count(), metavar="ID")
@click.pass_context
def revoke(ctx: click.Context, number: int) -> None:
    """Revoke a share: its address stops working at once. Other shares of the batch go on."""
    from daemon.commands.shares import revoke_share  # noqa: PLC0415 - SQLAlchemy

    with opened(config_of(ctx)) as store:
        share = store.write_now(lambda tx: revoke_share(tx, number, who=who(), at=CLOCK.now()))
    output.line(f"#{share.id}: {_subject(share)}: revoked")


def _cells(share: "BatchShare", now: datetime) -> list[str]:
    until, status = local(share.expires_at), views.share(share, now=now).status
    ended = share.expires_at if share.revoked_at is None else share.revoked_at
    return [
        str(share.id),
        share.batch,
        share.project,
        band(until, until, local(now)) if status == "open" else f"{status} {ago(ended, now)}",
        "never" if share.used_at is None else ago(share.used_at, now),
        share.created_by,
    ]


def _subject(share: "BatchShare") -> str:
    return clean(f"batch {share.batch} of {share.project}")
