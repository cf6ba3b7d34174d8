"""`wrapd doctor`: checks the entire installation in one run."""

from collections.abc import Iterator
from pathlib import Path

import click

from daemon import logs
from daemon.cli import output
from daemon.cli.asked import ask, checked
from daemon.cli.checks import Finding, backups, clock, database, deliveries, probe, program, projects, running
from daemon.cli.output import Facts
from daemon.cli.session import config_of, config_path, json_option
from daemon.cli.text import count
from daemon.cli.units import stale
from daemon.cli.zone import zone_option
from daemon.config import Config, load
from daemon.errors import ConfigFault, Exit


@click.command("doctor")
@click.option("--online", is_flag=True, help="Also send one authenticated request for each project.")
@click.option("--live", is_flag=True, help="Only check that the running daemon makes progress (for containers).")
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, online: bool, live: bool, as_json: bool) -> int:
    """Check the installation, the config with its secrets, the database, the clock and the running daemon, and say
    what is wrong and how to fix it. The exit status is 1 if something is wrong, or if no daemon runs although jobs
    are tracked, alerts wait or the systemd unit is enabled."""
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
    yield from backups(config)
    yield from deliveries(config)
    yield from running(config)
    if online:
        logs.set_up(level="error")  # the finding reports a failed request
        yield from projects(config)


def _config(path: Path) -> Iterator[Finding]:
    heard = ask(path)
    if heard.why_not is not None:
        text = f"one runs but could not be asked about the config: {heard.why_not}"
        yield Finding("fail" if heard.hangs else "warn", "daemon", text)
    try:
        config, warnings = checked(path, heard)
    except ConfigFault as error:
        yield from (Finding("fail", "config", each) for each in error.each)
    else:
        yield from (Finding("warn", "config", each) for each in warnings)
        found = f"{count(len(config.projects), 'project')}, {count(len(config.channels), 'channel')}"
        by = "" if heard.answer is None else ", checked by the daemon"
        yield Finding("ok", "config", f"{path}: {found}, all secrets found{by}")
    if heard.answer is not None:
        yield from (Finding("warn", "config", each) for each in stale(heard.answer.credentials))
        if differs := heard.answer.difference():
            text = differs[0] + " " + "; ".join(map(str.strip, differs[1:]))
            yield Finding("warn", "config", text.strip())


def json_of_finding(finding: Finding) -> Facts:
    """The result of one check, in `doctor --json`."""
    return {
        "verdict": finding.verdict,  # ok, warn or fail
        "what": finding.what,  # what was checked: version, config, database, daemon, readyz, …
        "text": finding.text,  # the result, and what to do if something is wrong
    }
