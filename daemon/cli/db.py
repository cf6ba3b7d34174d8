"""`wrapd db`: upgrade, check and back up the database."""

from pathlib import Path

import click

from daemon.cli import output
from daemon.cli.progress import progress
from daemon.cli.session import config_of, existing_database
from daemon.errors import DatabaseFault


@click.group("db")
def command() -> None:
    """Upgrade, check or back up the database."""


@command.command("upgrade", short_help="Upgrade the database to this program's schema.")
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Upgrade the database to this program's schema, or create it if there is none. An older schema is not
    upgraded while a daemon uses it."""
    from daemon import store  # noqa: PLC0415 - SQLAlchemy

    config = config_of(ctx)
    with progress("Upgrading") as step:
        changed = store.upgrade(config.database.url, step=step)
    schema = store.check(config.database.url)
    output.line(f"{schema.path}: {'now' if changed else 'already'} at schema {schema.needed}")


@command.command("check")
@click.pass_context
def check(ctx: click.Context) -> None:
    """Check that the database fits this program and is sound. Changes nothing."""
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


@command.command("backup", short_help="Copy the database to a new file, even while wrapd runs.")
@click.argument("target", type=click.Path(path_type=Path))
@click.pass_context
def backup(ctx: click.Context, target: Path) -> None:
    """Copy the database to the new file TARGET: a consistent snapshot, even while the daemon runs. To restore it,
    stop the daemon and replace the database with the copy."""
    from daemon.store.health import backup as copy  # noqa: PLC0415 - SQLAlchemy

    config = config_of(ctx)
    existing_database(config)
    with progress("Copying") as step:
        copy(config.database.url, target, step=step)
    output.line(f"{target}: written, {target.stat().st_size} bytes")
