"""Long lists, read and written page by page: neither 100,000 rows nor a reader that stalls take much memory.

Each page is a transaction of its own: one that stays open as long as somebody reads would keep the write-ahead
log from being emptied. The lists go by falling row ids, so each row comes once; what is written meanwhile is not
shown.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from daemon.cli.numbers import LARGEST
from daemon.cli.session import is_terminal
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.store import Store, Transaction

T = TypeVar("T")

AT_ONCE = 500
"""Rows of a page."""
ON_TERMINAL = 50
"""Rows that a terminal shows unless it is asked for more."""
COUNTED = 10_000
"""Rows that are left out are counted so far: a list of a million must not take longer for it."""


def most_of(limit: int | None, *, everything: bool, as_json: bool) -> int | None:
    """How many rows are shown at most; None: all. Raises UsageFault where the options contradict each other."""
    if everything and limit is not None:
        raise UsageFault("--all and --limit exclude each other; leave one out")
    if limit is None and not everything and not as_json and is_terminal():
        return ON_TERMINAL
    return limit


def pages(
    store: "Store",
    read: "Callable[[Transaction, int | None, int], list[T]]",
    row_id: Callable[[T], int],
    *,
    most: int | None,
) -> Iterator[list[T]]:
    """Up to `most` rows; `read` gives a page: rows with ids below the second argument, as many as the third. There
    is always a first page, which may be empty."""
    before: int | None = None
    left = most
    while True:
        size = AT_ONCE if left is None else min(AT_ONCE, left)
        page = store.read(lambda transaction, before=before, size=size: read(transaction, before, size))  # type: ignore[misc]
        yield page
        left = None if left is None else left - len(page)
        if len(page) < size or left == 0:
            return
        before = row_id(page[-1])


def more(store: "Store", count: "Callable[[Transaction, int], int]", *, most: int | None) -> str | None:
    """What a terminal says of the rows beyond `most`; `count` counts what fits, up to its argument."""
    if most is None or most > LARGEST - COUNTED - 1 or not is_terminal():
        return None
    found = store.read(lambda transaction: count(transaction, most + COUNTED + 1)) - most
    if found <= 0:
        return None
    number = f"{found:,}" if found <= COUNTED else f"more than {COUNTED:,}"
    return f"{number} more, all older; --limit N shows the newest N, --all every one"
