"""A progress bar on standard error for work that takes longer than a second; on a terminal only. And work in parts
that Ctrl-C ends between two of them.

The house draws it, since click's is wider than a small terminal, where each drawing leaves a line behind, and
hides the cursor, which a killed command never shows again.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from daemon.cli.layout import cut
from daemon.cli.session import CLOCK, columns_of, is_screen
from daemon.cli.text import brief

PATIENCE = 1.0
"""Seconds before a bar appears."""

Step = Callable[[int, int], None]
"""Called with how much is done and how much there is, in any unit; often, as it is cheap."""

_BETWEEN = 0.1
"""Seconds between two drawings."""
_LONGEST = 30
"""Width of the bar itself in cells, if there is room."""
_SHORTEST = 5
"""A bar shorter than this is left out."""
_EXTRAPOLATED = 0.02
"""Share of the work that says how long the rest will take."""


@contextmanager
def progress(doing: str) -> Iterator[Step | None]:
    """A function to report the progress of `doing`, as in "copying"; None if nobody would see it. The bar is gone
    afterwards."""
    if sys.stderr is None or not is_screen(sys.stderr):
        yield None
        return
    bar = _Bar(doing, sys.stderr)
    try:
        yield bar.step
    finally:
        bar.clear()


@contextmanager
def whole_parts() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end work in the block only where that asks the given function whether it should stop. A second
    Ctrl-C ends it at once."""
    pressed = False

    def press(_number: int, _frame: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


class _Bar:
    """A line that is drawn over itself. The cursor waits at its beginning: after a line of the log, or once a
    resized terminal has wrapped it anew, the next drawing still begins there."""

    def __init__(self, doing: str, stream: TextIO) -> None:
        self._doing, self._stream = doing, stream
        self._begun = CLOCK.monotonic()
        self._next = self._begun + PATIENCE
        self._drawn, self._done = False, 0

    def step(self, done: int, total: int) -> None:
        now = CLOCK.monotonic()
        if done < self._done:  # the next stage of the work
            self._begun = now
        self._done = done
        if now < self._next:
            return
        self._next = now + _BETWEEN
        self._drawn = True
        # Not into the last column: a terminal may go to the next line after it.
        text = _line(self._doing, done, total, now - self._begun, room=columns_of(self._stream) - 1)
        self._write(f"\r\x1b[J{text}\r")

    def clear(self) -> None:
        if self._drawn:
            self._write("\r\x1b[J")  # with the ^C that the terminal may have written

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal may go away before the work is done
            self._stream.write(text)
            self._stream.flush()


def _line(doing: str, done: int, total: int, elapsed: float, *, room: int) -> str:
    """What is being done, a bar, the share that is done, and how long the rest or all so far takes, in at most
    `room` cells; the bar is the first to shrink.

    >>> _line("Copying", 45, 100, 9.0, room=60)
    'Copying  [#############-----------------]   45%  11s left'
    >>> _line("Copying", 45, 100, 9.0, room=32)
    'Copying  [##---]   45%  11s left'
    >>> _line("Copying", 0, 100, 9.0, room=32)
    'Copying  [-------]    0%  for 9s'
    >>> _line("Copying", 45, 100, 9.0, room=20)
    'Copying  45%  11s l…'
    """
    share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
    time = f"for {brief(elapsed)}"
    if _EXTRAPOLATED <= share < 1:
        time = f"{brief(elapsed * (1 - share) / share)} left"
    facts = f"{int(share * 100):3}%  {time}"
    width = min(_LONGEST, room - len(f"{doing}  []  {facts}"))
    if width < _SHORTEST:
        return cut(f"{doing}  {facts.lstrip()}", room)
    full = int(share * width)
    return f"{doing}  [{'#' * full}{'-' * (width - full)}]  {facts}"
