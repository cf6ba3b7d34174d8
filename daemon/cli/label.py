"""`wrapd label`: set or remove the labels of jobs."""

import click

from daemon.cli import output
from daemon.cli.choosing import Choice, choosing, chosen
from daemon.cli.session import CLOCK, config_of, opened, who
from daemon.cli.text import count
from daemon.errors import UsageFault


@click.command("label")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@click.argument("text", metavar="TEXT")
@choosing
@click.pass_context
def command(ctx: click.Context, *, text: str, choice: Choice) -> None:
    """Set the label of jobs. Messages sent from then on show it, and routes can match it. An empty TEXT ("")
    removes the label.

    `-` reads ids from standard input, one per line. If any id is unknown, nothing is changed. --batch, --tag and
    --state select the jobs that match all of them, ended ones included; wrapd asks before it changes several.
    """
    config = config_of(ctx)
    from daemon.commands import read_label, set_label  # noqa: PLC0415 - SQLAlchemy

    try:
        name = read_label(text)
    except ValueError as error:
        raise UsageFault(f"TEXT: {error}") from None
    with opened(config) as store:
        jobs = chosen(store, config, choice, doing="set the label of" if name else "remove the label of")
        if jobs is None:
            output.line("nothing was changed")
            return
        done = store.write_now(lambda tx: set_label(tx, jobs, name, at=CLOCK.now(), who=who()))
    said = "no label" if name is None else f"label {name}"
    if not choice.ids:
        changed = sum(each.changed for each in done)
        output.line(f"{said}: changed {changed} of {count(len(done), 'job')}" if done else "no job matches")
        return
    for each in done:
        output.line(f"{each.job_id}: {said}{'' if each.changed else ' (unchanged)'}")
