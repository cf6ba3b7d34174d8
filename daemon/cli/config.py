"""`wrapd config`: create and check a config."""

import json
import os
from pathlib import Path

import click

from daemon.cli import output
from daemon.cli.asked import ask, checked, note_silence
from daemon.cli.session import config_path
from daemon.cli.text import count
from daemon.cli.units import stale
from daemon.config.example import example
from daemon.config.json_schema import json_schema
from daemon.errors import ConfigFault


@click.group("config")
def command() -> None:
    """Create or check the config."""


@command.command("init", short_help="Write a config with every key explained.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the config instead of writing a file.")
@click.pass_context
def init(ctx: click.Context, to_stdout: bool) -> None:
    """Write a config with every key explained to the file named by --config or WRAPD_CONFIG, else ./wrapd.toml. An
    existing file is never overwritten."""
    if to_stdout:
        click.echo(example(), nl=False)
        return
    path = config_path(ctx) if ctx.find_root().obj or os.environ.get("WRAPD_CONFIG") else Path("wrapd.toml")
    try:
        # 0600, because users do write secrets into it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigFault(
            f"{path}: the file exists, nothing was written; choose another with --config FILE"
        ) from None
    except OSError as error:
        raise ConfigFault(f"{path}: cannot write: {error.strerror}; choose another with --config FILE") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(example())
    output.line(f"{path}: written; fill in region and secrets, then run `wrapd --config {path} config check`")


@command.command("check", short_help="Report every fault of the config.")
@click.pass_context
def check(ctx: click.Context) -> None:
    """Report every fault of the config: keys, values, secrets, channel URLs. Sends nothing.

    If a daemon runs on this file, the daemon checks it with its own secrets, and the differences from the config
    in use are listed. Nothing is changed. The exit status refers to the file.
    """
    path = config_path(ctx)
    heard = ask(path)
    note_silence(heard)
    for each in () if heard.answer is None else stale(heard.answer.credentials):
        output.line(f"warning: {each}")
    config, warnings = checked(path, heard)
    for warning in warnings:
        output.line(f"warning: {warning}")
    output.line(
        f"{path}: ok: {count(len(config.projects), 'project')}, {count(len(config.channels), 'channel')}, "
        f"{count(len(config.routes), 'route')}"
    )
    if heard.answer is not None:
        for line in heard.answer.difference() or ["the daemon runs with this config"]:
            output.line(line)


@command.command("schema", short_help="Print the config's JSON Schema, for editors.")
def schema() -> None:
    """Print the config's JSON Schema (draft 2020-12).

    Put it next to the config as config.schema.json, which the first line of `wrapd config init` names: editors
    with Taplo or Even Better TOML then complete keys and mark faults.
    """
    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=2))
