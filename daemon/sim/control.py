"""What a test may ask of the simulator, as methods; `control_http` offers the same over HTTP.

Owns no part: it makes and changes jobs, orders faults, and reads what came of it.
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
"""Jobs made at once from which on they are kept out of the garbage collector's sight: going through 100,000 of
them holds every request for half a second, and what is held arrives together."""


class Control:
    """The control interface of one simulator, over its parts."""

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
        """Make jobs, all alike; returns their ids. `timeline` is [(state, seconds before division by speed), …],
        and the last state stays. It began with the creation, `created_ago` seconds of the wall clock ago;
        `callback_config` says whom to tell of the end, as in the create operation. What is not given is made up
        from the seed. Raises ValueError."""
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
        """Make jobs, each with arguments of `create_jobs` of its own: all of them, or none. Raises ValueError with
        the place of the one that cannot be."""
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
        """The truth: job_id, kind, name, state, and history [{state, at}] with times in ISO 8601, UTC."""
        return self._book.truth()

    def ends(self, since: float | None = None) -> list[dict[str, Any]]:
        """The ends so far in order of time, [{job_id, state, at}], `at` in ISO 8601, UTC: from `since` (epoch
        seconds) on."""
        return self._book.ends(since=since)

    def callbacks(self) -> list[dict[str, Any]]:
        """The callbacks sent so far, oldest first: job_id, result, at, and `status` or `error` once answered."""
        self._callbacks.pump()
        return [dict(each) for each in self._callbacks.sent]

    def set_state(self, job_id: str, state: str) -> None:
        """The job is in `state` from now on. Raises KeyError for an unknown job, ValueError for an empty state."""
        if not state:
            raise ValueError("the state is empty")
        self._book.set_state(self._known(job_id), state)

    def remove_job(self, job_id: str) -> None:
        """The service forgets the job. Raises KeyError for an unknown one."""
        self._book.remove(self._known(job_id))

    def answer(self, job_id: str, body: bytes | None) -> None:
        """Serve `body` byte for byte (status 200) to show of this id, known or not; None ends that."""
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
        """Order a fault of `faults.OFFERED`; returns its id. `times` and `seconds` bound how often and how long it
        acts; `operation` and `job_id` say on what. Raises ValueError."""
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
        """The faults that still act."""
        return [fault.show() for fault in self._faults.active(self._time.monotonic())]

    def clear_faults(self, number: int | None = None) -> None:
        """End one fault, or all."""
        self._faults.clear(number)

    def stats(self) -> dict[str, Any]:
        """Counts of requests: total, by_operation, by_status, by_second, max_in_any_second."""
        return self._stats.show()

    def clear_stats(self) -> None:
        """Count from zero."""
        self._stats.clear()

    def revoke_tokens(self) -> int:
        """End all tokens that IAM issued; returns how many."""
        return self._tenant.revoke_tokens()

    def _known(self, job_id: str) -> Job:
        job = self._book.get(job_id)
        if job is None:
            raise KeyError(job_id)
        return job
