"""`wrapd resume`: ask about a paused project again."""

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, opened, who
from daemon.cli.text import about
from daemon.config.values import shown
from daemon.domain.jobs import ProjectName
from daemon.errors import UnknownName


@click.command("resume")
@click.argument("project", metavar="PROJECT")
@click.pass_context
def command(ctx: click.Context, project: str) -> None:
    """Ask a paused project again: first about the jobs that are due and those whose callbacks came meanwhile."""
    config = config_of(ctx)
    from daemon.commands import resume  # noqa: PLC0415 - SQLAlchemy

    name, at = ProjectName(project), CLOCK.now()
    with opened(config) as store:
        ended = store.write_now(lambda tx: resume(tx, name, who=who(), at=at))
    if ended is not None:
        output.line(f"{project}: resumed after {about((at - ended.at).total_seconds())}")
    elif project in config.projects:
        output.line(f"{project}: was not paused")
    else:
        raise UnknownName(f"no project is called {shown(project)}, and none of that name is paused")
