"""The database file from outside: whether it is sound, whether a daemon uses it, and copies of it.

Takes no lock, repairs nothing and overwrites nothing.
"""

import os
import sqlite3
from pathlib import Path

from daemon.store.engine import open_file
from daemon.store.errors import from_sqlite

_MOST = 20
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
