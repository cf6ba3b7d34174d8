"""Whose the files are that root makes: those of the folder's owner, so that the service can use them.

Owns the change of owner and mode. Must never touch a file that belongs to anybody but root.
"""

import contextlib
import os
import stat
from pathlib import Path

_SHARED = 0o660


def hand_over(descriptor: int, path: Path) -> None:
    """Give an open file of root's to the owner and group of its folder, where root makes it there as a guest; its
    group may write where it may in the folder. Nothing happens for any other user, or in a folder of root's."""
    if os.geteuid() != 0:
        return
    folder, file = path.parent.stat(), os.fstat(descriptor)
    if folder.st_uid == 0 or file.st_uid != 0:
        return
    with contextlib.suppress(OSError):  # where root may not: SQLite then says who cannot open what
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
        if folder.st_mode & stat.S_IWGRP:
            os.fchmod(descriptor, _SHARED)
