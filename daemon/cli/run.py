"""`wrapd run`: the daemon in the foreground, as systemd and containers want it."""

import asyncio
import signal
from functools import partial

import click

from daemon import logs
from daemon.cli.session import CLOCK, config_path, has_terminal
from daemon.errors import WrapdError
from daemon.logs import LogEvent

log = logs.logger(__name__)


@click.command("run", short_help="Watch the tracked jobs and deliver alerts, until a signal.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Watch the tracked jobs and deliver alerts until SIGTERM or Ctrl-C."""
    # The daemon's parts are slow to import, and no other command needs them.
    from daemon.app.run import Daemon  # noqa: PLC0415
    from daemon.build import load_spec  # noqa: PLC0415
    from daemon.systemd import Notifier  # noqa: PLC0415
    from daemon.tasks import where_of  # noqa: PLC0415

    foreground = has_terminal()
    if not foreground:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon listens to signals
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
    except Exception as error:  # the daemon's log is where a traceback is looked for
        log.error(LogEvent.DEFECT, part="run", where=where_of(error), error=error, exc_info=error)
        raise
