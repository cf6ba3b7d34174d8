"""Counts the simulator's requests by operation, status and second.

Requests for files are not API requests: they are counted by operation and status, but not in `max_in_any_second`.
Control requests are not counted at all.
"""

from collections import Counter, deque
from typing import Any


class RequestCounts:
    """Counts since the start or the last `clear`."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Reset all counts to zero."""
        self._by_operation: Counter[str] = Counter()
        self._by_status: Counter[str] = Counter()
        self._by_second: dict[int, Counter[str]] = {}
        self._last_second: deque[float] = deque()
        self._most = 0

    def count_request(self, operation: str, *, epoch: float, monotonic: float) -> None:
        """Count a request at its arrival; `epoch` gives the second it belongs to."""
        self._by_operation[operation] += 1
        second = self._by_second.get(int(epoch))
        if second is None:
            second = self._by_second[int(epoch)] = Counter()
        second[operation] += 1
        if operation == "file":
            return
        recent = self._last_second
        recent.append(monotonic)
        while recent[0] <= monotonic - 1.0:
            recent.popleft()
        self._most = max(self._most, len(recent))

    def count_answer(self, status: str) -> None:
        """Count an answer by its status, or "none" if the connection ended or hung without one."""
        self._by_status[status] += 1

    def show(self) -> dict[str, Any]:
        """Return the counts for the control endpoint; the keys of `by_second` are epoch seconds."""
        return {
            "total": self._by_operation.total(),
            "by_operation": dict(self._by_operation),
            "by_status": dict(self._by_status),
            "by_second": {str(second): dict(counts) for second, counts in self._by_second.items()},
            "max_in_any_second": self._most,
        }
