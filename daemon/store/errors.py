"""Errors of the database, named by what the caller does next.

Owns the mapping from the errors of SQLite, SQLAlchemy and the system. None of those leaves daemon/store.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, StatementError

from daemon.errors import DatabaseFault, DatabaseUnusable


class StoreError(DatabaseFault):
    """The transaction was not stored, not even in part. A command shows the message and ends."""


class StoreBusy(StoreError):
    """Another program is writing, or too much work is queued: retry soon."""


class StoreFailed(StoreError):
    """The disk is full, or the file cannot be read or written: retry later, with a growing pause."""


class StoreUnusable(StoreFailed, DatabaseUnusable):
    """This user may not read or write the file, or it is not a database: a person has to fix that."""


class StoreRefused(StoreError):
    """The rows can never be stored, because a constraint forbids them: do not retry. A defect of the caller."""


class StoreClosed(StoreError):
    """The store is closed."""


def is_of_database(error: BaseException) -> bool:
    """Return whether an error raised in a transaction comes from the database, not from the program's own code.
    The transaction must not go on after one that does."""
    return isinstance(error, StatementError | StoreError)


_FOR_A_PERSON = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.ENOLCK,
        errno.EOPNOTSUPP,
    }
)
"""System errors that last until a person changes something. A full or failing disk may recover by itself."""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_TELLING = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "the file, or its folder, is read-only: make both writable for this user",
    sqlite3.SQLITE_CANTOPEN: "the file, or one next to it, cannot be opened: make the folder writable",
    sqlite3.SQLITE_PERM: "access is denied: make the file and its folder writable for this user",
    sqlite3.SQLITE_IOERR: "reading or writing failed: check the disk (free space, limits, health)",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database: choose another file",
    sqlite3.SQLITE_NOMEM: "out of memory",
    sqlite3.SQLITE_PROTOCOL: "locking failed: the file must be on a local disk",
}

_UNUSABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PROTOCOL}


def from_system(error: OSError, text: str) -> DatabaseFault:
    """Return the system's error as a fault with the message `text`: one that a person has to fix, or a passing
    one."""
    return (DatabaseUnusable if error.errno in _FOR_A_PERSON else DatabaseFault)(text)


def from_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    """Return an error of the SQLite driver as one of ours. The message names the file and the fix. Raises
    KeyboardInterrupt if that ended the statement."""
    code = getattr(error, "sqlite_errorcode", None)
    base = None if code is None else code & 0xFF
    if base == sqlite3.SQLITE_INTERRUPT:  # of a Ctrl-C in a progress handler, the driver tells no more than this
        raise KeyboardInterrupt from error
    if base in _BUSY:
        return StoreBusy(f"{path}: another program is writing to the database; try again in a moment")
    if base in _TELLING:
        denied = base == sqlite3.SQLITE_CANTOPEN and _is_denied(path)
        return (StoreUnusable if denied or base in _UNUSABLE else StoreFailed)(
            f"{path}: {_TELLING[base]} ({error})"
        )
    return StoreRefused(f"{path}: the database refuses this: {error}")


def _is_denied(path: Path) -> bool:
    """Return whether this user may not open the database's files, or create them."""
    beside = [path, *(path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))]
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        return path.parent.is_dir()
    return any(os.access(each, os.F_OK) and not os.access(each, os.R_OK | os.W_OK) for each in beside)


def from_sqlalchemy(error: StatementError, path: Path) -> StoreError:
    """Return an error of SQLAlchemy as one of ours."""
    if isinstance(error.orig, sqlite3.Error):
        return from_sqlite(error.orig, path)
    return StoreRefused(f"{path}: this cannot be stored: {error.orig}")


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Raise database errors from the block as a `StoreError`."""
    try:
        yield
    except (DBAPIError, StatementError) as error:
        raise from_sqlalchemy(error, path) from error
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
