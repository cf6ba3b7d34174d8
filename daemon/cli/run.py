"""`wrapd run`: the daemon in the foreground, as systemd and containers want it."""

import asyncio

import click

from daemon import logs
from daemon.cli.session import CLOCK, config_path
from daemon.logs import LogEvent

log = logs.logger(__name__)


@click.command("run")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Watch the tracked jobs and deliver alerts until SIGTERM or Ctrl-C."""
    # The daemon's parts are slow to import, and no other command needs them.
    from daemon.build import build_plan, check_config  # noqa: PLC0415
    from daemon.service import Service  # noqa: PLC0415
    from daemon.systemd import Notifier  # noqa: PLC0415

    config, warnings = check_config(config_path(ctx))
    logs.set_up(level=config.log.level, output=config.log.format)
    for warning in warnings:
        log.warning(LogEvent.CONFIG_DOUBTFUL, what=warning)
    service = Service(plan=build_plan(config), clock=CLOCK, notifier=Notifier.from_environment())
    asyncio.run(service.run())
