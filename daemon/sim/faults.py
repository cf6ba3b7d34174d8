"""The faults that can be started, by name, and those that are active now.

Owns the table of faults with their options and defaults, and how often and how long each one still acts. `quirks`,
`lies` and `wire` apply them to answers, `book` to jobs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from math import inf
from typing import Any, Final

Option = str | int | float | None

API: Final = frozenset({"show", "list", "create", "cancel", "asset", "token", "projects"})
"""Operations that a fault without `operation` can hit. Requests for files are hit only if named."""
JOBS: Final = frozenset({"show", "list"})


class Stage(StrEnum):
    """Where a fault acts on a request."""

    INSTEAD = "instead"  # replaces the answer; the request is not examined
    BEFORE = "before"  # delays the request before it is examined
    WIRE = "wire"  # damages the answer in transit; the request is carried out
    BODY = "body"  # modifies a job's body
    SERVICE = "service"  # changes what the service does
    LIST = "list"  # changes what the list operation does, for no particular job


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One row of the table. `options` maps the names of the options to their defaults."""

    name: str
    stage: Stage
    about: str
    operations: frozenset[str] = API
    options: Mapping[str, Option] = field(default_factory=dict)


def _table(*kinds: FaultKind) -> dict[str, FaultKind]:
    return {kind.name: kind for kind in kinds}


def _instead(name: str, about: str, **options: Option) -> FaultKind:
    return FaultKind(name=name, stage=Stage.INSTEAD, about=about, options=options)


def _wire(name: str, about: str, **options: Option) -> FaultKind:
    return FaultKind(name=name, stage=Stage.WIRE, about=about, options=options)


def _body(name: str, about: str, operations: frozenset[str] = JOBS, **options: Option) -> FaultKind:
    return FaultKind(name=name, stage=Stage.BODY, about=about, operations=operations, options=options)


def _service(name: str, about: str, operations: frozenset[str], **options: Option) -> FaultKind:
    return FaultKind(name=name, stage=Stage.SERVICE, about=about, operations=operations, options=options)


def _list(name: str, about: str, stage: Stage = Stage.LIST, **options: Option) -> FaultKind:
    return FaultKind(name=name, stage=stage, about=about, operations=_LISTS, options=options)


_SHOW: Final = frozenset({"show"})
_LISTS: Final = frozenset({"list"})

OFFERED: Final = _table(
    _instead("throttled", "429 APIG.0308 without Retry-After"),
    _instead("throttled_retry_after", "429 APIG.0308 with Retry-After: retry_after (s)", retry_after=2),
    _instead("server_error", "the service's error MSS.00000004 with this status", status=500),
    _instead("gateway_error", "the gateway's APIG.0203 (backend timeout) with this status", status=504),
    _instead("unauthorized", "401 APIG.0301, whatever the credentials"),
    _instead("not_offered", "404 APIG.0101: the endpoint does not have the operation"),
    _instead("html_200", "an HTML page with status 200, like that of a captive portal"),
    _instead("redirect", "302 to location", location="https://portal.example/login"),
    _instead("empty_body", "status 200 and no body"),
    _instead("hang", "no answer; the connection stays open"),
    FaultKind(name="slow", stage=Stage.BEFORE, about="the answer is delay (s) late", options={"delay": 3.0}),
    _wire("reset", "RST after `after` bytes of the answer", after=0),
    _wire("reset_before", "the connection is closed normally before any byte of the answer"),
    _wire("truncated", "half of the body, then the connection ends; Content-Length is that of the full body"),
    _wire("wrong_content_type", "the right body under another Content-Type", content_type="text/html"),
    _wire("huge_body", "the body, padded with spaces to size (bytes)", size=64 * 1024 * 1024),
    _wire("gzip", "the body compressed with gzip, whether or not the client accepts it"),
    _wire("gzip_bomb", "gzip that decompresses to size (bytes) of spaces", size=256 * 1024 * 1024),
    _wire("drip", "the body in pieces of `piece` bytes, one every interval (s)", interval=1.0, piece=1),
    _wire("bad_status_line", "an answer whose first line is not HTTP"),
    _body("quirk_success", "SUCCEED is spelt SUCCESS"),
    _body("quirk_blocked", "BLOCK is spelt BLOCKED"),
    _body("quirk_job_type", "a photo's job_type is DIGITAL_HUMAN_PHOTO_VIDEO, an avatar's is absent"),
    _body("quirk_position", 'layer positions are the strings "656," and "0,"; scripts come unrequested', _SHOW),
    _body("quirk_width", "a layer's width is 607.5; scripts come unrequested", _SHOW),
    _body("quirk_object_for_array", "background_config is one object; scripts come unrequested", _SHOW),
    _body("unknown_state", "the state is one that is not documented", state="THAWING"),
    _service("quirk_not_found_400", "an unknown job is 400 MSS.00010003, not 404", frozenset({"show", "cancel"})),
    _service("vanished", "the job is not found, and lists omit it", frozenset({"show", "list", "cancel"})),
    _list("job_ids_ignored", "lists ignore job_ids"),
    _list("job_ids_capped", "lists use only the first cap of the job_ids", cap=10),
    _list("job_ids_unsorted", "lists by job_ids come in a shuffled order"),
    _list("job_ids_foreign", "lists by job_ids contain count more jobs that were not requested", count=5),
    _list("job_ids_duplicated", "lists by job_ids contain each job copies times", copies=2),
    _list(
        "job_ids_missing",
        "lists by job_ids omit the first `first` of them or, if that is 0, a share, always the same jobs; with "
        "`job_id`, that job",
        Stage.SERVICE,
        first=0,
        share=0.2,
    ),
    _list("list_refused", "400 MSS.00000003 for a list by more than cap job_ids", cap=10),
    _list(
        "feed_unsorted",
        "lists without job_ids ignore the requested order; page_only 1: the right page, shuffled",
        page_only=0,
    ),
    _list("feed_stale", "lists without job_ids show all jobs as they were `behind` (s) ago", behind=60.0),
    _list("feed_filter_ignored", "lists without job_ids ignore state"),
    _list(
        "feed_missing",
        "lists without job_ids omit a share of the jobs, always the same; with `job_id`, that job",
        Stage.SERVICE,
        share=0.2,
    ),
    _list("feed_pages_repeat", "lists without job_ids answer every offset with the first page"),
    _list("feed_pages_skip", "lists without job_ids omit count entries between two pages", count=5),
    _list("month_limit", "lists omit jobs created more than a month (30 days) ago, whatever create_since says"),
    _service("requeue", "a job in PROCESSING waits again for wait (s, at speed 1), once", JOBS, wait=20.0),
    _service("clock_skew", "the service's clock is skew (s) ahead", API, skew=1200.0),
)


@dataclass(slots=True, kw_only=True)
class ActiveFault:
    """A started fault. `times_left` None: as often as it applies; `until` None: until it is cleared."""

    number: int
    kind: FaultKind
    times_left: int | None
    until: float | None
    operation: str | None
    job_id: str | None
    options: dict[str, Option]
    hits: int = 0

    @property
    def name(self) -> str:
        return self.kind.name

    def number_of(self, option: str) -> float:
        """Return a numeric option."""
        value = self.options[option]
        assert isinstance(value, int | float)
        return float(value)

    def text_of(self, option: str) -> str:
        """Return an option as a string."""
        return str(self.options[option])

    def show(self) -> dict[str, Any]:
        """Return the fault as the control endpoint shows it."""
        return {
            "id": self.number,
            "name": self.name,
            "times_left": self.times_left,
            "operation": self.operation,
            "job_id": self.job_id,
            "hits": self.hits,
            **self.options,
        }


class Faults:
    """The active faults, in the order they were started. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._active: list[ActiveFault] = []
        self._numbers = count(1)

    @property
    def any(self) -> bool:
        """Whether any fault may be active: a cheap check for the usual request without faults."""
        return bool(self._active)

    def order(
        self,
        name: str,
        *,
        now: float,
        times: int | None = None,
        seconds: float | None = None,
        operation: str | None = None,
        job_id: str | None = None,
        options: Mapping[str, Option] | None = None,
    ) -> ActiveFault:
        """Start a fault. Raises ValueError for an unknown name, operation or option."""
        kind = OFFERED.get(name)
        if kind is None:
            raise ValueError(f"unknown fault {name!r}; the faults are {', '.join(sorted(OFFERED))}")
        if operation is not None and operation not in kind.operations | {"file"}:
            raise ValueError(f"{name} cannot hit {operation!r}; it can hit {', '.join(sorted(kind.operations))}")
        chosen = _checked_options(kind, options or {})
        if times is not None and times < 1:
            raise ValueError("times must be 1 or more, or null")
        fault = ActiveFault(
            number=next(self._numbers),
            kind=kind,
            times_left=times,
            until=None if seconds is None else now + seconds,
            operation=operation,
            job_id=job_id,
            options=chosen,
        )
        self._active.append(fault)
        return fault

    def clear(self, number: int | None = None) -> None:
        """End one fault, or all of them."""
        self._active = [] if number is None else [fault for fault in self._active if fault.number != number]

    def active(self, now: float) -> list[ActiveFault]:
        """Return the faults that still act at `now`, dropping the others."""
        self._active = [fault for fault in self._active if _alive(fault, now)]
        return list(self._active)

    def applying(self, operation: str, job_ids: Iterable[str], *, now: float) -> list[ActiveFault]:
        """Return the faults that may hit a request of `operation` for `job_ids` (of a list: its ids, or none)."""
        named = set(job_ids)
        return [
            fault
            for fault in self.active(now)
            if (fault.operation == operation if fault.operation else operation in fault.kind.operations)
            and (fault.job_id is None or fault.job_id in named or (operation == "list" and _by_entry(fault)))
        ]

    def skew(self, now: float) -> float:
        """Return the seconds by which the service's clock is ahead."""
        return sum(fault.number_of("skew") for fault in self.active(now) if fault.name == "clock_skew")


def hit(fault: ActiveFault) -> None:
    """Record that the fault acted once."""
    fault.hits += 1
    if fault.times_left is not None:
        fault.times_left -= 1


def _alive(fault: ActiveFault, now: float) -> bool:
    return (fault.times_left is None or fault.times_left > 0) and (fault.until is None or now < fault.until)


def _by_entry(fault: ActiveFault) -> bool:
    return fault.kind.stage in (Stage.BODY, Stage.SERVICE)


def _checked_options(kind: FaultKind, given: Mapping[str, Option]) -> dict[str, Option]:
    unknown = given.keys() - kind.options.keys()
    if unknown:
        takes = ", ".join(kind.options) or "none"
        raise ValueError(f"{kind.name} has no option {', '.join(sorted(unknown))}; it takes {takes}")
    for name, value in given.items():
        if not isinstance(kind.options[name], int | float):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{kind.name}: {name} must be a number")  # noqa: TRY004 - one error for all misuse
        if kind.operations == _LISTS and not 0 <= value < inf:
            raise ValueError(f"{kind.name}: {name} must be 0 or more")
    return {**kind.options, **given}
