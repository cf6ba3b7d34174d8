"""Has jobs asked about now on a person's word, over the control socket, and says what came back.

Owns the wait for the answers. The queries are the watch's own: a hint puts a job before all others, within the
budget.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.app.control import Handler
from daemon.clock import Clock
from daemon.domain.jobs import JobId, ProjectName
from daemon.store import JobRow, Store
from daemon.watch.job import Watched
from daemon.watch.poller import Poller

PATIENCE = 15.0
"""Seconds to wait for the answers."""
_CHECK_EVERY = 0.05
"""Seconds between two checks whether they have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A job that is asked about, with what a query about it changes as it was before."""

    row: JobRow
    watched: Watched
    looked: float | None
    failures: int

    @staticmethod
    def of(row: JobRow, watched: Watched) -> "_Asked":
        return _Asked(row=row, watched=watched, looked=watched.looked, failures=watched.failures)

    def is_over(self, poller: Poller) -> bool:
        """Whether its query has ended and what it brought is stored."""
        watched = self.watched
        if not poller.agenda.holds(watched):
            return True
        before = (self.looked, self.failures)
        return not (watched.in_flight or watched.recording) and (watched.looked, watched.failures) != before


class AskJobs:
    """Answers the request `ask`, whose `jobs` are row ids. `pollers` are those of the current config; `hint` has a
    job queried at once."""

    def __init__(
        self,
        pollers: Mapping[ProjectName, Poller],
        hint: Callable[[ProjectName, JobId], bool],
        *,
        store: Store,
        clock: Clock,
    ) -> None:
        self._pollers = pollers
        self._hint = hint
        self._store = store
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        """The handlers by request name."""
        return {"ask": self.ask}

    async def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """For each job its state now, and `result`: answered, failed (with the `error`), waiting (for the budget),
        paused (its project is) or not_watched."""
        given = request.get("jobs")
        ids = [each for each in given if isinstance(each, int)] if isinstance(given, list) else []
        asked: dict[int, _Asked] = {}
        results: dict[int, str] = {}
        for row in (await self._rows(ids)).values():
            poller = self._pollers.get(row.project)
            watched = None if poller is None else poller.agenda.get(row.job_id)
            if poller is None or watched is None:
                self._hint(row.project, row.job_id)  # it may be taken up in a moment
                results[row.id] = "not_watched"
                continue
            asked[row.id] = _Asked.of(row, watched)
            self._hint(row.project, row.job_id)
            results[row.id] = "paused" if poller.paused else "waiting"
        await self._wait([each for row, each in asked.items() if results[row] == "waiting"])
        return {"jobs": [self._result(row, results[row.id], asked) for row in (await self._rows(ids)).values()]}

    async def _rows(self, ids: list[int]) -> dict[int, JobRow]:
        rows = await self._store.read_async(lambda tx: [tx.jobs.get(row) for row in ids])
        return {row.id: row for row in rows if row is not None}

    async def _wait(self, asked: list[_Asked]) -> None:
        """Wait until all are over, for `PATIENCE` seconds at most."""
        until = self._clock.monotonic() + PATIENCE
        while self._clock.monotonic() < until:
            asked = [each for each in asked if not self._is_over(each)]
            if not asked:
                return
            await asyncio.sleep(_CHECK_EVERY)

    def _is_over(self, each: _Asked) -> bool:
        poller = self._pollers.get(each.row.project)
        return poller is None or poller.paused or each.is_over(poller)

    def _result(self, row: JobRow, result: str, asked: Mapping[int, _Asked]) -> dict[str, Any]:
        before, error = asked.get(row.id), None
        if before is not None and result == "waiting" and self._is_over(before):
            error = before.watched.last_error if before.watched.failures > before.failures else None
            result = "answered" if error is None else "failed"
        return {"job": row.id, "result": result, "state": row.state, "tracking": str(row.tracking), "error": error}
