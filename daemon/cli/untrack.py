"""`wrapd untrack`: stop watching jobs."""

import click

from daemon.cli import output
from daemon.cli.choosing import Choice, choosing, chosen
from daemon.cli.session import CLOCK, config_of, opened, who
from daemon.cli.text import count
from daemon.domain.jobs import Tracking


@click.command("untrack")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@choosing
@click.pass_context
def command(ctx: click.Context, *, choice: Choice) -> None:
    """Stop watching jobs, and revoke wrapd's own links to their videos. Their records stay, and `wrapd track`
    resumes watching them.

    `-` reads ids from standard input, one per line. If any id is unknown, nothing is changed. --batch, --tag and
    --state select the jobs that match all of them and are still watched; wrapd asks before it changes several.
    """
    config = config_of(ctx)
    from daemon.commands import untrack  # noqa: PLC0415 - SQLAlchemy

    with opened(config) as store:
        jobs = chosen(store, config, choice, doing="stop watching", tracking=Tracking.ACTIVE)
        if jobs is None:
            output.line("nothing was changed")
            return
        at, routing = CLOCK.now(), config.routing()
        done = store.write_now(lambda tx: untrack(tx, jobs, at=at, routing=routing, who=who()))
    if not choice.ids:
        stopped = sum(each.stopped for each in done)
        output.line(f"no longer tracked: {count(stopped, 'job')}" if stopped else "no tracked job matches")
        return
    for each in done:
        said = "no longer tracked" if each.stopped else f"was not tracked ({each.tracking})"
        output.line(f"{each.job_id}: {said}")
