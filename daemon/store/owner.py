"""Hands files that root creates to the owner of their folder, so that the service can use them.

Changes owner and mode of files that belong to root, and of no others.
"""

import contextlib
import os
import stat
from pathlib import Path

_SHARED = 0o660


def hand_over(descriptor: int, path: Path) -> None:
    """Give an open file of root's to the owner and group of its folder, if that is another user's; the group may
    write it if it may write to the folder. Does nothing for users other than root, or in a folder of root's."""
    if os.geteuid() != 0:
        return
    folder, file = path.parent.stat(), os.fstat(descriptor)
    if folder.st_uid == 0 or file.st_uid != 0:
        return
    with contextlib.suppress(OSError):  # where root may not, SQLite reports who cannot open what
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
        if folder.st_mode & stat.S_IWGRP:
            os.fchmod(descriptor, _SHARED)
