"""`wrapd tag`: add tags to jobs or remove them."""

import click

from daemon.cli import output
from daemon.cli.choosing import Choice, choosing, chosen
from daemon.cli.session import CLOCK, config_of, given_words, opened, who
from daemon.cli.text import count
from daemon.errors import UsageFault


@click.command("tag")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@click.option("--add", multiple=True, metavar="WORD", help="A tag to add; can be repeated.")
@click.option("--remove", multiple=True, metavar="WORD", help="A tag to remove; can be repeated.")
@choosing
@click.pass_context
def command(ctx: click.Context, *, add: tuple[str, ...], remove: tuple[str, ...], choice: Choice) -> None:
    """Add tags to jobs or remove them. Alerts written from then on are routed by the new tags.

    `-` reads ids from standard input, one per line. If any id is unknown, nothing is changed. --batch, --tag and
    --state select the jobs that match all of them, ended ones included; wrapd asks before it changes several.
    """
    config = config_of(ctx)
    added, removed = given_words("--add", add), given_words("--remove", remove)
    if not added and not removed:
        raise UsageFault("which tags? Give them with --add and --remove (--tag selects jobs)")
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
            done = store.write_now(
                lambda tx: change_tags(tx, jobs, add=added, remove=removed, at=CLOCK.now(), who=who())
            )
        except WrongRequest as error:
            raise UsageFault(f"nothing was changed: {error}") from None
    if not choice.ids:
        changed = sum(each.changed for each in done)
        output.line(f"tags changed: {changed} of {count(len(done), 'job')}" if done else "no job matches")
        return
    for each in done:
        tags = f"tags {', '.join(each.tags)}" if each.tags else "no tags"
        output.line(f"{each.job_id}: {tags}{'' if each.changed else ' (unchanged)'}")
