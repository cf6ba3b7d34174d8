"""`wrapd mute`: mute alerts for a while, list mutes, and end them."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output
from daemon.cli.filters import Word
from daemon.cli.notices import no_daemon
from daemon.cli.numbers import Count, Duration
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, one_id, one_job, opened, who
from daemon.cli.text import ago, band, clean, count, moment
from daemon.cli.zone import local, zone_option
from daemon.domain.jobs import ProjectName
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.commands import MuteWish
    from daemon.store import Ended, MuteRow, Transaction

_SCOPES = tuple(map(str, MuteScope))
_BECOME = {MuteEnd.SEND: "sent", MuteEnd.DROP: "dropped"}


@click.group("mute", invoke_without_command=True)
@click.option("--job", metavar="JOB_ID", help="All alerts about this job.")
@click.option("--batch", type=Word(), metavar="WORD", help="All alerts about this batch: its jobs and its end.")
@click.option("--tag", type=Word(), metavar="WORD", help="All alerts about jobs with this tag.")
@click.option("--channel", type=Word(), metavar="NAME", help="All alerts for this channel, operators' ones too.")
@click.option("--project", type=Word(), metavar="NAME", help="Only those of this project. [default: of any]")
@click.option("--for", "lasts", type=Duration(), metavar="DURATION", help='How long, such as "2h"; 30d at most.')
@click.option("--comment", type=Word(), metavar="TEXT", help="Why; lists show it.")
@click.option("--drop", is_flag=True, help="Drop the alerts at the end, instead of sending them.")
@zone_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    project: str | None,
    lasts: float | None,
    comment: str | None,
    drop: bool,
    **subjects: str | None,
) -> None:
    """Mute alerts for a while: they are kept, and sent together at the end, or dropped. Needs no running daemon.

    Applies to alerts to come and to those not sent yet, by what fits when they would be sent: a job that gets the
    tag or batch is muted too, one that loses it no longer. Where several mutes cover an alert, it waits for the
    last.
    `deliveries retry ID` and `deliveries resend` send at once despite a mute. Jobs are watched as ever.
    """
    if ctx.invoked_subcommand is not None:
        return
    given = {scope: subject for scope in _SCOPES if (subject := subjects[scope]) is not None}
    if len(given) != 1:
        raise UsageFault("what is to be muted? Give one of --job, --batch, --tag and --channel")
    if lasts is None:
        raise UsageFault("for how long? Add --for, such as --for 2h")
    if comment is None:
        raise UsageFault("why? Add --comment TEXT, so that others know")
    config = config_of(ctx)
    if project is not None:
        config.project(project)
    from daemon.commands import mute  # noqa: PLC0415 - SQLAlchemy

    [(scope, subject)] = given.items()
    if scope == MuteScope.CHANNEL:
        config.channel(subject)
    end = MuteEnd.DROP if drop else MuteEnd.SEND

    def work(tx: "Transaction") -> "tuple[MuteRow, int, bool]":
        wish = _wish(tx, MuteScope(scope), subject, project, lasts=lasts, comment=comment, then=end)
        return *mute(tx, wish, at=CLOCK.now(), who=who()), _is_known(tx, wish)

    with opened(config) as store:
        row, kept, known = store.write_now(work)
    waiting = f"; {count(kept, 'alert')} waiting now" if kept else ""
    output.line(f"#{row.id}: {_subject(row)} is muted until {moment(row.until)}{waiting}")
    output.line(f"Its alerts are {_BECOME[row.then]} then; `wrapd mute end {row.id}` ends it now")
    if not known:
        output.hint(f"No job has this {row.scope} yet.")


def _wish(
    tx: "Transaction",
    scope: MuteScope,
    subject: str,
    project: str | None,
    *,
    lasts: float,
    comment: str,
    then: MuteEnd,
) -> "MuteWish":
    """The options as a wish. Raises UsageFault and UnknownName."""
    from daemon.commands import MuteWish  # noqa: PLC0415 - SQLAlchemy

    within = None if project is None else ProjectName(project)
    if scope is MuteScope.JOB:
        job = one_job(tx, one_id(subject, "mute --job"), project)
        subject, within = job.job_id, job.project
    return MuteWish(
        scope=scope, subject=subject, project=within, lasts=timedelta(seconds=lasts), comment=comment, then=then
    )


def _is_known(tx: "Transaction", wish: "MuteWish") -> bool:
    """Whether there is anything of the name: one that is mistyped would mute nothing."""
    match wish.scope:
        case MuteScope.BATCH:
            return bool(tx.jobs.list(limit=1, batch=wish.subject, project=wish.project))
        case MuteScope.TAG:
            return bool(tx.jobs.list(limit=1, tag=wish.subject, project=wish.project))
        case _:
            return True


@command.command("list", short_help="List what is muted, by whom and until when.")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended, latest first.")
@zone_option
@json_option
@click.pass_context
def list_mutes(ctx: click.Context, everything: bool, as_json: bool) -> None:
    """List what is muted: since when, by whom, until when, why, and how many alerts wait because of it."""
    config = config_of(ctx)
    with opened(config) as store:
        rows, kept = store.read(lambda tx: (tx.mutes.list(ended=everything), tx.mutes.kept()))
    now = CLOCK.now()
    if as_json:
        output.document([views.document(views.mute(row, kept=kept.get(row.id, 0), now=now)) for row in rows])
        return
    columns = [
        Column(title="ID"),
        Column(title="MUTED", gives=True, least=16),
        Column(title="UNTIL"),
        Column(title="ALERTS"),
        Column(title="THEN", spare=2),
        Column(title="SINCE", spare=1),
        Column(title="BY", below=True),
        Column(title="COMMENT", below=True, free=True),
    ]
    cells = [_cells(row, kept.get(row.id, 0), now) for row in rows]
    output.table(columns, cells, empty="Nothing is muted." if not everything else "Nothing was ever muted.")
    if any(row.ended_at is None and row.until <= now for row in rows) and not daemon_runs(config):
        output.notes([no_daemon("mutes that are over end at the next start")])


def _cells(row: "MuteRow", kept: int, now: datetime) -> list[str]:
    until = local(row.until)
    return [
        str(row.id),
        _subject(row),
        band(until, until, local(now)) if row.ended_at is None else f"ended {ago(row.ended_at, now)}",
        str(kept),
        str(row.then),
        ago(row.started_at, now),
        row.who,
        row.comment or "-",
    ]


def _subject(row: "MuteRow") -> str:
    within = "" if row.project is None or row.scope is MuteScope.JOB else f" of {row.project}"
    return clean(f"{row.scope} {row.subject}{within}")


@command.command("end", short_help="End mutes now.", epilog="ID is the number that `wrapd mute list` shows.")
@click.argument("ids", nargs=-1, required=True, type=Count(), metavar="ID...")
@click.option("--send", is_flag=True, help="Send the kept alerts, whatever was asked at the start.")
@click.option("--drop", is_flag=True, help="Drop the kept alerts, whatever was asked at the start.")
@click.pass_context
def end(ctx: click.Context, ids: tuple[int, ...], send: bool, drop: bool) -> None:
    """End mutes now: what they kept is sent or dropped as asked at their start. What another mute covers too is
    kept on. `deliveries revive` restores dropped alerts."""
    if send and drop:
        raise UsageFault("--send and --drop exclude each other; leave one out")
    config = config_of(ctx)
    from daemon.commands import end_mutes  # noqa: PLC0415 - SQLAlchemy

    then = MuteEnd.SEND if send else MuteEnd.DROP if drop else None
    with opened(config) as store:
        done = store.write_now(lambda tx: end_mutes(tx, ids, at=CLOCK.now(), who=who(), then=then))
    found: dict[int, Ended] = {each.mute.id: each for each in done}
    for number in dict.fromkeys(ids):
        output.line(f"#{number}: {_said(found.get(number))}")


def _said(ended: "Ended | None") -> str:
    if ended is None:
        return "had ended"
    kept = f"{count(ended.count, 'alert')} {_BECOME[ended.mute.then]}" if ended.count else "no alert was kept"
    return f"{_subject(ended.mute)} is no longer muted; {kept}"
