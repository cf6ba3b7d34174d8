"""A job that is to be tracked, as a tool or a list says it: its keys, and what is wrong with them. Pure.

Owns the keys and the limits of their values for every door. Each fault is told with its place and its remedy, all
in one answer; however many there are, a few are put into words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import MAX_WORD, clean, label, word, words
from daemon.metastudio.kinds import KINDS

T = TypeVar("T")

KEYS = ("project", "job_id", "kind", "label", "tags", "batch")
"""What may be said of a job."""
MOST_FAULTS = 50
"""Faults that are put into words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEntry:
    """A job to be tracked. What is None was not said."""

    project: ProjectName
    job_id: JobId
    kind: str | None = None
    label: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFault:
    """What is wrong at a place, and what to do."""

    place: str
    text: str


class WrongRequest(Exception):
    """A request that is wrong as a whole or in places; nothing of it is done."""

    def __init__(self, faults: Sequence[RequestFault]) -> None:
        super().__init__("; ".join(f"{fault.place}: {fault.text}" for fault in faults))
        self.faults = faults


class RequestFaults:
    """What is wrong with a request, in order; the first `most` faults are put into words."""

    def __init__(self, most: int = MOST_FAULTS) -> None:
        self.count = 0
        self._most = most
        self._told: list[RequestFault] = []

    @property
    def full(self) -> bool:
        """Whether further faults are only counted."""
        return len(self._told) >= self._most

    def add(self, place: str, text: str) -> None:
        """Note a fault."""
        self.count += 1
        if not self.full:
            self._told.append(RequestFault(place=clean(place), text=clean(text)))

    def of(self, place: str, read: Callable[[], T]) -> T | None:
        """What `read` gives; None where it raises ValueError, which is told."""
        try:
            return read()
        except ValueError as error:
            self.add(place, str(error))
            return None

    def told(self) -> list[RequestFault]:
        """The first ones, and how many more there are."""
        rest = self.count - len(self._told)
        return [*self._told, *([RequestFault(place="", text=f"and {rest} more")] if rest > 0 else [])]

    def require_none(self) -> None:
        """Raises WrongRequest where there is any."""
        if self.count:
            raise WrongRequest(self.told())


def read_job(
    said: Mapping[str, object],
    projects: Sequence[ProjectName],
    faults: RequestFaults,
    *,
    place: Callable[[str], str],
    default: ProjectName | None = None,
) -> JobEntry | None:
    """The job that `said` names, of one of `projects` (`default`: of that one where none is said). None where
    something is wrong with it; `faults` hears what. `place` says where a key stands."""
    before = faults.count
    for key in said:
        if key not in KEYS:
            # However many there are, finding the nearest right key for each would hold everything up.
            faults.add(place(key[:MAX_WORD]), "" if faults.full else _no_such_key(key))
    given = {key: value for key in KEYS if (value := said.get(key)) is not None}
    project = faults.of(place("project"), lambda: _project(given.get("project", default), projects))
    job_id = faults.of(place("job_id"), lambda: _job_id(given.get("job_id")))
    kind = faults.of(place("kind"), lambda: _kind(given.get("kind")))
    name = faults.of(place("label"), lambda: label(_text(given["label"])) or None if "label" in given else None)
    tags = faults.of(place("tags"), lambda: _tags(given.get("tags")))
    batch = faults.of(place("batch"), lambda: word(_text(given["batch"])) if "batch" in given else None)
    if faults.count > before or project is None or job_id is None:
        return None
    # A label that shows nothing says nothing.
    return JobEntry(project=project, job_id=job_id, kind=kind, label=name, tags=tags or (), batch=batch)


def _no_such_key(key: str) -> str:
    return f"there is no such key; {_suggestion(key, KEYS)}"


def _project(value: object, projects: Sequence[ProjectName]) -> ProjectName:
    if value is None:
        if len(projects) == 1:
            return projects[0]
        raise ValueError(f"it is missing, and there are several; name one of {', '.join(projects)}")
    name = _text(value)
    if name not in projects:
        raise ValueError(f"no project is called {_shown(name)}; {_suggestion(name, projects)}")
    return ProjectName(name)


def _job_id(value: object) -> JobId:
    if value is None:
        raise ValueError("it is missing; give the job_id that MetaStudio answered")
    return parse_job_id(_text(value))


def _kind(value: object) -> str | None:
    if value is None:
        return None
    name = _text(value)
    if name not in KINDS:
        raise ValueError(f"{_shown(name)} is no kind; {_suggestion(name, tuple(KINDS))}")
    return name


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("it must be a list of texts")  # noqa: TRY004 - one error for every fault
    if not all(isinstance(each, str) for each in value):
        raise ValueError("it must be a text")
    return words(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")  # noqa: TRY004 - one error for every fault
    return value


def _suggestion(wrong: str, right: Sequence[str]) -> str:
    near = get_close_matches(wrong[:MAX_WORD], right, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(right)}"


def _shown(value: str) -> str:
    return repr(value) if len(value) <= MAX_WORD else f"{value[:MAX_WORD]!r}…"
