"""What the list operation does wrong on demand: the faults of lists with `job_ids` and of the feed.

Owns how each of them changes a list's query, what it sees of the jobs, and the page. Faults named `job_ids_…` act
on lists that name jobs, those named `feed_…` on all others. Never renders.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from daemon.sim.book import Book
from daemon.sim.faults import ActiveFault, hit
from daemon.sim.jobs import Job
from daemon.sim.listing import ListQuery, View, stir
from daemon.sim.refusals import invalid
from daemon.sim.times import MONTH


class Lies:
    """The faults on one list request. `moment` is the moment that it shows (monotonic seconds)."""

    def __init__(self, faults: Sequence[ActiveFault], query: ListQuery, *, now: float, moment: float) -> None:
        other = "feed_" if query.job_ids is not None else "job_ids_"
        self._faults = [fault for fault in faults if not fault.name.startswith(other)]
        self._now = now
        self._asked = query.job_ids or ()
        stale = self._named("feed_stale")
        self.moment = moment - (stale.number_of("behind") if stale is not None else 0.0)
        self.query = self._bent(query)

    def _named(self, name: str) -> ActiveFault | None:
        """The fault, which now acts."""
        fault = next((fault for fault in self._faults if fault.name == name), None)
        if fault is not None:
            hit(fault)
        return fault

    def _bent(self, query: ListQuery) -> ListQuery:
        """The query as the service takes it. Raises `ErrorAnswer`."""
        for fault in self._faults:
            if fault.name == "list_refused" and len(self._asked) > fault.number_of("cap"):
                hit(fault)
                raise invalid(f"job_ids: at most {fault.number_of('cap'):g}")
        if self._named("month_limit") is not None:
            query = replace(query, since=max(query.since, self._now - MONTH))
        if query.job_ids is None:
            return self._bent_feed(query)
        if self._named("job_ids_ignored") is not None:
            return replace(query, job_ids=None)
        capped = self._named("job_ids_capped")
        if capped is not None:
            query = replace(query, job_ids=query.job_ids[: int(capped.number_of("cap"))])
        return query

    def _bent_feed(self, query: ListQuery) -> ListQuery:
        if self._named("feed_filter_ignored") is not None:
            query = replace(query, states=None)
        if query.offset and self._named("feed_pages_repeat") is not None:
            query = replace(query, offset=0)
        skip = self._named("feed_pages_skip") if query.offset else None
        if skip is not None:
            pages = -(-query.offset // query.limit)
            query = replace(query, offset=query.offset + pages * int(skip.number_of("count")))
        return query

    def view(self, now: float) -> View | None:
        """What the list sees of the jobs at `now` (monotonic seconds); None where it sees them as they are."""
        hiders = [fault for fault in self._faults if fault.name in _HIDERS]
        for fault in hiders:
            hit(fault)
        shuffled = next((fault for fault in self._faults if fault.name == "feed_unsorted"), None)
        if shuffled is not None and shuffled.number_of("page_only"):
            shuffled = None
        if not hiders and shuffled is None and self.moment == now:
            return None
        first = frozenset[str]().union(*(self._asked[: int(fault.options.get("first") or 0)] for fault in hiders))

        def hidden(job: Job) -> bool:
            return job.job_id in first or any(_hides(fault, job) for fault in hiders)

        return View(moment=self.moment, hidden=hidden, shuffle=None if shuffled is None else shuffled.number)

    def page(self, count: int, jobs: list[Job], book: Book) -> tuple[int, list[Job]]:
        """The count and the page as they are answered; the page may become longer than its limit."""
        plain = len(jobs)
        for name in ("job_ids_unsorted", "feed_unsorted"):
            fault = self._named(name)
            if fault is not None and fault.options.get("page_only", 1):
                jobs = _shuffled(jobs, fault.number)
        foreign = self._named("job_ids_foreign")
        if foreign is not None:
            asked = set(self._asked)
            others = (job for job in book.all() if job.kind.listed and job.job_id not in asked)
            strangers = sorted(others, key=lambda job: stir(job.job_id, foreign.number))
            jobs = _shuffled([*jobs, *strangers[: int(foreign.number_of("count"))]], foreign.number)
        duplicated = self._named("job_ids_duplicated")
        if duplicated is not None:
            jobs = jobs * int(duplicated.number_of("copies"))
        return count + len(jobs) - plain, jobs


_HIDERS: Final = frozenset({"vanished", "job_ids_missing", "feed_missing"})


def _hides(fault: ActiveFault, job: Job) -> bool:
    if fault.job_id is not None:
        return fault.job_id == job.job_id
    if fault.name == "vanished":
        return True
    if fault.options.get("first"):
        return False
    return stir(job.job_id, fault.number) < fault.number_of("share")


def _shuffled(jobs: list[Job], salt: int) -> list[Job]:
    """The jobs in another order, always the same for the same jobs."""
    mixed = sorted(jobs, key=lambda job: stir(job.job_id, salt))
    return mixed[::-1] if mixed == jobs else mixed
