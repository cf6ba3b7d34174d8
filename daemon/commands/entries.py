"""Parses a job to be tracked from a tool's request or a list, and collects its faults. Pure.

Owns the keys and the limits of their values for every caller. All faults are reported together, each with its
place and remedy; beyond a maximum they are only counted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import MAX_WORD, clean, closest, label, word, words
from daemon.metastudio.kinds import KINDS

T = TypeVar("T")

KEYS = ("project", "job_id", "kind", "label", "tags", "batch")
"""The allowed keys."""
MOST_FAULTS = 50
"""Maximum number of faults described individually."""


class JobEntry(Struct, frozen=True, kw_only=True):
    """A job to be tracked. None means not given."""

    project: ProjectName
    job_id: JobId
    kind: str | None = None
    label: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None


class RequestFault(Struct, frozen=True, kw_only=True):
    """What is wrong at a place, and how to fix it."""

    place: str
    text: str


class WrongRequest(Exception):
    """An invalid request, which is rejected as a whole."""

    def __init__(self, faults: Sequence[RequestFault]) -> None:
        super().__init__("; ".join(f"{fault.place}: {fault.text}" for fault in faults))
        self.faults = faults


class RequestFaults:
    """Collects the faults of a request in order. Only the first `most` are described; the rest are counted."""

    def __init__(self, most: int = MOST_FAULTS) -> None:
        self.count = 0
        self._most = most
        self._listed: list[RequestFault] = []

    @property
    def full(self) -> bool:
        """Whether more faults are only counted."""
        return len(self._listed) >= self._most

    def add(self, place: str, text: str) -> None:
        """Add a fault."""
        self.count += 1
        if not self.full:
            self._listed.append(RequestFault(place=clean(place), text=clean(text)))

    def of(self, place: str, read: Callable[[], T]) -> T | None:
        """The result of `read`; None if it raises ValueError, which is added as a fault."""
        try:
            return read()
        except ValueError as error:
            self.add(place, str(error))
            return None

    def listed(self) -> list[RequestFault]:
        """The described faults, and the number of others."""
        rest = self.count - len(self._listed)
        return [*self._listed, *([RequestFault(place="", text=f"and {rest} more")] if rest > 0 else [])]

    def require_none(self) -> None:
        """Raise WrongRequest if there are faults."""
        if self.count:
            raise WrongRequest(self.listed())


def read_job(
    said: Mapping[str, object],
    projects: Sequence[ProjectName],
    faults: RequestFaults,
    *,
    place: Callable[[str], str],
    default: ProjectName | None = None,
) -> JobEntry | None:
    """The job described by `said`, in one of `projects` (`default` if not given). None if it is invalid, with the
    reasons added to `faults`. `place` returns the place of a key."""
    before = faults.count
    for key in said:
        if key not in KEYS:
            # Suggesting a key for each of very many unknown ones would take too long.
            faults.add(place(key[:MAX_WORD]), "" if faults.full else _no_such_key(key))
    given = {key: value for key in KEYS if (value := said.get(key)) is not None}
    project = faults.of(place("project"), lambda: _project(given.get("project", default), projects))
    job_id = faults.of(place("job_id"), lambda: _job_id(given.get("job_id")))
    kind = faults.of(place("kind"), lambda: _kind(given.get("kind")))
    # A label without visible characters counts as not given.
    name = faults.of(place("label"), lambda: label(_text(given["label"])) or None if "label" in given else None)
    tags = faults.of(place("tags"), lambda: _tags(given.get("tags")))
    batch = faults.of(place("batch"), lambda: word(_text(given["batch"])) if "batch" in given else None)
    if faults.count > before or project is None or job_id is None:
        return None
    return JobEntry(project=project, job_id=job_id, kind=kind, label=name, tags=tags or (), batch=batch)


def _no_such_key(key: str) -> str:
    return f"there is no such key; {_suggestion(key, KEYS)}"


def _project(value: object, projects: Sequence[ProjectName]) -> ProjectName:
    if value is None:
        if len(projects) == 1:
            return projects[0]
        raise ValueError(f"it is missing; give one of {', '.join(projects)}")
    name = _text(value)
    if name not in projects:
        raise ValueError(f"no project is called {_shown(name)}; {_suggestion(name, projects)}")
    return ProjectName(name)


def _job_id(value: object) -> JobId:
    if value is None:
        raise ValueError("it is missing; give the job_id that MetaStudio returned")
    return parse_job_id(_text(value))


def _kind(value: object) -> str | None:
    if value is None:
        return None
    name = _text(value)
    if name not in KINDS:
        raise ValueError(f"no kind is called {_shown(name)}; {_suggestion(name, tuple(KINDS))}")
    return name


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("it must be a list of texts")  # noqa: TRY004 - one error type for every fault
    return words([_text(each) for each in value])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")  # noqa: TRY004 - one error type for every fault
    return value


def _suggestion(wrong: str, right: Sequence[str]) -> str:
    near = closest(wrong[:MAX_WORD], right)
    return f"did you mean {near!r}?" if near else f"choose one of {', '.join(right)}"


def _shown(value: str) -> str:
    return repr(value) if len(value) <= MAX_WORD else f"{value[:MAX_WORD]!r}…"
