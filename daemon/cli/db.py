"""`wrapd db`: upgrade, check, back up and prune the database."""

from datetime import timedelta
from pathlib import Path

import click

from daemon.cli import output
from daemon.cli.choosing import confirmed
from daemon.cli.numbers import Duration
from daemon.cli.progress import progress
from daemon.cli.session import CLOCK, config_of, existing_database, opened, who
from daemon.cli.text import about, count, stamp
from daemon.domain.actions import Action
from daemon.errors import DatabaseFault, UsageFault


@click.group("db")
def command() -> None:
    """Upgrade, check, back up or prune the database."""


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


@command.command("prune", short_help="Delete old records now, as the daemon does in time.")
@click.option(
    "--older-than",
    type=Duration(least=86400.0),
    metavar="DURATION",
    help='Records that were done so long ago, such as "90d". [default: retention.keep of the config]',
)
@click.option("--yes", is_flag=True, help="Delete without asking; required without a terminal.")
@click.pass_context
def prune(ctx: click.Context, older_than: float | None, yes: bool) -> None:
    """Delete old records now: alerts that were sent or canceled, ended jobs with all that belongs to them, and
    records of actions. What is unsent, dead or tracked stays however old it is. The daemon may run, and does this
    itself after retention.keep.

    The file keeps its size; new records use the space.
    """
    config = config_of(ctx)
    existing_database(config)
    keep = config.retention.keep if older_than is None else older_than
    if not keep:
        raise UsageFault("how old? retention.keep is off, so nothing is ever old; give --older-than, such as 365d")
    done, now, by = 0, CLOCK.now(), who()
    before = now - timedelta(seconds=keep)
    with opened(config) as store:
        total = store.read(lambda tx: tx.retention.old(before=before))
        after = f"They are older than {about(keep)}, and cannot be restored"
        if not confirmed(total, "record", doing="delete up to", yes=yes, more=after):
            output.line("nothing was deleted")
            return
        with progress("Deleting") as step:
            while deleted := store.write_now(lambda tx: tx.retention.prune(before=before)):
                done += deleted
                if step is not None:
                    step(done, max(done, total))
        if done:
            said = {"before": stamp(before)}
            store.write_now(lambda tx: tx.actions.note(Action.PRUNE, who=by, at=now, count=done, details=said))
    output.line(f"{count(done, 'record')} deleted" if done else f"nothing is older than {about(keep)}")
