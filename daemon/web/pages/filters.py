"""The filters of the page of jobs: read from its address or a form, kept in every address that leads on, and
handed to the store and to the API. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import fields

from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import State
from daemon.store import JobFilter, JobSort
from daemon.web.api.lists import wrong
from daemon.web.api.sheets import JobsFormat

PERIODS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
"""What `since` can be besides a date."""
CHIPS: Mapping[str, tuple[str, JobFilter]] = {
    "running": ("run", {"tracking": Tracking.ACTIVE, "state": State.PROCESSING}),
    "waiting": ("wait", {"tracking": Tracking.ACTIVE, "state": State.WAITING}),
    "frozen": ("held", {"tracking": Tracking.ACTIVE, "state": State.BLOCK}),
    "finished": ("done", {"tracking": Tracking.FINISHED, "state": State.SUCCEED}),
    "failed": ("bad", {"tracking": Tracking.FINISHED, "state": State.FAILED}),
    "canceled": ("stop", {"tracking": Tracking.FINISHED, "state": State.CANCELED}),
    "lost": ("bad", {"tracking": Tracking.LOST}),
    "expired": ("bad", {"tracking": Tracking.EXPIRED}),
}
"""The choices by the parameter `show`: the tone of each, and its filter."""
_MOST = 200
"""Characters of a filter."""
_API_LIMIT = "200"


class JobFilters(Struct, frozen=True, kw_only=True):
    """What is asked for; None matches anything. `since` is one of PERIODS or a date in the reader's zone."""

    show: str | None = None
    project: str | None = None
    batch: str | None = None
    tag: str | None = None
    kind: str | None = None
    q: str | None = None
    since: str | None = None
    sort: JobSort | None = None

    @property
    def order(self) -> JobSort:
        """The order: by the last change where `since` asks for that, whatever else was chosen."""
        return JobSort.CHANGED if self.since else self.sort or JobSort.NEWEST

    def given(self) -> dict[str, str]:
        """What is not None, for an address."""
        found = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: str(value) for name, value in found if value is not None}

    def url(self, **more: str | None) -> str:
        """The page with these filters and `more` parameters; None leaves one out."""
        return address("/jobs", {**self.given(), **more})

    def of_all(self, now: datetime, zone: tzinfo) -> JobFilter:
        """All filters but `show` and `q`, for the store. Raises HttpError."""
        return {
            "project": None if self.project is None else ProjectName(self.project),
            "kind": self.kind,
            "batch": self.batch,
            "tag": self.tag,
            "since": None if self.since is None else _since(self.since, now, zone),
        }

    def fit(self, now: datetime, zone: tzinfo) -> JobFilter:
        """All filters but `q`, for the store. Raises HttpError."""
        found = self.of_all(now, zone)
        if self.show is not None:
            found.update(CHIPS[self.show][1])
        return found

    def api(self, as_: JobsFormat, now: datetime, zone: tzinfo) -> str:
        """The address of the same jobs in the API. Raises HttpError."""
        fit: dict[str, object] = {**self.fit(now, zone), "q": self.q, "sort": self.sort and self.order}
        given = {name: _in_api(value) for name, value in fit.items() if value is not None}
        how = {"limit": _API_LIMIT} if as_ is JobsFormat.JSON else {"format": as_.value}
        return address("/api/v1/jobs", {**given, **how})


def read_filters(given: Mapping[str, str]) -> JobFilters:
    """The filters of an address or a form. A `day` stands for a `since` that is no period. Raises HttpError."""
    found = {name: given.get(name, "").strip() or None for name in _NAMES}
    for name, value in found.items():
        if value is not None and len(value) > _MOST:
            raise wrong(name, f"it has {len(value)} characters; at most {_MOST} are read")
    found["since"] = given.get("day", "")[:_MOST].strip() or found["since"]
    if found["show"] not in CHIPS:
        found["show"] = None
    sort = found.pop("sort")
    if sort is not None and sort not in [each.value for each in JobSort]:
        raise wrong("sort", f"there are {', '.join(JobSort)}")
    return JobFilters(**found, sort=None if sort is None else JobSort(sort))


def address(path: str, parameters: Mapping[str, str | None]) -> str:
    """A path with those of these parameters that are given."""
    given = {name: value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


_NAMES = tuple(field.name for field in fields(JobFilters))


def _since(text: str, now: datetime, zone: tzinfo) -> datetime:
    if text in PERIODS:
        return now - PERIODS[text]
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong("since", f"there are {', '.join(PERIODS)}, or a date such as 2026-01-05") from None


def _in_api(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
