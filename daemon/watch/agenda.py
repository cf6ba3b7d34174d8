"""The jobs of one project and when each is due. Held in memory only and rebuilt from the store at every start.

Due times are monotonic seconds. There are two queues: jobs that may share a list query, and jobs that are queried
singly. Does no I/O and does not interpret answers.

The heaps are lazy. Replanning a job pushes another entry and leaves the old one in place, since a heap cannot
delete from its middle; an entry counts only while it matches its job (`_current`).
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import count, islice
from math import inf, nextafter

from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.watch.job import Phase, Watched

_SWEEP = 1.0
"""Seconds between two searches for expired jobs: each search visits all jobs."""


class JobQueue(IntEnum):
    """How a job is queried next."""

    TOGETHER = 0
    SINGLY = 1


class Agenda:
    """Which job is due next. A job that was put twice is found only at its latest due time."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, Watched] = {}
        self._heaps: tuple[list[tuple[float, int, Watched]], ...] = ([], [])
        self._order = count()  # breaks ties between equal due times, first in first out: jobs do not compare
        self._next_expiry = inf
        self.unlisted = 0
        """How many of the jobs lists do not hold."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Watched]:
        return iter(self._jobs.values())

    @property
    def listed(self) -> int:
        """How many of the jobs lists hold."""
        return len(self._jobs) - self.unlisted

    def get(self, job_id: JobId) -> Watched | None:
        """Return the job with that id, or None if it is not watched."""
        return self._jobs.get(job_id)

    def holds(self, watched: Watched) -> bool:
        """Whether this very object is still watched under its id."""
        return self._jobs.get(watched.job_id) is watched

    def add(self, watched: Watched) -> None:
        """Watch a job from its `due` time on. Replaces a job with the same id."""
        self.drop(watched.job_id)
        self._jobs[watched.job_id] = watched
        self.unlisted += watched.unlisted
        self._next_expiry = min(self._next_expiry, watched.expires)
        self.put(watched, watched.due)

    def drop(self, job_id: JobId) -> Watched | None:
        """Stop watching a job. Returns it, or None if it was not watched."""
        watched = self._jobs.pop(job_id, None)
        if watched is not None:
            self.unlisted -= watched.unlisted
        return watched

    def discard(self, watched: Watched) -> None:
        """Stop watching this job, but not another that has taken its id."""
        if self.holds(watched):
            self.drop(watched.job_id)

    def set_unlisted(self, watched: Watched, *, unlisted: bool = True) -> None:
        """Set whether lists do not hold the job, which decides its queue. The caller must `put` it again."""
        if self.holds(watched):
            self.unlisted += unlisted - watched.unlisted
        watched.set_unlisted(unlisted=unlisted)

    def put(self, watched: Watched, due: float) -> None:
        """Plan its next query at `due`, or earlier where that was requested while a query was under way."""
        watched.settle(due)
        heapq.heappush(self._heaps[watched.singly], (watched.due, next(self._order), watched))

    def first(self, queue: JobQueue) -> Watched | None:
        """Return the next due job of a queue without taking it, or None if nothing is planned."""
        heap = self._heaps[queue]
        while heap and not self._current(heap[0], queue):
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def first_due(self, queue: JobQueue | None = None) -> float | None:
        """Return when the next query is due, over both queues if none is named."""
        queues = JobQueue if queue is None else (queue,)
        return min((first.due for each in queues if (first := self.first(each)) is not None), default=None)

    def queued(self, queue: JobQueue) -> int:
        """Roughly how many jobs the queue holds: outdated entries count too."""
        return len(self._heaps[queue])

    def pop(self, queue: JobQueue, most: int = 1) -> list[Watched]:
        """Take up to `most` jobs, the most overdue first, whether due or not. `put` plans them again."""
        taken: list[Watched] = []
        heap, jobs, singly = self._heaps[queue], self._jobs, bool(queue)
        while len(taken) < most and heap:
            due, _, watched = heapq.heappop(heap)
            if watched.due != due or watched.in_flight or watched.singly != singly:
                continue  # an outdated entry
            if jobs.get(watched.job_id) is watched:
                watched.ask()  # also invalidates a second entry with the same due time
                taken.append(watched)
        return taken

    def take(self, watched: Watched) -> bool:
        """Take this job, whether due or not. Returns False if it is not watched or something is under way."""
        if not self.holds(watched) or watched.phase is not Phase.PLANNED:
            return False
        watched.ask()
        return True

    def give_back(self, jobs: Iterable[Watched]) -> None:
        """Put back jobs that were taken but not queried."""
        for watched in jobs:
            watched.release()
            self.put(watched, watched.due)

    def put_back(self, watched: Watched, *, earliest: float, by_list: bool = False) -> None:
        """Put back a job after its query, whatever the outcome.

        Not due before `earliest`, so that no error path can make a job spin. The one exception is a job that a
        list says to query singly. Every path back to the queue passes here, so that the rule stands in one place.
        """
        watched.release()
        if not (by_list and watched.singly_next):
            watched.rest_until(earliest)
        if self.holds(watched):
            self.put(watched, watched.due)

    def ask_soon(self, watched: Watched, at: float, *, now: float, singly: bool) -> None:
        """Plan a query at `at`. Where that is `now`, it goes before everything that is due except earlier such
        requests. A job that is being queried is queried once more afterwards."""
        if watched.phase is not Phase.PLANNED:
            watched.want(at)
            return
        if singly:
            watched.ask_singly()
        first = self.first(JobQueue(watched.singly))
        if at <= now and first is not None:
            at = min(at, first.due if first.reason is Reason.HINT else nextafter(first.due, -inf))
        watched.plan(at, Reason.HINT)
        self.put(watched, at)

    def hasten(self, now: float) -> None:
        """Make every job due by `now`, the least recently queried first."""
        for watched in self._jobs.values():
            if watched.due > now:
                watched.bring_forward(now if watched.looked is None else min(now, watched.looked))
        self._arrange()

    def bound(self, latest: Callable[[Watched], float], *, longer: float) -> None:
        """Apply a changed plan: no job is due later than `latest` says, and wrapd gives up on each `longer`
        seconds later than before (negative: earlier)."""
        for watched in self._jobs.values():
            watched.extend(longer)
            if not watched.in_flight:
                watched.bring_forward(latest(watched))
        self._next_expiry = -inf  # search again at once: jobs may have expired by the new plan
        self._arrange()

    def _arrange(self) -> None:
        """Rebuild both heaps, which also drops all outdated entries."""
        for queue, heap in zip(JobQueue, self._heaps, strict=True):
            heap[:] = [
                (watched.due, next(self._order), watched)
                for watched in self._jobs.values()
                if watched.singly == bool(queue) and not watched.in_flight
            ]
            heapq.heapify(heap)

    def oldest_answer(self) -> float:
        """Return the earliest `looked` among the jobs that lists hold: -inf if one was never answered, +inf if
        there is no such job. Visits all jobs."""
        return min(
            (
                -inf if watched.looked is None else watched.looked
                for watched in self._jobs.values()
                if not watched.unlisted
            ),
            default=inf,
        )

    def sample(self, begin: int, most: int) -> list[Watched]:
        """Return up to `most` jobs, evenly spread over all. `begin` selects the offset within the first stride."""
        stride = max(1, len(self._jobs) // most)
        return list(islice(self._jobs.values(), begin % stride, None, stride))[:most]

    def expired(self, now: float) -> list[Watched]:
        """Return expired jobs with no query under way. Repeats them each second until they are dropped."""
        if now < self._next_expiry:
            return []
        first = min((watched.expires for watched in self._jobs.values()), default=inf)
        self._next_expiry = max(first, now + _SWEEP)
        return [watched for watched in self if watched.expires <= now and not watched.in_flight]

    def _current(self, entry: tuple[float, int, Watched], queue: JobQueue) -> bool:
        due, _, watched = entry
        return (
            watched.due == due
            and not watched.in_flight
            and watched.singly == bool(queue)
            and self._jobs.get(watched.job_id) is watched
        )
