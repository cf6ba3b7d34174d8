"""A job of the simulated tenant: its properties, and its state at any moment.

Owns one timeline. The state is computed from the timeline and the time: no timer runs for a job, so 100,000 jobs
cost nothing between requests. Leaves the rendering of answers to `answers`.
"""

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from daemon.sim.kinds import Kind
from daemon.sim.plans import FAILURES, JobFailure

if TYPE_CHECKING:
    from daemon.sim.orders import CallbackConfig

Entry = tuple[float, float, float, str, bytes]
"""(end of validity in monotonic seconds; epoch seconds from and until which its links may be repeated; base URL;
the JSON)."""


class Job:
    """One job. `times` are monotonic seconds at which the `states` begin; `pos` is the index found last."""

    __slots__ = (
        "asset_id",
        "born",
        "bucket",
        "cached",
        "callback",
        "changed",
        "created_wall",
        "entry",
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
        """Length of the finished video in seconds."""
        self.script_chars = 0
        self.script_id = ""
        self.asset_id = ""
        self.user_id: str | None = None
        self.request: dict[str, Any] | None = None
        """The request body that created it; None for jobs made by the control endpoints."""
        self.callback: CallbackConfig | None = None
        self.requeued: tuple[int, ...] = ()
        """Numbers of the requeue faults that have hit it."""
        self.times: list[float] = []
        self.states: list[str] = []
        self.created_wall = 0.0
        self.born = (0.0, 0)
        """(creation in epoch seconds by the service's clock, number): its sort key in order of creation."""
        self.pos = 0
        self.version = 0
        self.cached: tuple[float, str, bytes] | None = None
        """(end of validity in monotonic seconds, base URL, body) of its last show answer before success."""
        self.entry: Entry | None = None
        """Its last list entry."""
        self.bucket = ("", "")
        self.changed = 0.0

    def seek(self, now: float) -> str:
        """Return the state at `now` (monotonic seconds), which must not decrease between calls."""
        times, pos = self.times, self.pos
        last = len(times) - 1
        while pos < last and times[pos + 1] <= now:
            pos += 1
        self.pos = pos
        return self.states[pos]

    def at(self, moment: float) -> int:
        """Return the index in `times` at a moment, which may be before the last `seek`; -1 before its creation."""
        times, pos = self.times, self.pos
        if times[pos] <= moment and (pos + 1 == len(times) or moment < times[pos + 1]):
            return pos
        return bisect_right(times, moment) - 1

    def next_change(self) -> float | None:
        """Return when the state changes next (monotonic seconds) after the last `seek`; None for never."""
        return self.times[self.pos + 1] if self.pos + 1 < len(self.times) else None

    def wall(self, moment: float) -> float:
        """Convert a monotonic moment of this job's life to the service's wall clock (epoch seconds)."""
        return self.created_wall + (moment - self.times[0])

    def first(self, state: str, pos: int) -> float | None:
        """Return when the job first entered `state` (monotonic seconds), up to position `pos`; None for never."""
        for place in range(pos + 1):
            if self.states[place] == state:
                return self.times[place]
        return None

    @property
    def failure(self) -> JobFailure:
        """The error it reports if it fails."""
        return FAILURES[self.number % len(FAILURES)]
