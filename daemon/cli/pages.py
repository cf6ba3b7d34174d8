"""Reads and writes long lists page by page, so that neither 100,000 rows nor a stalled reader take much memory.

Each page is a transaction of its own: a transaction held open while a user reads would keep the write-ahead log
from being truncated. A page begins where the previous one ended. A row that keeps its position appears exactly
once; one that moves in the meantime (a job that changes, in a list by change) may appear twice or not at all.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from daemon.cli import output
from daemon.cli.session import is_terminal
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.store import Page, Place, RowCount, Store, Transaction

    Counter = Callable[[Transaction, int], RowCount]

T = TypeVar("T")

AT_ONCE = 500
"""Rows per page."""
ON_TERMINAL = 50
"""Rows shown on a terminal by default."""
COUNTED = 10_000
"""Omitted rows are counted up to this number, so that counting does not slow down a list of a million."""
SEARCHED = 10_000
"""Rows examined by a search with a limit; otherwise a search without matches would read the entire table."""


def most_of(limit: int | None, *, everything: bool, as_json: bool) -> int | None:
    """The maximum number of rows, None for all. Raises UsageFault if the options contradict each other."""
    if everything and limit is not None:
        raise UsageFault("--all and --limit exclude each other; leave one out")
    if limit is None and not everything and not as_json and is_terminal():
        return ON_TERMINAL
    return limit


class PageReader(Protocol[T]):
    """Reads a page: at most `size` rows after the place `after`."""

    def __call__(self, transaction: "Transaction", /, *, after: "Place | None", size: int) -> "Page[T]": ...


class Pages(Generic[T]):
    """Up to `most` rows in pages, or one empty page. If `most` is given, a search stops after `SEARCHED` rows."""

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
        """The number of matching rows not shown, in words and as far as counted; None if there are none."""
        if not self.cut or self._most is None:
            return None
        if self.searched:
            return "more may match"
        upto = self._most + COUNTED + 1
        counted = self._store.read(lambda transaction: count(transaction, upto))
        found = counted.rows - self._most
        if found <= 0:
            return None if counted.whole else "more may match"
        if counted.whole:
            return f"{found:,} more"
        return f"more than {COUNTED:,} more" if found > COUNTED else f"at least {found:,} more"


def note_rest(pages: Pages[T], count: "Counter", *, newest: bool, as_json: bool) -> None:
    """On a terminal, say how many rows were left out; anywhere, that a search stopped early. `count` counts
    matching rows up to its argument."""
    if pages.gave_up:
        output.hint(f"only the first {pages.searched:,} rows were searched; --all searches all")
    elif is_terminal() and not as_json and (more := pages.left_out(count)) is not None:
        how = ", all older; --limit N shows the newest N" if newest else "; --limit N shows the first N"
        output.line(f"{more}{how}, --all shows all")


def part_of(search: str | None) -> str | None:
    """The text to search for. Raises UsageFault for a blank one, which every row would contain."""
    if search is not None and not search.strip():
        raise UsageFault("--search: the text is empty; write what to search for")
    return search
