"""The hub: reads the stream of changes once for all parts of the daemon that wait for one, and tells them.

Of the daemon's own commits it learns from the store's writer, of those of other programs when asked to `look`.
Without changes it costs nothing.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from daemon.domain.jobs import ChannelName, ProjectName
from daemon.store import ChangeRow, Store
from daemon.tasks import Defects

MOST = 1000
"""Changes that are told one by one. Of more at a time each part looks for itself."""


class News(Struct, frozen=True, kw_only=True):
    """What changed, in the order of commits. `missed`: too much, so what one waits for may be among it."""

    rows: Sequence[ChangeRow] = ()
    missed: bool = False

    def of(self, *kinds: str) -> bool:
        """Whether anything of these kinds changed."""
        return self.missed or any(row.kind in kinds for row in self.rows)

    @property
    def tracked(self) -> bool:
        """Whether the watch has jobs to take up or to drop."""
        return self.missed or any(row.kind == "job" and row.name is not None for row in self.rows)

    @property
    def channels(self) -> set[ChannelName]:
        """The channels that have something to send, as far as told."""
        return {ChannelName(row.name) for row in self.rows if row.kind == "delivery" and row.name is not None}

    @property
    def discoveries(self) -> set[ProjectName]:
        """The projects in which a person asked for a discovery, as far as told."""
        return {ProjectName(row.name) for row in self.rows if row.kind == "discovery" and row.name is not None}


class Hub:
    """Tells its listeners in the event loop, each change once. Call `start` in the loop once the store is open."""

    def __init__(self, store: Store, *, defects: Defects) -> None:
        self._store = store
        self._defects = defects
        self._listeners: list[Callable[[News], None]] = []
        self._cursor = self._pruned_at = 0
        self._wanted: list[Callable[[], bool]] = []
        self._heard: deque[tuple[list[ChangeRow], int]] = deque()
        """From the threads that write, as is the next. Nothing else of this object is used outside of the loop."""
        self._passed = 0
        """The cursor behind the last changes that were not told."""

    def listen(self, listener: Callable[[News], None], *, wants_all: Callable[[], bool] = lambda: False) -> None:
        """Call `listener` with news from now on, in the order of calls of this function. It must not block.
        Commits of this daemon that nothing waits for, as the results of sends, are told only if a listener
        `wants_all` (asked in any thread): waking the loop would cost more than the changes did."""
        self._listeners.append(listener)
        self._wanted.append(wants_all)

    def start(self) -> None:
        """Begin with what is committed from now on. Raises StoreError."""
        loop = asyncio.get_running_loop()
        self._cursor = self._store.read(lambda tx: tx.changes.latest())

        def committed(rows: list[ChangeRow], cursor: int) -> None:
            if not (any(map(_wakes, rows)) or any(wanted() for wanted in self._wanted)):
                self._passed = cursor
                return
            self._heard.append((rows, cursor))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(self._tell_heard)

        self._store.follow(committed, after=self._cursor, most=MOST)

    def look(self) -> None:
        """Read what other programs committed, and tell it. Raises StoreError."""
        passed = self._passed
        self._tell_heard()
        before = max(self._cursor, passed)
        rows, latest = self._store.read(lambda tx: (tx.changes.since(before, limit=MOST + 1), tx.changes.latest()))
        self._tell(rows, latest)

    async def prune(self) -> None:
        """Delete old changes, in steps between which others can write. Raises StoreError."""
        if self._cursor != self._pruned_at:
            at = self._cursor
            while await self._store.write(lambda tx: tx.changes.prune()):
                pass
            self._pruned_at = at

    def _tell_heard(self) -> None:
        while self._heard:
            self._tell(*self._heard.popleft())

    def _tell(self, rows: Sequence[ChangeRow], cursor: int) -> None:
        news, missed = [row for row in rows if row.id > self._cursor], len(rows) > MOST
        if cursor <= self._cursor:  # it looked meanwhile
            return
        self._cursor = cursor
        told = News(rows=() if missed else news, missed=missed)
        for listener in self._listeners:
            try:
                listener(told)
            except Exception as error:  # noqa: BLE001 - the others must hear it
                self._defects.note("hub", error)


def _wakes(row: ChangeRow) -> bool:
    """Whether a part of the daemon waits for such a change."""
    return row.name is not None or row.kind == "mute"
