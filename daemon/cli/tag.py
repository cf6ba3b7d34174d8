"""`wrapd tag`: the words by which people and routes find jobs."""

import click

from daemon.cli import output
from daemon.cli.choosing import Choice, choosing, chosen
from daemon.cli.session import config_of, given_words, opened
from daemon.cli.text import count
from daemon.errors import UsageFault


@click.command("tag")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@click.option("--add", multiple=True, metavar="WORD", help="A tag to add; may be repeated.")
@click.option("--remove", multiple=True, metavar="WORD", help="A tag to take away; may be repeated.")
@choosing
@click.pass_context
def command(
    ctx: click.Context,
    *,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    choice: Choice,
) -> None:
    """Add tags to jobs, or take them away. What happens to the jobs from then on is routed by them.

    `-` reads ids from standard input, one a line. If one of them is not known nothing is changed. --batch, --tag
    and --state together mean the jobs that fit all of them, ended ones too; before more than one job is changed by
    them, wrapd says how many and asks.
    """
    config = config_of(ctx)
    added, removed = given_words("--add", add), given_words("--remove", remove)
    if not added and not removed:
        raise UsageFault("which tags? Name them with --add and --remove (--tag chooses jobs)")
    both = [word for word in added if word in removed]
    if both:
        raise UsageFault(f"--add and --remove both name {both[0]!r}; leave one out")
    from daemon.commands import WrongRequest, change_tags  # noqa: PLC0415 - SQLAlchemy

    with opened(config) as store:
        jobs = chosen(store, config, choice, doing="change the tags of")
        if jobs is None:
            output.line("nothing was changed")
            return
        try:
            done = store.write_now(lambda tx: change_tags(tx, jobs, add=added, remove=removed))
        except WrongRequest as error:
            raise UsageFault(f"nothing was changed: {error}") from None
    if not choice.ids:
        changed = sum(each.changed for each in done)
        output.line(f"tags changed: {changed} of {count(len(done), 'job')}" if done else "no job fits")
        return
    for each in done:
        tags = f"tags {', '.join(each.tags)}" if each.tags else "no tags"
        output.line(f"{each.job_id}: {tags}{'' if each.changed else ', as before'}")
