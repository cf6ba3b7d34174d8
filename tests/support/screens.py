"""Compares a command's output on a pseudo-terminal of a given width, at a fixed time, with the screen kept in
tests/data/screens.

`UPDATE_SCREENS=1 pytest tests/contract/test_cli_screens.py` rewrites them: review them before you commit.
"""

import os
import pty
import re
import sys
import threading
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.cli.layout import cells
from tests.support.cli_runner import same_logging

FOLDER = Path(__file__).parents[1] / "data" / "screens"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def screen(monkeypatch: pytest.MonkeyPatch, config: Path, *args: str, columns: int) -> str:
    """Return what a terminal with this many columns shows after the command, without colours; long lines wrap."""
    lines = printed(monkeypatch, config, *args, columns=columns)
    return "".join(f"{line}\n" for each in lines for line in _rows(each, columns))


def printed(monkeypatch: pytest.MonkeyPatch, config: Path, *args: str, columns: int) -> list[str]:
    """The lines that the command writes to a terminal with this many columns, without colours."""
    leader, follower = pty.openpty()
    received: list[bytes] = []
    reader = threading.Thread(target=_read, args=(leader, received))
    reader.start()
    with os.fdopen(follower, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch, same_logging():
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm-256color")
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        main(["--config", str(config), *args])
        terminal.flush()
    reader.join()
    os.close(leader)
    text = _COLOUR.sub("", b"".join(received).decode())
    assert "\x1b" not in text
    return text.split("\r\n")[:-1]


def kept(name: str, shown: str) -> None:
    """Check that the screen equals the one kept under this name."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8"), f"{path} differs; UPDATE_SCREENS=1 writes it anew"


def _read(leader: int, received: list[bytes]) -> None:
    try:
        while chunk := os.read(leader, 65536):
            received.append(chunk)
    except OSError:  # the other end is closed
        return


def _rows(line: str, columns: int) -> list[str]:
    """Return the terminal rows that a line takes."""
    rows = [""]
    for char in line:
        if cells(rows[-1]) + cells(char) > columns:
            rows.append("")
        rows[-1] += char
    return rows
