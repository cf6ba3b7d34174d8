"""`wrapd deliveries retry|cancel|revive|resend`: retry, give up, restore and repeat alerts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from daemon.cli import output
from daemon.cli.choosing import confirmed
from daemon.cli.filters import AlertFit, Word, alert_filters, require_event, since_option
from daemon.cli.numbers import Count
from daemon.cli.session import CLOCK, config_of, jobs_of, one_id, one_job, opened, who
from daemon.cli.text import count
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.config.values import shown, suggestion
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.errors import UnknownName, UsageFault

if TYPE_CHECKING:
    from daemon.commands import Revived, SentFilter
    from daemon.store import Transaction

_DAY = timedelta(days=1)
_NUMBER = "ID is the number that `wrapd deliveries` shows."
_ids = click.argument("ids", nargs=-1, type=Count(), metavar="[ID]...")


@click.command("retry", epilog=_NUMBER)
@_ids
@click.option("--dead", is_flag=True, help="All dead alerts; with other options only the dead ones.")
@click.option("--channel", metavar="NAME", help="Held and dead alerts of this channel.")
@alert_filters
@zone_option
@click.pass_context
def retry(
    ctx: click.Context,
    *,
    ids: tuple[int, ...],
    dead: bool,
    channel: str | None,
    yes: bool,
    expect: int | None,
    **fit: Unpack[AlertFit],
) -> None:
    """Send dead and held alerts again now, and by ID muted ones, too. Alerts already sent are not repeated.

    Of the filters all must match; wrapd asks before it sends several that they select.
    """
    from daemon import commands  # noqa: PLC0415 - SQLAlchemy

    filtered = _require_choice(ids, fit, dead=dead, channel=channel, expect=expect)
    config = config_of(ctx)

    def work(tx: "Transaction") -> int:
        named = _channel(tx, config, channel)
        return commands.retry(tx, ids, dead=dead, channel=named, at=CLOCK.now(), who=who())

    with opened(config) as store:
        if filtered or expect is not None:
            statuses = ("dead",) if dead else ("held", "dead")
            ids = tuple(store.read(lambda tx: _matching(tx, config, fit, statuses=statuses, channel=channel)))
            if not confirmed(len(ids), "alert", doing="send", yes=yes, expect=expect, more="again"):
                output.line("nothing was sent again")
                return
        done = store.write_now(work) if ids or not filtered else 0
    output.line(f"{count(done, 'alert')} will be sent again" if done else "nothing to send again")


@click.command("cancel", epilog=_NUMBER, short_help="Give up unsent alerts; asks before several.")
@_ids
@click.option("--dead", is_flag=True, help="All dead alerts; with other options only the dead ones.")
@click.option("--channel", metavar="NAME", help="All unsent alerts of this channel.")
@alert_filters
@zone_option
@click.pass_context
def cancel(
    ctx: click.Context,
    *,
    ids: tuple[int, ...],
    dead: bool,
    channel: str | None,
    yes: bool,
    expect: int | None,
    **fit: Unpack[AlertFit],
) -> None:
    """Give up unsent alerts: pending, held and dead ones, but not one that is being sent. Asks before it gives up
    more than one. `revive` restores them.

    Of the filters all must match.
    """
    from daemon import commands  # noqa: PLC0415 - SQLAlchemy

    filtered = _require_choice(ids, fit, dead=dead, channel=channel, expect=expect)
    if ids and (dead or channel is not None):
        raise UsageFault("give either ids, or --dead or --channel")
    config = config_of(ctx)

    def choose(tx: "Transaction") -> list[int]:
        if filtered:
            statuses = ("dead",) if dead else ("pending", "held", "dead")
            return _matching(tx, config, fit, statuses=statuses, channel=channel)
        return commands.cancelable(tx, ids, dead=dead, channel=_channel(tx, config, channel))

    with opened(config) as store:
        chosen = store.read(choose)
        after = "They will not be sent"
        if not confirmed(len(chosen), "alert", doing="give up", yes=yes, expect=expect, more=after):
            output.line("nothing was canceled")
            return
        # Exactly the confirmed alerts, not those written while the user was thinking.
        named = None if channel is None else ChannelName(channel)
        done = store.write_now(lambda tx: commands.cancel(tx, chosen, at=CLOCK.now(), who=who(), channel=named))
    output.line(f"{count(done, 'alert')} will not be sent" if done else "nothing to cancel")


def _require_choice(
    ids: tuple[int, ...], fit: AlertFit, *, dead: bool, channel: str | None, expect: int | None
) -> bool:
    """Whether there is a filter beyond --dead and --channel. Raises UsageFault unless there are either ids or a
    choice."""
    filtered = any(value is not None for value in fit.values())
    if ids and (dead or filtered or expect is not None):
        raise UsageFault("give either ids or --dead and filters")
    if not ids and not dead and channel is None and not filtered:
        raise UsageFault("which alerts? Give ids, --dead for all dead ones, --channel NAME, or another filter")
    return filtered


def _matching(
    tx: "Transaction", config: Config, fit: AlertFit, *, statuses: Sequence[str], channel: str | None
) -> list[int]:
    """The row ids of the alerts with one of these statuses that match all filters. Raises UnknownName."""
    from daemon.store import DeliveryFilter, DeliveryStatus  # noqa: PLC0415 - SQLAlchemy

    if fit["project"] is not None:
        config.project(fit["project"])
    require_event(fit["event"])
    known: DeliveryFilter = {
        "channel": _channel(tx, config, channel),
        "event": fit["event"],
        "project": None if fit["project"] is None else ProjectName(fit["project"]),
        "batch": fit["batch"],
        "tag": fit["tag"],
        "since": fit["since"],
    }
    if fit["job"] is not None:
        job_id = one_id(fit["job"], "deliveries --job")
        known["jobs"] = [row.id for row in jobs_of(tx, job_id, fit["project"])]
    found: list[int] = []
    for status in statuses:
        known["status"] = DeliveryStatus(status)
        found += [row.id for row in tx.deliveries.list(**known)]
    return sorted(found)


@click.command("revive", epilog=_NUMBER, short_help="Restore canceled alerts.")
@_ids
@click.option("--channel", metavar="NAME", help="All canceled alerts of this channel.")
@since_option("All alerts canceled", default="1d with --channel")
@zone_option
@click.pass_context
def revive(ctx: click.Context, ids: tuple[int, ...], channel: str | None, since: datetime | None) -> None:
    """Restore canceled alerts: they are sent now, oldest first, even in quiet hours.

    Without ids, alerts that wrapd itself has replaced by later ones stay canceled.
    """
    from daemon import commands  # noqa: PLC0415 - SQLAlchemy

    if ids and (channel is not None or since is not None):
        raise UsageFault("give either ids, or --channel or --since")
    if not ids and channel is None and since is None:
        raise UsageFault("which alerts? Give ids, --channel NAME, or --since with a time such as 2h")
    config = config_of(ctx)

    def work(tx: "Transaction") -> "Revived":
        at, named = CLOCK.now(), _channel(tx, config, channel)
        return commands.revive(tx, ids, since=None if ids else since or at - _DAY, channel=named, at=at, who=who())

    with opened(config) as store:
        done = store.write_now(work)
    output.line(f"{count(done.count, 'alert')} will be sent" if done.count else "nothing to restore")
    if done.older:
        output.line(f"{count(done.older, 'alert')} canceled earlier: give ids, or an earlier --since such as 30d")


@click.command("resend", epilog=_NUMBER, short_help="Send sent alerts again, marked as repeated on request.")
@_ids
@click.option("--job", metavar="JOB_ID", help="All alerts sent about this job.")
@click.option("--batch", type=Word(), metavar="WORD", help="All alerts sent about this batch and its jobs.")
@click.option("--project", type=Word(), metavar="NAME", help="Of this project; required if several have the job.")
@since_option("All alerts sent")
@click.option("--from", "origin", metavar="NAME", help="With these options: only alerts sent to this channel.")
@click.option("--channel", metavar="NAME", help="Send them to this channel instead, each event once.")
@zone_option
@click.pass_context
def resend(ctx: click.Context, *, ids: tuple[int, ...], channel: str | None, **fit: Unpack["_Fit"]) -> None:
    """Send sent alerts again, now, even in quiet hours. Each message says that it was requested.

    The original alert is unchanged, and a new one is written; at most 500 at a time.
    """
    from daemon import commands  # noqa: PLC0415 - SQLAlchemy

    chosen = any(fit[name] is not None for name in ("job", "batch", "since"))
    if ids and any(value is not None for value in fit.values()):
        raise UsageFault("give either ids, or --job, --batch or --since")
    if not ids and not chosen:
        raise UsageFault("which alerts? Give ids, --job JOB_ID, --batch WORD, or --since with a time such as 2h")
    config = config_of(ctx)
    if fit["project"] is not None:
        config.project(fit["project"])
    if channel is not None:
        config.channel(channel)
    to = None if channel is None else ChannelName(channel)
    with opened(config) as store:
        rows = store.read(lambda tx: commands.resendable(tx, ids or _sent_filter(tx, config, fit)))
        done = store.write_now(
            lambda tx: commands.resend(tx, rows, channels=config.channels, to=to, at=CLOCK.now(), who=who())
        )
    if not done:
        output.line("no sent alert matches")
        return
    output.line(f"{count(done, 'alert')} will be sent again, marked as repeated on request")
    if done > 1:
        output.line("`wrapd deliveries` lists them, `wrapd deliveries cancel` gives up those not sent yet")


class _Fit(TypedDict):
    """The options of `resend` that select sent alerts."""

    job: str | None
    batch: str | None
    project: str | None
    since: datetime | None
    origin: str | None


def _sent_filter(tx: "Transaction", config: Config, fit: _Fit) -> "SentFilter":
    """The options as a filter. Raises UnknownName and UsageFault."""
    from daemon.commands import SentFilter  # noqa: PLC0415 - SQLAlchemy

    job, project = fit["job"], fit["project"]
    return SentFilter(
        job=None if job is None else one_job(tx, one_id(job, "deliveries resend --job"), project).id,
        batch=fit["batch"],
        project=None if project is None else ProjectName(project),
        since=fit["since"],
        channel=_channel(tx, config, fit["origin"]),
    )


def _channel(tx: "Transaction", config: Config, name: str | None) -> ChannelName | None:
    """A channel of the config, or a former one that still has alerts. Raises UnknownName."""
    if name is None:
        return None
    known = dict.fromkeys([*config.channels, *(channel for channel, _ in tx.deliveries.counts())])
    if name not in known:
        raise UnknownName(f"no channel is called {shown(name)}; {suggestion(name, known)}")
    return ChannelName(name)
