"""Long lists, read and written page by page: neither 100,000 rows nor a reader that stalls take much memory.

Each page is a transaction of its own: one that stays open as long as somebody reads would keep the write-ahead
log from being emptied. A page begins where the one before it ended: a row that stays where it is comes once, and
one that moves meanwhile (a job that changes, in a list by change) may come twice or not at all.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import click

from daemon.cli import output
from daemon.cli.session import is_terminal
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.store import Page, Place, RowCount, Store, Transaction

    Counter = Callable[[Transaction, int], RowCount]

T = TypeVar("T")

AT_ONCE = 500
"""Rows of a page."""
ON_TERMINAL = 50
"""Rows that a terminal shows unless it is asked for more."""
COUNTED = 10_000
"""Rows that are left out are counted so far: a list of a million must not take longer for it."""
SEARCHED = 10_000
"""Rows that a search looks at where only some are wanted: else one that finds nothing reads the whole table."""


def most_of(limit: int | None, *, everything: bool, as_json: bool) -> int | None:
    """How many rows are shown at most; None: all. Raises UsageFault where the options contradict each other."""
    if everything and limit is not None:
        raise UsageFault("--all and --limit exclude each other; leave one out")
    if limit is None and not everything and not as_json and is_terminal():
        return ON_TERMINAL
    return limit


class PageReader(Protocol[T]):
    """Reads a page: at most `size` rows beyond the place `after`."""

    def __call__(self, transaction: "Transaction", /, *, after: "Place | None", size: int) -> "Page[T]": ...


class Pages(Generic[T]):
    """Up to `most` rows in pages; where there are none, one empty page. Where `most` is given, a search ends after
    `SEARCHED` rows."""

    def __init__(self, store: "Store", read: "PageReader[T]", *, most: int | None) -> None:
        self._store, self._read, self._most = store, read, most
        self._rest = self._pages()
        self._first = next(self._rest, [])
        self.is_empty = not self._first

    def __iter__(self) -> Iterator[list[T]]:
        return chain([self._first], self._rest)

    def _pages(self) -> Iterator[list[T]]:
        after: Place | None = None
        left, self.searched, self.gave_up, self.cut = self._most, 0, False, False
        while not self.gave_up:
            size = AT_ONCE if left is None else min(AT_ONCE, left)
            page = self._store.read(partial(self._read, after=after, size=size))
            if page.rows:
                yield page.rows
            left = None if left is None else left - len(page.rows)
            self.searched += page.searched
            after, self.cut = page.after, left == 0 and page.after is not None
            if after is None or left == 0:
                return
            self.gave_up = left is not None and self.searched >= SEARCHED

    def left_out(self, count: "Counter") -> str | None:
        """How many rows fit beyond those that were shown, as far as they are counted; None: none."""
        if not self.cut or self._most is None:
            return None
        if self.searched:
            return "more may fit"
        upto = self._most + COUNTED + 1
        counted = self._store.read(lambda transaction: count(transaction, upto))
        found = counted.rows - self._most
        if found <= 0:
            return None if counted.whole else "more may fit"
        if counted.whole:
            return f"{found:,} more"
        return f"more than {COUNTED:,} more" if found > COUNTED else f"at least {found:,} more"


def tell_rest(pages: Pages[T], count: "Counter", *, newest: bool, as_json: bool) -> None:
    """Say on a terminal what was left out; everywhere that a search ended before the list did. `count` counts what
    fits, up to its argument."""
    if pages.gave_up:
        click.echo(f"only the first {pages.searched:,} were searched; --all searches every one", err=True)
    elif is_terminal() and not as_json and (more := pages.left_out(count)) is not None:
        how = ", all older; --limit N shows the newest N" if newest else "; --limit N shows the first N"
        output.line(f"{more}{how}, --all every one")


def part_of(search: str | None) -> str | None:
    """The text that is searched for. Raises UsageFault for a blank one: all would hold it."""
    if search is not None and not search.strip():
        raise UsageFault("--search: the text is empty; write what to look for")
    return search
