"""`python -m tests.support.killing_lines PROTOTYPE SCRATCH FILE`: a restoration of FILE over a copy of the folder
PROTOTYPE, again and again; each dies as by `kill -9` one line of the store's code later, until one is done.

The copies stay in SCRATCH, by the number of lines. A forked process dies, so that nothing is imported again.
"""

import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import daemon
from daemon.store.restore import restore
from tests.support.store import url_of

STORE = str(Path(daemon.__file__).parent / "store")
WATCHED = tuple(f"{STORE}/{name}.py" for name in ("restore", "carry", "health"))


class _Death:
    """Kills the process at a line of the watched modules."""

    def __init__(self, after: int) -> None:
        self._left = after

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if not frame.f_code.co_filename.startswith(WATCHED):
            return None
        if event == "line":
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
        return self.trace


def restored_until(lines: int, folder: Path, file: Path) -> bool:
    """Restore until this many lines were run. Returns whether it came to an end."""
    child = os.fork()
    if child == 0:
        sys.settrace(_Death(lines).trace)
        restore(url_of(folder / "wrapd.db"), file, at=datetime(2026, 3, 1, 12, tzinfo=UTC))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}, status
    return status == 0


def main() -> None:
    prototype, scratch, file = map(Path, sys.argv[1:])
    lines, ended = 0, False
    while not ended:
        folder = scratch / f"{lines:04}"
        shutil.copytree(prototype, folder)
        ended = restored_until(lines, folder, file)
        lines += 1
    print(lines)


if __name__ == "__main__":
    main()
