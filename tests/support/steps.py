"""What a read costs in SQLite, counted instead of timed, and the plans of its statements."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from daemon.store import Store

LARGE = ("jobs", "deliveries", "job_tags", "transitions", "attempts", "actions", "mutes", "pictures", "answers")
"""The tables that grow with the jobs."""
FEW = "SCAN mutes USING INDEX mutes_unended"
"""No scan of such a table: this index holds only what has not ended, which all of it is shown."""


@dataclass
class Work:
    """What reads cost: `steps` of SQLite's virtual machine, about twenty for a row; `scans` and `sorts` are
    the steps of its plans that go over a whole table, or sort."""

    steps: int = 0
    statements: int = 0
    scans: list[str] = field(default_factory=list)
    sorts: list[str] = field(default_factory=list)
    _plans: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Forget what was counted."""
        self.steps = self.statements = 0
        self.scans.clear()
        self.sorts.clear()

    def _turn(self) -> int:
        self.steps += 1
        return 0

    def _explain(self, cursor: Any, statement: str, parameters: Any) -> None:
        driver = cursor.connection
        driver.set_progress_handler(None, 0)
        if statement not in self._plans:
            rows = driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            self._plans[statement] = [row[3] for row in rows]
        plan = self._plans[statement]
        sorts = [step for step in plan if step.startswith("USE TEMP B-TREE")]
        # A list of row ids was counted before: what it selects may be sorted. A scan in order ends at the limit.
        if sorts and not any("LIST SUBQUERY" in step for step in plan):
            self.sorts += sorts
        if sorts or "LIMIT" not in statement:
            scanned = [step for step in plan if step.startswith("SCAN ") and step != FEW]
            self.scans += [step for step in scanned if step.split()[1] in LARGE]
        self.statements += 1
        driver.set_progress_handler(self._turn, 1)


@contextmanager
def counting(store: Store) -> Iterator[Work]:
    """Count what the readers of this store do."""
    work = Work()

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        with work._lock:
            if statement.lstrip()[:6].upper() in ("SELECT", "WITH R"):
                work._explain(cursor, statement, parameters)

    event.listen(store._reading, "before_cursor_execute", explain)
    try:
        yield work
    finally:
        event.remove(store._reading, "before_cursor_execute", explain)
