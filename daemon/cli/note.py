"""`wrapd note`: a person's line on a job."""

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, one_id, one_job, opened, who
from daemon.cli.text import clean
from daemon.errors import UsageFault


@click.command("note")
@click.argument("job", metavar="JOB_ID")
@click.argument("text", metavar="[TEXT]", required=False)
@click.option("--remove", is_flag=True, help="Remove the note.")
@click.option("--project", metavar="NAME", help="The job's project; required if several have the id.")
@click.pass_context
def command(ctx: click.Context, *, job: str, text: str | None, remove: bool, project: str | None) -> None:
    """Put a line on a job, such as "retake, wrong logo": each message about it that is sent from then on carries
    it, and `wrapd show` shows it. A new note replaces the old one; --remove or an empty TEXT ("") removes it.

    A note has one line and at most 500 characters. Whoever reads the channel reads the note.
    """
    if (text is None) != remove:
        raise UsageFault("give either the TEXT of the note or --remove")
    config, job_id = config_of(ctx), one_id(job, "note")
    from daemon.commands import read_note, set_note  # noqa: PLC0415 - SQLAlchemy

    try:
        said = read_note(text or "")
    except ValueError as error:
        raise UsageFault(f"TEXT: {error}") from None
    with opened(config) as store:
        row = store.read(lambda tx: one_job(tx, job_id, project))
        at = CLOCK.now()
        [done] = store.write_now(lambda tx: set_note(tx, [row.id], said, who=who(), at=at))
    shown = "no note" if said is None else f"note {clean(said)}"
    output.line(f"{done.job_id}: {shown}{'' if done.changed else ' (unchanged)'}")
