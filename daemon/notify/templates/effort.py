"""Bounds on rendering a template: loop iterations, characters and items produced, processor time.

A rendering cannot be interrupted inside a single Python operation. So every operation is charged by the size of
its operands, and no value may grow so large that one operation takes long: the weight of every value is
bounded, with each part counted as often as it appears. The only clock is the thread's own CPU time.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

RESULT_LIMIT = 65536
"""Maximum characters of a result or any intermediate text, and maximum weight of any list."""
TURNS = 10_000
"""Iterations of all loops of one rendering together."""
WORK = 2_000_000
"""Characters and items that one rendering may produce, read and compare."""
SECONDS = 1.0
"""CPU time of one rendering."""
MOST_NUMBER = 1e30
_LOOK_EVERY = 32
"""Charges between two readings of the clock: one reading costs as much as many charges."""
_LETTERS = 64
"""Characters of text that weigh as much as one list item."""


class OutOfBounds(Exception):
    """A rendering failed or exceeded a bound. The message gives the reason, with the line if known."""


class Effort:
    """The remaining allowance of one rendering."""

    def __init__(self) -> None:
        self._turns = TURNS
        self._work = WORK
        self._until = time.thread_time() + SECONDS
        self._until_look = _LOOK_EVERY

    def take_turn(self) -> None:
        """Charge one loop iteration."""
        self._turns -= 1
        if self._turns < 0:
            raise OutOfBounds(f"its loops take more than {TURNS} iterations")

    def spend(self, size: int) -> None:
        """Charge work on `size` characters or items."""
        self._work -= size + 1
        if self._work < 0:
            raise OutOfBounds("it does too much work for one message")
        self._until_look -= 1
        if self._until_look <= 0:
            self._until_look = _LOOK_EVERY
            if time.thread_time() > self._until:
                raise OutOfBounds(f"it takes more than {SECONDS:g} s")


EFFORT: ContextVar[Effort] = ContextVar("effort")


def spend(size: int) -> None:
    """Charge work to the current rendering of this thread."""
    EFFORT.get().spend(size)


def check_length(size: int) -> None:
    """Charge a text of `size` characters. Raises OutOfBounds if it is too long."""
    if size > RESULT_LIMIT:
        raise OutOfBounds(f"it makes more than {RESULT_LIMIT} characters")
    spend(size)


def check_number(value: Any) -> Any:
    """`value`; raises OutOfBounds for a number that is too large."""
    if isinstance(value, int) and abs(value) > MOST_NUMBER:
        raise OutOfBounds("its numbers grow too large")
    return value


def weighed(value: Any) -> Any:
    """`value`, charged by its weight. Raises OutOfBounds if that is too much."""
    spend(weight(value))
    return value


def weight(value: Any) -> int:
    """The weight of a value, every part counted as often as it appears. Raises OutOfBounds over the limit."""
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
