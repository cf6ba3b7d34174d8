"""`wrapd run`: runs the daemon in the foreground, for systemd and containers."""

import asyncio
import signal
from functools import partial

import click

from daemon import logs
from daemon.cli.session import CLOCK, config_path, has_terminal
from daemon.errors import WrapdError
from daemon.logs import LogEvent

log = logs.logger(__name__)


@click.command("run", short_help="Watch tracked jobs and deliver alerts until stopped.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Watch tracked jobs and deliver alerts until SIGTERM or Ctrl-C."""
    # Slow to import, and needed by no other command.
    from daemon.app.run import Daemon  # noqa: PLC0415
    from daemon.build import load_spec  # noqa: PLC0415
    from daemon.systemd import Notifier  # noqa: PLC0415
    from daemon.tasks import where_of  # noqa: PLC0415

    foreground = has_terminal()
    if not foreground:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon handles signals
    path = config_path(ctx)
    read = partial(load_spec, path)
    spec, warnings = read()
    logs.set_up(level=spec.log_level, output=spec.log_format)
    for warning in warnings:
        log.warning(LogEvent.CONFIG_DOUBTFUL, what=warning)
    service = Daemon(
        spec=spec,
        clock=CLOCK,
        notifier=Notifier.from_environment(),
        read=read,
        config=path,
        foreground=foreground,
    )
    try:
        asyncio.run(service.run())
    except WrapdError:
        raise
    except Exception as error:  # the traceback belongs into the daemon's log
        log.error(LogEvent.DEFECT, part="run", where=where_of(error), error=error, exc_info=error)
        raise
