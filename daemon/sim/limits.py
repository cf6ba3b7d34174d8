"""How many requests of a tenant the gateway lets in: a sliding count over the last second for each group.

Owns the groups of operations that share a limit. Time is an argument.
"""

from collections import deque
from typing import Final

GROUPS: Final[dict[str, str]] = {
    "show": "show",
    "list": "show",
    "asset": "asset",
    "create": "write",
    "cancel": "write",
}
"""Operation to group. Asset queries have a limit of their own, as high as that of show and list together."""


class Limiter:
    """Sliding counts; a group whose rate is None is never limited."""

    def __init__(self, *, show_rate: float | None, write_rate: float | None) -> None:
        self._rates = {"show": show_rate, "asset": show_rate, "write": write_rate}
        self._seen: dict[str, deque[float]] = {group: deque() for group in self._rates}

    def admit(self, operation: str, now: float) -> bool:
        """Whether a request may pass at `now` (monotonic seconds); one that may not is not counted."""
        group = GROUPS.get(operation)
        rate = self._rates[group] if group is not None else None
        if group is None or rate is None:
            return True
        most, window = (int(rate), 1.0) if rate >= 1 else (1, 1.0 / rate if rate > 0 else float("inf"))
        seen = self._seen[group]
        while seen and seen[0] <= now - window:
            seen.popleft()
        if len(seen) >= most or rate <= 0:
            return False
        seen.append(now)
        return True
