"""What one rendering of a template may cost: turns of loops, characters and items made, time.

A rendering cannot be interrupted inside an operation of Python's own. So each operation is paid for by the size of
what it works on, and no value grows so large that one operation takes long: all that a template makes has a
bounded weight, with every part counted as often as it appears. The only clock is that of the thread's own work.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

RESULT_LIMIT = 65536
"""Characters of a result, and of any text made on the way; and the weight of any list."""
TURNS = 10_000
"""Turns of all loops of one rendering together."""
WORK = 2_000_000
"""Characters and items of all that one rendering makes, looks at and compares."""
SECONDS = 1.0
"""Processor time of one rendering."""
MOST_NUMBER = 1e30
_LOOK_EVERY = 32
"""Payments between two looks at the clock: a look costs as much as many of them."""
_LETTERS = 64
"""Characters of a text that weigh as much as an item of a list."""


class OutOfBounds(Exception):
    """A rendering failed, or took more than it may; the message says why, with the line where it is known."""


class Effort:
    """What one rendering may still cost."""

    def __init__(self) -> None:
        self._turns = TURNS
        self._work = WORK
        self._until = time.thread_time() + SECONDS
        self._next_look = _LOOK_EVERY

    def take_turn(self) -> None:
        """Pay for a turn of a loop."""
        self._turns -= 1
        if self._turns < 0:
            raise OutOfBounds(f"its loops take more than {TURNS} turns")

    def spend(self, size: int) -> None:
        """Pay for work on so many characters or items."""
        self._work -= size + 1
        if self._work < 0:
            raise OutOfBounds("it does too much work for one message")
        self._next_look -= 1
        if self._next_look <= 0:
            self._next_look = _LOOK_EVERY
            if time.thread_time() > self._until:
                raise OutOfBounds(f"it takes more than {SECONDS:g} s")


EFFORT: ContextVar[Effort] = ContextVar("effort")


def spend(size: int) -> None:
    """Pay for work in the rendering that goes on in this thread."""
    EFFORT.get().spend(size)


def check_length(size: int) -> None:
    """Pay for a text of so many characters. Raises OutOfBounds for one that is too long."""
    if size > RESULT_LIMIT:
        raise OutOfBounds(f"it makes more than {RESULT_LIMIT} characters")
    spend(size)


def check_number(value: Any) -> Any:
    """`value`; raises OutOfBounds for a number that is too large to work with."""
    if isinstance(value, int) and abs(value) > MOST_NUMBER:
        raise OutOfBounds("its numbers grow too large")
    return value


def weighed(value: Any) -> Any:
    """`value`, paid for by all that it holds. Raises OutOfBounds where that is too much."""
    spend(weight(value))
    return value


def weight(value: Any) -> int:
    """How much a value holds, every part counted as often as it appears. Raises OutOfBounds over the limit."""
    if isinstance(value, str):
        return 1 + len(value) // _LETTERS
    if isinstance(value, Mapping):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple | range):
        parts = list(value)
    else:
        return 1
    total = 1 + len(parts)
    for part in parts:
        total += weight(part)
        if total > RESULT_LIMIT:
            raise OutOfBounds("its lists grow too large")
    return total
