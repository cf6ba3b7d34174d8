"""The jobs of the simulated tenant: creates, changes, removes and finds them by id, number and asset.

Owns the jobs and their ids. Leaves the rendering of answers to `answers`.
"""

import random
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from daemon.sim.index import Index
from daemon.sim.jobs import Job
from daemon.sim.kinds import Kind
from daemon.sim.orders import CallbackConfig, JobOrder
from daemon.sim.plans import CHARS_PER_SECOND, Step, Timelines
from daemon.sim.scripts import job_name
from daemon.sim.times import SimTime, iso_exact


class Book:
    """All jobs, by id, number and asset."""

    def __init__(self, *, seed: int, speed: float, time: SimTime) -> None:
        self.time = time
        self._seed = seed
        self._speed = speed
        self._ids = random.Random(f"ids/{seed}")  # noqa: S311 - a repeatable workload, not a secret
        self._rng = random.Random(f"jobs/{seed}")  # noqa: S311 - the same
        self.planner = Timelines(self._rng)
        self._jobs: dict[str, Job] = {}
        self._assets: dict[str, Job] = {}
        self._numbers = 0
        self.index = Index()
        self.on_callback: Callable[[Job], None] | None = None
        """Called with each job that has a callback when it is created or its timeline changes."""

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def by_asset(self, asset_id: str) -> Job | None:
        return self._assets.get(asset_id)

    @property
    def size(self) -> int:
        """The number of jobs ever created, which is also the number of the next one."""
        return self._numbers

    def all(self) -> Iterable[Job]:
        return self._jobs.values()

    def add_all(self, orders: Sequence[JobOrder]) -> list[Job]:
        """Create jobs; what an order leaves open is made up. Raises ValueError for an id in use, creating none."""
        taken = set[str]()
        for order in orders:
            if order.job_id is None:
                continue
            if order.job_id in self._jobs or order.job_id in taken:
                raise ValueError(f"job {order.job_id} already exists")
            taken.add(order.job_id)
        return [self._add(order) for order in orders for _ in range(order.count)]

    def _add(self, order: JobOrder) -> Job:
        kind, chars, number = order.kind, order.script_chars, self._numbers
        if chars is None:
            chars = self.planner.script_chars()
        job = Job(
            number=number,
            job_id=self._new_id() if order.job_id is None else order.job_id,
            kind=kind,
            name=job_name(number) if order.name is None else order.name,
            spoken=max(1.0, chars / CHARS_PER_SECOND),
        )
        job.script_chars = chars
        job.callback = order.callback_config
        timeline = self.planner.plan(job.spoken, kind) if order.timeline is None else order.timeline
        self._begin(job, timeline, ago=order.created_ago)
        return job

    def add_requested(
        self,
        kind: Kind,
        request: dict[str, Any],
        *,
        name: str,
        spoken: float,
        callback: CallbackConfig | None = None,
    ) -> Job:
        """Create a job from the checked request body of the create operation."""
        job = Job(number=self._numbers, job_id=self._new_id(), kind=kind, name=name, spoken=max(1.0, spoken))
        job.request = request
        job.script_id = request.get("script_id") or ""
        job.callback = callback
        self._begin(job, self.planner.plan(job.spoken, kind))
        return job

    def _new_id(self) -> str:
        return str(uuid.UUID(bytes=self._ids.randbytes(16), version=4))

    def _begin(self, job: Job, timeline: Sequence[Step], *, ago: float = 0.0) -> None:
        self._numbers += 1
        now = self.time.monotonic()
        job.asset_id = self._ids.randbytes(16).hex()
        job.script_id = job.script_id or self._ids.randbytes(16).hex()
        job.created_wall = self.time.now() - ago
        job.born = (job.created_wall, job.number)
        job.times, job.states = self._lay_out(timeline, now - ago)
        self._jobs[job.job_id] = job
        self._assets[job.asset_id] = job
        self.index.advance(now)
        self.index.add(job, now)
        self._notify(job)

    def _notify(self, job: Job) -> None:
        if job.callback is not None and self.on_callback is not None:
            self.on_callback(job)

    def _lay_out(self, timeline: Sequence[Step], begin: float) -> tuple[list[float], list[str]]:
        times, states = [], []
        at = begin
        for state, seconds in timeline:
            times.append(at)
            states.append(state)
            if seconds is None:
                break
            at += seconds / self._speed
        return times, states

    def set_state(self, job: Job, state: str) -> None:
        """Put the job into `state` from now on, whatever its timeline says."""
        self._replace_future(job, [self.time.monotonic()], [state])

    def cancel(self, job: Job) -> bool:
        """Cancel a waiting job; return False if it no longer waits."""
        if job.seek(self.time.monotonic()) != "WAITING":
            return False
        self.set_state(job, "CANCELED")
        return True

    def requeue(self, job: Job, *, fault: int, wait: float) -> bool:
        """Put a job in PROCESSING back to WAITING for `wait` seconds (at speed 1); then it goes on as planned.
        Each fault does this once to a job. Returns whether it did."""
        now = self.time.monotonic()
        if fault in job.requeued or job.seek(now) != "PROCESSING":
            return False
        job.requeued += (fault,)
        delay = wait / self._speed
        later = [at + delay for at in job.times[job.pos + 1 :]]
        self._replace_future(
            job, [now, now + delay, *later], ["WAITING", "PROCESSING", *job.states[job.pos + 1 :]]
        )
        return True

    def _replace_future(self, job: Job, times: list[float], states: list[str]) -> None:
        """Replace the rest of the job's timeline; `times` begin now."""
        now = times[0]
        self.index.advance(now)
        job.seek(now)
        job.times[job.pos + 1 :] = times
        job.states[job.pos + 1 :] = states
        job.cached = job.entry = None
        job.seek(now)
        self.index.moved(job, now)
        self._notify(job)

    def remove(self, job: Job) -> None:
        """Make the service forget the job and its asset."""
        self.index.advance(self.time.monotonic())
        self.index.remove(job)
        job.version += 1  # drops the changes and callbacks that are still scheduled for it
        del self._jobs[job.job_id]
        del self._assets[job.asset_id]

    def truth(self) -> list[dict[str, Any]]:
        """Return every job with its history so far, times in ISO 8601 with microseconds."""
        now = self.time.monotonic()
        return [self._truth_of(job, now) for job in self._jobs.values()]

    def ends(self, *, since: float | None) -> list[dict[str, Any]]:
        """Return every end of a job from `since` (epoch seconds) until now, in order of time."""
        self.index.advance(self.time.monotonic())
        ends = self.index.ends
        begin = 0 if since is None else bisect_left(ends, since, key=lambda end: round(end.job.wall(end.at), 6))
        return [
            {"job_id": end.job.job_id, "state": end.state, "at": iso_exact(end.job.wall(end.at))}
            for end in ends[begin:]
        ]

    def _truth_of(self, job: Job, now: float) -> dict[str, Any]:
        state = job.seek(now)
        passed = zip(job.states, job.times[: job.pos + 1], strict=False)
        return {
            "job_id": job.job_id,
            "kind": job.kind.name,
            "name": job.name,
            "state": state,
            "history": [{"state": name, "at": iso_exact(job.wall(at))} for name, at in passed],
        }
