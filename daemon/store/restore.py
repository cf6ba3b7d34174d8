"""Puts a backup in the place of the database, and keeps what was there beside it.

At any moment, and after a kill, the database's path leads to the old database or to the new one, whole. Everything
that may fail is done with a copy before; then one rename exchanges the two. The log of the old database is written
into it first, since SQLite would apply one that is left over to the new file. Nobody else uses either of them
meanwhile: the daemon's lock is held, and SQLite's on the old file.
"""

import contextlib
import glob
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from daemon.errors import DatabaseFault, DatabaseUnusable, UsageFault
from daemon.store import carry
from daemon.store.backups import STAMP
from daemon.store.engine import (
    APPLICATION_ID,
    BUSY_SECONDS,
    application_id,
    database_path,
    is_ours,
    open_file,
    require_folder,
)
from daemon.store.errors import StoreBusy, from_sqlite, from_system
from daemon.store.health import copy, create_new, damages, place, reading, sync
from daemon.store.lock import DaemonLock
from daemon.store.migrate import Schema, SchemaStatus, Step, check_file, upgrade
from daemon.store.owner import hand_over

_PAUSE = 0.1
_BESIDE = ("-wal", "-journal", "-shm")
"""Suffixes of SQLite's files next to a database."""
_LOST = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})
"""Errors of a database that only a backup can replace."""
_COUNTS = """
SELECT (SELECT count(*) FROM restored.jobs WHERE tracking = 'active'),
(SELECT count(*) FROM restored.deliveries WHERE status IN ('pending', 'sending', 'held'))
"""


class Restored(Struct, frozen=True, kw_only=True):
    """The result. `kept`: where the replaced database is now, None if there was none. `older`: the schema of the
    backup if it was upgraded. `jobs` are tracked and will be asked about, `alerts` wait to be sent. `since`: what
    happened after the backup, None if it cannot be known."""

    database: Path
    kept: Path | None
    older: str | None
    jobs: int
    alerts: int
    since: carry.SinceBackup | None


def restore(url: str, file: Path, *, at: datetime, step: Step | None = None) -> Restored:
    """Replace the database of `url` by the backup `file`, which stays as it is. The old database is kept as
    `NAME-replaced-STAMP.db` for the time `at`. `step` is called as by `health.backup` while the backup is copied,
    then as by `migrate.upgrade`.

    Raises AlreadyRunning while a daemon uses the database, and DatabaseFault if `file` is damaged, made by a newer
    wrapd or not a database of wrapd, or if another program has the database open. Nothing is changed then.
    """
    database = database_path(url)
    require_folder(database)
    require_backup(file, database)
    lock = DaemonLock.take(database)
    part = database.with_name(f"{database.name}.restore")
    kept = database.with_name(f"{database.stem}-replaced-{at.astimezone(UTC).strftime(STAMP)}{database.suffix}")
    try:
        _sweep(database, part)
        create_new(part, mode=0o600)
        copy(file.absolute(), part, mode="ro", step=step)
        schema = _upgraded(part, file, lock, step)
        with _old(database) as connection:
            since, jobs, alerts = _fitted(connection, part)
            _own_as(part, database)
            _swap(part, database, kept)
    finally:
        _sweep(database, part)
        lock.release()
    return Restored(
        database=database,
        kept=kept if kept.exists() else None,
        older=schema.revision if schema.status is SchemaStatus.BEHIND else None,
        jobs=jobs,
        alerts=alerts,
        since=since,
    )


def require_backup(file: Path, database: Path) -> None:
    """Raise DatabaseFault or UsageFault unless `file` is a database of wrapd other than `database`, as far as can
    be seen at a glance. Raises DatabaseFault too if the file at `database` belongs to another program."""
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
        if is_file:  # a pipe would never end
            with file.open("rb"):
                pass
    except OSError as error:
        raise from_system(
            error, f"{file}: cannot be read ({error.strerror}); give the file of a backup"
        ) from error
    if not is_file or not is_ours(file):
        raise DatabaseUnusable(f"{file}: is not a database of wrapd; nothing was changed")
    with contextlib.suppress(FileNotFoundError):
        if file.samefile(database):
            raise UsageFault(f"{file}: is the database itself; give the file of a backup")
    if application_id(database) not in {None, 0, APPLICATION_ID}:
        raise DatabaseUnusable(f"{database}: belongs to another program; choose another file in database.url")


def _sweep(database: Path, part: Path) -> None:
    """Remove what a restoration that was killed has left: its copy, and second names of the database."""
    for end in ("", *_BESIDE):
        with contextlib.suppress(OSError):  # making the copy will say what is wrong
            part.with_name(f"{part.name}{end}").unlink(missing_ok=True)
    for each in database.parent.glob(f"{glob.escape(database.stem)}-replaced-*"):
        with contextlib.suppress(OSError):
            if not each.is_symlink() and each.samefile(database):
                each.unlink()


def _upgraded(part: Path, file: Path, lock: DaemonLock, step: Step | None) -> Schema:
    """Check the copy `part` of `file` and upgrade it; return how it was before."""
    schema = check_file(part)
    if schema.status in {SchemaStatus.EMPTY, SchemaStatus.FOREIGN}:
        raise DatabaseUnusable(f"{file}: is not a database of wrapd; nothing was changed")
    if schema.status is SchemaStatus.NEWER:
        raise DatabaseUnusable(
            f"{file}: made by a newer wrapd (schema {schema.revision}, this one knows up to {schema.needed}); "
            "upgrade the program first; nothing was changed"
        )
    if schema.status is SchemaStatus.BEHIND:
        upgrade(f"sqlite:///{part}", lock=lock, step=step)
    if found := damages(part):
        raise DatabaseFault(f"{file}: is damaged ({found[0]}); nothing was changed; restore another backup")
    return schema


@contextlib.contextmanager
def _old(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that keeps everybody else from the database, whose log is written into it. If there is none, or
    it is too damaged for that, a connection to nothing."""
    connection = None
    try:
        connection = open_file(database)
        _alone(connection)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        if database.exists() and error.sqlite_errorcode & 0xFF not in _LOST:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise StoreBusy(
                    f"{database}: another program has it open; end commands such as `wrapd watch`, and try again; "
                    "nothing was changed"
                ) from error
            raise from_sqlite(error, database) from error
        connection = sqlite3.connect(":memory:", uri=True, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _alone(connection: sqlite3.Connection) -> None:
    """Write the log into the database and remove it, which SQLite does only if nobody else has it open, and then
    keep it locked until the connection is closed."""
    end = time.monotonic() + BUSY_SECONDS
    while True:  # SQLite does not wait for this by itself
        try:
            connection.execute("PRAGMA main.journal_mode = DELETE").fetchone()
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(_PAUSE)
    connection.execute("PRAGMA main.locking_mode = EXCLUSIVE").fetchone()
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("SELECT count(*) FROM main.sqlite_master").fetchone()
    connection.execute("COMMIT")


def _fitted(connection: sqlite3.Connection, part: Path) -> tuple[carry.SinceBackup | None, int, int]:
    """Have the new database take over what it needs from the old one. Returns that, how many jobs it tracks, and
    how many alerts wait."""
    with reading(part):
        connection.execute("ATTACH ? AS restored", (f"{part.as_uri()}?mode=rw",))
        connection.execute("PRAGMA restored.journal_mode = DELETE").fetchone()
        since = carry.carry_over(connection)
        jobs, alerts = connection.execute(_COUNTS).fetchone()
        connection.execute("DETACH restored")
    if found := damages(part):  # also rows that refer to missing ones
        raise DatabaseFault(f"{part}: {found[0]}; nothing was changed; please report this")
    return since, jobs, alerts


def _own_as(part: Path, database: Path) -> None:
    """Give `part` the owner and the mode of the database, or those of a new one."""
    descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not database.exists():
            mask = os.umask(0o077)
            os.umask(mask)
            os.fchmod(descriptor, 0o660 & ~mask)
            hand_over(descriptor, part)
        else:
            _copy_owner(descriptor, database)
        os.fsync(descriptor)
    except OSError as error:
        raise from_system(error, f"{part}: cannot be written ({error.strerror}); check the disk") from error
    finally:
        os.close(descriptor)


def _copy_owner(descriptor: int, database: Path) -> None:
    old = database.stat()
    for owner, group in ((old.st_uid, old.st_gid), (-1, old.st_gid)):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, owner, group)
            break
    os.fchmod(descriptor, old.st_mode & 0o777)
    new = os.fstat(descriptor)
    shared = new.st_gid == old.st_gid and old.st_mode & 0o060 == 0o060
    if new.st_uid != old.st_uid and not shared:
        raise DatabaseUnusable(
            f"{database}: belongs to another user, who could not use what you restore; run this as that user or "
            "as root; nothing was changed"
        )


def _swap(part: Path, database: Path, kept: Path) -> None:
    if database.exists():
        place(database, kept)
    # Only a database that is too damaged to be opened, or gone, has these still.
    beside = [end for end in _BESIDE if database.with_name(f"{database.name}{end}").exists()]
    for end in beside:
        place(database.with_name(f"{database.name}{end}"), kept.with_name(f"{kept.name}{end}"))
    for end in beside:
        database.with_name(f"{database.name}{end}").unlink()
    try:
        part.replace(database)
    except OSError as error:
        raise from_system(error, f"{database}: cannot be replaced ({error.strerror})") from error
    sync(database.parent)
