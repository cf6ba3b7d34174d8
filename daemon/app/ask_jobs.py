"""Has jobs asked about now on a person's word, over the control socket, and says what came back.

Owns the wait for the answers. The queries are the watch's own: a hint puts a job before all others, within the
budget.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from daemon.app.control import Handler
from daemon.clock import Clock
from daemon.domain.jobs import JobId, ProjectName
from daemon.store import JobRow, Store
from daemon.watch.poller import Inquiry, Poller

PATIENCE = 15.0
"""Seconds to wait for the answers."""
_CHECK_EVERY = 0.05
"""Seconds between two checks whether they have come."""


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
        inquiries: dict[int, Inquiry] = {}
        results: dict[int, str] = {}
        for row in (await self._rows(ids)).values():
            poller = self._pollers.get(row.project)
            inquiry = None if poller is None else poller.inquire(row.job_id)
            if poller is None or inquiry is None:
                self._hint(row.project, row.job_id)  # it may be taken up in a moment
                results[row.id] = "not_watched"
                continue
            results[row.id] = "paused" if poller.paused else "waiting"
            if not poller.paused:
                inquiries[row.id] = inquiry
        await self._wait(inquiries.values())
        return {"jobs": [_result(row, results[row.id], inquiries) for row in (await self._rows(ids)).values()]}

    async def _rows(self, ids: list[int]) -> dict[int, JobRow]:
        rows = await self._store.read_async(lambda tx: [tx.jobs.get(row) for row in ids])
        return {row.id: row for row in rows if row is not None}

    async def _wait(self, inquiries: Iterable[Inquiry]) -> None:
        """Wait until all are over, for `PATIENCE` seconds at most."""
        until, left = self._clock.monotonic() + PATIENCE, list(inquiries)
        while left and self._clock.monotonic() < until:
            left = [each for each in left if not each.is_over()]
            if left:
                await asyncio.sleep(_CHECK_EVERY)


def _result(row: JobRow, result: str, inquiries: Mapping[int, Inquiry]) -> dict[str, Any]:
    inquiry, error = inquiries.get(row.id), None
    if inquiry is not None and inquiry.is_over():
        error = inquiry.error
        result = "answered" if error is None else "failed"
    return {"job": row.id, "result": result, "state": row.state, "tracking": str(row.tracking), "error": error}
