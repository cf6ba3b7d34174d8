"""Finds jobs for the list operation without scanning all of them: by state, kind, creation and last update.

Owns the order of changes. It follows the timelines lazily: `advance` applies the changes due up to now. Each
(state, kind) has one bucket: its jobs in order of creation, and a log of jobs in order of change. Outdated log
entries are skipped, and swept out once they outnumber the valid ones. A separate log has all ends.
"""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from daemon.sim.jobs import Job
from daemon.sim.kinds import ENDED

Key = tuple[str, str]
"""(state, kind name)."""
Born = tuple[float, int]
"""(creation in epoch seconds, number)."""


class End(NamedTuple):
    """A job's entry into a state that ends it, `at` monotonic seconds."""

    at: float
    number: int
    state: str
    job: Job


class _Bucket:
    __slots__ = ("created", "log")

    def __init__(self) -> None:
        self.created: list[Born] = []
        self.log: list[tuple[float, int]] = []


class Index:
    """Jobs by number, in buckets."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._buckets: dict[Key, _Bucket] = {}
        self._due: list[tuple[float, int, int]] = []
        self.ends: list[End] = []
        """Every end so far in order of time, without those of removed jobs."""

    def add(self, job: Job, now: float) -> None:
        self._jobs[job.number] = job
        job.seek(now)
        self._enter(job, job.states[job.pos], job.times[job.pos])
        self._schedule(job)

    def moved(self, job: Job, now: float) -> None:
        """Refile a job whose timeline was changed at `now`, after `advance(now)`."""
        job.version += 1  # invalidates its scheduled changes
        self._leave(job)
        self._enter(job, job.states[job.pos], now)
        self._schedule(job)

    def remove(self, job: Job) -> None:
        self._leave(job)
        del self._jobs[job.number]
        self.ends = [end for end in self.ends if end.job is not job]

    def advance(self, now: float) -> None:
        """Apply every change due up to `now`, in order."""
        due = self._due
        while due and due[0][0] <= now:
            at, number, version = heapq.heappop(due)
            job = self._jobs.get(number)
            if job is None or job.version != version:
                continue
            self._leave(job)
            position = job.at(at)
            self._enter(job, job.states[position], at)
            if position + 1 < len(job.times):
                heapq.heappush(due, (job.times[position + 1], number, version))

    def _schedule(self, job: Job) -> None:
        following = job.next_change()
        if following is not None:
            heapq.heappush(self._due, (following, job.number, job.version))

    def _enter(self, job: Job, state: str, at: float) -> None:
        key = (state, job.kind.name)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
        _put(bucket.created, job.born)
        if (job.bucket, job.changed) == (key, at):
            return
        job.bucket, job.changed = key, at
        _put(bucket.log, (at, job.number))
        if len(bucket.log) > 2 * len(bucket.created) + 64:
            bucket.log = [entry for entry in bucket.log if self._holds(key, entry)]
        if state in ENDED:
            _put(self.ends, End(at, job.number, state, job))

    def _leave(self, job: Job) -> None:
        created = self._buckets[job.bucket].created
        del created[bisect_left(created, job.born)]

    def _holds(self, key: Key, entry: tuple[float, int]) -> bool:
        job = self._jobs.get(entry[1])
        return job is not None and job.changed == entry[0] and job.bucket == key

    def count(self, keys: Iterable[Key], *, since: float, before: float) -> int:
        """Count the jobs of these buckets created in [since, before) (epoch seconds)."""
        return sum(end - begin for _, begin, end in self._ranges(keys, since, before))

    def by_creation(
        self, keys: Iterable[Key], *, since: float, before: float, newest_first: bool, offset: int, limit: int
    ) -> list[Job]:
        """Return a page of those jobs in order of creation."""
        runs = []
        for created, begin, end in self._ranges(keys, since, before):
            span = range(end - 1, begin - 1, -1) if newest_first else range(begin, end)
            runs.append(map(created.__getitem__, span))
        merged = heapq.merge(*runs, reverse=newest_first)
        return [self._jobs[number] for _, number in islice(merged, offset, offset + limit)]

    def by_update(
        self,
        keys: Iterable[Key],
        *,
        wanted: Callable[[Job], bool],
        newest_first: bool,
        offset: int,
        limit: int,
    ) -> list[Job]:
        """Return a page of the jobs of these buckets that are `wanted`, in order of their last change."""
        runs = [self._entries(key, newest_first) for key in keys if key in self._buckets]
        merged = runs[0] if len(runs) == 1 else heapq.merge(*runs, reverse=newest_first)
        jobs = (job for _, _, job in merged if wanted(job))
        return list(islice(jobs, offset, offset + limit))

    def keys(self, states: Iterable[str] | None, kinds: Iterable[str]) -> list[Key]:
        """Return the non-empty buckets of these states (None for all) and kinds."""
        states = None if states is None else set(states)
        kinds = set(kinds)
        return [
            (state, kind)
            for (state, kind), bucket in self._buckets.items()
            if kind in kinds and (states is None or state in states) and bucket.created
        ]

    def _entries(self, key: Key, newest_first: bool) -> Iterator[tuple[float, int, Job]]:
        log, jobs = self._buckets[key].log, self._jobs
        for at, number in reversed(log) if newest_first else log:
            job = jobs.get(number)
            if job is not None and job.changed == at and job.bucket == key:
                yield at, number, job

    def _ranges(self, keys: Iterable[Key], since: float, before: float) -> Iterator[tuple[list[Born], int, int]]:
        for key in keys:
            created = self._buckets[key].created
            begin = bisect_left(created, (since, -1))
            end = len(created) if before == inf else bisect_left(created, (before, -1), lo=begin)
            yield created, begin, end


def _put(ordered: list[Any], item: Any) -> None:
    """Insert into a sorted list unless present. The common case is an append."""
    if not ordered or ordered[-1] < item:
        ordered.append(item)
        return
    place = bisect_left(ordered, item)
    if ordered[place] != item:
        ordered.insert(place, item)
