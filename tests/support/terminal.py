"""A terminal: a program on a real pty of a given size, and the screen that a person would see."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from daemon.cli.layout import cells
from tests.support.live import PATIENCE
from tests.support.process import COMMAND

_CONTROL = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\x1b|[\r\n]|[^\x1b\r\n]", re.DOTALL)
_BEGUN = re.compile(r"\x1b(\[[0-9;]*)?\Z")
"""The part of a sequence of which the rest has not been read yet."""
_OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
"""Makes standard input the controlling terminal, so that Ctrl-C reaches the program."""


class Screen:
    """What a terminal shows after the control sequences that wrapd uses, and text with wide characters. Raises
    ValueError for any other sequence."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.scrolled = 0
        """The number of lines that left the screen at its top."""
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0
        self._begun = ""

    def feed(self, text: str) -> None:
        text = self._begun + text
        self._begun = begun[0] if (begun := _BEGUN.search(text)) else ""
        text = text.removesuffix(self._begun)
        for found in _CONTROL.finditer(text):
            if found[2] is not None:
                self._do(found[2], found[1])
            elif found[0] == "\r":
                self._column = 0
            elif found[0] == "\n":
                self._down()
            elif found[0] >= " ":
                self._put(found[0])
            else:
                raise ValueError(f"not for a terminal: {found[0]!r}")

    def text(self) -> str:
        lines = ["".join(line).rstrip() for line in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        return "".join(f"{line}\n" for line in lines)

    def resize(self, columns: int, rows: int) -> None:
        """As most terminals do: longer lines wrap anew, and those above the top leave the screen."""
        self.columns, self.rows = columns, rows
        at, lines = self._row, self._lines
        self._lines = []
        for number, line in enumerate(lines):
            if number == at:
                self._row = len(self._lines)
            self._lines += [line[first : first + columns] for first in range(0, max(1, len(line)), columns)]
        self._scroll()

    def _do(self, what: str, how: str) -> None:
        match what:
            case "m":
                return
            case "A":
                self._row = max(0, self._row - int(how or 1))
            case "H" if not how:
                self._row = self._column = 0
            case "J" if how in ("", "2"):
                self._lines[self._row + 1 :] = []
                self._line()[self._column :] = []
                if how:
                    self._lines = [[] for _ in range(self._row + 1)]
            case "K" if not how:
                self._line()[self._column :] = []
            case _:
                raise ValueError(f"unknown sequence {how}{what}")

    def _line(self) -> list[str]:
        while len(self._lines) <= self._row:
            self._lines.append([])
        return self._lines[self._row]

    def _put(self, char: str) -> None:
        width = cells(char)
        if self._column + width > self.columns:
            self._column = 0
            self._down()
        line = self._line()
        line += [" "] * (self._column - len(line))
        if width == 0:
            if self._column:
                line[self._column - 1] += char
            return
        line[self._column : self._column + width] = [char, *[""] * (width - 1)]
        self._column += width

    def _down(self) -> None:
        self._row += 1
        self._line()
        self._scroll()

    def _scroll(self) -> None:
        while len(self._lines) > self.rows:
            del self._lines[0]
            self._row -= 1
            self.scrolled += 1


class Terminal:
    """`wrapd` on a terminal, as a context manager."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        columns: int,
        rows: int,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = COMMAND,
    ) -> None:
        self.screen = Screen(columns, rows)
        self.raw = ""
        self._news = threading.Condition()
        self._over = False
        self._leader, follower = pty.openpty()
        self._sized(columns, rows)
        command: Sequence[str | Path] = [*program, "--config", folder / "wrapd.toml", *arguments]
        hidden = ("COLUMNS", "LINES", "NO_COLOR")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OWN, *map(str, command)],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            env={
                **{name: value for name, value in os.environ.items() if name not in hidden},
                "TERM": "xterm-256color",
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": str(Path(__file__).parents[2]),
                **(environ or {}),
            },
        )
        os.close(follower)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._leader)

    def wait_for(self, text: str) -> str:
        """Return the screen once it shows the text."""
        end = time.monotonic() + PATIENCE
        with self._news:
            while text not in self.screen.text():
                left = end - time.monotonic()
                assert left > 0, f"no {text!r} within {PATIENCE:g} s on:\n{self.screen.text()}"
                assert not self._over, f"no {text!r} on:\n{self.screen.text()}"
                self._news.wait(left)
            return self.screen.text()

    def type(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        with self._news:
            self.screen.resize(columns, rows)
            self._sized(columns, rows)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and the last screen."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status, self.screen.text()

    def _sized(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        import codecs

        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                chunk = os.read(self._leader, 65536)
            except OSError:  # the other end is closed
                chunk = b""
            with self._news:
                text = decoder.decode(chunk)
                self.raw += text
                self.screen.feed(text)
                self._over = not chunk
                self._news.notify_all()
            if not chunk:
                return
