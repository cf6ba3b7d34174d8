"""`wrapd pause`: ask nothing about a project until `resume`."""

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, opened, who
from daemon.cli.text import moment
from daemon.cli.zone import zone_option
from daemon.domain.jobs import ProjectName
from daemon.errors import UsageFault


@click.command("pause")
@click.argument("project", metavar="PROJECT")
@click.option("--comment", metavar="TEXT", help="Why, for other people; at most 500 characters.")
@zone_option
@click.pass_context
def command(ctx: click.Context, project: str, comment: str | None) -> None:
    """Pause a project: from now on its service is not asked anything, until `wrapd resume PROJECT`, also after a
    restart. A running daemon notices it within a second.

    Nothing is asked: no job, no list, no discovery, no fresh link for a message or a click. Alerts that were
    written are sent, with the links that are known. Jobs can be tracked and callbacks are noted; they are asked
    about at the end. No job is lost, expires or counts as stuck because of a pause.
    """
    config = config_of(ctx)
    config.project(project)
    from daemon.commands import pause  # noqa: PLC0415 - SQLAlchemy

    name, at = ProjectName(project), CLOCK.now()
    try:
        with opened(config) as store:
            found, new = store.write_now(lambda tx: pause(tx, name, who=who(), at=at, comment=comment))
    except ValueError as error:
        raise UsageFault(f"--comment: {error}") from None
    if new:
        output.line(f"{project}: paused; `wrapd resume {project}` ends it")
    else:
        output.line(f"{project}: paused since {moment(found.at)} by {found.who} (unchanged)")
