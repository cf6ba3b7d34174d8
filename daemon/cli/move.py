"""`wrapd jobs move` and `wrapd deliveries move`: what is left of a project or channel that was renamed, or taken
out of the config, goes to another one.
"""

import shlex
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.filters import Word
from daemon.cli.session import CLOCK, agreed, config_of, opened
from daemon.cli.text import count
from daemon.domain.jobs import ChannelName, ProjectName

if TYPE_CHECKING:
    from daemon.store import MovedJobs


@click.command("move", short_help="Move all jobs of a project to another one.")
@click.option(
    "--project", "names", type=Word(), nargs=2, required=True, metavar="OLD NEW", help="From which one to which."
)
@click.option("--yes", is_flag=True, help="Do not ask. Needed without a terminal.")
@click.pass_context
def jobs(ctx: click.Context, names: tuple[str, str], yes: bool) -> None:
    """Move all jobs of a project to another one, ended ones too: it was renamed in the config, or is not there any
    more. Asks before it does.

    OLD need not be in the config, NEW must be. A running daemon takes the jobs up at once. What was told of them
    stays told, and wrapd's own links stay open. A job whose id NEW has as well stays where it is.
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
                lambda transaction: move_jobs(transaction, old, new, at=CLOCK.now(), routing=routing)
            )
    output.line(
        f"{_jobs(found)} moved from {old} to {new}" if found.moved else f"nothing to move from project {old}"
    )
    if found.stay:
        more = f" and {found.stay - len(found.twins)} more" if found.stay > len(found.twins) else ""
        output.line(f"{count(found.stay, 'job')} left, since {new} has the same: {', '.join(found.twins)}{more}")
        output.line(f"`wrapd untrack --project {shlex.quote(old)} JOB_ID` gives up what is left")


@click.command("move", short_help="Have another channel send what waits for one.")
@click.option(
    "--channel", "names", type=Word(), nargs=2, required=True, metavar="OLD NEW", help="From which one to which."
)
@click.option("--yes", is_flag=True, help="Do not ask. Needed without a terminal.")
@click.pass_context
def deliveries(ctx: click.Context, names: tuple[str, str], yes: bool) -> None:
    """Have another channel send what waits for one: it was renamed in the config, or is not there any more. Asks
    before it does.

    OLD need not be in the config, NEW must be. Pending and held alerts are sent at once, or after NEW's own quiet
    hours; dead ones stay dead, and can be sent again by `retry`. Nothing is told twice: what was sent stays with
    OLD, and so does what NEW has as well.
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
                lambda transaction: move_deliveries(transaction, old, new, at=CLOCK.now(), routing=routing)
            )
    moved = f"{count(found.moved, 'alert')} moved from {old} to {new}"
    output.line(moved if found.moved else f"nothing to move from channel {old}")
    if found.twins:
        output.line(
            f"{count(found.twins, 'alert')} left, since {new} has the same; "
            f"`wrapd deliveries cancel --channel {shlex.quote(old)}` gives up what is left"
        )
    if found.sending:
        output.line(f"{count(found.sending, 'alert')} left, which {old} is sending just now")


def _jobs(found: "MovedJobs") -> str:
    return f"{count(found.moved, 'job')} ({found.active} active)"
