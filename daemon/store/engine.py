"""Connections to the SQLite file: its URL, its pragmas, and how transactions begin.

Owns every connection that wrapd opens to its database. Knows no tables.
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
"""How long a transaction waits for a lock held by another program."""
APPLICATION_ID = 0x77726170
"""Marks a file as wrapd's (the letters "wrap", in SQLite's header at offset 68)."""

MAGIC = b"SQLite format 3\0"
"""The first bytes of every SQLite file."""

_PAUSE = 0.05
_FILE_MODE = 0o660
_WAL_LIMIT = 64 * 1024 * 1024
_EXAMPLE = "sqlite:///wrapd.db (a file; the path starts at the working directory, or at / with four slashes)"


def database_path(url: str) -> Path:
    """Return the file that a database URL names, with symbolic links resolved. Raises DatabaseFault for other
    URLs."""
    scheme, colon, rest = url.partition(":")
    if not colon or scheme != "sqlite":
        # Only the scheme is shown, since a URL may contain a password.
        shown = f"a {scheme} database" if colon else "this"
        raise DatabaseUnusable(f"database.url: {shown} is not supported; write {_EXAMPLE}")
    name = rest.removeprefix("///") if rest.startswith("///") else ""
    if not name or name.startswith((":memory:", "file:")) or "?" in name or "\0" in name:
        raise DatabaseUnusable(f"database.url: {url!r} names no file; write {_EXAMPLE}")
    try:
        return Path(name).resolve()
    except (OSError, RuntimeError) as error:  # a symlink loop
        raise DatabaseUnusable(
            f"database.url: {name}: its symbolic links form a loop; fix them, or change it"
        ) from error


def require_folder(path: Path) -> None:
    """Raise DatabaseFault unless the file's folder exists."""
    if not path.parent.is_dir():
        raise DatabaseFault(f"{path}: the folder {path.parent} does not exist; create it, or change database.url")


def create_file(path: Path) -> None:
    """Create an empty file unless it exists. SQLite itself would not make it group-writable where the umask allows
    that; the -wal and -shm files get this file's mode and owner. A file that root creates is given to the owner of
    the folder, since the service could not use it otherwise. Raises DatabaseFault."""
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


def application_id(path: Path) -> int | None:
    """Return the mark in the header of a database; 0 if it has none. Opens it without SQLite. None if the file is
    no database or cannot be read."""
    try:
        with path.open("rb") as file:
            header = file.read(72)
    except OSError:
        return None
    return int.from_bytes(header[68:72], "big") if header.startswith(MAGIC) else None


def is_ours(path: Path) -> bool:
    """Return whether a file is a database with wrapd's mark. False if it cannot be read."""
    return application_id(path) == APPLICATION_ID


def open_file(path: Path, *, mode: str = "rw") -> sqlite3.Connection:
    """Return a connection to an existing file. Unlike SQLite's default, a missing file is not created; with the
    mode `ro` nothing is changed either. The driver begins no transactions of its own. Raises sqlite3.Error."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
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
    """Return an engine for reading: each transaction sees one state of the database, and cannot write."""
    return _engine(path, begin="BEGIN", query_only=True, poolclass=QueuePool, pool_size=4, max_overflow=-1)


def writing_engine(path: Path) -> Engine:
    """Return an engine whose transactions take the write lock at the start, so that none fails half-way on a
    lock."""
    return _engine(
        path, begin="BEGIN IMMEDIATE", query_only=False, poolclass=QueuePool, pool_size=1, max_overflow=-1
    )


def migrating_engine(path: Path) -> Engine:
    """Return an engine of one connection for changing the schema, with foreign keys off: SQLite changes a table by
    recreating it, and dropping the old one would cascade to everything that references it. The keys are checked at
    the end."""
    return _engine(path, begin="BEGIN IMMEDIATE", query_only=False, foreign_keys=False, poolclass=NullPool)


def _engine(path: Path, *, begin: str, query_only: bool, foreign_keys: bool = True, **pool: Any) -> Engine:
    url = URL.create("sqlite", database=str(path))
    # Parameters contain signed URLs, which must not appear in an error's text.
    connect = _connect(path, query_only=query_only, foreign_keys=foreign_keys)
    engine = create_engine(url, creator=connect, hide_parameters=True, **pool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def in_transaction(connection: Connection) -> bool:
    """Return whether SQLite still has the transaction open: some failures (such as a full disk) end it."""
    driver = connection.connection.dbapi_connection
    return bool(getattr(driver, "in_transaction", False))


def changes_so_far(connection: Connection) -> int:
    """Return how many rows this connection has changed since it was opened."""
    return int(getattr(connection.connection.dbapi_connection, "total_changes", 0))


def use_wal(path: Path) -> None:
    """Switch the file to a write-ahead log permanently, so that readers and the writer do not block each other.
    Does nothing if it already uses one. Raises DatabaseFault."""
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
    # SQLite ignores the busy timeout for this statement, so retry here.
    for _ in range(int(BUSY_SECONDS / _PAUSE)):
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_PAUSE)
    return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
