"""`wrapd db`: the schema, the file's health, a backup."""

from pathlib import Path

import click

from daemon.cli import output
from daemon.cli.session import config_of, existing_database
from daemon.errors import DatabaseFault


@click.group("db")
def command() -> None:
    """Upgrade, check or back up the database."""


@command.command("upgrade", short_help="Bring the database to this program's schema.")
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the database to this program's schema; make it where there is none. An older schema is not changed
    while a daemon runs on it."""
    from daemon import store  # noqa: PLC0415 - SQLAlchemy

    config = config_of(ctx)
    changed = store.upgrade(config.database.url)
    schema = store.check(config.database.url)
    output.line(f"{schema.path}: {'now' if changed else 'already'} at schema {schema.needed}")


@command.command("check")
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say whether the database fits this program and is sound. Changes nothing."""
    from daemon import store  # noqa: PLC0415 - SQLAlchemy
    from daemon.store.health import damages  # noqa: PLC0415
    from daemon.store.migrate import require  # noqa: PLC0415

    config = config_of(ctx)
    existing_database(config)
    schema = store.check(config.database.url)
    require(schema, upgradable=False)
    found = damages(schema.path)
    if found:
        raise DatabaseFault(
            f"{schema.path}: the file is damaged; stop wrapd and restore a backup:"
            + "".join(f"\n  {each}" for each in found)
        )
    output.line(f"{schema.path}: sound, at schema {schema.needed}")


@command.command("backup", short_help="Copy the database to a new file, also while wrapd runs.")
@click.argument("target", type=click.Path(path_type=Path))
@click.pass_context
def backup(ctx: click.Context, target: Path) -> None:
    """Copy the database to the new file TARGET: one moment of it, also while the daemon runs. To restore it, stop
    the daemon and put the copy in the database's place."""
    from daemon import store  # noqa: PLC0415 - SQLAlchemy

    config = config_of(ctx)
    existing_database(config)
    store.backup(config.database.url, target)
    output.line(f"{target}: written, {target.stat().st_size} bytes")
