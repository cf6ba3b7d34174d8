"""The control interface for tests, as methods; `control_http` offers the same over HTTP.

Creates and changes jobs, starts faults and reads the results. Owns no state: the simulator's parts do.
"""

import gc
from collections.abc import Mapping, Sequence
from typing import Any, Final

from daemon.sim.api import Api
from daemon.sim.book import Book
from daemon.sim.callbacks import Callbacks
from daemon.sim.faults import Faults, Option
from daemon.sim.jobs import Job
from daemon.sim.orders import JobOrder, read_order
from daemon.sim.plans import Step
from daemon.sim.stats import RequestCounts
from daemon.sim.tenant import Tenant
from daemon.sim.times import SimTime

_MANY: Final = 10_000
"""Jobs created at once from which on they are frozen out of garbage collection: a collection that walks 100,000
jobs delays every request by half a second, and the delayed requests then arrive together."""


class Control:
    """The control interface of one simulator."""

    def __init__(
        self,
        *,
        time: SimTime,
        faults: Faults,
        tenant: Tenant,
        book: Book,
        callbacks: Callbacks,
        api: Api,
        stats: RequestCounts,
    ) -> None:
        self._time = time
        self._faults = faults
        self._tenant = tenant
        self._book = book
        self._callbacks = callbacks
        self._api = api
        self._stats = stats

    def create_jobs(
        self,
        *,
        kind: str = "avatar",
        count: int = 1,
        job_id: str | None = None,
        name: str | None = None,
        script_chars: int | None = None,
        timeline: Sequence[Step] | None = None,
        created_ago: float = 0.0,
        callback_config: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Create identical jobs; return their ids. `timeline` is [(state, seconds before division by speed), …];
        its last state lasts. It starts at the creation, `created_ago` seconds of the wall clock ago.
        `callback_config` is that of the create operation. Missing values are made up from the seed. Raises
        ValueError."""
        given = {
            "kind": kind,
            "count": count,
            "job_id": job_id,
            "name": name,
            "script_chars": script_chars,
            "timeline": timeline,
            "created_ago": created_ago,
            "callback_config": callback_config,
        }
        return self._make([read_order(given)])

    def create_many(self, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
        """Create all jobs or none, each from its own arguments of `create_jobs`. Raises ValueError that names the
        index of a bad one."""
        orders = []
        for place, given in enumerate(jobs):
            try:
                orders.append(read_order(given))
            except ValueError as error:
                raise ValueError(f"jobs[{place}]: {error}") from None
        return self._make(orders)

    def _make(self, orders: Sequence[JobOrder]) -> list[str]:
        job_ids = [job.job_id for job in self._book.add_all(orders)]
        if len(job_ids) >= _MANY:
            gc.collect()
            gc.freeze()
        return job_ids

    def jobs(self) -> list[dict[str, Any]]:
        """Return the true state of every job: job_id, kind, name, state, and history [{state, at}] with times in
        ISO 8601, UTC."""
        return self._book.truth()

    def ends(self, since: float | None = None) -> list[dict[str, Any]]:
        """Return the ends from `since` (epoch seconds) until now in order of time: [{job_id, state, at}], `at` in
        ISO 8601, UTC."""
        return self._book.ends(since=since)

    def callbacks(self) -> list[dict[str, Any]]:
        """Return the callbacks sent, oldest first: job_id, result, at, and `status` or `error` once answered."""
        self._callbacks.pump()
        return [dict(each) for each in self._callbacks.sent]

    def set_state(self, job_id: str, state: str) -> None:
        """Put a job into `state` now. Raises KeyError for an unknown job, ValueError for an empty `state`."""
        if not state:
            raise ValueError("the state is empty")
        self._book.set_state(self._known(job_id), state)

    def remove_job(self, job_id: str) -> None:
        """Make the service forget the job. Raises KeyError for an unknown one."""
        self._book.remove(self._known(job_id))

    def answer(self, job_id: str, body: bytes | None) -> None:
        """Answer show requests for this id, known or not, with status 200 and exactly `body`; None ends that."""
        if body is None:
            self._api.raw.pop(job_id, None)
        else:
            self._api.raw[job_id] = body

    def fault(
        self,
        name: str,
        *,
        times: int | None = None,
        seconds: float | None = None,
        operation: str | None = None,
        job_id: str | None = None,
        **options: Option,
    ) -> int:
        """Start a fault of `faults.OFFERED`; return its id. `times` and `seconds` limit how often and how long it
        acts, `operation` and `job_id` the requests it acts on. Raises ValueError."""
        return self._faults.order(
            name,
            now=self._time.monotonic(),
            times=times,
            seconds=seconds,
            operation=operation,
            job_id=job_id,
            options=options,
        ).number

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that still act."""
        return [fault.show() for fault in self._faults.active(self._time.monotonic())]

    def clear_faults(self, number: int | None = None) -> None:
        """End one fault, or all of them."""
        self._faults.clear(number)

    def stats(self) -> dict[str, Any]:
        """Return counts of requests: total, by_operation, by_status, by_second, max_in_any_second."""
        return self._stats.show()

    def clear_stats(self) -> None:
        """Reset the counts to zero."""
        self._stats.clear()

    def revoke_tokens(self) -> int:
        """Revoke all tokens that IAM issued; return how many."""
        return self._tenant.revoke_tokens()

    def _known(self, job_id: str) -> Job:
        job = self._book.get(job_id)
        if job is None:
            raise KeyError(job_id)
        return job
