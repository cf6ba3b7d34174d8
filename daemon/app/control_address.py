"""What both ends of a control socket know: where it is (beside the database, whatever the length of the path), and
the bounds of a request.

A socket's address has room for 108 bytes, so both ends reach it through a descriptor of its folder; only the name
has to be short.
"""

import hashlib
import os
from pathlib import Path

LONGEST_REQUEST = 64 * 1024
"""Bytes of a request at most, its newline included."""
LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer at most."""
LONGEST_WORK = 120.0
"""Seconds after which nobody waits for a request's handler any more; it goes on."""
O_PATH = getattr(os, "O_PATH", 0)
"""Names a file without opening it. Only Linux has it; elsewhere there is no /proc/self/fd either."""
_LONGEST_NAME = 80
"""Bytes: with `/proc/self/fd/NUMBER/` before it, a name of this length fits into an address."""


def socket_name(database: Path) -> str:
    """The name of the control socket in the folder of `database` (its links resolved).

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
    """A path that leads through an open descriptor of this process, so that nothing on the way to it counts."""
    return f"/proc/self/fd/{descriptor}/{name}".rstrip("/")


def identity(path: Path) -> list[int]:
    """What tells whether two processes mean the same file, whatever they call it: device and inode. Raises
    OSError."""
    found = path.stat()
    return [found.st_dev, found.st_ino]
