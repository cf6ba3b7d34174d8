"""The followed jobs of `wrapd watch --server`, from the API of a daemon elsewhere.

Reads the jobs once, then listens to `GET /api/v1/events` in a thread of its own and reads again what an event
names. A connection that ends is opened again where it ended (Last-Event-ID), after 1, 2, 4, … 30 seconds; what the
server no longer has, it announces by `resync`, and everything is read again.

Nothing but the standard library: one request at a time, and one stream.
"""

import json
import queue
import random
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from daemon import views
from daemon.cli import output
from daemon.cli.choosing import Followable
from daemon.cli.session import CLOCK, SHORTEST, job_ids
from daemon.config.secrets import Secret, SecretSource
from daemon.config.values import shown
from daemon.domain.durations import Eta
from daemon.domain.text import clean
from daemon.errors import UnknownName, UsageFault, WrapdError
from daemon.masks import MASKS
from daemon.views.outlooks import BatchOutlook, Outlook

PATIENCE = 30.0
"""Seconds for an answer. The event stream sends a comment each 15 s, so that a silent one is dead."""
_LONGEST = 30.0
"""Seconds between two attempts to connect, at most."""
_SINGLY = 20
"""Up to this many changed jobs are read one by one; else the list is read again."""
_BAND_LIFE = 10.0
"""Seconds for which the estimate of a batch is shown before it is read again."""
_PAGE = 200
_ENDING = "/api/v1/jobs/ending"
_NAMED = 100
"""Jobs named in a request for an estimate, at most."""
_MOST_BYTES = 16 * 1024 * 1024
_SHOWN = 200

Key = tuple[str, str]
"""Project and job id."""


class ServerRefused(WrapdError):
    """The server cannot be asked, and trying again would not help."""


class ServerUnreachable(ServerRefused):
    """No answer; it may help to try again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for this server alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


class ServerApi:
    """Requests to the API at `base`, with a token."""

    def __init__(self, base: str, token: str) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageFault(f"--server: {shown(base)} is no address; write one such as https://wrapd.example.com")
        self._base, self._token = base.rstrip("/"), token
        here = parts.hostname == "localhost" or parts.hostname.startswith("127.") or parts.hostname == "::1"
        self.is_readable = parts.scheme == "http" and not here
        """Whether others on the way can read the token."""
        # A proxy of the environment does not reach this machine.
        direct = [urllib.request.ProxyHandler({})] if here else []
        self._opener = urllib.request.build_opener(_NoRedirects, *direct)

    def get(self, path: str, **query: str | Sequence[str] | None) -> dict[str, Any]:
        """The answer's JSON object. Raises UnknownName for 404, ServerUnreachable, and ServerRefused otherwise."""
        given = {name: value for name, value in query.items() if value is not None}
        with self.opened(f"{path}?{urlencode(given, doseq=True)}" if given else path) as answer:
            try:
                found = json.loads(answer.read(_MOST_BYTES))
            except (OSError, HTTPException) as error:
                raise ServerUnreachable(f"{self._base}: the answer broke off: {_reason(error)}") from error
            except (ValueError, RecursionError):
                found = None
        if not isinstance(found, dict):
            raise ServerRefused(f"{self._base}{path} answers with no JSON object; is it wrapd's address?")
        return found

    def opened(self, path: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """An open answer with status 200. Raises like `get`."""
        sent = {"Authorization": f"Bearer {self._token}", "User-Agent": "wrapd", **(headers or {})}
        request = urllib.request.Request(self._base + path, headers=sent)  # noqa: S310 - http(s), checked above
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            with error:
                self._refuse(error, path)
        except (OSError, HTTPException) as error:
            raise ServerUnreachable(f"{self._base} cannot be reached: {_reason(error)}") from error
        return answer

    def _refuse(self, error: urllib.error.HTTPError, path: str) -> NoReturn:
        said = _detail(error)
        if error.code == 404:
            raise UnknownName(f"{self._base}{path.partition('?')[0]}: not found{said}")
        if error.code in (401, 403):
            raise ServerRefused(
                f"{self._base} refuses the token of --token-file{said}; `wrapd tokens list` shows all"
            )
        text = f"{self._base} answers with HTTP {error.code}{said}"
        raise ServerUnreachable(text) if error.code == 429 or error.code >= 500 else ServerRefused(text)


class Events(threading.Thread):
    """Listens to the events. `news` gets a pair for each: the event and its data; `open` and `lost` say how the
    connection is; `end` that it is refused for good. `sleep` waits for seconds, `chance` is in [0, 1)."""

    def __init__(self, api: ServerApi, *, sleep: Callable[[float], None], chance: Callable[[], float]) -> None:
        super().__init__(daemon=True)
        self.news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._api, self._sleep, self._chance = api, sleep, chance
        self._last: str | None = None
        self._ended = threading.Event()

    def stop(self) -> None:
        """Connect no more. Does not wait for a connection or pause under way."""
        self._ended.set()

    def run(self) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                headers = {"Accept": "text/event-stream"} | (
                    {} if self._last is None else {"Last-Event-ID": self._last}
                )
                with self._api.opened("/api/v1/events", headers) as stream:
                    failures = 0
                    self.news.put(("open", self._last is not None))
                    self._listen(stream)
                why = "the stream ended"
            except ServerUnreachable as error:
                why = str(error)
            except WrapdError as error:
                self.news.put(("end", error))
                return
            except (OSError, HTTPException, ValueError) as error:
                why = _reason(error)
            if self._ended.is_set():
                return
            self.news.put(("lost", why))
            self._sleep(min(_LONGEST, 2.0**failures) * (0.5 + self._chance() / 2))
            failures = min(failures + 1, 10)

    def _listen(self, stream: HTTPResponse) -> None:
        """Read events until the stream ends (HTML standard, "Interpreting an event stream")."""
        name, data, ident = "", [], self._last
        while line := stream.readline(65536):
            field, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id" and "\0" not in value:
                ident = value
            elif line.strip() == b"":
                self._last = ident  # not before: an event that is cut off is not there
                if data:
                    self.news.put((name or "message", _parsed("\n".join(data))))
                name, data = "", []


class ServerJobs:
    """The jobs that `which` chooses."""

    def __init__(self, api: ServerApi, which: Followable, *, events: Events, now: Callable[[], datetime]) -> None:
        """Raises UsageFault, UnknownName and ServerRefused."""
        self._api, self._which, self._events, self._now = api, which, events, now
        self._given = [self._key(job_id) for job_id in job_ids(which.ids)] if which.ids else []
        self._jobs: dict[Key, Mapping[str, Any]] = {}
        self._views: dict[object, views.Followed] = {}
        self._changed: set[Key] = set()
        self._all = True
        self._lost: str | None = None
        """Why there is no event stream."""
        self._band: Mapping[str, Any] | None = None
        """The batch as it was last read."""
        self._failed: str | None = None
        """Why the last look failed."""
        self._events.start()

    def look(self) -> Mapping[object, views.Followed]:
        """The jobs as of now. An answer that fails later than the first is asked for again at the next look."""
        self._take()
        try:
            if self._all or len(self._changed) > _SINGLY:
                self._read_all()
            else:
                self._read_changed()
        except ServerUnreachable as error:
            if not self._views:
                raise
            self._failed = str(error)
        else:
            self._failed = None
        return self._views

    def wait(self, seconds: float) -> None:
        """Return after an event, or after `seconds`."""
        try:
            self._note_event(*self._events.news.get(timeout=seconds))
        except queue.Empty:
            return

    def outlooks(self, keys: Sequence[object], now: datetime) -> list[Outlook]:
        """When each of these jobs should end, as the server estimated when it was last asked."""
        return [Outlook(at=now, eta=_eta(self._jobs[key], now)) for key in keys]  # type: ignore[index]

    def last_end(self, now: datetime) -> BatchOutlook:
        """When the last of the running jobs should end, as the server estimated not long ago."""
        running = [key for key, view in self._views.items() if view.outcome == views.JobEnd.RUNNING]
        if len(running) == 1:
            return BatchOutlook(at=now, eta=_eta(self._jobs[running[0]], now))  # type: ignore[index]
        if not running:
            return BatchOutlook(at=now)
        if self._band is None or (now - self._band["read_at"]).total_seconds() >= _BAND_LIFE:
            self._band = {**self._together(running), "read_at": now}
        return BatchOutlook(at=now, eta=_eta(self._band, now), soonest=_soonest(self._band, now))

    def _together(self, running: Sequence[object]) -> Mapping[str, Any]:
        """The estimate for all of them; nothing if there is none now, as where the server is of a version without
        it."""
        which = self._which
        named = [f"{self._views[key].project}/{self._views[key].job_id}" for key in running]
        projects = {self._views[key].project for key in running}
        try:
            if which.batch is not None and which.tag is None and len(projects) == 1:
                [project] = projects
                return self._api.get(f"/api/v1/batches/{quote(project, safe='')}/{quote(which.batch, safe='')}")
            if not self._given:
                return self._api.get(_ENDING, batch=which.batch, tag=which.tag, project=which.project)
            return self._api.get(_ENDING, job=named) if 0 < len(named) <= _NAMED else {}
        except (ServerUnreachable, UnknownName):
            return {}

    def note(self) -> str | None:
        """What keeps the jobs from moving on: the server is not reached."""
        why = self._failed or self._lost
        return None if why is None else f"Connecting again: {why}"

    def _take(self) -> None:
        while not self._events.news.empty():
            self._note_event(*self._events.news.get())

    def _note_event(self, event: str, data: Any) -> None:
        match event:
            case "end":
                raise data
            case "lost":
                self._lost = str(data)
            case "open":  # without a place to resume at, what changed before it is in no event
                self._lost, self._all = None, self._all or not data
            case "resync":
                self._all = True
            case "job" if isinstance(data, dict):
                key = str(data.get("project")), str(data.get("job_id"))
                if key in self._jobs or not self._given:
                    self._changed.add(key)
            case _:
                pass

    def _read_all(self) -> None:
        which = self._which
        found = [self._one(key) for key in self._given] if self._given else list(self._pages())
        if not found and not self._views and not which.everything:
            raise UnknownName(f"no job has the {_named(which)}")
        read = {self._keep(job) for job in found}
        # Those that left the list: ended where only active ones are listed, else given another batch or tag.
        left = [key for key in self._jobs if key not in read and self._views[key].outcome == views.JobEnd.RUNNING]
        self._changed = set(left)
        self._read_changed()
        self._all = False

    def _read_changed(self) -> None:
        for key in sorted(self._changed):
            try:
                job = self._one(key)
            except UnknownName:  # deleted
                job = None
            if job is not None and (key in self._jobs or self._fits(job)):
                self._keep(job)
            self._changed.discard(key)

    def _key(self, job_id: str) -> Key:
        """The only job with this id or id prefix."""
        found = self._with_id(job_id) or self._beginning_with(job_id)
        if not found:
            raise UnknownName(f"the server has no job {job_id}")
        if len(found) > 1:
            listed = "".join(f"\n  {clean(each)} of project {clean(project)}" for project, each in found[:5])
            raise UsageFault(f"several jobs fit {job_id}; give more of the id, or --project:{listed}")
        return found[0]

    def _with_id(self, job_id: str) -> list[Key]:
        """The job with this id in each project that has one."""
        projects = [self._which.project]
        if projects == [None]:
            projects = [each.get("project") for each in _items(self._api.get("/api/v1/projects"))]
        found = []
        for project in projects:
            key = str(project), job_id
            with suppress(UnknownName):
                self._one(key)
                found.append(key)
        return found

    def _beginning_with(self, job_id: str) -> list[Key]:
        """Those whose id begins so; the one with this id may be of a project that the server no longer has."""
        listed = self._listed(q=job_id, project=self._which.project)
        named = [(str(each.get("project")), str(each.get("job_id"))) for each in listed]
        exact = [key for key in named if key[1] == job_id]
        if exact or len(job_id) < SHORTEST:
            return exact
        return [key for key in named if key[1].startswith(job_id)]

    def _pages(self) -> Iterator[Mapping[str, Any]]:
        which = self._which
        tracking = "active" if which.everything else None
        return self._listed(batch=which.batch, tag=which.tag, project=which.project, tracking=tracking)

    def _listed(self, **filters: str | None) -> Iterator[Mapping[str, Any]]:
        """The jobs on all pages of a list. A page examines some jobs only, so it may be empty and not the last."""
        cursor = None
        while True:
            page = self._api.get("/api/v1/jobs", **filters, limit=str(_PAGE), cursor=cursor)
            yield from _items(page)
            cursor = page.get("next")
            if not isinstance(cursor, str):
                return

    def _one(self, key: Key) -> Mapping[str, Any]:
        return self._api.get(f"/api/v1/jobs/{quote(key[0], safe='')}/{quote(key[1], safe='')}")

    def _fits(self, job: Mapping[str, Any]) -> bool:
        which = self._which
        tags = job.get("tags")
        return (
            which.project in (None, job.get("project"))
            and which.batch in (None, job.get("batch"))
            and (which.tag is None or (isinstance(tags, list) and which.tag in tags))
            and (not which.everything or job.get("tracking") == "active")
        )

    def _keep(self, job: Mapping[str, Any]) -> Key:
        view = views.followed_of(job)
        key = view.project, view.job_id
        self._jobs[key], self._views[key] = {**job, "read_at": self._now()}, view
        return key


@contextmanager
def connected(base: str, token_file: Path, which: Followable) -> Iterator[ServerJobs]:
    """The jobs of the server at `base`. Raises UsageFault, ConfigFault and ServerRefused."""
    token = Secret(SecretSource.FILE, str(token_file)).resolve({}, place="--token-file")
    if token_file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        output.hint(f"{clean(str(token_file))}: others can read the token; run `chmod 600` on it")
    api = ServerApi(base, token)
    if api.is_readable:
        output.hint("--server: the token is sent unencrypted; use https:// where others share the network")
    events = Events(api, sleep=time.sleep, chance=random.random)
    try:
        yield ServerJobs(api, which, events=events, now=CLOCK.now)
    finally:
        events.stop()


def _eta(job: Mapping[str, Any], now: datetime) -> Eta | None:
    """The rest of the estimate that came with the job; None once it is over."""
    given = job.get("eta")
    if not isinstance(given, dict):
        return None
    passed = (now - job["read_at"]).total_seconds()
    try:
        low, median, high = (float(given[f"{name}_seconds"]) - passed for name in ("low", "median", "high"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return Eta(low=max(0.0, low), median=median, high=high) if median > 0 else None


def _soonest(batch: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds before which the batch will hardly have ended, if the server says so."""
    try:
        found = datetime.fromisoformat(batch["soonest_at"])
        return max(0.0, (found - now).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def _items(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The items of a page, as far as they are objects."""
    items = page.get("items")
    return (each for each in (items if isinstance(items, list) else ()) if isinstance(each, dict))


def _named(which: Followable) -> str:
    given = {"batch": which.batch, "tag": which.tag}
    return " and ".join(f"{name} {shown(text)}" for name, text in given.items() if text is not None)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _reason(error: BaseException) -> str:
    """Why there is no answer, in a few words."""
    inner = getattr(error, "reason", None)
    found = inner if isinstance(inner, BaseException) else error
    text = getattr(found, "strerror", None) or str(found) or type(found).__name__
    return clean(MASKS.apply(str(text)))[:_SHOWN]


def _detail(error: urllib.error.HTTPError) -> str:
    """What the server says about its refusal."""
    try:
        said = json.loads(error.read(65536))
        text = said.get("detail") or said.get("error")
    except (OSError, HTTPException, ValueError, AttributeError, RecursionError):
        return ""
    return f": {clean(MASKS.apply(str(text)))[:_SHOWN]}" if text else ""
