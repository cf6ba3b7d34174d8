"""What was asked of the simulator: counts by operation, status and second.

Owns the counting. Requests for files and those of the control endpoints are no API requests: files are counted by
operation and status, but not in `max_in_any_second`; control requests are not counted at all.
"""

from collections import Counter, deque
from typing import Any


class RequestCounts:
    """Counts since the start or the last `clear`."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._by_operation: Counter[str] = Counter()
        self._by_status: Counter[str] = Counter()
        self._by_second: dict[int, Counter[str]] = {}
        self._last_second: deque[float] = deque()
        self._most = 0

    def asked(self, operation: str, *, epoch: float, monotonic: float) -> None:
        """Count a request as it arrives (`epoch` names its second)."""
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

    def answered(self, status: str) -> None:
        """Count an answer: its status, or "none" where the connection ended or hung without one."""
        self._by_status[status] += 1

    def show(self) -> dict[str, Any]:
        """The counts as the control endpoint gives them; `by_second` is keyed by epoch second."""
        return {
            "total": self._by_operation.total(),
            "by_operation": dict(self._by_operation),
            "by_status": dict(self._by_status),
            "by_second": {str(second): dict(counts) for second, counts in self._by_second.items()},
            "max_in_any_second": self._most,
        }
