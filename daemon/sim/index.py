"""Finds jobs for the list operation without looking at all of them: by state, kind, creation and last update.

Owns the order of changes. It follows the timelines lazily: `advance` applies the changes due up to now. For each
(state, kind) there is one bucket: the numbers of its jobs in order of creation, and a log of entries in order of
change in which outdated entries are skipped and now and then swept out.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daemon.sim.jobs import Job

Key = tuple[str, str]
"""(state, kind name)."""


class _Bucket:
    __slots__ = ("created", "log")

    def __init__(self) -> None:
        self.created: list[int] = []
        self.log: list[tuple[float, int]] = []


class Index:
    """Jobs by number, in buckets."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._buckets: dict[Key, _Bucket] = {}
        self._due: list[tuple[float, int, int]] = []
        self._last_wall = float("-inf")
        self.ordered = True
        """Whether later jobs have later creation times on the service's clock (a clock set back breaks it)."""

    def add(self, job: "Job", now: float) -> None:
        self._jobs[job.number] = job
        self.ordered = self.ordered and job.created_wall >= self._last_wall
        self._last_wall = max(self._last_wall, job.created_wall)
        job.seek(now)
        self._enter(job, job.times[job.pos])
        self._schedule(job)

    def moved(self, job: "Job", now: float) -> None:
        """The job's timeline was changed at `now`, after `advance(now)`."""
        job.version += 1
        self._leave(job)
        self._enter(job, now)
        self._schedule(job)

    def remove(self, job: "Job") -> None:
        self._leave(job)
        del self._jobs[job.number]

    def advance(self, now: float) -> None:
        """Apply every change due up to `now`, in order."""
        due = self._due
        while due and due[0][0] <= now:
            at, number, version = heapq.heappop(due)
            job = self._jobs.get(number)
            if job is None or job.version != version:
                continue
            self._leave(job)
            position = bisect_left(job.times, at)
            while position + 1 < len(job.times) and job.times[position + 1] == at:
                position += 1
            self._enter_as(job, job.states[position], at)
            if position + 1 < len(job.times):
                heapq.heappush(due, (job.times[position + 1], number, version))

    def _schedule(self, job: "Job") -> None:
        following = job.next_change()
        if following is not None:
            heapq.heappush(self._due, (following, job.number, job.version))

    def _enter(self, job: "Job", at: float) -> None:
        self._enter_as(job, job.states[job.pos], at)

    def _enter_as(self, job: "Job", state: str, at: float) -> None:
        key = (state, job.kind.name)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
        insort(bucket.created, job.number)
        if (job.bucket, job.changed) == (key, at):
            return
        job.bucket, job.changed = key, at
        bucket.log.append((at, job.number))
        if len(bucket.log) > 2 * len(bucket.created) + 64:
            bucket.log = [entry for entry in bucket.log if self._holds(key, entry)]

    def _leave(self, job: "Job") -> None:
        numbers = self._buckets[job.bucket].created
        del numbers[bisect_left(numbers, job.number)]

    def _holds(self, key: Key, entry: tuple[float, int]) -> bool:
        job = self._jobs.get(entry[1])
        return job is not None and job.bucket == key and job.changed == entry[0]

    def count(self, keys: Iterable[Key], *, since: float, before: float) -> int:
        """How many jobs of these buckets were created in [since, before) (epoch seconds). Needs `ordered`."""
        return sum(end - begin for _, begin, end in self._ranges(keys, since, before))

    def by_creation(
        self, keys: Iterable[Key], *, since: float, before: float, newest_first: bool, offset: int, limit: int
    ) -> list["Job"]:
        """A page of those jobs in order of creation. Needs `ordered`."""
        runs = []
        for numbers, begin, end in self._ranges(keys, since, before):
            span = range(end - 1, begin - 1, -1) if newest_first else range(begin, end)
            runs.append(map(numbers.__getitem__, span))
        merged = heapq.merge(*runs, reverse=newest_first)
        return [self._jobs[number] for number in islice(merged, offset, offset + limit)]

    def by_update(
        self,
        keys: Iterable[Key],
        *,
        wanted: "Callable[[Job], bool]",
        newest_first: bool,
        offset: int,
        limit: int,
    ) -> list["Job"]:
        """A page of the jobs of these buckets that are `wanted`, in order of their last change."""
        runs = [self._entries(key, newest_first) for key in keys if key in self._buckets]
        merged = heapq.merge(*runs, reverse=newest_first)
        jobs = (self._jobs[number] for _, number in merged)
        return list(islice(filter(wanted, jobs), offset, offset + limit))

    def keys(self, states: Iterable[str] | None, kinds: Iterable[str] | None) -> list[Key]:
        """The buckets that hold jobs of these states and kinds; None for all."""
        states = None if states is None else set(states)
        kinds = None if kinds is None else set(kinds)
        return [
            (state, kind)
            for state, kind in self._buckets
            if (states is None or state in states) and (kinds is None or kind in kinds)
        ]

    def _entries(self, key: Key, newest_first: bool) -> Iterator[tuple[float, int]]:
        log = self._buckets[key].log
        return (entry for entry in (reversed(log) if newest_first else log) if self._holds(key, entry))

    def _ranges(self, keys: Iterable[Key], since: float, before: float) -> Iterator[tuple[list[int], int, int]]:
        for key in keys:
            numbers = self._buckets[key].created
            begin = bisect_left(numbers, since, key=self._created)
            yield numbers, begin, bisect_left(numbers, before, lo=begin, key=self._created)

    def _created(self, number: int) -> float:
        return self._jobs[number].created_wall
