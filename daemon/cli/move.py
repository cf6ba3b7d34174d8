"""`wrapd jobs move` and `wrapd deliveries move`: move what belongs to a renamed or removed project or channel."""

import shlex
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.filters import Word
from daemon.cli.session import CLOCK, agreed, config_of, opened, who
from daemon.cli.text import count
from daemon.domain.jobs import ChannelName, ProjectName

if TYPE_CHECKING:
    from daemon.store import MovedJobs


@click.command("move", short_help="Move all jobs of a project to another one.")
@click.option(
    "--project", "names", type=Word(), nargs=2, required=True, metavar="OLD NEW", help="Source and target."
)
@click.option("--yes", is_flag=True, help="Do not ask; required without a terminal.")
@click.pass_context
def jobs(ctx: click.Context, names: tuple[str, str], yes: bool) -> None:
    """Move all jobs of a project to another one, ended ones included, after the project was renamed in or removed
    from the config. Asks first.

    OLD need not be in the config, NEW must be. A running daemon picks up the jobs at once. Alerts are not
    repeated, and wrapd's own links stay valid. A job whose id NEW already has is not moved.
    """
    config = config_of(ctx)
    old, new = ProjectName(names[0]), ProjectName(names[1])
    config.project(new)
    from daemon.commands import movable_jobs, move_jobs  # noqa: PLC0415 - SQLAlchemy

    with opened(config) as store:
        found = store.read(lambda transaction: movable_jobs(transaction, old, new))
        if found.moved:
            if not yes and not agreed(f"move {_jobs(found)} of project {old} to {new}"):
                output.line("nothing was moved")
                return
            routing = config.routing()
            found = store.write_now(
                lambda transaction: move_jobs(transaction, old, new, at=CLOCK.now(), routing=routing, who=who())
            )
    output.line(
        f"{_jobs(found)} moved from {old} to {new}" if found.moved else f"nothing to move from project {old}"
    )
    if found.stay:
        more = f" and {found.stay - len(found.twins)} more" if found.stay > len(found.twins) else ""
        output.line(
            f"{count(found.stay, 'job')} not moved, since {new} has the same: {', '.join(found.twins)}{more}"
        )
        output.line(f"`wrapd untrack --project {shlex.quote(old)} JOB_ID` stops tracking them")


@click.command("move", short_help="Move unsent alerts to another channel.")
@click.option(
    "--channel", "names", type=Word(), nargs=2, required=True, metavar="OLD NEW", help="Source and target."
)
@click.option("--yes", is_flag=True, help="Do not ask; required without a terminal.")
@click.pass_context
def deliveries(ctx: click.Context, names: tuple[str, str], yes: bool) -> None:
    """Move the unsent alerts of a channel to another one, after the channel was renamed in or removed from the
    config. Asks first.

    OLD need not be in the config, NEW must be. Pending and held alerts are sent at once, or after NEW's own quiet
    hours; dead ones stay dead until you `retry` them. Nothing is sent twice: alerts already sent, and alerts that
    NEW also has, stay with OLD.
    """
    config = config_of(ctx)
    old, new = ChannelName(names[0]), ChannelName(names[1])
    config.channel(new)
    from daemon.commands import movable_deliveries, move_deliveries  # noqa: PLC0415 - SQLAlchemy

    with opened(config) as store:
        found = store.read(lambda transaction: movable_deliveries(transaction, old, new))
        alerts = count(found.moved, "alert")
        if found.moved:
            if not yes and not agreed(f"move {alerts} from channel {old} to {new}"):
                output.line("nothing was moved")
                return
            routing = config.routing()
            found = store.write_now(
                lambda transaction: move_deliveries(
                    transaction, old, new, at=CLOCK.now(), routing=routing, who=who()
                )
            )
    moved = f"{count(found.moved, 'alert')} moved from {old} to {new}"
    output.line(moved if found.moved else f"nothing to move from channel {old}")
    if found.twins:
        output.line(
            f"{count(found.twins, 'alert')} not moved, since {new} has the same; "
            f"`wrapd deliveries cancel --channel {shlex.quote(old)}` gives them up"
        )
    if found.sending:
        output.line(f"{count(found.sending, 'alert')} not moved, since {old} is sending right now")


def _jobs(found: "MovedJobs") -> str:
    return f"{count(found.moved, 'job')} ({found.active} active)"
