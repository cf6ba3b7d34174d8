"""The jobs of one project and when each is due: memory only, rebuilt from the store at every start.

Due times are monotonic seconds. Never does I/O and never decides what an answer means.
"""

import heapq
from collections.abc import Iterator
from itertools import count

from daemon.domain.jobs import JobId
from daemon.metastudio.kinds import Kind

_SWEEP = 1.0
"""Seconds between two searches for what is over: each looks at every job."""


class Watched:
    """A job as the poller sees it. Small: 100,000 of them are held in memory."""

    __slots__ = (
        "asked",
        "due",
        "expires",
        "failures",
        "in_flight",
        "job",
        "job_id",
        "kind",
        "last_error",
        "looks",
        "missing_since",
        "since",
        "state",
    )

    def __init__(
        self, *, job: int, job_id: JobId, kind: Kind, state: str | None, since: float, expires: float, due: float
    ) -> None:
        self.job = job
        """Row id."""
        self.job_id = job_id
        self.kind = kind
        self.state = state
        self.since = since
        """Monotonic seconds at which the job came into its state."""
        self.expires = expires
        """Monotonic seconds at which wrapd gives up on the job."""
        self.due = due
        self.failures = 0
        self.missing_since: float | None = None
        """Monotonic seconds of the first "not found" in a row."""
        self.in_flight = False
        self.looks = 0
        """Looks since the last checkpoint."""
        self.asked: float | None = None
        """Wall clock of the last look, epoch seconds."""
        self.last_error: str | None = None


class Agenda:
    """Which job is due next. A job that was put twice is found at its latest due time only."""

    def __init__(self) -> None:
        self._jobs: dict[int, Watched] = {}
        self._heap: list[tuple[float, int, Watched]] = []
        self._order = count()
        self._next_expiry = float("inf")

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Watched]:
        return iter(self._jobs.values())

    def get(self, job: int) -> Watched | None:
        """The job with this row id, if it is watched."""
        return self._jobs.get(job)

    def add(self, watched: Watched) -> None:
        """Watch a job from its `due` time on; it takes the place of one with the same row id."""
        self._jobs[watched.job] = watched
        self._next_expiry = min(self._next_expiry, watched.expires)
        self.put(watched, watched.due)

    def drop(self, job: int) -> Watched | None:
        """Watch it no longer."""
        return self._jobs.pop(job, None)

    def put(self, watched: Watched, due: float) -> None:
        """Plan the next look at `due`."""
        watched.due = due
        heapq.heappush(self._heap, (due, next(self._order), watched))

    def first_due(self) -> float | None:
        """When the next look is due, or None where nothing is planned."""
        heap = self._heap
        while heap and not self._current(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Watched | None:
        """Take the most overdue job, or None where none is due. It is planned again by `put`."""
        due = self.first_due()
        if due is None or due > now:
            return None
        return heapq.heappop(self._heap)[2]

    def expired(self, now: float) -> list[Watched]:
        """Jobs whose time is over and that no query is asking about; named again each second until dropped."""
        if now < self._next_expiry:
            return []
        first = min((watched.expires for watched in self._jobs.values()), default=float("inf"))
        self._next_expiry = max(first, now + _SWEEP)
        return [watched for watched in self if watched.expires <= now and not watched.in_flight]

    def _current(self, entry: tuple[float, int, Watched]) -> bool:
        due, _, watched = entry
        return watched.due == due and not watched.in_flight and self._jobs.get(watched.job) is watched
