"""The jobs of one project and when each is due: memory only, rebuilt from the store at every start.

Due times are monotonic seconds. There are two queues: of the jobs that may be asked about together, in a list, and
of those that are asked singly. Never does I/O and never decides what an answer means.
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
"""Seconds between two searches for what is over: each goes through all jobs."""


class JobQueue(IntEnum):
    """How a job is asked about next."""

    TOGETHER = 0
    SINGLY = 1


class Agenda:
    """Which job is due next. A job that was put twice is found at its latest due time only."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, Watched] = {}
        self._heaps: tuple[list[tuple[float, int, Watched]], ...] = ([], [])
        self._order = count()
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
        """The job of that id, if it is watched."""
        return self._jobs.get(job_id)

    def holds(self, watched: Watched) -> bool:
        """Whether it is still watched, under its id."""
        return self._jobs.get(watched.job_id) is watched

    def add(self, watched: Watched) -> None:
        """Watch a job from its `due` time on; it takes the place of one with the same id."""
        self.drop(watched.job_id)
        self._jobs[watched.job_id] = watched
        self.unlisted += watched.unlisted
        self._next_expiry = min(self._next_expiry, watched.expires)
        self.put(watched, watched.due)

    def drop(self, job_id: JobId) -> Watched | None:
        """Watch it no longer."""
        watched = self._jobs.pop(job_id, None)
        if watched is not None:
            self.unlisted -= watched.unlisted
        return watched

    def discard(self, watched: Watched) -> None:
        """Watch it no longer, but for one that took its place under its id."""
        if self.holds(watched):
            self.drop(watched.job_id)

    def set_unlisted(self, watched: Watched, *, unlisted: bool = True) -> None:
        """Ask about it singly from now on, since lists do not hold it; or in lists again. It is to be put anew."""
        if self.holds(watched):
            self.unlisted += unlisted - watched.unlisted
        watched.set_unlisted(unlisted=unlisted)

    def put(self, watched: Watched, due: float) -> None:
        """Plan the next question at `due`, or sooner where somebody asked for that while it was under way."""
        watched.settle(due)
        heapq.heappush(self._heaps[watched.singly], (watched.due, next(self._order), watched))

    def first(self, queue: JobQueue) -> Watched | None:
        """The job that is due next in the queue, or None where nothing is planned."""
        heap = self._heaps[queue]
        while heap and not self._current(heap[0], queue):
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def first_due(self, queue: JobQueue | None = None) -> float | None:
        """When the next question is due, in any queue where none is named."""
        queues = JobQueue if queue is None else (queue,)
        return min((first.due for each in queues if (first := self.first(each)) is not None), default=None)

    def queued(self, queue: JobQueue) -> int:
        """How many jobs the queue holds, about: some may have been planned anew or dropped since."""
        return len(self._heaps[queue])

    def pop(self, queue: JobQueue, most: int = 1) -> list[Watched]:
        """Take up to `most` jobs, the most overdue first, due or not. They are planned again by `put`."""
        taken: list[Watched] = []
        heap, jobs, singly = self._heaps[queue], self._jobs, bool(queue)
        while len(taken) < most and heap:
            due, _, watched = heapq.heappop(heap)
            if watched.due != due or watched.in_flight or watched.singly != singly:
                continue  # an entry that is out of date
            if jobs.get(watched.job_id) is watched:
                watched.ask()  # a second entry of the same due time is none now
                taken.append(watched)
        return taken

    def take(self, watched: Watched) -> bool:
        """Take this very job, due or not. False where it cannot be had now."""
        if not self.holds(watched) or watched.phase is not Phase.PLANNED:
            return False
        watched.ask()
        return True

    def give_back(self, jobs: Iterable[Watched]) -> None:
        """Put back what was taken and not asked about."""
        for watched in jobs:
            watched.release()
            self.put(watched, watched.due)

    def put_back(self, watched: Watched, *, earliest: float, by_list: bool = False) -> None:
        """Put back what was asked about, in whatever way that ended: after a question no job is due before
        `earliest`, but one that a list says to ask about singly. The one place that says so."""
        watched.release()
        if not (by_list and watched.singly_next):
            watched.rest_until(earliest)
        if self.holds(watched):
            self.put(watched, watched.due)

    def ask_soon(self, watched: Watched, at: float, *, now: float, singly: bool) -> None:
        """Have a job asked about at `at`: where that is `now`, before all that is due but others of these. One
        that is being asked is asked once more."""
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
        """Make every job due by `now`, those that were looked at longest ago first."""
        for watched in self._jobs.values():
            if watched.due > now:
                watched.bring_forward(now if watched.looked is None else min(now, watched.looked))
        self._arrange()

    def bound(self, latest: Callable[[Watched], float], *, longer: float) -> None:
        """The plan has changed: no job is due later than `latest` says; wrapd gives up on each `longer` seconds
        later than before (less than 0: sooner)."""
        for watched in self._jobs.values():
            watched.extend(longer)
            if not watched.in_flight:
                watched.bring_forward(latest(watched))
        self._next_expiry = -inf
        self._arrange()

    def _arrange(self) -> None:
        """Order the queues anew."""
        for queue, heap in zip(JobQueue, self._heaps, strict=True):
            heap[:] = [
                (watched.due, next(self._order), watched)
                for watched in self._jobs.values()
                if watched.singly == bool(queue) and not watched.in_flight
            ]
            heapq.heapify(heap)

    def oldest_answer(self) -> float:
        """The earliest `looked` of the jobs that lists hold: -inf where one was never answered, +inf where there
        is no such job. Goes through all jobs."""
        return min(
            (
                -inf if watched.looked is None else watched.looked
                for watched in self._jobs.values()
                if not watched.unlisted
            ),
            default=inf,
        )

    def sample(self, begin: int, most: int) -> list[Watched]:
        """Up to `most` jobs, evenly spread over all, from the `begin`-th on (of the first stride)."""
        stride = max(1, len(self._jobs) // most)
        return list(islice(self._jobs.values(), begin % stride, None, stride))[:most]

    def expired(self, now: float) -> list[Watched]:
        """Jobs whose time is over and that no query is asking about; named again each second until dropped."""
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
