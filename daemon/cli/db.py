"""`wrapd db`: upgrade, check, back up, restore and prune the database."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli import INTERRUPTED, output
from daemon.cli.choosing import confirmed
from daemon.cli.numbers import Count, Duration
from daemon.cli.progress import progress, whole_parts
from daemon.cli.session import CLOCK, agreed, config_of, daemon_runs, existing_database, opened, who
from daemon.cli.text import about, count, stamp
from daemon.domain.actions import Action
from daemon.errors import AlreadyRunning, DatabaseFault, Exit, UsageFault

if TYPE_CHECKING:
    from daemon.store.restore import Restored

_FOLDER_HELP = "Into this folder, made if missing. [default: `backups` next to the database]"
_MOST = 20
"""Jobs listed after a restoration."""


@click.group("db")
def command() -> None:
    """Upgrade, check, back up, restore or prune the database."""


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
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option("--to", "folder", metavar="DIR", type=click.Path(path_type=Path), help=_FOLDER_HELP)
@click.option("--keep", type=Count(), metavar="N", help="Then remove all but the newest N of DIR's backups.")
@click.pass_context
def backup(ctx: click.Context, target: Path | None, folder: Path | None, keep: int | None) -> None:
    """Copy the database to the new file TARGET: a consistent snapshot, even while the daemon runs. `wrapd db
    restore` puts it back.

    With --to or --keep, the new file is DIR/wrapd-STAMP.db instead, with the time in UTC and the name of the
    database, readable only for its owner. --keep removes older ones once the new one is complete and sound, and no
    other files.
    """
    from daemon.store.backups import back_up, folder_of  # noqa: PLC0415 - SQLAlchemy
    from daemon.store.health import backup as copy  # noqa: PLC0415

    if (target is None) == (folder is None and keep is None):
        raise UsageFault("where to? Give either the name of a new file, or --keep N, --to DIR or both")
    config = config_of(ctx)
    path = existing_database(config)
    removed: tuple[Path, ...] = ()
    with progress("Copying") as step:
        if target is not None:
            copy(config.database.url, target, step=step)
        else:
            to = folder or folder_of(path.resolve())
            done = back_up(config.database.url, to, keep=keep, at=CLOCK.now(), step=step)
            target, removed = done.path, done.removed
    output.line(f"{target}: written, {target.stat().st_size} bytes")
    for each in removed:
        output.line(f"{each}: removed")


@command.command("restore", short_help="Put a backup in the place of the database.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_context
def restore(ctx: click.Context, file: Path, yes: bool) -> None:
    """Replace the database by the backup FILE, once that is checked and, if an older wrapd made it, upgraded. The
    daemon must be stopped. The replaced database is kept next to the new one, and FILE stays as it is.

    Alerts that were sent after the backup are not sent again: what the replaced database says of them is taken
    over, unless it is gone or damaged. The output says what will be asked and sent again.
    """
    from daemon.store.restore import require_backup, restore  # noqa: PLC0415 - SQLAlchemy

    config = config_of(ctx)
    path = config.database.path.resolve()
    require_backup(file, path)
    if daemon_runs(config):
        raise AlreadyRunning(f"{path}: a daemon uses this database; stop it first, as by `systemctl stop wrapd`")
    if not yes and not agreed(f"replace {path} by {file}", "What it holds now is kept in another file."):
        output.line("nothing was changed")
        return
    with progress("Restoring") as step:
        done = restore(config.database.url, file, at=CLOCK.now(), step=step)
    for line in _told(done):
        output.line(line)


def _told(done: "Restored") -> Iterator[str]:
    """What was restored, and what follows from that."""
    older = "" if done.older is None else f", upgraded from schema {done.older}"
    yield f"{done.database}: restored{older}"
    if done.kept is not None:
        yield f"{done.kept}: the replaced database"
    jobs, alerts = count(done.jobs, "tracked job"), count(done.alerts, "waiting alert")
    yield f"{jobs} will be asked about, {alerts} will be sent"
    if done.since is None:
        yield (
            "what was sent since the backup is not known: those alerts are marked as possible repeats, and jobs "
            "that have ended since are reported, perhaps once more; jobs tracked since have to be tracked again"
        )
        yield "links and tokens revoked since the backup work again: see `wrapd links list`, `wrapd tokens list`"
        return
    if done.since.sent:
        yield f"{count(done.since.sent, 'alert')} sent since the backup will not be sent again"
    if done.since.ended:
        yield f"only in the replaced database: {count(done.since.ended, 'ended job')} tracked since the backup"
    if done.since.active:
        active = count(len(done.since.active), "job")
        yield f"no longer tracked: {active} tracked since the backup; to track them again:"
        for project, job_id in done.since.active[:_MOST]:
            yield f"  wrapd track --project {project} {job_id}"
        if len(done.since.active) > _MOST:
            yield f"  and {len(done.since.active) - _MOST} more, in the replaced database"


@command.command("prune", short_help="Delete old records now, as the daemon does in time.")
@click.option(
    "--older-than",
    type=Duration(least=86400.0),
    metavar="DURATION",
    help='Records that were done so long ago, such as "90d". [default: retention.keep of the config]',
)
@click.option("--yes", is_flag=True, help="Delete without asking; required without a terminal.")
@click.pass_context
def prune(ctx: click.Context, older_than: float | None, yes: bool) -> int:
    """Delete old records now: alerts that were sent or canceled, ended jobs with all that belongs to them, and
    records of actions, mutes and shares that are over. What is unsent, dead or tracked stays however old it is.
    The daemon may run, and does this itself after retention.keep.

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
            return int(Exit.OK)
        with progress("Deleting") as step, whole_parts() as stopped:
            while not stopped() and (deleted := store.write_now(lambda tx: tx.retention.prune(before=before))):
                done += deleted
                if step is not None:
                    step(done, max(done, total))
            interrupted = stopped()
        if done:
            said = {"before": stamp(before)}
            store.write_now(lambda tx: tx.actions.note(Action.PRUNE, who=by, at=now, count=done, details=said))
    if interrupted:
        output.hint(f"Interrupted. {count(done, 'record')} deleted so far.")
        return INTERRUPTED
    output.line(f"{count(done, 'record')} deleted" if done else f"nothing is older than {about(keep)}")
    return int(Exit.OK)
