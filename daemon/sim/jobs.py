"""A job of the simulated tenant: what it is, and what state it is in at any moment.

Owns one timeline. A state is a function of the timeline and the time: no timer runs for a job, so 100,000 of them
cost nothing while nobody asks. Never renders an answer.
"""

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from daemon.sim.kinds import Kind
from daemon.sim.plans import FAILURES, JobFailure

if TYPE_CHECKING:
    from daemon.sim.orders import CallbackConfig

Entry = tuple[float, float, float, str, bytes]
"""(end of validity in monotonic seconds; epoch seconds from and before which its links are fresh enough; base URL;
the JSON)."""


class Job:
    """One job. `times` are monotonic seconds at which the `states` begin; `pos` is where it was last seen."""

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
        """Seconds of content: what the finished video lasts."""
        self.script_chars = 0
        self.script_id = ""
        self.asset_id = ""
        self.user_id: str | None = None
        self.request: dict[str, Any] | None = None
        """The body that created it; None where it was made by the control endpoints."""
        self.callback: CallbackConfig | None = None
        """Who is to be told of its end."""
        self.requeued: tuple[int, ...] = ()
        """The requeue faults that have hit it."""
        self.times: list[float] = []
        self.states: list[str] = []
        self.created_wall = 0.0
        self.born = (0.0, 0)
        """(creation by the service's clock, number): its place in the order of creation."""
        self.pos = 0
        self.version = 0
        self.cached: tuple[float, str, bytes] | None = None
        """(end of validity, base URL, body) of its last answer while it was under way."""
        self.entry: Entry | None = None
        """Its last rendering in a list."""
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

    def at(self, moment: float) -> int:
        """Its position in `times` at a moment, which may lie before the last `seek`; -1 before its creation."""
        times, pos = self.times, self.pos
        if times[pos] <= moment and (pos + 1 == len(times) or moment < times[pos + 1]):
            return pos
        return bisect_right(times, moment) - 1

    def next_change(self) -> float | None:
        """When the state changes next (monotonic seconds), as of the last `seek`; None for never."""
        return self.times[self.pos + 1] if self.pos + 1 < len(self.times) else None

    def wall(self, moment: float) -> float:
        """The service's wall clock (epoch seconds) at a monotonic moment of this job's life."""
        return self.created_wall + (moment - self.times[0])

    def first(self, state: str, pos: int) -> float | None:
        """When the job first came into `state` (monotonic seconds), as of position `pos`."""
        for place in range(pos + 1):
            if self.states[place] == state:
                return self.times[place]
        return None

    @property
    def failure(self) -> JobFailure:
        """Why it failed, if it did."""
        return FAILURES[self.number % len(FAILURES)]
