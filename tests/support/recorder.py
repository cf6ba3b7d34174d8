"""Records what a module logs, independent of the logging set-up."""

from typing import Any

import pytest

from daemon.logs import LogEvent


class Lines:
    """Replaces a module's logger and keeps its lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
        self.all: list[tuple[LogEvent, dict[str, Any]]] = []
        monkeypatch.setattr(f"{module}.log", self)

    def info(self, event: LogEvent, **fields: Any) -> None:
        """Keep a line of any level."""
        self.all.append((event, fields))

    debug = warning = error = info

    def of(self, event: LogEvent) -> list[dict[str, Any]]:
        """Return the fields of each line of the event."""
        return [fields for each, fields in self.all if each is event]
