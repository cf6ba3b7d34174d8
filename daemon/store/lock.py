"""One daemon for one SQLite file: a lock file next to it, released by the kernel even after kill -9.

Owns the lock file. Never opens the database.
"""

import fcntl
import os
import stat
from pathlib import Path

from daemon.errors import AlreadyRunning, DatabaseUnusable
from daemon.store.errors import from_system
from daemon.store.owner import hand_over


class DaemonLock:
    """A lock held until `release` or the end of the process. The file itself stays: if it were removed, two
    processes could hold a lock on it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, database: Path) -> "DaemonLock":
        """Lock `database`. Raises AlreadyRunning with the holder's pid, or DatabaseFault."""
        path = database.with_name(f"{database.name}.lock")
        descriptor = _opened(path)
        hand_over(descriptor, path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "not known"
            os.close(descriptor)
            raise AlreadyRunning(
                f"{database}: another wrapd uses this database (pid {pid}, lock file {path}); stop it first, "
                "or use another database.url"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise from_system(error, f"{path}: cannot be locked ({error.strerror}); use a local disk") from error
        return cls._held(path, descriptor)

    @classmethod
    def _held(cls, path: Path, descriptor: int) -> "DaemonLock":
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise from_system(
                error, f"{path}: the lock file cannot be written ({error.strerror}); free some space"
            ) from error
        return cls(path, descriptor)

    def release(self) -> None:
        """Release the lock. Further calls do nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _opened(path: Path) -> int:
    """Open the lock file. Its contents are overwritten, so it must not be another file under this name: not a
    symbolic or hard link, a pipe or a device. Raises DatabaseFault."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o660)
    except OSError as error:
        if path.is_symlink():
            raise _foreign(path, "a symbolic link to another file") from error
        raise from_system(
            error,
            f"{path}: the lock file cannot be opened ({error.strerror}); make it and its folder writable for "
            "this user",
        ) from error
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    raise _foreign(path, "a hard link to another file" if stat.S_ISREG(found.st_mode) else "not a plain file")


def _foreign(path: Path, what: str) -> DatabaseUnusable:
    return DatabaseUnusable(f"{path}: the lock file is {what}, and wrapd writes into it; remove it")
