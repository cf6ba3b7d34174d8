"""The jobs of the simulated tenant: what each is, and what state it is in at any moment.

Owns every job and its timeline. A state is a function of the timeline and the time: no timer runs for a job, so
100,000 of them cost nothing while nobody asks. Never renders an answer.
"""

import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from daemon.domain.jobs import parse_job_id
from daemon.sim.index import Index
from daemon.sim.plans import CHARS_PER_SECOND, FAILURES, Failure, Planner, Step
from daemon.sim.scripts import job_name
from daemon.sim.times import SimTime, iso_exact

ENDED: Final = frozenset({"SUCCEED", "FAILED", "CANCELED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of video: its path segment, its job_type, and whether a finished one has a preview."""

    name: str
    segment: str
    job_type: str
    has_preview: bool


AVATAR: Final = Kind(
    name="avatar", segment="2d-digital-human-videos", job_type="2D_DIGITAL_HUMAN_VIDEO", has_preview=False
)
PHOTO: Final = Kind(
    name="photo", segment="photo-digital-human-videos", job_type="PHOTO_DIGITAL_HUMAN_VIDEO", has_preview=True
)
KINDS: Final = {kind.name: kind for kind in (AVATAR, PHOTO)}


class Job:
    """One job. `times` are monotonic seconds at which the `states` begin; `pos` is where it was last seen."""

    __slots__ = (
        "asset_id",
        "bucket",
        "cached",
        "changed",
        "created_wall",
        "job_id",
        "kind",
        "name",
        "number",
        "pos",
        "request",
        "requeued",
        "script_chars",
        "script_id",
        "spoken",
        "states",
        "times",
        "user_id",
        "version",
    )

    def __init__(self, *, number: int, job_id: str, kind: Kind, name: str, spoken: float) -> None:
        self.number = number
        self.job_id = job_id
        self.kind = kind
        self.name = name
        self.spoken = spoken
        """Seconds of content: what the finished video lasts."""
        self.script_chars = 0
        self.script_id = ""
        self.asset_id = ""
        self.user_id: str | None = None
        self.request: dict[str, Any] | None = None
        """The body that created it; None where it was made by the control endpoints."""
        self.requeued: tuple[int, ...] = ()
        """The requeue faults that have hit it."""
        self.times: list[float] = []
        self.states: list[str] = []
        self.created_wall = 0.0
        self.pos = 0
        self.version = 0
        self.cached: tuple[float, str, bytes] | None = None
        """(end of validity, base URL, body) of its last answer while it was under way."""
        self.bucket = ("", "")
        self.changed = 0.0

    def seek(self, now: float) -> str:
        """The state at `now`; `now` must not go back."""
        times, pos = self.times, self.pos
        last = len(times) - 1
        while pos < last and times[pos + 1] <= now:
            pos += 1
        self.pos = pos
        return self.states[pos]

    def next_change(self) -> float | None:
        """When the state changes next (monotonic seconds), as of the last `seek`; None for never."""
        return self.times[self.pos + 1] if self.pos + 1 < len(self.times) else None

    def wall(self, moment: float) -> float:
        """The service's wall clock (epoch seconds) at a monotonic moment of this job's life."""
        return self.created_wall + (moment - self.times[0])

    def first(self, state: str) -> float | None:
        """When the job first came into `state` (monotonic seconds), as of the last `seek`."""
        for moment, name in zip(self.times[: self.pos + 1], self.states, strict=False):
            if name == state:
                return moment
        return None

    @property
    def failure(self) -> Failure:
        """Why it failed, if it did."""
        return FAILURES[self.number % len(FAILURES)]


class Book:
    """All jobs, by id, number and asset."""

    def __init__(self, *, seed: int, speed: float, time: SimTime) -> None:
        self.time = time
        self._seed = seed
        self._speed = speed
        self._ids = random.Random(f"ids/{seed}")  # noqa: S311 - a repeatable workload, not a secret
        self._rng = random.Random(f"jobs/{seed}")  # noqa: S311 - the same
        self.planner = Planner(self._rng)
        self._jobs: dict[str, Job] = {}
        self._assets: dict[str, Job] = {}
        self._numbers = 0
        self.index = Index()

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def by_asset(self, asset_id: str) -> Job | None:
        return self._assets.get(asset_id)

    @property
    def size(self) -> int:
        """How many jobs there ever were: the number of the next one."""
        return self._numbers

    def all(self) -> Iterable[Job]:
        return self._jobs.values()

    def add(
        self,
        kind: Kind,
        *,
        job_id: str | None = None,
        name: str | None = None,
        script_chars: int | None = None,
        timeline: Sequence[Step] | None = None,
    ) -> Job:
        """A new job, made up where nothing is given. Raises ValueError for an id in use or a bad timeline."""
        chosen = self._free_id(job_id)
        chars = self.planner.script_chars() if script_chars is None else script_chars
        number = self._numbers
        job = Job(
            number=number,
            job_id=chosen,
            kind=kind,
            name=job_name(number) if name is None else name,
            spoken=max(1.0, chars / CHARS_PER_SECOND),
        )
        job.script_chars = chars
        self._begin(job, self.planner.plan(job.spoken) if timeline is None else check_timeline(timeline))
        return job

    def add_requested(self, kind: Kind, request: dict[str, Any], *, name: str, spoken: float) -> Job:
        """A new job as the create operation makes it, from a checked request body."""
        job = Job(number=self._numbers, job_id=self._free_id(None), kind=kind, name=name, spoken=max(1.0, spoken))
        job.request = request
        job.script_id = request.get("script_id") or ""
        self._begin(job, self.planner.plan(job.spoken))
        return job

    def _free_id(self, wanted: str | None) -> str:
        if wanted is None:
            return str(uuid.UUID(bytes=self._ids.randbytes(16), version=4))
        parse_job_id(wanted)
        if wanted in self._jobs:
            raise ValueError(f"a job {wanted} is there already")
        return wanted

    def _begin(self, job: Job, timeline: Sequence[Step]) -> None:
        self._numbers += 1
        now = self.time.monotonic()
        job.asset_id = self._ids.randbytes(16).hex()
        job.script_id = job.script_id or self._ids.randbytes(16).hex()
        job.created_wall = self.time.now()
        job.times, job.states = self._lay_out(timeline, now)
        self._jobs[job.job_id] = job
        self._assets[job.asset_id] = job
        self.index.advance(now)
        self.index.add(job, now)

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
        """The job is in `state` from now on, whatever was planned."""
        self._rewrite(job, state)

    def cancel(self, job: Job) -> bool:
        """Cancel a waiting job; False where it no longer waits."""
        if job.seek(self.time.monotonic()) != "WAITING":
            return False
        self._rewrite(job, "CANCELED")
        return True

    def requeue(self, job: Job, *, fault: int, wait: float) -> bool:
        """A job in PROCESSING steps back to WAITING for `wait` seconds (at speed 1), then goes on as planned.
        Each fault does that to a job once; returns whether it did."""
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

    def _rewrite(self, job: Job, state: str) -> None:
        self._replace_future(job, [self.time.monotonic()], [state])

    def _replace_future(self, job: Job, times: list[float], states: list[str]) -> None:
        """`times` begin now."""
        now = times[0]
        self.index.advance(now)
        job.seek(now)
        job.times[job.pos + 1 :] = times
        job.states[job.pos + 1 :] = states
        job.cached = None
        job.seek(now)
        self.index.moved(job, now)

    def remove(self, job: Job) -> None:
        """The service forgets the job and its asset."""
        self.index.advance(self.time.monotonic())
        self.index.remove(job)
        del self._jobs[job.job_id]
        del self._assets[job.asset_id]

    def truth(self) -> list[dict[str, Any]]:
        """Every job and its history so far, times in ISO 8601 with microseconds."""
        now = self.time.monotonic()
        return [self._truth_of(job, now) for job in self._jobs.values()]

    def _truth_of(self, job: Job, now: float) -> dict[str, Any]:
        state = job.seek(now)
        seen = zip(job.states, job.times[: job.pos + 1], strict=False)
        return {
            "job_id": job.job_id,
            "kind": job.kind.name,
            "name": job.name,
            "state": state,
            "history": [{"state": name, "at": iso_exact(job.wall(at))} for name, at in seen],
        }


def check_timeline(timeline: Sequence[Step]) -> list[Step]:
    """The timeline, checked: `[state, seconds]` pairs, the last state stays. Raises ValueError."""
    checked: list[Step] = []
    for step in timeline:
        if not isinstance(step, list | tuple) or len(step) != 2:
            raise ValueError(f"{step!r} is not a pair of a state and its seconds")
        state, seconds = step
        if not isinstance(state, str) or not state:
            raise ValueError(f"{state!r} is not a state")
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0
        ):
            raise ValueError(f"{seconds!r} is not a number of seconds")
        checked.append((state, seconds))
    if not checked:
        raise ValueError("the timeline is empty")
    if any(seconds is None for _, seconds in checked[:-1]):
        raise ValueError("only the last state of a timeline may be without an end")
    checked[-1] = (checked[-1][0], None)
    return checked
