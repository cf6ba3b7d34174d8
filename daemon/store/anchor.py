"""The files that a running daemon has open, and whether its path still leads to them.

Owns one connection that stays open, so that SQLite keeps the write-ahead log, and the cleanup after the files were
deleted or replaced. Writes no rows.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from daemon.errors import DatabaseFault
from daemon.store.engine import open_file
from daemon.store.errors import from_sqlite

_ENDINGS = ("", "-wal", "-shm")
"""Suffixes of the files of an open database."""

Identity = tuple[int, int]
"""A file's device and inode numbers."""


class Anchor:
    """Holds the files of one database. Create it once the file is open and uses a write-ahead log."""

    def __init__(self, path: Path, *, beside: Iterable[Path] = ()) -> None:
        """`beside` names further files that have to stay in place. Raises DatabaseFault."""
        self._files = [*(path.with_name(f"{path.name}{end}") for end in _ENDINGS), *beside]
        try:
            self._connection = open_file(path)
        except sqlite3.Error as error:
            raise from_sqlite(error, path) from error
        try:
            self._connection.execute("PRAGMA schema_version").fetchall()  # creates the -wal and -shm files
            self._held = [_identity(file) for file in self._files]
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise from_sqlite(error, path) from error
            raise DatabaseFault(
                f"{path}: disappeared while it was being opened ({error.strerror}); start again"
            ) from error

    def moved(self) -> str | None:
        """Return what happened to the files since they were opened, or None if they are in place. Costs one stat
        for each file, so it may be called every second."""
        for file, held in zip(self._files, self._held, strict=True):
            try:
                now = _identity(file)
            except OSError as error:
                return f"{file}: was moved or deleted while wrapd had it open ({error.strerror})"
            if now != held:
                return f"{file}: was replaced by another file while wrapd had it open"
        return None

    def part(self) -> None:
        """Once the files have `moved`, leave the path to others: checkpoint the log into its own database file,
        and remove it from next to a different file, which SQLite would otherwise corrupt with it."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        database, *beside = zip(self._files[: len(_ENDINGS)], self._held, strict=False)
        with contextlib.suppress(OSError):
            if _identity(database[0]) == database[1]:
                return  # only a -wal or -shm file is gone: closing SQLite puts that right
        for file, held in beside:
            with contextlib.suppress(OSError):
                if _identity(file) == held:
                    file.unlink()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _identity(path: Path) -> Identity:
    found = os.stat(path)  # noqa: PTH116 - the same as path.stat(), in half the time
    return found.st_dev, found.st_ino
