"""The address of the control socket, next to the database, and the limits of a request. Used by both ends.

A socket address holds at most 108 bytes. Both ends therefore reach the socket through a descriptor of its folder,
so that only its name has to be short, whatever the length of the path.
"""

import hashlib
import os
from pathlib import Path

LONGEST_REQUEST = 64 * 1024
"""Maximum size of a request in bytes, including its newline."""
LONGEST_ANSWER = 16 * 1024 * 1024
"""Maximum size of an answer in bytes."""
LONGEST_WORK = 120.0
"""Seconds after which the client is no longer kept waiting for a request's handler, which continues."""
O_PATH = getattr(os, "O_PATH", 0)
"""Opens a file only as a reference. Linux only; other systems have no /proc/self/fd either."""
_LONGEST_NAME = 80
"""Maximum length of a name in bytes: with `/proc/self/fd/NUMBER/` before it, it still fits into an address."""


def socket_name(database: Path) -> str:
    """The name of the control socket in the folder of `database` (symbolic links resolved).

    >>> socket_name(Path("/var/lib/wrapd/wrapd.db"))
    'wrapd.db.sock'
    >>> socket_name(Path("/var/lib/wrapd") / ("long" * 30))
    'wrapd-5740475dfdb5e41a.sock'
    """
    name = f"{database.name}.sock"
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return f"wrapd-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.sock"


def by_descriptor(descriptor: int, name: str = "") -> str:
    """A path that starts at an open descriptor of this process, independent of the folders above it."""
    return f"/proc/self/fd/{descriptor}/{name}".rstrip("/")


def identity(path: Path) -> list[int]:
    """Device and inode, which tell whether two processes mean the same file whatever its path. Raises OSError."""
    found = path.stat()
    return [found.st_dev, found.st_ino]
