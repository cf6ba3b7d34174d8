"""What a tool asks to be tracked: its JSON, read whole and checked before anything is stored. Pure.

Owns the keys of `POST /api/v1/jobs`. Every fault is told with its place and its mend, all in one answer.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import clean, label
from daemon.metastudio.kinds import KINDS
from daemon.web.bodies import Refused

T = TypeVar("T")

MOST_JOBS = 1000
"""Jobs of one request."""
MAX_WORD = 64
"""Characters of a tag or a batch."""
MAX_TAGS = 20
"""Tags of a job."""
_MOST_FAULTS = 50
_KEYS = ("project", "job_id", "kind", "label", "tags", "batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job to be tracked. What is None was not said."""

    project: ProjectName
    job_id: JobId
    kind: str | None = None
    label: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None


def read_wanted(body: bytes, projects: Sequence[ProjectName]) -> list[Wanted]:
    """The jobs of a request. Raises Refused: 400 where the body is no JSON, 422 with all faults."""
    faults = _Faults()
    found = [_wanted(job, place, projects, faults) for place, job in _jobs(_parsed(body))]
    if faults.told:
        raise Refused(422, "nothing was tracked; every fault is named with its place", faults=faults.shown())
    return [each for each in found if each is not None]


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        where = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refused(400, f'the body is not JSON{where}; send one job, or {{"jobs": […]}}') from None


def _jobs(value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each job with its place."""
    if not isinstance(value, dict):
        raise Refused(400, 'the body is not an object; send one job, or {"jobs": […]}')
    if "jobs" not in value:
        yield "", value
        return
    jobs = value["jobs"]
    if len(value) > 1:
        raise _one_fault("jobs", "it stands alone: put the other keys into each job")
    if not isinstance(jobs, list) or not jobs:
        raise _one_fault("jobs", "it must be a list with a job at least")
    if len(jobs) > MOST_JOBS:
        raise _one_fault("jobs", f"{len(jobs)} jobs are too many; send at most {MOST_JOBS} at once")
    for number, job in enumerate(jobs):
        if not isinstance(job, dict):
            raise _one_fault(f"jobs[{number}]", 'it must be an object, as in {"job_id": "…"}')
        yield f"jobs[{number}].", job


class _Faults:
    """What is wrong, in order."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []

    def add(self, place: str, text: str) -> None:
        self.told.append({"place": clean(place), "text": clean(text)})

    def of(self, place: str, read: Callable[[], T]) -> T | None:
        """What `read` gives; None where it raises ValueError, which is told."""
        try:
            return read()
        except ValueError as error:
            self.add(place, str(error))
            return None

    def shown(self) -> list[dict[str, str]]:
        rest = len(self.told) - _MOST_FAULTS
        more = [{"place": "", "text": f"and {rest} more"}] if rest > 0 else []
        return [*self.told[:_MOST_FAULTS], *more]


def _wanted(job: dict[str, Any], place: str, projects: Sequence[ProjectName], faults: _Faults) -> Wanted | None:
    for key in job:
        if key not in _KEYS:
            faults.add(place + key[:MAX_WORD], f"there is no such key; {_suggestion(key, _KEYS)}")
    given = {key: value for key, value in job.items() if value is not None}
    before = len(faults.told)
    project = faults.of(f"{place}project", lambda: _project(given.get("project"), projects))
    job_id = faults.of(f"{place}job_id", lambda: _job_id(given.get("job_id")))
    kind = faults.of(f"{place}kind", lambda: _kind(given.get("kind")))
    name = faults.of(f"{place}label", lambda: _label(given.get("label")))
    tags = faults.of(f"{place}tags", lambda: _tags(given.get("tags")))
    batch = faults.of(f"{place}batch", lambda: None if "batch" not in given else _word(given["batch"]))
    if len(faults.told) > before or project is None or job_id is None:
        return None
    return Wanted(project=project, job_id=job_id, kind=kind, label=name, tags=tags or (), batch=batch)


def _project(value: object, projects: Sequence[ProjectName]) -> ProjectName:
    if value is None:
        if len(projects) == 1:
            return projects[0]
        raise ValueError(f"it is missing, and there are several; name one of {', '.join(projects)}")
    if not isinstance(value, str):
        raise ValueError("it must be a text")  # noqa: TRY004 - one error for every fault
    if value not in projects:
        raise ValueError(f"no project is called {_shown(value)}; {_suggestion(value, projects)}")
    return ProjectName(value)


def _job_id(value: object) -> JobId:
    if value is None:
        raise ValueError("it is missing; give the job_id that MetaStudio answered")
    if not isinstance(value, str):
        raise ValueError("it must be a text")  # noqa: TRY004 - the same
    return parse_job_id(value)


def _kind(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("it must be a text")  # noqa: TRY004 - the same
    if value not in KINDS:
        raise ValueError(f"{_shown(value)} is no kind; {_suggestion(value, tuple(KINDS))}")
    return value


def _label(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("it must be a text")  # noqa: TRY004 - the same
    return label(value) or None  # one that shows nothing says nothing


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("it must be a list of texts")  # noqa: TRY004 - the same
    words = tuple(dict.fromkeys(_word(each) for each in value))
    if len(words) > MAX_TAGS:
        raise ValueError(f"{len(words)} tags are too many; at most {MAX_TAGS} fit a job")
    return words


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")  # noqa: TRY004 - the same
    word = clean(value).strip()
    if not 1 <= len(word) <= MAX_WORD:
        raise ValueError(f"it takes 1 to {MAX_WORD} characters that can be seen, not {len(word)}")
    return word


def _one_fault(place: str, text: str) -> Refused:
    return Refused(422, "nothing was tracked", faults=[{"place": place, "text": text}])


def _suggestion(wrong: str, right: Sequence[str]) -> str:
    near = get_close_matches(wrong[:MAX_WORD], right, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(right)}"


def _shown(value: str) -> str:
    text = repr(value)
    return text if len(text) <= MAX_WORD else f"{text[:MAX_WORD]}…"
