"""The jobs of one project and when each is due. Held in memory only and rebuilt from the store at every start.

Due times are monotonic seconds. There are two queues: jobs that may share a list query, and jobs that are queried
singly. Does no I/O and does not interpret answers.

Nothing here visits all jobs at once: with 1,000,000 of them that would block the event loop for a second. Work
over all jobs is an iterator that the caller advances in steps, letting the loop run in between. Jobs are found by
id in many small tables: a large one would be copied whole as it grows, and could not be visited in steps while it
changes.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain, count, islice
from math import inf, nextafter

from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.watch.job import Phase, Watched

_SWEEP = 1.0
"""Seconds between two searches for expired jobs: each search visits all jobs."""
_STEP, _READ_STEP = 2000, 10_000
"""Most jobs visited in one step of work over all of them, where each is put anew and where each is only read:
about 5 ms."""
_PART = slice(6, 8)
"""The characters of a job id that name its table. The service's ids are random hexadecimal digits, which makes 256
tables. Other ids may make fewer and larger ones, at the price of longer pauses."""
_NO_TABLE: Mapping[JobId, "Watched"] = {}
_SAMPLED = 16
"""Least tables that a sample comes from, if there are as many: of random ids each holds a sample itself."""
_SLOT = 0.25
"""Seconds of due times that share a list. Shorter would make many lists, longer would leave much to put in
order."""
_ORDERED = 5000
"""Most jobs of such a list that are put in order at once, about 5 ms. Of more, as a start adds them, the others
come after these, though some may be due earlier by less than `_SLOT`."""


class JobQueue(IntEnum):
    """How a job is queried next."""

    TOGETHER = 0
    SINGLY = 1


class _Queue:
    """The jobs of one queue by due time: a calendar of lists, of which only the earliest is put in order.

    A heap of all jobs would take a tuple of three for each of them, ten times the memory, and all of it anew when
    all are planned anew. Entries are lazy: putting a job again leaves the old entry in place, since it cannot be
    found. An entry counts only while it matches its job.
    """

    def __init__(self, *, singly: bool) -> None:
        self.size = 0
        """Entries, outdated ones included."""
        self._singly = singly
        self._later: dict[int, list[Watched]] = {}
        self._slots: list[int] = []
        """A heap of the keys of `_later`."""
        self._slot = 0
        self._now: list[tuple[float, int, Watched]] = []
        """A heap of jobs of `_slot`, the earliest. Only here a job's due time is compared with another's."""
        self._rest: list[Watched] = []
        """Its other jobs, last in first: taken off the end, since a list moves all that is behind."""
        self._order = count()  # breaks ties between equal due times, first in first out: jobs do not compare

    def put(self, watched: Watched) -> None:
        """Add a job at its due time."""
        self.size += 1
        slot = int(watched.due / _SLOT)
        if slot == self._slot and (self._now or self._rest):
            heapq.heappush(self._now, (watched.due, next(self._order), watched))
        else:
            self._put_later(slot, watched)

    def put_all(self, jobs: Sequence[Watched], due: float) -> None:
        """Add jobs that are all due at the same moment."""
        for watched in jobs[:1]:  # makes the list, or shows that there is no need of one
            self.put(watched)
        later = self._later.get(int(due / _SLOT))
        if later is not None:
            later.extend(jobs[1:])
            self.size += len(jobs[1:])
        else:
            for watched in jobs[1:]:
                self.put(watched)

    def first(self) -> Watched | None:
        """Return the next due job without taking it, or None if there is none."""
        while True:
            if self._slots and (self._slots[0] < self._slot or not (self._now or self._rest)):
                self._turn()
            elif not self._now:
                if not self._rest:
                    return None
                self._put_in_order()
            elif self._counts(self._now[0]):
                return self._now[0][2]
            else:
                self._drop_first()

    def pop(self) -> Watched | None:
        """Take the next due job."""
        watched = self.first()
        if watched is not None:
            self._drop_first()
        return watched

    def let_go(self) -> None:
        """Drop all entries."""
        self._later.clear()
        self._slots.clear()
        self._now.clear()
        self._rest.clear()
        self.size = 0

    def _drop_first(self) -> None:
        heapq.heappop(self._now)
        self.size -= 1

    def _put_later(self, slot: int, watched: Watched) -> None:
        later = self._later.get(slot)
        if later is None:
            self._later[slot] = [watched]
            heapq.heappush(self._slots, slot)
        else:
            later.append(watched)

    def _turn(self) -> None:
        """Turn to the earliest slot, from a later one if there was one."""
        if self._rest:
            self._rest.reverse()
            self._later[self._slot] = self._rest
            heapq.heappush(self._slots, self._slot)
        for entry in self._now:
            self._put_later(self._slot, entry[2])
        self._slot = heapq.heappop(self._slots)
        self._rest = self._later.pop(self._slot)
        self._rest.reverse()
        self._put_in_order()

    def _put_in_order(self) -> None:
        """Put the next jobs of the slot in order."""
        jobs = self._rest[-_ORDERED:]
        del self._rest[-_ORDERED:]
        order, slot = self._order, self._slot
        self._now = [(each.due, next(order), each) for each in reversed(jobs) if int(each.due / _SLOT) == slot]
        self.size -= len(jobs) - len(self._now)
        heapq.heapify(self._now)

    def _counts(self, entry: tuple[float, int, Watched]) -> bool:
        due, _, watched = entry
        return watched.due == due and watched.awaits(singly=self._singly) and not watched.gone


class Agenda:
    """Which job is due next. A job that was put twice is found only at its latest due time."""

    def __init__(self) -> None:
        self._tables: defaultdict[str, dict[JobId, Watched]] = defaultdict(dict)
        self._size = 0
        self._joined: list[set[JobId]] = []
        """The jobs added during each visit of all jobs that is under way."""
        self._queues = tuple(_Queue(singly=bool(queue)) for queue in JobQueue)
        self._next_expiry = inf
        self._expiring: Iterator[Watched] | None = None
        """The search for expired jobs that is under way."""
        self.unlisted = 0
        """How many of the jobs lists do not hold."""
        self.awaited = -inf
        """The due time for which the poller wakes up; a job that is put for earlier is reported to `on_sooner`."""
        self.on_sooner: Callable[[float], None] = lambda due: None

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Watched]:
        return chain.from_iterable(table.values() for table in self._tables.values())

    @property
    def listed(self) -> int:
        """How many of the jobs lists hold."""
        return self._size - self.unlisted

    def get(self, job_id: JobId) -> Watched | None:
        """Return the job with that id, or None if it is not watched."""
        return self._tables.get(job_id[_PART], _NO_TABLE).get(job_id)

    def holds(self, watched: Watched) -> bool:
        """Whether this very object, which was added, is still watched. Hot: it looks at nothing but the object."""
        return not watched.gone

    def add(self, watched: Watched) -> Watched | None:
        """Watch a job from its `due` time on. Replaces a job with the same id, and returns that."""
        before = self.drop(watched.job_id)
        watched.set_gone(gone=False)
        self._tables[watched.job_id[_PART]][watched.job_id] = watched
        self._size += 1
        for joined in self._joined:
            joined.add(watched.job_id)
        self.unlisted += watched.unlisted
        self._next_expiry = min(self._next_expiry, watched.expires)
        self.put(watched, watched.due)
        return before

    def add_all(self, jobs: Sequence[Watched], due: float, *, singly: bool) -> None:
        """Watch many new jobs, all of them `due` at the same moment, and to be queried `singly` or not. For a
        start, which adds every job."""
        tables, soonest = self._tables, self._next_expiry
        for watched in jobs:
            job_id = watched.job_id
            if tables[job_id[_PART]].setdefault(job_id, watched) is not watched:
                self.drop(job_id)
                tables[job_id[_PART]][job_id] = watched
            if watched.expires < soonest:  # noqa: PLR1730 - seldom true, and hot
                soonest = watched.expires
        self._next_expiry = soonest
        self._size += len(jobs)
        for joined in self._joined:
            joined.update(watched.job_id for watched in jobs)
        self.unlisted += len(jobs) if singly else 0
        self._queues[singly].put_all(jobs, due)

    def drop(self, job_id: JobId) -> Watched | None:
        """Stop watching a job. Returns it, or None if it was not watched."""
        if (watched := self.get(job_id)) is not None:
            table = self._tables[job_id[_PART]]
            del table[job_id]
            if not table:
                del self._tables[job_id[_PART]]
            self._size -= 1
            self.unlisted -= watched.unlisted
            watched.set_gone(gone=True)
        return watched

    def discard(self, watched: Watched) -> None:
        """Stop watching this job, but not another that has taken its id."""
        if self.holds(watched):
            self.drop(watched.job_id)

    def clear(self) -> Iterator[None]:
        """Stop watching all jobs. In steps, since each frees its memory."""
        for queue in self._queues:
            queue.let_go()
        self._expiring = None
        while self._tables:
            for job_id in tuple(next(iter(self._tables.values()))):
                self.drop(job_id)
                yield

    def set_unlisted(self, watched: Watched, *, unlisted: bool = True) -> None:
        """Set whether lists do not hold the job, which decides its queue. The caller must `put` it again."""
        if self.holds(watched):
            self.unlisted += unlisted - watched.unlisted
        watched.set_unlisted(unlisted=unlisted)

    def put(self, watched: Watched, due: float) -> None:
        """Plan its next query at `due`, or earlier where that was requested while a query was under way."""
        watched.settle(due)
        self._queues[watched.singly].put(watched)
        if watched.due < self.awaited:
            self.awaited = watched.due
            self.on_sooner(watched.due)

    def first(self, queue: JobQueue) -> Watched | None:
        """Return the next due job of a queue without taking it, or None if nothing is planned."""
        return self._queues[queue].first()

    def first_due(self, queue: JobQueue | None = None) -> float | None:
        """Return when the next query is due, over both queues if none is named."""
        queues = JobQueue if queue is None else (queue,)
        return min((first.due for each in queues if (first := self.first(each)) is not None), default=None)

    def queued(self, queue: JobQueue) -> int:
        """Roughly how many jobs the queue holds: outdated entries count too."""
        return self._queues[queue].size

    def pop(self, queue: JobQueue, most: int = 1) -> list[Watched]:
        """Take up to `most` jobs, the most overdue first, whether due or not. `put` plans them again."""
        taken: list[Watched] = []
        each = self._queues[queue]
        while len(taken) < most and (watched := each.pop()) is not None:
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
        if watched.due < earliest and not (by_list and watched.singly_next):
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

    def hasten(self, now: float) -> Iterator[None]:
        """Make every job due by `now`, the least recently queried first. In steps."""
        for watched in self.each():
            if watched.due > now:
                watched.bring_forward(now if watched.looked is None else min(now, watched.looked))
                if not watched.in_flight:
                    self._queues[watched.singly].put(watched)
            yield

    def bound(self, latest: Callable[[Watched], float], *, longer: float) -> Iterator[None]:
        """Apply a changed plan: no job is due later than `latest` says, and wrapd gives up on each `longer`
        seconds later than before (negative: earlier). In steps."""
        for watched in self.each():
            watched.extend(longer)
            self._next_expiry = min(self._next_expiry, watched.expires)
            if not watched.in_flight and watched.due > (due := latest(watched)):
                watched.bring_forward(due)
                self._queues[watched.singly].put(watched)
            yield

    def resume(self, paused: float) -> Iterator[None]:
        """Do not count the `paused` seconds in which no job was asked about. In steps."""
        for watched in self.each():
            watched.resume(paused)
            yield

    def each(self) -> Iterator[Watched]:
        """Yield all jobs of the moment of the first that are still watched when their turn comes."""
        joined: set[JobId] = set()
        self._joined.append(joined)
        try:
            for part in tuple(self._tables):
                for watched in tuple(self._tables.get(part, _NO_TABLE).values()):
                    if not watched.gone and watched.job_id not in joined:
                        yield watched
        finally:
            self._joined = [each for each in self._joined if each is not joined]

    def sample(self, begin: int, most: int) -> list[Watched]:
        """Return up to `most` jobs, spread evenly over some tables, or over all where these hold few. Which ones
        depends on `begin`, any number."""
        tables = tuple(self._tables.values())
        stride = max(1, min(self._size // most, len(tables) // _SAMPLED))
        tables = tables[begin % stride :: stride]
        step = max(1, sum(map(len, tables)) // most)
        jobs = chain.from_iterable(table.values() for table in tables)
        return list(islice(jobs, begin // stride % step, None, step))[:most]

    def expired(self, now: float) -> list[Watched]:
        """Return expired jobs with no query under way, as far as a step of the search has found them. Repeats them
        each second until they are dropped."""
        if self._expiring is None:
            if now < self._next_expiry:
                return []
            self._expiring, self._next_expiry = self.each(), inf
        step = list(islice(self._expiring, _READ_STEP))
        if len(step) < _READ_STEP:
            self._expiring = None
        over = [watched for watched in step if watched.expires <= now]
        soonest = min((watched.expires for watched in step), default=inf)
        self._next_expiry = min(self._next_expiry, max(soonest, now + _SWEEP))
        return [watched for watched in over if not watched.in_flight]


class Round:
    """Whether every job that lists hold has been queried since the round began (monotonic seconds)."""

    def __init__(self, agenda: Agenda, began: float) -> None:
        self._agenda = agenda
        self._began = began
        self._jobs = agenda.each()
        self._next = next(self._jobs, None)

    def over(self) -> bool:
        """Go on from the first job that had not been queried at the last call. Returns whether none is left."""
        for _ in range(_READ_STEP):
            if (watched := self._next) is None:
                break
            answered = watched.looked is not None and watched.looked > self._began
            if not answered and not watched.unlisted and self._agenda.holds(watched):
                return False
            self._next = next(self._jobs, None)
        return self._next is None


def step(work: Iterator[None]) -> bool:
    """Do one step of a work over all jobs. Returns whether there may be more to do."""
    return sum(1 for _ in islice(work, _STEP)) == _STEP
