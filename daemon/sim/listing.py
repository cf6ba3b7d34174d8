"""The list operation's query: checks every parameter and finds the page of jobs.

Owns the parsing of the query and the choice between the index and a scan. Leaves the rendering to `answers`.
Source: the list operation's page and the official SDK's request class.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf
from zlib import crc32

from daemon.sim.book import Book
from daemon.sim.jobs import Job
from daemon.sim.kinds import AVATAR, LISTED, PHOTO
from daemon.sim.refusals import invalid
from daemon.sim.times import MONTH, parse_iso

_JOB_TYPES = {AVATAR.job_type: AVATAR.name, PHOTO.job_type: PHOTO.name, "DIGITAL_HUMAN_PHOTO_VIDEO": PHOTO.name}
_SORT_KEYS = ("create_time", "update_time", "asset_order")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """A checked query. Creation is in [since, before) (epoch seconds); a filter that is None admits all jobs."""

    offset: int
    limit: int
    states: frozenset[str] | None
    kinds: frozenset[str]
    by_update: bool
    newest_first: bool
    since: float
    before: float
    script_id: str | None
    asset_name: str | None
    fuzzy: frozenset[str]
    job_ids: tuple[str, ...] | None

    @property
    def by_text(self) -> bool:
        """Whether it filters by text fields, which are not indexed."""
        return self.script_id is not None or self.asset_name is not None

    def wants(self, job: Job) -> bool:
        """Whether the job passes all filters except that by state."""
        return (
            self.since <= job.created_wall < self.before
            and job.kind.name in self.kinds
            and (not self.by_text or self._texts_fit(job))
        )

    def was_created(self, job: Job) -> bool:
        """Whether the job was created in the requested range."""
        return self.since <= job.created_wall < self.before

    def _texts_fit(self, job: Job) -> bool:
        return self._text_fits("script_id", self.script_id, job.script_id) and self._text_fits(
            "asset_name", self.asset_name, job.name
        )

    def _text_fits(self, field: str, wanted: str | None, value: str) -> bool:
        return wanted is None or (wanted in value if field in self.fuzzy else wanted == value)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A list's distorted view of the jobs: as of `moment` (monotonic seconds), without the `hidden` ones, in an
    order derived from `shuffle` (None: the requested order)."""

    moment: float
    hidden: Callable[[Job], bool]
    shuffle: int | None


def read_query(pairs: Sequence[tuple[str, str]], *, now: float) -> ListQuery:
    """Parse the query of a request made at `now` (epoch seconds). Raises `ErrorAnswer` for a bad parameter."""
    query = _Query(pairs)
    since, until = query.time("create_since"), query.time("create_until")
    job_type = query.choice("job_type", tuple(_JOB_TYPES))
    states = query.one("state")
    job_ids = query.many("job_ids") + query.many("job_id")
    return ListQuery(
        offset=query.number("offset", 0, low=0, high=2**31 - 1),
        limit=query.number("limit", 10, low=1, high=100),
        states=None
        if states is None
        else frozenset(state.strip() for state in states.split(",") if state.strip()),
        kinds=LISTED if job_type is None else frozenset({_JOB_TYPES[job_type]}),
        by_update=query.choice("sort_key", _SORT_KEYS) == "update_time",
        newest_first=query.choice("sort_dir", ("asc", "desc")) == "desc",
        # answers truncate times to seconds: the bounds are rounded so that they agree with the times shown
        since=now - MONTH if since is None else ceil(since),
        before=inf if until is None else floor(until) + 1,
        script_id=query.one("script_id"),
        asset_name=query.one("asset_name"),
        fuzzy=frozenset(query.many("fuzzy_query_field")),
        job_ids=tuple(job_ids) or None,
    )


class _Query:
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if value:
                self._values.setdefault(name, []).append(value)

    def many(self, name: str) -> list[str]:
        """Return every value, whether the name is repeated or its value is separated by commas."""
        values = self._values.get(name, [])
        if not any("," in value for value in values):
            return values
        return [part for value in values for part in value.split(",") if part]

    def one(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[-1] if values else None

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        text = self.one(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
            raise invalid(name)
        return int(text)

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        text = self.one(name)
        if text is not None and text not in choices:
            raise invalid(name)
        return text

    def time(self, name: str) -> float | None:
        text = self.one(name)
        if text is None:
            return None
        try:
            return parse_iso(text)
        except (ValueError, OverflowError):
            raise invalid(name) from None


def find(book: Book, query: ListQuery, *, now: float, view: View | None = None) -> tuple[int, list[Job]]:
    """Return how many jobs match, and the requested page. `now` is monotonic seconds."""
    index = book.index
    index.advance(now)
    if query.job_ids is not None or query.by_text or view is not None:
        return _scan(book, query, now, view)
    keys = index.keys(query.states, query.kinds)
    count = index.count(keys, since=query.since, before=query.before)
    if query.by_update:
        page = index.by_update(
            keys, wanted=query.was_created, newest_first=query.newest_first, offset=query.offset, limit=query.limit
        )
    else:
        page = index.by_creation(
            keys,
            since=query.since,
            before=query.before,
            newest_first=query.newest_first,
            offset=query.offset,
            limit=query.limit,
        )
    return count, page


def _scan(book: Book, query: ListQuery, now: float, view: View | None) -> tuple[int, list[Job]]:
    candidates: Iterable[Job] = book.all()
    if query.job_ids is not None:
        found = map(book.get, dict.fromkeys(query.job_ids))
        candidates = [job for job in found if job is not None]
    fitting = [job for job in candidates if query.wants(job)]
    if view is not None:
        fitting = [job for job in fitting if job.times[0] <= view.moment and not view.hidden(job)]
    moment = now if view is None else view.moment
    if query.states is not None:
        fitting = [job for job in fitting if job.states[job.at(moment)] in query.states]
    if view is not None and view.shuffle is not None:
        fitting.sort(key=lambda job: hash_fraction(job.job_id, view.shuffle))
    elif query.by_update:
        fitting.sort(key=lambda job: (job.times[job.at(moment)], job.number), reverse=query.newest_first)
    else:
        fitting.sort(key=lambda job: job.born, reverse=query.newest_first)
    return len(fitting), fitting[query.offset : query.offset + query.limit]


def hash_fraction(job_id: str, salt: int | None) -> float:
    """Return a pseudo-random number in [0, 1) that depends only on the job and the salt."""
    return crc32(f"{salt}/{job_id}".encode()) / 2**32
