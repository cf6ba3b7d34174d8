"""Connections to the SQLite file: its URL, its pragmas, and how transactions begin.

Owns every connection that wrapd opens to its database. Must never know a table.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool, QueuePool

from daemon.errors import DatabaseFault, DatabaseUnusable
from daemon.store.errors import from_sqlite, from_system
from daemon.store.owner import hand_over

BUSY_SECONDS = 5.0
"""How long a transaction waits for another program's."""
APPLICATION_ID = 0x77726170
"""Marks a file as wrapd's (the letters "wrap", in SQLite's header at offset 68)."""

_PAUSE = 0.05
_FILE_MODE = 0o660
_WAL_LIMIT = 64 * 1024 * 1024
_EXAMPLE = "sqlite:///wrapd.db (a file; the path starts at the working directory, or at / with four slashes)"


def database_path(url: str) -> Path:
    """The file that a database URL names, with links resolved. Raises DatabaseFault for what is not supported."""
    scheme, colon, rest = url.partition(":")
    if not colon or scheme != "sqlite":
        # Only the scheme is shown: a URL may carry a password.
        shown = f"a {scheme} database" if colon else "this"
        raise DatabaseUnusable(f"database.url: {shown} is not supported; write {_EXAMPLE}")
    name = rest.removeprefix("///") if rest.startswith("///") else ""
    if not name or name.startswith((":memory:", "file:")) or "?" in name or "\0" in name:
        raise DatabaseUnusable(f"database.url: {url!r} names no file; write {_EXAMPLE}")
    try:
        return Path(name).resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise DatabaseUnusable(
            f"database.url: {name}: its links lead nowhere; put them right, or change it"
        ) from error


def require_folder(path: Path) -> None:
    """Raise DatabaseFault unless the file's folder is there."""
    if not path.parent.is_dir():
        raise DatabaseFault(f"{path}: there is no folder {path.parent}; make it, or change database.url")


def create_file(path: Path) -> None:
    """Make an empty file unless there is one. SQLite would not let the umask make it writable for the group;
    the files that it puts beside (-wal, -shm) get this one's mode and owner. What root makes belongs to the owner
    of the folder: else the service could not use it. Raises DatabaseFault."""
    require_folder(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    except OSError as error:
        raise from_system(
            error,
            f"{path}: cannot be opened for writing ({error.strerror}); make the file and its folder writable for "
            "this user, or change database.url",
        ) from error
    try:
        hand_over(descriptor, path)
    finally:
        os.close(descriptor)


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there: unlike SQLite's own way, none is made where it is missing. The driver
    begins no transaction by itself. Raises sqlite3.Error."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _connect(path: Path, *, query_only: bool, foreign_keys: bool) -> Callable[[], sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        connection = open_file(path)
        try:
            for pragma in (
                f"foreign_keys = {'ON' if foreign_keys else 'OFF'}",
                "synchronous = FULL",
                f"journal_size_limit = {_WAL_LIMIT}",
                f"query_only = {'ON' if query_only else 'OFF'}",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def reading_engine(path: Path) -> Engine:
    """Connections that cannot write; each transaction sees one state of the database."""
    return _engine(path, begin="BEGIN", query_only=True, poolclass=QueuePool, pool_size=4, max_overflow=-1)


def writing_engine(path: Path) -> Engine:
    """Connections whose transactions take the write lock at once, so that none fails half-way for a lock."""
    return _engine(
        path, begin="BEGIN IMMEDIATE", query_only=False, poolclass=QueuePool, pool_size=1, max_overflow=-1
    )


def migrating_engine(path: Path) -> Engine:
    """One connection, for a change of the schema. It does not mind foreign keys: SQLite changes a table by making
    it anew, and to drop the old one would delete all that belongs to its rows. They are checked at the end."""
    return _engine(path, begin="BEGIN IMMEDIATE", query_only=False, foreign_keys=False, poolclass=NullPool)


def _engine(path: Path, *, begin: str, query_only: bool, foreign_keys: bool = True, **pool: Any) -> Engine:
    url = URL.create("sqlite", database=str(path))
    # Parameters hold signed URLs: they must not reach an error's text.
    connect = _connect(path, query_only=query_only, foreign_keys=foreign_keys)
    engine = create_engine(url, creator=connect, hide_parameters=True, **pool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def in_transaction(connection: Connection) -> bool:
    """Whether SQLite still has the transaction open: some failures (a full disk) end it."""
    driver = connection.connection.dbapi_connection
    return bool(getattr(driver, "in_transaction", False))


def changes_so_far(connection: Connection) -> int:
    """How many rows this connection has changed since it was opened."""
    return int(getattr(connection.connection.dbapi_connection, "total_changes", 0))


def use_wal(path: Path) -> None:
    """Switch the file to a write-ahead log, for good: readers and the writer do not wait for each other. Nothing
    happens where it is so already. Raises DatabaseFault."""
    connection: sqlite3.Connection | None = None
    try:
        connection = open_file(path)
        mode = _switch(connection)
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    finally:
        if connection is not None:
            connection.close()
    if mode != "wal":
        raise DatabaseUnusable(f"{path}: the file system cannot hold a write-ahead log; use a local disk")


def _switch(connection: sqlite3.Connection) -> str:
    # SQLite does not wait for a lock here, whatever the timeout says: try again by hand.
    for _ in range(int(BUSY_SECONDS / _PAUSE)):
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_PAUSE)
    return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
