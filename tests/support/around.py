"""The surroundings of a daemon in a run of `tests.support.defects`: its jobs, and the actions of the service,
tools and people meanwhile. Import it only once the probes are installed."""

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from daemon.app.run import Daemon
from daemon.clock import ManualClock
from daemon.domain.jobs import JobId, ProjectName
from daemon.sim import Simulator
from daemon.store import Store, TrackRequest
from daemon.watch.discovery import Wish
from daemon.web import callback_url
from tests.support.probing import PROBE, Fault
from tests.support.virtual import Busy

BUSY = Busy()
TOKEN = "a-token-of-tests-that-is-long"
HIT_AT, FOUND_AT, CALLED_AT, HANDED_AT, NAMED_AT, WISHED_AT = 7.0, 6.0, 14.0, 9.0, 16.0, 12.0
"""Seconds after the start at which each of these happens."""
NOBODYS = "0f0e0d0c0b0a09080706050403020100"
"""The id of a job that does not exist, named by a callback."""
_AGAIN = 5.0
"""Seconds after which a caller that was not served tries again."""
_TRIES = 5


@dataclass
class Run:
    """One run and its findings."""

    folder: Path
    clock: ManualClock
    fault: Fault | None
    violations: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    """Errors that reached the loop's exception handler."""
    labels: dict[str, str] = field(default_factory=dict)
    """Label by job id."""
    ends: dict[str, float] = field(default_factory=dict)
    """When each job ends or, if later, can first be known (monotonic seconds)."""
    hit_at: float | None = None

    @property
    def database(self) -> Path:
        return self.folder / "wrapd.db"

    def rows(self, query: str, *values: object) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query, values).fetchall()

    def add(self, sim: Simulator, label: str, ends: float, timeline: list[Any], **more: Any) -> str:
        """Create a job that ends in `ends` seconds; return its id."""
        [job] = sim.create_jobs(timeline=timeline, name=label, **more)
        self.labels[job] = label
        self.ends[job] = self.clock.monotonic() + ends
        return job

    def labelled(self, label: str) -> str:
        """Return the id of the job with this label."""
        return next(job for job, each in self.labels.items() if each == label)


def prepare(it: Run, sims: dict[str, Simulator], url: str) -> None:
    """Create a database with jobs of two projects, enough for lists and the feed in one and polled singly in the
    other, and with a command's request."""
    requests = []
    for number in range(24):
        ends = 3.0 + number * 1.2
        end = "FAILED" if number % 7 == 3 else "SUCCEED"
        block = [("BLOCK", 6.0)] if number == 5 else []
        timeline = [("WAITING", 1.0), *block, ("PROCESSING", ends - 1.0), (end, None)]
        job = it.add(sims["main"], f"L-1{number:02d}", ends + (6 if block else 0), timeline)
        requests.append(_request("main", "avatar", job, it, batch="spring" if number < 3 else None))
    for number in range(3):
        ends = 5.0 + number * 9
        timeline = [("PROCESSING", ends), ("SUCCEED", None)]
        job = it.add(sims["other"], f"L-2{number:02d}", ends, timeline, kind="photo")
        requests.append(_request("other", "photo", job, it))
    shutil.copy(_template(it.folder.parent), it.database)
    with contextlib.closing(Store.open(url, clock=it.clock)) as store:
        store.write_now(lambda tx: tx.jobs.track_many(requests, at=it.clock.now()))


def _request(project: str, kind: str, job: str, it: Run, **more: Any) -> TrackRequest:
    return TrackRequest(project=ProjectName(project), kind=kind, job_id=JobId(job), label=it.labels[job], **more)


def _template(folder: Path) -> Path:
    """Return an empty database, created once."""
    path = folder / "empty.db"
    if not path.exists():
        Store.open(f"sqlite:///{path}", clock=ManualClock()).close()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def acts(it: Run, service: Daemon, sims: dict[str, Simulator]) -> Sequence[Coroutine[Any, Any, None]]:
    """Return everything that happens. An action that does not finish was not served."""
    return (
        _hinted(it, service),
        _found(it, sims),
        _called(it, service, sims),
        _handed_over(it, service, sims),
        _made_up(it, service),
        _wished(it, service),
        _opened(it, service),
    )


async def _hinted(it: Run, service: Daemon) -> None:
    """A callback about a watched job."""
    await asyncio.sleep(HIT_AT)
    await _called_back(service, it.labelled("L-103"))


async def _found(it: Run, sims: dict[str, Simulator]) -> None:
    """A job found only through the service's list; it ends after it was found."""
    await asyncio.sleep(FOUND_AT)
    job = it.add(sims["other"], "L-300", 20.0, [("PROCESSING", None)])
    while PROBE.victim != job and not it.rows("SELECT 1 FROM jobs WHERE job_id = ?", job):
        await asyncio.sleep(_AGAIN)
    await asyncio.sleep(10.0)
    it.ends[job] = it.clock.monotonic()
    sims["other"].set_state(job, "SUCCEED")


async def _called(it: Run, service: Daemon, sims: dict[str, Simulator]) -> None:
    """Callbacks about untracked jobs: one is in the service's list, the other is not."""
    for at, label, kind in ((CALLED_AT, "L-400", "photo"), (NAMED_AT - CALLED_AT, "L-401", "photo_detection")):
        await asyncio.sleep(at)
        job = it.add(sims["main"], label, 0.0, [("SUCCEED", None)], kind=kind)
        await _until_served(partial(_called_back, service, job), job)


async def _handed_over(it: Run, service: Daemon, sims: dict[str, Simulator]) -> None:
    """A tool submits a job without naming its kind, then queries its status."""
    await asyncio.sleep(HANDED_AT)
    job = it.add(sims["other"], "L-500", 4.0, [("PROCESSING", 4.0), ("SUCCEED", None)], kind="business_card")
    body = {"project": "other", "job_id": job, "label": "L-500"}
    await _until_served(partial(_asked, service, "POST", "api/v1/jobs", body), job)
    await _until_served(partial(_asked, service, "GET", f"api/v1/jobs/other/{job}"), job)


async def _made_up(it: Run, service: Daemon) -> None:
    """A callback about a job that does not exist: the operators are alerted."""
    await asyncio.sleep(NAMED_AT)
    await _until_served(partial(_called_back, service, NOBODYS), NOBODYS)
    while PROBE.victim != NOBODYS and not it.rows("SELECT 1 FROM deliveries WHERE event = 'unconfirmed'"):
        await asyncio.sleep(_AGAIN)


async def _wished(it: Run, service: Daemon) -> None:
    """A command requests a discovery from the daemon."""
    await asyncio.sleep(WISHED_AT)
    with contextlib.closing(Store.open(service.spec.database_url, clock=it.clock)) as store:
        store.write_now(lambda tx: tx.discoveries.ask(ProjectName("main"), Wish().facts(), it.clock.now()))
    while it.rows("SELECT 1 FROM discoveries WHERE ended_at IS NULL"):
        await asyncio.sleep(_AGAIN)


async def _opened(it: Run, service: Daemon) -> None:
    """A person opens the link of a finished video, and a program reads the metrics."""
    await asyncio.sleep(CALLED_AT)
    job = it.labelled("L-200")
    while not (links := it.rows(_LINK, job)):
        if PROBE.victim == job:
            return
        await asyncio.sleep(_AGAIN)
    for path in ("", "/download", "/cover"):
        await _until_served(partial(_asked, service, "GET", f"v/{links[0][0]}{path}"), job)
    await _until_served(partial(_asked, service, "GET", "metrics"))


_LINK = "SELECT links.token FROM links JOIN jobs ON jobs.id = links.job WHERE jobs.job_id = ?"


async def _until_served(ask: partial[Coroutine[Any, Any, int]], job: str | None = None) -> None:
    """Retry like any client that gets a server error."""
    for _ in range(_TRIES):
        if await ask() < 500:
            return
        await asyncio.sleep(_AGAIN)
    assert job is not None, f"{ask.args[1:]} was never served"
    assert PROBE.victim == job, f"{ask.args[1:]} was never served"


async def _called_back(service: Daemon, job: str) -> int:
    assert service.spec.web is not None
    assert service.spec.web.public_url is not None
    project = ProjectName("main")
    url = callback_url(service.spec.web.public_url, project, service.spec.web.callbacks[project])
    return await _asked(service, "POST", url.split("/", 3)[3], {"job_id": job, "state": "SUCCEED"})


async def _asked(service: Daemon, method: str, path: str, said: object = None) -> int:
    assert service.web is not None
    host, port = service.web.address.rsplit(":", 1)
    body = "" if said is None else json.dumps(said)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(
            f"{method} /{path} HTTP/1.1\r\nHost: {service.web.address}\r\nContent-Type: application/json\r\n"
            f"User-Agent: Mozilla/5.0 (X11) Firefox/140.0\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 599
