"""`python -m tests.support.defects FOLDER`: a whole daemon with an error raised at a chosen place, run by run.

Reads a list of faults as JSON from standard input, writes one line of JSON for each run: what was violated, how
often each place was passed. Everything is real (two simulators, three webhooks, the database, the web server)
except time, which jumps. In a process of its own, since the probes change what is imported.
"""

from tests.support.probing import PROBE, Fault, install

install()

# ruff: noqa: E402 - the probes come first

import asyncio
import contextlib
import gc
import json
import logging
import random
import shutil
import socket
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.build import build_plan, check_config
from daemon.clock import ManualClock
from daemon.domain.jobs import JobId, ProjectName
from daemon.logs import set_up
from daemon.notify import NotifySettings
from daemon.service import Service
from daemon.sim import SimSettings, Simulator
from daemon.store import Store, StoreBusy, StoreFailed, TrackRequest
from daemon.web import callback_url
from tests.support.virtual import Busy, VirtualLoop, stand_in
from tests.support.webhook import Answer, Webhook

BUSY = Busy()
INJECTED = "raised by the test"
ERRORS: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError(INJECTED),
    "StoreFailed": lambda: StoreFailed(INJECTED),
    "StoreBusy": lambda: StoreBusy(INJECTED),
}
RESCUE = 120.0
"""Seconds for which a delivery may be `sending` at most."""
LATEST = 2500.0
"""Seconds within which everything that is not hit again and again has been told."""
PROMPT = 60.0
"""Seconds within which an end is told that the error was not about."""
MAX_INTERVAL = 10.0
LOOK_INTERVAL = NotifySettings().look_interval
KEY = "a-callback-key-of-tests"
HIT_AT, FOUND_AT, CALLED_AT = 7.0, 6.0, 14.0


@dataclass
class Run:
    """One run, and what it found."""

    folder: Path
    clock: ManualClock
    fault: Fault | None
    violations: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    """What reached the loop's handler of last resort."""
    labels: dict[str, str] = field(default_factory=dict)
    """Label by job id."""
    ends: dict[str, float] = field(default_factory=dict)
    """When each job ends or, if that is later, can first be known (monotonic seconds)."""
    hit_at: float | None = None


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, str(record.msg)))


def run(folder: Path, fault: Fault | None) -> dict[str, Any]:
    """One run with `fault`."""
    clock = ManualClock()
    it = Run(folder=folder, clock=clock, fault=fault)
    BUSY.count = 0
    log = _Log()
    logging.getLogger().handlers[:] = [log]
    PROBE.reset(fault)
    PROBE.on_hit = lambda: setattr(it, "hit_at", it.hit_at or clock.monotonic())
    begun = time.monotonic()
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock, BUSY)) as runner:
        runner.get_loop().set_exception_handler(
            lambda _loop, context: it.unheard.append(f"{context['message']}: {context.get('exception')!r}")
        )
        runner.run(_live(it))
        gc.collect()
        runner.run(asyncio.sleep(0))
    PROBE.armed = False
    # What could not be closed since its closing failed is no news.
    it.violations += [f"nobody heard of: {each}" for each in it.unheard if not each.startswith("Unclosed")]
    if PROBE.hits:
        _check_told_of(it, log)
    return {
        "fault": None if fault is None else fault.site,
        "violations": it.violations,
        "passes": [[site, after, count] for (site, after), count in PROBE.passes.items()],
        "hits": len(PROBE.hits),
        "victim": it.labels.get(PROBE.victim or ""),
        "seconds": round(time.monotonic() - begun, 2),
        "virtual": round(clock.monotonic() - 1000.0),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _config(sims: dict[str, Simulator], hooks: dict[str, Webhook], port: int) -> str:
    projects = "".join(
        f'[projects.{name}]\nendpoint = "{sim.url}"\nproject_id = "{sim.settings.project_id}"\n'
        f"requests_per_second = 10\nauth = {{ method = 'aksk', access_key = '{sim.settings.access_key}', "
        f"secret_key = '{sim.settings.secret_key}' }}\n"
        for name, sim in sims.items()
    )
    return f"""
operators = ["ops"]
[polling]
min_interval = "1s"
max_interval = "{MAX_INTERVAL:g}s"
blocked_interval = "5s"
[web]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
{projects}
[projects.other.discovery]
interval = "10s"
[projects.main.callback]
auth = "none"
key = "{KEY}"
track_unknown = true
[channels.a]
url = "{hooks["a"].url()}"
[channels.b]
url = "mmost://{hooks["b"].address}/tokentokentoken12345678"
digest_above = 3
digest_window = "10s"
[channels.ops]
url = "{hooks["ops"].url()}"
[[routes]]
channels = ["a", "b"]
"""


async def _live(it: Run) -> None:
    async with contextlib.AsyncExitStack() as stack:
        sims = {
            name: await stack.enter_async_context(
                Simulator(SimSettings(seed=seed, show_rate=None, write_rate=None, clock=it.clock))
            )
            for name, seed in (("main", 1), ("other", 2))
        }
        hooks = {name: stack.enter_context(Webhook(default=Answer(body=b"ok"))) for name in ("a", "b", "ops")}
        config = it.folder / "wrapd.toml"
        config.write_text(_config(sims, hooks, _free_port()))
        config.chmod(0o600)
        plan = build_plan(check_config(config)[0])
        service = Service(plan=plan, clock=it.clock, rng=random.Random(1))
        _jobs(it, sims, plan.database_url)
        await service.start()
        PROBE.armed = True
        acts = [
            asyncio.create_task(act) for act in (_hint(it, service), _found(it, sims), _called(it, service, sims))
        ]
        try:
            await _told(it, hooks)
            await asyncio.sleep(RESCUE + 10)  # what is sent a second time has been by then
        finally:
            PROBE.armed = False
            for act in acts:
                act.cancel()
            await asyncio.gather(*acts, return_exceptions=True)
            await service.stop()
        _check_messages(it, hooks)
        _check_rows(it)
        _check_asked(it)


def _add(it: Run, sim: Simulator, label: str, ends: float, timeline: list[Any], **more: Any) -> str:
    [job] = sim.create_jobs(timeline=timeline, name=label, **more)
    it.labels[job] = label
    it.ends[job] = it.clock.monotonic() + ends
    return job


def _jobs(it: Run, sims: dict[str, Simulator], url: str) -> None:
    """Jobs in two projects: enough for lists and the feed in one, singly asked ones in the other."""
    requests = []
    for number in range(24):
        ends = 3.0 + number * 1.2
        end = "FAILED" if number % 7 == 3 else "SUCCEED"
        block = [("BLOCK", 6.0)] if number == 5 else []
        timeline = [("WAITING", 1.0), *block, ("PROCESSING", ends - 1.0), (end, None)]
        job = _add(it, sims["main"], f"L-1{number:02d}", ends + (6 if block else 0), timeline)
        batch = "spring" if number < 3 else None
        requests.append(
            TrackRequest(
                project=ProjectName("main"), kind="avatar", job_id=JobId(job), label=it.labels[job], batch=batch
            )
        )
    for number in range(3):
        ends = 5.0 + number * 9
        job = _add(
            it, sims["other"], f"L-2{number:02d}", ends, [("PROCESSING", ends), ("SUCCEED", None)], kind="photo"
        )
        requests.append(
            TrackRequest(project=ProjectName("other"), kind="photo", job_id=JobId(job), label=it.labels[job])
        )
    shutil.copy(_template(it.folder.parent), it.folder / "wrapd.db")
    store = Store.open(url, clock=it.clock)
    try:
        store.write_now(lambda tx: tx.jobs.track_many(requests, at=it.clock.now()))
    finally:
        store.close()


def _template(folder: Path) -> Path:
    """An empty database, made once."""
    path = folder / "empty.db"
    if not path.exists():
        Store.open(f"sqlite:///{path}", clock=ManualClock()).close()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


async def _hint(it: Run, service: Service) -> None:
    """A callback about a job that is watched."""
    await asyncio.sleep(HIT_AT)
    job = next(job for job, label in it.labels.items() if label == "L-103")
    await _callback(service, job)


async def _found(it: Run, sims: dict[str, Simulator]) -> None:
    """A job that only the service's list tells of; it ends once it was found."""
    await asyncio.sleep(FOUND_AT)
    job = _add(it, sims["other"], "L-300", 20.0, [("PROCESSING", None)])
    while not _rows(it, "SELECT 1 FROM jobs WHERE job_id = ?", job):
        await asyncio.sleep(5.0)
    await asyncio.sleep(10.0)
    it.ends[job] = it.clock.monotonic()
    sims["other"].set_state(job, "SUCCEED")


def _rows(it: Run, query: str, *values: object) -> list[Any]:
    with contextlib.closing(sqlite3.connect(it.folder / "wrapd.db")) as connection:
        return connection.execute(query, values).fetchall()


async def _called(it: Run, service: Service, sims: dict[str, Simulator]) -> None:
    """A callback about a job that nobody tracks; the service sends it again where it is not taken."""
    await asyncio.sleep(CALLED_AT)
    job = _add(it, sims["main"], "L-400", 0.0, [("SUCCEED", None)], kind="photo")
    for _ in range(5):
        if await _callback(service, job) < 300:
            return
        await asyncio.sleep(5.0)


async def _callback(service: Service, job: str) -> int:
    assert service.plan.web is not None
    assert service.plan.web.public_url is not None
    assert service.web is not None
    project = ProjectName("main")
    url = callback_url(service.plan.web.public_url, project, service.plan.web.callbacks[project])
    return await _post(service.web.address, url.split("/", 3)[3], json.dumps({"job_id": job, "state": "SUCCEED"}))


async def _posted(address: str, path: str, body: str) -> int:
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 599


_post = BUSY.counted(_posted)


async def _told(it: Run, hooks: dict[str, Webhook]) -> None:
    """Return when all is told, or when it should have been."""
    begun = it.clock.monotonic()
    while (now := it.clock.monotonic()) < begun + LATEST:
        await asyncio.sleep(1.0)
        wanted = {job for job in it.labels if job != PROBE.victim}
        if now > begun + CALLED_AT + 2 and all(wanted <= set(_times(it, name, hooks[name])) for name in "ab"):
            return


# What is checked


def _check_messages(it: Run, hooks: dict[str, Webhook]) -> None:
    excused = set() if PROBE.victim is None else {PROBE.victim}
    for name in "ab":
        if missing := set(it.labels) - set(_times(it, name, hooks[name])) - excused:
            it.violations.append(f"never told on {name}: {_labels(it, missing)}")
        said = b"".join(received.body for received in hooks[name].requests)
        if b"spring" not in said and not excused:
            it.violations.append(f"the end of the batch was not told on {name}")
    again = {job: times for job, times in _times(it, "a", hooks["a"]).items() if times > 1}
    if len(again) > max(1, len(PROBE.hits)):
        it.violations.append(f"told more than once: {_labels(it, set(again))}")
    marked = Counter(
        _end_in(received.body) for received in hooks["a"].requests if b'"possible_repeat": true' in received.body
    )
    if silent := {job for job, times in again.items() if marked[job] < times - 1}:
        it.violations.append(f"told twice without saying so: {_labels(it, silent)}")


def _times(it: Run, name: str, hook: Webhook) -> Counter[str]:
    """How often each job's end was told; on `b`, whose messages tell of several, that it was named there."""
    bodies = [received.body for received in list(hook.requests)]
    if name == "a":
        return Counter(job for body in bodies if (job := _end_in(body)) in it.labels)
    with contextlib.closing(sqlite3.connect(it.folder / "wrapd.db")) as connection:
        sent = {
            job for job, channel, status, *_ in connection.execute(_ENDS) if (channel, status) == (name, "sent")
        }
    said = b"".join(bodies).decode()
    return Counter(job for job in sent if it.labels[job] in said)


def _end_in(body: bytes) -> str:
    """The id of the job whose end a message on `a` tells."""
    facts = json.loads(body)
    return str(facts.get("job_id")) if facts.get("event") in ("succeeded", "failed") else ""


def _labels(it: Run, jobs: set[str]) -> str:
    labels = sorted(it.labels[job] for job in jobs)
    return " ".join(labels) if len(labels) < 8 else f"{len(labels)} jobs, {labels[0]} to {labels[-1]}"


_ENDS = """SELECT jobs.job_id, d.channel, d.status, d.sent_at, d.event FROM deliveries d
JOIN jobs ON jobs.id = d.job WHERE d.event IN ('succeeded', 'failed', 'lost', 'expired', 'canceled')"""


def _check_rows(it: Run) -> None:
    late: dict[str, list[str]] = {}
    for job, channel, _status, sent, event in _rows(it, _ENDS):
        if event not in ("succeeded", "failed"):
            it.violations.append(f"{it.labels.get(job, job)} is told as {event}")
        elif sent is not None and job != PROBE.victim and (took := _monotonic(it, sent) - it.ends[job]) > PROMPT:
            late.setdefault(channel, []).append(f"{it.labels[job]} {took:.0f} s")
    for channel, jobs in late.items():
        if len(jobs) > 1 or it.fault is None:
            it.violations.append(f"told late on {channel}: {', '.join(sorted(jobs)[:8])}")
    unsent = "SELECT status, count(*) FROM deliveries WHERE status NOT IN ('sent', 'canceled') GROUP BY status"
    it.violations += [f"{number} deliveries stay {status}" for status, number in _rows(it, unsent)]
    active = {job for (job,) in _rows(it, "SELECT job_id FROM jobs WHERE tracking = 'active'")}
    if left := active - {PROBE.victim}:
        it.violations.append(f"still watched: {_labels(it, left)}")


def _monotonic(it: Run, stamp: int) -> float:
    return it.clock.monotonic() - (it.clock.now().timestamp() - stamp / 1e6)


def _check_asked(it: Run) -> None:
    """Of a job that is hit again and again: it is asked at `max_interval`, or sent at the pace of the lanes'
    looks; not at once again."""
    if PROBE.victim is None or it.hit_at is None:
        return
    assert it.fault is not None
    lasted = it.clock.monotonic() - it.hit_at
    pace = LOOK_INTERVAL / 2 if "/notify/" in it.fault.site else MAX_INTERVAL  # there are two channels
    most = 8 + 1.5 * lasted / pace
    if len(PROBE.hits) > most:
        it.violations.append(f"{it.labels[PROBE.victim]} was hit {len(PROBE.hits)} times in {lasted:.0f} s")


def _check_told_of(it: Run, log: _Log) -> None:
    """The operators are told by name of what nobody foresaw. Of a failed transaction the store itself tells."""
    assert it.fault is not None
    if not isinstance(it.fault.error(), RuntimeError):
        return
    if not _rows(it, "SELECT 1 FROM deliveries WHERE event = 'defect'"):
        logged = any(INJECTED in line and level >= logging.WARNING for level, line in log.lines)
        it.violations.append("no operator heard of it" + ("" if logged else ", and no log line tells of it"))


def main() -> None:
    folder = Path(sys.argv[1])
    set_up(level="info", output="json")
    stand_in(setattr, BUSY)
    for number, wanted in enumerate(json.load(sys.stdin)):
        inner = folder / f"run-{number}"
        inner.mkdir(parents=True)
        fault = None
        if wanted is not None:
            fault = Fault(**wanted | {"error": ERRORS[wanted["error"]]})
        print(json.dumps(run(inner, fault)), flush=True)
        shutil.rmtree(inner)
    print(json.dumps({"sites": PROBE.kinds}))


if __name__ == "__main__":
    main()
