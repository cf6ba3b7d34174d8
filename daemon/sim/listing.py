"""The list operation's query: every parameter, checked, and the page of jobs that it means.

Owns the reading of the query and the choice between the index and a look at every job. Never renders.
Source: the list operation's page and the official SDK's request class.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf

from daemon.sim.jobs import AVATAR, PHOTO, Book, Job
from daemon.sim.refusals import invalid
from daemon.sim.times import MONTH, parse_iso

_JOB_TYPES = {AVATAR.job_type: AVATAR.name, PHOTO.job_type: PHOTO.name, "DIGITAL_HUMAN_PHOTO_VIDEO": PHOTO.name}
_SORT_KEYS = ("create_time", "update_time", "asset_order")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """A checked query. `since` and `before` bound the creation (epoch seconds); None filters nothing."""

    offset: int
    limit: int
    states: frozenset[str] | None
    kinds: frozenset[str] | None
    by_update: bool
    newest_first: bool
    since: float
    before: float
    script_id: str | None
    asset_name: str | None
    fuzzy: frozenset[str]
    job_ids: tuple[str, ...] | None

    def wants(self, job: Job) -> bool:
        """Whether everything but the state fits."""
        return (
            self.since <= job.created_wall < self.before
            and (self.kinds is None or job.kind.name in self.kinds)
            and self._text_fits("script_id", self.script_id, job.script_id)
            and self._text_fits("asset_name", self.asset_name, job.name)
        )

    def _text_fits(self, field: str, wanted: str | None, value: str) -> bool:
        return wanted is None or (wanted in value if field in self.fuzzy else wanted == value)


def read_query(pairs: Sequence[tuple[str, str]], *, now: float) -> ListQuery:
    """The query of a request made at `now` (epoch seconds). Raises `Refusal` for a bad parameter."""
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
        kinds=None if job_type is None else frozenset({_JOB_TYPES[job_type]}),
        by_update=query.choice("sort_key", _SORT_KEYS) == "update_time",
        newest_first=query.choice("sort_dir", ("asc", "desc")) == "desc",
        # times are written in whole seconds, cut off: a bound means what a reader of those times would expect
        since=now - MONTH if since is None else ceil(since),
        before=inf if until is None else floor(until) + 1,
        script_id=query.one("script_id"),
        asset_name=query.one("asset_name"),
        fuzzy=frozenset(query.many("fuzzy_query_field")),
        job_ids=tuple(job_ids) or None,
    )


class _Query:
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs

    def many(self, name: str) -> list[str]:
        """Every value; a repeated name and a comma-separated one mean the same."""
        return [part for key, value in self._pairs if key == name for part in value.split(",") if part]

    def one(self, name: str) -> str | None:
        values = [value for key, value in self._pairs if key == name and value]
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


def find(
    book: Book, query: ListQuery, *, now: float, hidden: Callable[[Job], bool] | None = None
) -> tuple[int, list[Job]]:
    """How many jobs fit, and the page asked for. `now` is monotonic seconds; `hidden` ones are left out."""
    index = book.index
    index.advance(now)
    plain = query.script_id is None and query.asset_name is None and hidden is None
    if query.job_ids is not None or not plain or not index.ordered:
        return _look_at_each(book, query, now, hidden)
    keys = index.keys(query.states, query.kinds)
    count = index.count(keys, since=query.since, before=query.before)
    if query.by_update:
        page = index.by_update(
            keys, wanted=query.wants, newest_first=query.newest_first, offset=query.offset, limit=query.limit
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


def _look_at_each(
    book: Book, query: ListQuery, now: float, hidden: Callable[[Job], bool] | None
) -> tuple[int, list[Job]]:
    candidates: Iterable[Job] = book.all()
    if query.job_ids is not None:
        found = (book.get(job_id) for job_id in dict.fromkeys(query.job_ids))
        candidates = (job for job in found if job is not None)
    fitting = [
        job
        for job in candidates
        if query.wants(job)
        and (query.states is None or job.seek(now) in query.states)
        and not (hidden is not None and hidden(job))
    ]
    fitting.sort(key=lambda job: _order(job, query, now), reverse=query.newest_first)
    return len(fitting), fitting[query.offset : query.offset + query.limit]


def _order(job: Job, query: ListQuery, now: float) -> tuple[float, int]:
    if not query.by_update:
        return job.created_wall, job.number
    job.seek(now)
    return job.times[job.pos], job.number
