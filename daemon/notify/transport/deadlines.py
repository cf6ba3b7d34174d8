"""One thread that calls what is due at its time, for all channels: a timer's thread for each send would cost more
than all the rest of the bookkeeping.

Owns the thread, which starts with the first deadline and lives on. Calls are short; what they raise is lost.
"""

import contextlib
import heapq
import threading
from collections.abc import Callable, Iterator
from itertools import count

from daemon.clock import Clock, SystemClock

_Call = Callable[[], None]


class Deadlines:
    """Calls that are made at a moment unless they are called off before."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._order = count()
        self._waiting: list[tuple[float, int, list[_Call]]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def within(self, seconds: float, call: _Call) -> Iterator[None]:
        """Make `call` (in another thread) if the block takes longer than `seconds`."""
        entry = [call]
        self._add(self._clock.monotonic() + seconds, entry)
        try:
            yield
        finally:
            entry.clear()  # empty it stays in the heap until its time: nothing to look for, nobody to wake

    def _add(self, due: float, entry: list[_Call]) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (due, next(self._order), entry))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wrapd-deadlines", daemon=True)
                self._thread.start()
            elif self._waiting[0][2] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                now = self._clock.monotonic()
                while not self._waiting or (wait := self._waiting[0][0] - now) > 0:
                    self._changed.wait(wait if self._waiting else None)
                    now = self._clock.monotonic()
                _, _, entry = heapq.heappop(self._waiting)
            with contextlib.suppress(Exception):  # called off; and whatever a call meets, the others are made
                entry.pop()()
