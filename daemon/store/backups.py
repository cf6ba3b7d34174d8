"""Backups that are kept in a folder: their names, which of them stay, and how old the newest is.

Removes only what it made itself: files with its names that are databases of wrapd. `health` makes the copies.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from daemon.errors import DatabaseFault
from daemon.store.engine import database_path, is_ours
from daemon.store.errors import from_system
from daemon.store.health import backup, sync
from daemon.store.owner import hand_over

STAMP = "%Y%m%dT%H%M%SZ"
"""The time in a name, in UTC."""

_DIGITS = r"\d{8}T\d{6}Z"
_FOLDER_MODE = 0o750


class NewBackup(Struct, frozen=True, kw_only=True):
    """A new backup at `path`, and the older ones that were `removed` after it, newest first."""

    path: Path
    removed: tuple[Path, ...]


def folder_of(database: Path) -> Path:
    """Return the folder of the backups of `database`, unless another is named."""
    return database.with_name("backups")


def back_up(
    url: str, folder: Path, *, keep: int | None, at: datetime, step: Callable[[int, int], None] | None = None
) -> NewBackup:
    """Back the database of `url` up into `folder`, which is created if missing, as `NAME-STAMP.db` for the time
    `at`. Then, if it is complete and sound, remove all but the newest `keep` (at least 1; None: all stay). `step`
    is called as by `health.backup`. Raises DatabaseFault, and has removed nothing then."""
    database = database_path(url)
    _make(folder)
    with _alone(folder):
        for left in _own(folder, database, ending=".part"):  # of a backup that was killed
            for each in (left, left.with_name(f"{left.name}-journal")):
                each.unlink(missing_ok=True)
        target = folder / f"{database.stem}-{at.astimezone(UTC).strftime(STAMP)}{database.suffix}"
        backup(url, target, private=True, step=step)
        older = [each for each in _own(folder, database) if each != target and is_ours(each)]
        removed = [] if keep is None else older[max(keep, 1) - 1 :]
        for each in removed:
            each.unlink(missing_ok=True)
        sync(folder)
    return NewBackup(path=target, removed=tuple(removed))


def newest(database: Path) -> tuple[datetime, int] | None:
    """Return when the newest backup in `folder_of(database)` was made, and how many there are; None if there is
    none, or if this user may not see them."""
    with contextlib.suppress(OSError):
        found = _own(folder_of(database), database)
        if found:
            stamp = re.findall(_DIGITS, found[0].name)[-1]
            return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC), len(found)
    return None


def _own(folder: Path, database: Path, *, ending: str = "") -> list[Path]:
    """Return the plain files with names as `back_up` gives them, newest first. Raises OSError."""
    name = re.compile(re.escape(database.stem) + f"-{_DIGITS}" + re.escape(database.suffix + ending))
    with os.scandir(folder) as entries:
        found = [
            each.name for each in entries if name.fullmatch(each.name) and each.is_file(follow_symlinks=False)
        ]
    return [folder / each for each in sorted(found, reverse=True) if _is_time(each, database, ending)]


def _is_time(name: str, database: Path, ending: str) -> bool:
    stamp = name.removeprefix(f"{database.stem}-").removesuffix(database.suffix + ending)
    try:
        datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _make(folder: Path) -> None:
    try:
        folder.mkdir(_FOLDER_MODE)
    except FileExistsError:
        if folder.is_dir():
            return
        raise DatabaseFault(f"{folder}: is not a folder; choose another one") from None
    except OSError as error:
        raise from_system(error, f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)  # with the setgid bit of the folder around it
        hand_over(descriptor, folder)
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    sync(folder.parent)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other backup into the folder begin meanwhile. Raises DatabaseFault."""
    with _named(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise DatabaseFault(
                    f"{folder}: another backup into it is running; wait until it is done"
                ) from error
            raise
    try:
        with _named(folder):
            yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Raise the system's errors as faults of the folder."""
    try:
        yield
    except OSError as error:
        raise from_system(
            error, f"{folder}: cannot be used ({error.strerror}); make it writable for this user"
        ) from error
