"""Memory, CPU of the start, and the longest pauses of the event loop, with many tracked jobs.

python bench/memory.py [--jobs 100000] [--many 1000000] [--rounds 1] [--starts 3] [--seconds 20] [--json FILE]

Each measurement is a daemon in a process of its own, as `wrapd run` runs it without its web server, against a
service in another process. All jobs have a known script length and are in production; five of them end in each
second, so that production times are learned all the while. The daemon with `--jobs` is measured after every job
was queried once, next to the same daemon with one job. The one with `--many` is held for as long, without such a
round, which would take longer than a benchmark should (`--many 0` leaves it out).

CPU of the start is that of the process from its beginning until all jobs are taken up, imports included, at the
default of 10 requests a second. A pause is the CPU time of one callback of the event loop, the garbage collector's
work in it included. Then the feed is distrusted, the config reloaded, production times are learned anew, and the
daemon is stopped. Rounds are interleaved, and the least CPU and pause of them count: what comes on top is the
machine's.
"""

import argparse
import asyncio
import dataclasses
import gc
import json
import mmap
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from msgspec.structs import replace

ENDS = 5.0
"""Ends a second."""
SEED = 11
HISTORY = 200
"""Jobs that ended before, from which production times are learned."""
PHASES = {
    "load": "the start",
    "run": "running",
    "distrust": "the feed is distrusted",
    "reload": "the config is reloaded",
    "refit": "production times are learned anew",
    "stop": "the stop",
}
_WARM = 4 << 30
"""Bytes at most."""
ABOUT = f"""
The daemon without its web server, in a process of its own, {ENDS:g} ends a second. Memory and CPU of the start are
compared with those of the same daemon with one job. Memory is measured after every job was queried once; with the
most jobs, without such a round. A pause is the CPU time of the longest callback of the event loop."""


@dataclass(frozen=True)
class Bound:
    """What a figure must not exceed."""

    figure: str
    most: float


BOUNDS = (
    Bound("memory: MiB more than with 1 job, after a round", 60),
    Bound("memory: MiB with many, held", 650),
    Bound("start: CPU as a multiple of an empty start's", 1.5),
    Bound("start: CPU seconds with many", 10),
    *(Bound(f"pause, ms: {phase}", 50) for phase in PHASES),
    *(Bound(f"pause with many, ms: {phase}", 50) for phase in PHASES),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1, help="of all but the largest daemon, which has one")
    parser.add_argument("--starts", type=int, default=3, help="the same, of starts alone")
    parser.add_argument("--seconds", type=float, default=20.0, help="of running after every job was queried once")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    parser.add_argument("--verbose", action="store_true", help="name the longest callback of each phase")
    parser.add_argument("--daemon", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--service", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.daemon:
        print(json.dumps(asyncio.run(_daemon(**json.load(sys.stdin)))))
    elif options.service:
        asyncio.run(_serve())
    else:
        figures = measure(options)
        print("\n".join(f"{name:<52} {value:>10.2f}" for name, value in figures.items()))
        if options.json:
            from _report import save  # not at the top: the measured daemons do not need it

            found = rows(figures, options)
            save(options.json, title="Memory", order=15, about=ABOUT, rows=found, figures=figures)
        missed = [bound for bound in BOUNDS if figures.get(bound.figure, 0) > bound.most]
        for bound in missed:
            print(f"{bound.figure} is {figures[bound.figure]:.2f}, over {bound.most:g}")
        sys.exit(bool(missed))


def measure(options: argparse.Namespace) -> dict[str, float]:
    """All figures by name."""
    figures = {}
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as temporary:
        folder, sizes = Path(temporary), (1, options.jobs)
        starts: dict[int, list[float]] = {size: [] for size in sizes}
        runs: dict[int, list[dict]] = {size: [] for size in sizes}
        for _ in range(options.starts):
            for size in sizes:
                starts[size].append(_measured(folder, size, options, rate=10.0)["cpu"])
        for _ in range(options.rounds):
            for size in sizes:
                runs[size].append(_measured(folder, size, options, queried=size, seconds=options.seconds))
        if options.many:
            starts[options.many] = [_measured(folder, options.many, options, rate=10.0)["cpu"]]
            many = _measured(folder, options.many, options, queried=0, seconds=options.seconds)
    cpu = {size: min(each) for size, each in starts.items()}
    memory = {size: max(run["rss"] for run in each) for size, each in runs.items()}
    figures = {
        "memory: MiB with 1 job": memory[1],
        f"memory: MiB with {options.jobs:,} jobs, after a round": memory[options.jobs],
        BOUNDS[0].figure: memory[options.jobs] - memory[1],
        "start: CPU seconds with 1 job": cpu[1],
        f"start: CPU seconds with {options.jobs:,} jobs": cpu[options.jobs],
        "start: CPU as a multiple of an empty start's": cpu[options.jobs] / cpu[1],
    }
    for phase in PHASES:
        figures[f"pause, ms: {phase}"] = min(run["pauses"][phase] for run in runs[options.jobs])
    if options.many:
        figures["memory: MiB with many, held"] = many["rss"]
        figures["start: CPU seconds with many"] = cpu[options.many]
        for phase in PHASES:
            figures[f"pause with many, ms: {phase}"] = many["pauses"][phase]
    return figures


def rows(figures: dict[str, float], options: argparse.Namespace) -> list[dict[str, object]]:
    """The rows of docs/performance.md."""
    bounds = {bound.figure: bound.most for bound in BOUNDS}

    def row(what: str, wrapd: str, bound: str, unit: str, beside: str = "", ratio: float | None = None):
        target, met = f"at most {bounds[bound]:g}{unit}", figures[bound] <= bounds[bound]
        return {"what": what, "wrapd": wrapd, "beside": beside, "ratio": ratio, "target": target, "met": met}

    jobs, many = f"{options.jobs:,} jobs", f"{options.many:,} jobs"
    memory, one = figures[f"memory: MiB with {jobs}, after a round"], figures["memory: MiB with 1 job"]
    cpu, empty = figures[f"start: CPU seconds with {jobs}"], figures["start: CPU seconds with 1 job"]
    more, times = "memory: MiB more than with 1 job, after a round", "start: CPU as a multiple of an empty start's"
    beside, started = f"1 job: {one:.0f} MiB", f"1 job: {empty:.2f} s"
    found = [
        row(f"Memory (RSS), {jobs}", f"{memory:.0f} MiB", more, " MiB more", beside, memory / one),
        row(f"CPU of the start, {jobs}", f"{cpu:.2f} s", times, "", started, figures[times]),
    ]
    if options.many:
        held, start = "memory: MiB with many, held", "start: CPU seconds with many"
        found += [
            row(f"Memory (RSS), {many}", f"{figures[held]:.0f} MiB", held, " MiB"),
            row(f"CPU of the start, {many}", f"{figures[start]:.2f} s", start, " s"),
        ]
    for size, name in ((jobs, "pause"), (many, "pause with many"))[: 1 + bool(options.many)]:
        for phase, what in PHASES.items():
            figure = f"{name}, ms: {phase}"
            found.append(row(f"Longest pause, {size}: {what}", f"{figures[figure]:.0f} ms", figure, " ms"))
    return found


def _measured(
    folder: Path,
    jobs: int,
    options: argparse.Namespace,
    *,
    rate: float = 0.0,
    queried: int | None = None,
    seconds: float = 0.0,
) -> dict:
    """One daemon's figures; its start alone where `queried`, the jobs to be queried once, is None. Its database is
    a copy, so that each daemon starts from the same one."""
    path, copy = folder / f"{jobs}.db", folder / "wrapd.db"
    if not path.exists():
        _make(path, jobs)
    for old in folder.glob("wrapd.db*"):
        old.unlink()
    shutil.copy(path, copy)
    _warm()
    with _service() as url, (folder / "wrapd.log").open("w") as log:
        order = {"url": url, "database": str(copy), "rate": rate or options.rate}
        done = subprocess.run(
            [sys.executable, __file__, "--daemon"],
            input=json.dumps({**order, "queried": queried, "seconds": seconds}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=True,
        )
    figures = json.loads(done.stdout.splitlines()[-1])
    if options.verbose:
        print(f"{jobs:,} jobs: {figures}", flush=True)
    return figures


def _warm() -> None:
    """Touch more memory than the daemon will need, and let it go. On a virtual machine the first touch of a page,
    which is its host's to provide, takes 12 µs instead of 1 µs: a pause of 100 ms where a table of all jobs
    grows."""
    available = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    size = min(_WARM, available // 2)
    with mmap.mmap(-1, size) as memory:
        for page in range(0, size, mmap.PAGESIZE):
            memory[page] = 1


# The jobs: number n ends n ÷ 5 seconds after the service's start


def _job_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def _life(number: int) -> tuple[float, float]:
    """Seconds that the job takes in production, and seconds of speech in its script."""
    rng = random.Random(SEED * 1_000_003 + number)
    seconds = (number / ENDS + 20) / rng.uniform(0.2, 1.0)
    return seconds, seconds / 2 * rng.lognormvariate(0, 0.2)


def _make(path: Path, jobs: int) -> None:
    """A database with so many jobs in production, all with a known length, and some that ended before."""
    from daemon.clock import SystemClock
    from daemon.store import Store

    Store.open(f"sqlite:///{path}", clock=SystemClock()).close()
    now = time.time()

    def running(number: int) -> tuple:
        life, length = _life(number)
        began = int((now + number / ENDS - life) * 1e6)
        return ("active", "PROCESSING", _job_id(number), began, int(now * 1e6), began, began, None, began, length)

    def ended(number: int) -> tuple:
        life, length = _life(number % max(jobs, HISTORY) + 1)
        end = int((now - number) * 1e6)
        began = end - int(life * 1e6)
        job_id = _job_id(0xF0000000 + number)
        return ("finished", "SUCCEED", job_id, end, began, began, began, end, end, length)

    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO jobs (project, kind, tags, tracking, state, job_id, state_since, tracked_at, created_at,"
            " started_at, ended_at, reported_at, expected_length, changed) "
            "VALUES ('bench', 'avatar', '[]', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (*map(ended, range(HISTORY)), *map(running, range(1, jobs + 1))),
        )
        database.execute(
            "INSERT INTO transitions (job, seq, after, observed_at) SELECT id, 1, state, state_since FROM jobs"
        )


# The service


@contextmanager
def _service():
    """A service that knows every job by its number alone, so that it holds a million of them in no memory."""
    process = subprocess.Popen([sys.executable, __file__, "--service"], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


async def _serve() -> None:
    from aiohttp import web

    start = time.time()

    def entry(number: int) -> dict[str, object]:
        life, _ = _life(number)
        end = start + number / ENDS
        ended = end <= time.time()
        return {
            "job_id": _job_id(number),
            "state": "SUCCEED" if ended else "PROCESSING",
            "job_type": "2D_DIGITAL_HUMAN_VIDEO",
            "create_time": _wire(end - life),
            "start_time": _wire(end - life),
            "lastupdate_time": _wire(end if ended else end - life),
            **({"end_time": _wire(end)} if ended else {}),
            "output_asset_config": {"asset_name": "A video", "preview_video_url": "https://example.com/v.mp4"},
        }

    async def answer(request: web.Request) -> web.Response:
        query = parse_qs(urlsplit(str(request.rel_url)).query)
        if ids := query.get("job_ids"):
            jobs = [entry(int(each[:8], 16)) for each in ids]
        elif "state" in query:
            newest = int((time.time() - start) * ENDS) - int(query["offset"][0])
            jobs = [entry(number) for number in range(newest, max(0, newest - 100), -1)]
        else:
            return web.json_response(entry(int(request.path.rsplit("/", 1)[1][:8], 16)))
        return web.json_response({"count": len(jobs), "jobs": jobs})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


def _wire(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# The daemon


class Pauses:
    """The longest callback of the event loop in each phase (CPU ms), and what it was."""

    def __init__(self) -> None:
        self.longest = dict.fromkeys(PHASES, 0.0)
        self.what = dict.fromkeys(PHASES, "")
        self.phase = "load"
        run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            begun = time.thread_time()
            run(handle)
            took = 1000 * (time.thread_time() - begun)
            if took > self.longest[self.phase]:
                task = getattr(handle._callback, "__self__", None)
                name = task.get_name() if isinstance(task, asyncio.Task) else ""
                self.longest[self.phase], self.what[self.phase] = took, f"{name} {handle._callback!r}"[:120]

        asyncio.Handle._run = measured


async def _daemon(
    *, url: str, database: str, rate: float, queried: int | None, seconds: float
) -> dict[str, object]:
    from daemon.logs import set_up

    set_up(output="json")
    pauses = Pauses()
    service, spec = _built(url, database, rate)
    await service.start()
    figures: dict[str, object] = {"cpu": time.process_time(), "pauses": pauses.longest, "what": pauses.what}
    if queried is None:
        await service.stop()
        return figures
    counted, poller = service.metrics.registry.get_sample_value, service.scope.pollers["bench"]
    pauses.phase = "run"
    until = time.monotonic() + 600
    while (counted("wrapd_looks_total", {"project": "bench", "by": "ids"}) or 0) < queried > 1:
        await asyncio.sleep(0.1)
        if time.monotonic() > until:
            raise TimeoutError("not every job was queried within 600 s")
    await asyncio.sleep(seconds)
    figures["rss"] = _rss()
    figures["ends"] = counted("wrapd_ends_total", {"project": "bench", "by": "feed"}) or 0
    figures["feed"] = str(poller.feed.trust.standing)

    pauses.phase = "distrust"
    poller.feed.failed("the benchmark distrusts it", for_good=True)
    await asyncio.sleep(5)

    pauses.phase = "reload"
    rails = dataclasses.replace(spec.polling.rails, max_interval=spec.polling.rails.max_interval / 2)
    made = await service.scope.make(replace(spec, polling=replace(spec.polling, rails=rails), give_up_after=9e5))
    asyncio.get_running_loop().call_soon(service.scope.swap, made)
    await asyncio.sleep(5)

    pauses.phase = "refit"
    service._runtime.learning._fitted = None
    await asyncio.sleep(3)

    pauses.phase = "stop"
    await service.stop()
    figures["peak"] = _status("VmHWM")
    return figures


def _built(url: str, database: str, rate: float):
    """The daemon, and its spec."""

    from daemon.app.run import Daemon
    from daemon.clock import SystemClock
    from daemon.domain.routing import routing
    from daemon.metastudio.settings import AkSk, ProjectSettings
    from daemon.notify import NotifySettings
    from daemon.spec import Spec
    from daemon.watch.settings import PollingPlan

    project = ProjectSettings(
        name="bench", endpoint=url, project_id="0" * 32, rate=rate, auth=AkSk(access_key="A", secret_key="S")
    )
    spec = Spec(
        database_url=f"sqlite:///{database}",
        projects=(project,),
        max_in_flight={"bench": 16},
        polling=PollingPlan(),
        not_found_grace=600,
        give_up_after=86400 * 10,
        channels={},
        routing=routing([], operators=[], channels=[]),
        notify=NotifySettings(),
        web=None,
    )
    return Daemon(spec=spec, clock=SystemClock(), rng=random.Random(SEED)), spec


def _rss() -> float:
    gc.collect()  # what waits to be collected is not held
    return _status("VmRSS")


def _status(name: str) -> float:
    """A figure of this process's memory, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    main()
