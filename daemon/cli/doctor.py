"""`wrapd doctor`: everything that can be wrong with an installation, looked at in one go."""

import os
from collections.abc import Iterator

import click

from daemon import logs
from daemon.cli import facts, output
from daemon.cli.checks import Finding, clock, database, deliveries, probe, program, projects, running
from daemon.cli.session import config_of, config_path, json_option
from daemon.cli.text import count
from daemon.cli.zone import zone_option
from daemon.config import Config, ConfigFaults, load
from daemon.errors import ConfigFault, Exit


@click.command("doctor")
@click.option("--online", is_flag=True, help="Also send one authenticated request for each project.")
@click.option(
    "--live", is_flag=True, help="Only ask the running daemon whether it makes progress (for containers)."
)
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, online: bool, live: bool, as_json: bool) -> int:
    """Look at the installation, the config with its secrets, the database, the clock and the running daemon; say
    what is wrong and how to fix it. The exit status is 1 if something is."""
    findings = [probe(config_of(ctx), "/healthz")] if live else list(_all(ctx, online=online))
    if as_json:
        output.document([facts.of_finding(each) for each in findings])
    else:
        for finding in findings:
            output.verdict(finding.what, finding.verdict, finding.text)
    return int(Exit.FAILED if any(each.verdict == "fail" for each in findings) else Exit.OK)


def _all(ctx: click.Context, *, online: bool) -> Iterator[Finding]:
    yield from program()
    yield from _config(ctx)
    try:
        config: Config | None = load(config_path(ctx))
    except ConfigFault:
        config = None
    yield from clock(config)
    if config is None:
        return
    yield from database(config)
    yield from deliveries(config)
    yield from running(config)
    if online:
        logs.set_up(level="error")  # what a request met is told by its finding, once
        yield from projects(config)


def _config(ctx: click.Context) -> Iterator[Finding]:
    from daemon.build import check_config  # noqa: PLC0415 - the API client and Apprise

    path = config_path(ctx)
    try:
        config, warnings = check_config(path, os.environ)
    except ConfigFaults as error:
        for fault in error.faults:
            yield Finding(verdict="fail", what="config", text=str(fault))
        return
    except ConfigFault as error:
        yield Finding(verdict="fail", what="config", text=str(error))
        return
    for warning in warnings:
        yield Finding(verdict="warn", what="config", text=warning)
    yield Finding(
        verdict="ok",
        what="config",
        text=f"{path}: {count(len(config.projects), 'project')}, {count(len(config.channels), 'channel')}, "
        "every secret is there",
    )
