"""`wrapd run`: the daemon in the foreground, as systemd and containers want it."""

import asyncio
import signal
from typing import TYPE_CHECKING

import click

from daemon import logs
from daemon.cli.session import CLOCK, config_path, has_terminal
from daemon.errors import WrapdError
from daemon.logs import LogEvent

if TYPE_CHECKING:
    from daemon.plan import Plan

log = logs.logger(__name__)


@click.command("run")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Watch the tracked jobs and deliver alerts until SIGTERM or Ctrl-C."""
    # The daemon's parts are slow to import, and no other command needs them.
    from daemon.app.run import Service  # noqa: PLC0415
    from daemon.build import build_plan, check_config  # noqa: PLC0415
    from daemon.systemd import Notifier  # noqa: PLC0415
    from daemon.tasks import where_of  # noqa: PLC0415

    foreground = has_terminal()
    if not foreground:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon listens to signals
    path = config_path(ctx)

    def read() -> "tuple[Plan, list[str]]":
        found, doubts = check_config(path)
        return build_plan(found), doubts

    config, warnings = check_config(path)
    logs.set_up(level=config.log.level, output=config.log.format)
    for warning in warnings:
        log.warning(LogEvent.CONFIG_DOUBTFUL, what=warning)
    service = Service(
        plan=build_plan(config),
        clock=CLOCK,
        notifier=Notifier.from_environment(),
        read=read,
        foreground=foreground,
    )
    try:
        asyncio.run(service.run())
    except WrapdError:
        raise
    except Exception as error:  # the daemon's log is where a traceback is looked for
        log.error(LogEvent.DEFECT, part="run", where=where_of(error), error=error, exc_info=error)
        raise
