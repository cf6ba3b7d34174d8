"""`wrapd doctor`: everything that can be wrong with an installation, looked at in one go."""

from collections.abc import Iterator
from pathlib import Path

import click

from daemon import logs
from daemon.cli import output
from daemon.cli.asked import ask, checked
from daemon.cli.checks import Finding, clock, database, deliveries, probe, program, projects, running
from daemon.cli.output import Facts
from daemon.cli.session import config_of, config_path, json_option
from daemon.cli.text import count
from daemon.cli.units import stale
from daemon.cli.zone import zone_option
from daemon.config import Config, load
from daemon.errors import ConfigFault, Exit


@click.command("doctor", short_help="Look at the whole installation, and say what to fix.")
@click.option("--online", is_flag=True, help="Also send one authenticated request for each project.")
@click.option(
    "--live", is_flag=True, help="Only ask the running daemon whether it makes progress (for containers)."
)
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, online: bool, live: bool, as_json: bool) -> int:
    """Look at the installation, the config with its secrets, the database, the clock and the running daemon; say
    what is wrong and how to fix it. The exit status is 1 if something is, or where no daemon runs though jobs are
    tracked, alerts wait, or systemd's unit is enabled."""
    findings = [probe(config_of(ctx), "/healthz")] if live else list(_all(ctx, online=online))
    if as_json:
        output.document([json_of_finding(each) for each in findings])
    else:
        for finding in findings:
            output.verdict(finding.what, finding.verdict, finding.text)
    return int(Exit.FAILED if any(each.verdict == "fail" for each in findings) else Exit.OK)


def _all(ctx: click.Context, *, online: bool) -> Iterator[Finding]:
    path = config_path(ctx)
    yield from program()
    yield from _config(path)
    try:
        config: Config | None = load(path)
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


def _config(path: Path) -> Iterator[Finding]:
    heard = ask(path)
    if heard.why_not is not None:
        text = f"one runs, and could not be asked about the config: {heard.why_not}"
        yield Finding(verdict="fail" if heard.hangs else "warn", what="daemon", text=text)
    try:
        config, warnings = checked(path, heard)
    except ConfigFault as error:
        yield from (Finding(verdict="fail", what="config", text=each) for each in error.each)
    else:
        yield from (Finding(verdict="warn", what="config", text=each) for each in warnings)
        found = f"{count(len(config.projects), 'project')}, {count(len(config.channels), 'channel')}"
        by = "" if heard.answer is None else ", as the daemon reads it"
        yield Finding(verdict="ok", what="config", text=f"{path}: {found}, every secret is there{by}")
    if heard.answer is not None:
        yield from (Finding(verdict="warn", what="config", text=each) for each in stale(heard.answer.credentials))
        if differs := heard.answer.difference():
            text = differs[0] + " " + "; ".join(map(str.strip, differs[1:]))
            yield Finding(verdict="warn", what="config", text=text.strip())


def json_of_finding(finding: Finding) -> Facts:
    """One thing that was looked at, in `doctor --json`."""
    return {
        "verdict": finding.verdict,  # ok, warn or fail
        "what": finding.what,  # version, config, database, daemon, readyz, …
        "text": finding.text,  # how it stands, with what to do where it does not
    }
