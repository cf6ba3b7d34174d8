"""The files that a running daemon has open, and whether its path still means them.

Owns a connection that stays open, so that SQLite keeps the write-ahead log for as long, and what is done where
the files were deleted or replaced. Must never write a row.
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
"""Endings of the names of an open database's files."""

Identity = tuple[int, int]
"""Device and inode of a file."""


class Anchor:
    """Holds the files of one database. Made after the file was opened and switched to a write-ahead log."""

    def __init__(self, path: Path, *, beside: Iterable[Path] = ()) -> None:
        """`beside`: further files that have to stay where they are. Raises DatabaseFault."""
        self._files = [*(path.with_name(f"{path.name}{end}") for end in _ENDINGS), *beside]
        try:
            self._connection = open_file(path)
        except sqlite3.Error as error:
            raise from_sqlite(error, path) from error
        try:
            self._connection.execute("PRAGMA schema_version").fetchall()  # makes the files beside it
            self._held = [_identity(file) for file in self._files]
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise from_sqlite(error, path) from error
            raise DatabaseFault(
                f"{path}: went away while it was opened ({error.strerror}); start again"
            ) from error

    def moved(self) -> str | None:
        """What became of the files since they were opened; None: they are where they were. Costs a look at each
        of them, so it may be asked each second."""
        for file, held in zip(self._files, self._held, strict=True):
            try:
                now = _identity(file)
            except OSError as error:
                return f"{file}: was moved or deleted while wrapd had it open ({error.strerror})"
            if now != held:
                return f"{file}: was replaced by another file while wrapd had it open"
        return None

    def part(self) -> None:
        """Leave what is at the path to others, once the files have `moved`: the log goes into the file that it
        belongs to, and is taken away from beside another one, which it would spoil."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        database, *beside = zip(self._files[: len(_ENDINGS)], self._held, strict=False)
        with contextlib.suppress(OSError):
            if _identity(database[0]) == database[1]:
                return  # only a file beside it is gone: SQLite's own end puts that right
        for file, held in beside:
            with contextlib.suppress(OSError):
                if _identity(file) == held:
                    file.unlink()

    def close(self) -> None:
        """Let go."""
        self._connection.close()


def _identity(path: Path) -> Identity:
    found = os.stat(path)  # noqa: PTH116 - the same as path.stat(), at half the price
    return found.st_dev, found.st_ino
