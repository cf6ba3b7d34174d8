"""The faults of the list operation, both for lists with `job_ids` and for the feed.

Owns how each fault changes a list's query, the jobs that it sees, and the page. Faults named `job_ids_…` act on
lists that name jobs, those named `feed_…` on all others. Leaves the rendering to `answers`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from daemon.sim.book import Book
from daemon.sim.faults import ActiveFault, hit
from daemon.sim.jobs import Job
from daemon.sim.listing import ListQuery, View, hash_fraction
from daemon.sim.refusals import invalid
from daemon.sim.times import MONTH


class Lies:
    """The faults on one list request. `moment` is the moment whose states it shows (monotonic seconds)."""

    def __init__(self, faults: Sequence[ActiveFault], query: ListQuery, *, now: float, moment: float) -> None:
        other = "feed_" if query.job_ids is not None else "job_ids_"
        self._faults = [fault for fault in faults if not fault.name.startswith(other)]
        self._now = now
        self._requested = query.job_ids or ()
        stale = self._take("feed_stale")
        self.moment = moment - (stale.number_of("behind") if stale is not None else 0.0)
        self.query = self._changed(query)

    def _take(self, name: str) -> ActiveFault | None:
        """Return the fault of this name, if active, and count it as having acted."""
        fault = next((fault for fault in self._faults if fault.name == name), None)
        if fault is not None:
            hit(fault)
        return fault

    def _changed(self, query: ListQuery) -> ListQuery:
        """Return the query that the faulty service carries out. Raises `ErrorAnswer`."""
        for fault in self._faults:
            if fault.name == "list_refused" and len(self._requested) > fault.number_of("cap"):
                hit(fault)
                raise invalid(f"job_ids: at most {fault.number_of('cap'):g}")
        if self._take("month_limit") is not None:
            query = replace(query, since=max(query.since, self._now - MONTH))
        if query.job_ids is None:
            return self._changed_feed(query)
        if self._take("job_ids_ignored") is not None:
            return replace(query, job_ids=None)
        capped = self._take("job_ids_capped")
        if capped is not None:
            query = replace(query, job_ids=query.job_ids[: int(capped.number_of("cap"))])
        return query

    def _changed_feed(self, query: ListQuery) -> ListQuery:
        if self._take("feed_filter_ignored") is not None:
            query = replace(query, states=None)
        if query.offset and self._take("feed_pages_repeat") is not None:
            query = replace(query, offset=0)
        skip = self._take("feed_pages_skip") if query.offset else None
        if skip is not None:
            pages = -(-query.offset // query.limit)
            query = replace(query, offset=query.offset + pages * int(skip.number_of("count")))
        return query

    def view(self, now: float) -> View | None:
        """Return the list's distorted view of the jobs at `now` (monotonic seconds); None for an accurate view."""
        hiders = [fault for fault in self._faults if fault.name in _HIDERS]
        for fault in hiders:
            hit(fault)
        shuffled = next((fault for fault in self._faults if fault.name == "feed_unsorted"), None)
        if shuffled is not None and shuffled.number_of("page_only"):
            shuffled = None
        if not hiders and shuffled is None and self.moment == now:
            return None
        omitted = (self._requested[: int(fault.options.get("first") or 0)] for fault in hiders)
        first = frozenset[str]().union(*omitted)

        def hidden(job: Job) -> bool:
            return job.job_id in first or any(_hides(fault, job) for fault in hiders)

        return View(moment=self.moment, hidden=hidden, shuffle=None if shuffled is None else shuffled.number)

    def page(self, count: int, jobs: list[Job], book: Book) -> tuple[int, list[Job]]:
        """Return the answered count and page; the page may become longer than its limit."""
        before = len(jobs)
        for name in ("job_ids_unsorted", "feed_unsorted"):
            fault = self._take(name)
            if fault is not None and fault.options.get("page_only", 1):
                jobs = _shuffled(jobs, fault.number)
        foreign = self._take("job_ids_foreign")
        if foreign is not None:
            requested = set(self._requested)
            others = (job for job in book.all() if job.kind.listed and job.job_id not in requested)
            extra = sorted(others, key=lambda job: hash_fraction(job.job_id, foreign.number))
            jobs = _shuffled([*jobs, *extra[: int(foreign.number_of("count"))]], foreign.number)
        duplicated = self._take("job_ids_duplicated")
        if duplicated is not None:
            jobs = jobs * int(duplicated.number_of("copies"))
        return count + len(jobs) - before, jobs


_HIDERS: Final = frozenset({"vanished", "job_ids_missing", "feed_missing"})


def _hides(fault: ActiveFault, job: Job) -> bool:
    if fault.job_id is not None:
        return fault.job_id == job.job_id
    if fault.name == "vanished":
        return True
    if fault.options.get("first"):
        return False
    return hash_fraction(job.job_id, fault.number) < fault.number_of("share")


def _shuffled(jobs: list[Job], salt: int) -> list[Job]:
    """Return the jobs in a different order, which is always the same for the same jobs."""
    shuffled = sorted(jobs, key=lambda job: hash_fraction(job.job_id, salt))
    return shuffled[::-1] if shuffled == jobs else shuffled
