"""A progress bar on standard error for work that takes longer than a second; on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from daemon.cli.session import CLOCK

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

PATIENCE = 1.0
"""Seconds before a bar appears."""

Step = Callable[[int, int], None]
"""Called with how much is done and how much there is, in any unit; often, as it is cheap."""


@contextmanager
def progress(doing: str) -> Iterator[Step | None]:
    """A function to report the progress of `doing`, as in "copying"; None if nobody would see it. The bar is gone
    afterwards."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    begun, bar = CLOCK.monotonic(), None

    def step(done: int, total: int) -> None:
        nonlocal bar
        if bar is None and CLOCK.monotonic() - begun >= PATIENCE:
            bar = _bar(doing, total)
            bar.render_progress()
        if bar is not None:
            bar.update(max(0, min(done, total) - bar.pos))

    try:
        yield step
    finally:
        if bar is not None:
            bar.render_finish()
            sys.stderr.write("\x1b[A\x1b[K")  # the line on which it was
            sys.stderr.flush()


def _bar(doing: str, total: int) -> "ProgressBar[int]":
    # click shows how long it has still to take, and fits the line to the terminal.
    return click.progressbar(length=total, label=doing, file=sys.stderr, update_min_steps=max(1, total // 200))
