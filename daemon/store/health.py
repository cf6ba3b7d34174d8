"""The database file from outside: whether it is sound, whether a daemon uses it, and copies of it.

Takes no lock, repairs nothing and overwrites nothing.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon.errors import DatabaseFault, DatabaseUnusable
from daemon.store.engine import database_path, open_file
from daemon.store.errors import from_sqlite, from_system
from daemon.store.migrate import SchemaStatus, check
from daemon.store.owner import hand_over

_MOST = 20
_PAGES = 1000
"""Pages copied between two reports of a backup's progress: 4 MB."""
_LOCKS = Path("/proc/locks")


def damages(path: Path) -> list[str]:
    """Return what is wrong with the file in SQLite's words, about 20 lines at most; empty if it is sound. Takes a
    while for a large file, but does not block writers. Raises DatabaseFault if it cannot be read."""
    try:
        connection = open_file(path)
        try:
            connection.execute("PRAGMA query_only = ON")
            pages = [str(line) for (line,) in connection.execute(f"PRAGMA quick_check({_MOST})")]
            loose = connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    found = [line for line in pages if line != "ok"]
    return found + [f"row {row} of {table} refers to a missing row of {parent}" for table, row, parent, _ in loose]


def holder(database: Path, *, locks: Path = _LOCKS) -> int | None:
    """Return the pid of the daemon that uses `database`; None if there is none.

    The kernel's list of locks shows whether the lock file is locked. Trying to take the lock instead could keep a
    daemon from starting at that moment.
    """
    lock_file = database.with_name(f"{database.name}.lock")
    try:
        inode = lock_file.stat().st_ino
        pid = int(lock_file.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
    try:
        held = [line.split() for line in locks.read_text(encoding="ascii").splitlines()]
    except OSError:
        return pid if _lives(pid) else None
    mine = (fields for fields in held if len(fields) >= 6 and fields[1] == "FLOCK")
    return pid if any(fields[5].rpartition(":")[2] == str(inode) for fields in mine) else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def backup(
    url: str, target: Path, *, private: bool = False, step: Callable[[int, int], None] | None = None
) -> None:
    """Copy the database of `url` into the new file `target`: one consistent state, also while the daemon runs.
    With `private`, only the owner may read it; if root makes it, that is the owner of its folder. `step` is called
    with the pages copied and all pages. Raises DatabaseFault."""
    schema = check(url)
    if schema.status in {SchemaStatus.EMPTY, SchemaStatus.FOREIGN}:
        raise DatabaseUnusable(f"{schema.path}: is not a wrapd database; there is nothing to back up")
    if target.exists():
        raise DatabaseFault(f"{target}: already exists and is not overwritten; choose another name")
    # The copy gets its final name only once it is complete.
    part = target.with_name(f"{target.name}.part")
    create_new(part, mode=0o600 if private else 0o660)
    try:
        copy(database_path(url), part, step=step)
        if private:
            _give(part)
        place(part, target)
    finally:
        part.unlink(missing_ok=True)


def create_new(path: Path, *, mode: int) -> None:
    """Create an empty file that a copy goes into, with this mode as far as the umask allows. Raises
    DatabaseFault."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
    except FileExistsError as error:
        raise DatabaseFault(f"{path}: is left over from another backup; remove it if none is running") from error
    except OSError as error:
        raise from_system(error, f"{path}: cannot be made ({error.strerror}); choose another folder") from error


def _give(part: Path) -> None:
    """Give a file of root's to the owner of its folder, and to nobody else."""
    descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    try:
        hand_over(descriptor, part)
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def copy(source: Path, part: Path, *, mode: str = "rw", step: Callable[[int, int], None] | None) -> None:
    """Copy one state of the database `source`, opened in this mode, into the empty file `part`, which becomes a
    single file, and check its pages. Raises DatabaseFault."""
    try:
        reader = open_file(source, mode=mode)
        writer = sqlite3.connect(part, isolation_level=None)
    except sqlite3.Error as error:
        raise from_sqlite(error, source) from error
    try:
        # Pages in steps of one read transaction: SQLite begins again if another program writes between two steps,
        # unless the reader keeps its state. With a write-ahead log, a long read does not block writers.
        with reading(source):
            reader.execute("BEGIN")
            reader.execute("SELECT 1 FROM sqlite_master").fetchone()
        reader.backup(writer, pages=_PAGES, progress=None if step is None else _told(step))
        reader.execute("COMMIT")
        writer.execute("PRAGMA journal_mode = DELETE")  # makes the copy a single file
        if (found := writer.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise DatabaseFault(f"{source}: is damaged ({found}); it was not copied")
    except sqlite3.Error as error:
        raise from_sqlite(error, part) from error
    finally:
        writer.close()
        reader.close()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as those of the file at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error


def _told(step: Callable[[int, int], None]) -> Callable[[int, int, int], None]:
    return lambda _, left, total: step(total - left, total)


def place(part: Path, target: Path) -> None:
    """Give the complete file `part` the new name `target` too, for good. Raises DatabaseFault."""
    try:
        os.link(part, target)  # unlike a rename, this never overwrites a file created meanwhile
    except FileExistsError as error:
        raise DatabaseFault(f"{target}: already exists and is not overwritten; choose another name") from error
    except OSError as error:
        raise from_system(error, f"{target}: cannot be made ({error.strerror}); choose another folder") from error
    sync(target.parent)


def sync(path: Path) -> None:
    """Make what was written to a file, or the names in a folder, survive a power failure. Raises DatabaseFault."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise from_system(error, f"{path}: cannot be written ({error.strerror}); check the disk") from error
