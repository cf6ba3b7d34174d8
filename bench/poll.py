"""The cost of a poll: the complete path of wrapd, its transport alone, and what a user would write instead.

    python bench/poll.py [--rounds 5] [--seconds 3] [--speed-only] [--json FILE]

wrapd polls singly (`wrapd`) and with lists by ids (`ids`: one request, 100 jobs). `transport` is a loop over the
transport that wrapd uses: GETs with a token, the answers read, nothing else. `sockets` is the floor: the same
bytes over raw asyncio sockets. A user would take `httpx` (its AsyncClient with its own transport) or the
official SDK in 64 threads (`sdk`). All query the same simulator, which runs in a separate process on another
core. Each contender runs in a separate process, pinned to one core, with 64 queries in flight. Rounds are
interleaved, so that a noisy machine is noisy for all. The ratios are what counts.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from _around import until
from _report import save

IN_FLIGHT = 64
JOBS = 6000
SCALE = 100_000


@dataclass
class Target:
    """Where the simulator is, and how to ask it."""

    url: str
    access_key: str
    secret_key: str
    project_id: str
    token: str
    jobs: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--speed-only", action="store_true", help="leave memory and start-up out")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        os.sched_setaffinity(0, {0})
        print(json.dumps(CONTENDERS[arguments.contender](Target(**json.load(sys.stdin)), arguments.seconds)))
        return
    figures = speed(arguments.rounds, arguments.seconds)
    if not arguments.speed_only:
        figures |= scale(arguments.rounds)
    print("\n".join(f"{name:<58} {value:>10.2f}" for name, value in figures.items()))
    if arguments.json:
        about = (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip()
        save(arguments.json, title="A poll", order=40, about=about, rows=rows(figures), figures=figures)


# The contenders: each returns {"polls": n, "cpu": seconds, "wall": seconds}


def transport(target: Target, seconds: float) -> dict[str, float]:
    """wrapd's transport, called directly: GET, read, nothing else."""
    from daemon.transport import Request, Transport

    async def run() -> dict[str, float]:
        server, headers = Transport(target.url), (("X-Auth-Token", target.token),)

        async def get(path: str) -> int:
            return (await server.exchange(Request(method="GET", target=path, headers=headers))).status

        try:
            return await _loop(target, seconds, [get] * IN_FLIGHT)
        finally:
            await server.aclose()

    return asyncio.run(run())


def sockets(target: Target, seconds: float) -> dict[str, float]:
    """The same requests over raw asyncio streams: write, read the head and the body."""

    async def run() -> dict[str, float]:
        host, _, port = target.url.removeprefix("http://").rpartition(":")
        streams = [await asyncio.open_connection(host, int(port)) for _ in range(IN_FLIGHT)]

        def getter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
            async def get(path: str) -> int:
                head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Auth-Token: {target.token}\r\n\r\n"
                writer.write(head.encode())
                answer = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                return int(answer[9:12])

            return get

        return await _loop(target, seconds, [getter(*stream) for stream in streams])

    return asyncio.run(run())


def httpx(target: Target, seconds: float) -> dict[str, float]:
    """One httpx.AsyncClient with its own transport, as a user would write it."""
    import httpx as library

    async def run() -> dict[str, float]:
        limits = library.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        headers = {"X-Auth-Token": target.token}
        async with library.AsyncClient(base_url=target.url, headers=headers, limits=limits, timeout=30) as client:

            async def get(path: str) -> int:
                return (await client.get(path)).status_code

            return await _loop(target, seconds, [get] * IN_FLIGHT)

    return asyncio.run(run())


async def _loop(target: Target, seconds: float, getters: list) -> dict[str, float]:
    """Query the jobs in turn, each worker with its own getter."""
    base = f"/v1/{target.project_id}/2d-digital-human-videos/"
    jobs = iter(target.jobs * 1000)
    polls = 0
    end = time.monotonic() + seconds

    async def worker(get) -> None:
        nonlocal polls
        while time.monotonic() < end:
            assert await get(base + next(jobs)) == 200
            polls += 1

    with metered() as meter:
        await asyncio.gather(*(worker(get) for get in getters))
    return {"polls": polls, **meter}


def wrapd(target: Target, seconds: float) -> dict[str, float]:
    """The daemon's own path: schedule, sign, query, decode, judge, store."""
    return asyncio.run(_wrapd(target, seconds, by="single", rate=1_000_000))


def ids(target: Target, seconds: float) -> dict[str, float]:
    """The same with lists of 100 jobs, chosen by what was learned; 200 requests a second are enough to measure."""
    return asyncio.run(_wrapd(target, seconds, by="ids", rate=200))


async def _wrapd(target: Target, seconds: float, *, by: str, rate: float) -> dict[str, float]:
    async with running(target, target.jobs, batch=by == "ids", rate=rate) as service:
        counted = service.metrics.registry.get_sample_value
        labels = {"project": "bench", "by": by}
        seen = {"project": "bench", "state": "WAITING"}, {"project": "bench", "state": "PROCESSING"}
        while sum(counted("wrapd_transitions_total", each) or 0 for each in seen) < len(target.jobs) or counted(
            "wrapd_looks_total", labels
        ) < 1.2 * len(target.jobs):
            await asyncio.sleep(0.01)  # the first answers are all transitions; a running daemon is measured
        await asyncio.sleep(len(target.jobs) / 1000 + 1)  # what `track` left for the daemon: 1,000 a second
        before = counted("wrapd_looks_total", labels)
        with metered() as meter:
            await asyncio.sleep(seconds)
            polls = counted("wrapd_looks_total", labels) - before
        return {"polls": polls, **meter}


def sdk(target: Target, seconds: float) -> dict[str, float]:
    """The official SDK, one client, its threads as many as queries in flight."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.http.http_config import HttpConfig
    from huaweicloudsdkmetastudio.v1 import MetaStudioClient, Show2DDigitalHumanVideoRequest

    client = (
        MetaStudioClient.new_builder()
        .with_http_config(HttpConfig())
        .with_credentials(BasicCredentials(target.access_key, target.secret_key, target.project_id))
        .with_endpoint(target.url)
        .build()
    )
    jobs = iter(target.jobs * 1000)
    end = time.monotonic() + seconds

    def worker() -> int:
        polls = 0
        while time.monotonic() < end:
            client.show2_d_digital_human_video(Show2DDigitalHumanVideoRequest(job_id=next(jobs)))
            polls += 1
        return polls

    with metered() as meter, ThreadPoolExecutor(IN_FLIGHT) as pool:
        done = list(pool.map(lambda _: worker(), range(IN_FLIGHT)))
        pool.shutdown()
    return {"polls": sum(done), **meter}


CONTENDERS = {
    "transport": transport,
    "wrapd": wrapd,
    "ids": ids,
    "sockets": sockets,
    "httpx": httpx,
    "sdk": sdk,
}


class metered:  # noqa: N801 - reads as what it does
    """CPU and wall seconds of this process between enter and exit, into the dict it gives."""

    def __enter__(self) -> dict[str, float]:
        self.figures: dict[str, float] = {}
        self.begun = time.monotonic(), _cpu()
        return self.figures

    def __exit__(self, *_: object) -> None:
        self.figures.update(wall=time.monotonic() - self.begun[0], cpu=_cpu() - self.begun[1])


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@asynccontextmanager
async def running(target: Target, jobs: list[str], *, batch: bool, rate: float):
    """The daemon as `wrapd run` runs it, but for the web server; it asks as fast as it can."""
    from daemon.app.run import Daemon
    from daemon.clock import SystemClock
    from daemon.domain.planning import Rails
    from daemon.domain.routing import routing
    from daemon.metastudio.settings import AkSk, ProjectSettings
    from daemon.notify import NotifySettings
    from daemon.spec import Spec
    from daemon.store import Store, TrackRequest
    from daemon.watch.settings import PollingPlan

    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        url = f"sqlite:///{folder}/wrapd.db"
        store = Store.open(url, clock=clock)
        store.write_now(
            lambda tx: [
                tx.jobs.track(TrackRequest(project="bench", kind="avatar", job_id=job), at=clock.now())
                for job in jobs
            ]
        )
        store.close()
        project = ProjectSettings(
            name="bench",
            endpoint=target.url,
            project_id=target.project_id,
            rate=rate,
            auth=AkSk(access_key=target.access_key, secret_key=target.secret_key),
        )
        plan = Spec(
            database_url=url,
            projects=(project,),
            max_in_flight={"bench": IN_FLIGHT},
            polling=PollingPlan(
                rails=Rails(min_interval=0.1, max_interval=0.1, blocked_interval=0.1), feed=False, batch=batch
            ),
            not_found_grace=600,
            give_up_after=86400,
            channels={},
            routing=routing([], operators=[], channels=[]),
            notify=NotifySettings(),
            web=None,
        )
        service = Daemon(spec=plan, clock=clock, rng=random.Random(1))
        async with service.running(asyncio.Event()):
            yield service


# The measurements


def speed(rounds: int, seconds: float) -> dict[str, float]:
    """CPU for each poll and polls a second of the contenders, and their ratios (medians over the rounds)."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    with simulator() as target:
        target.jobs = _create(target, JOBS)
        order = list(CONTENDERS)
        for number in range(rounds):
            first = number % len(order)
            for name in order[first:] + order[:first]:
                runs[name].append(_run(name, target, seconds))
    figures = {}
    for name, results in runs.items():
        figures[f"{name}: CPU microseconds for each poll"] = _median(1e6 * r["cpu"] / r["polls"] for r in results)
        figures[f"{name}: polls a second"] = _median(r["polls"] / r["wall"] for r in results)
    cpu = "{}: CPU microseconds for each poll".format
    rate = "{}: polls a second".format
    for other in ("transport", "sockets", "httpx", "sdk"):
        figures[f"ratio: CPU for each poll, wrapd to {other}"] = figures[cpu("wrapd")] / figures[cpu(other)]
    figures["ratio: CPU for each poll, wrapd by ids to transport"] = (
        figures[cpu("ids")] / figures[cpu("transport")]
    )
    figures["ratio: polls a second, wrapd to sdk"] = figures[rate("wrapd")] / figures[rate("sdk")]
    return figures


def rows(figures: dict[str, float]) -> list[dict[str, object]]:
    """The figures for docs/performance.md."""
    others = {
        "transport": "wrapd's transport alone",
        "sockets": "raw asyncio sockets",
        "httpx": "httpx.AsyncClient",
        "sdk": "the official SDK in threads",
    }
    cpu = "{}: CPU microseconds for each poll".format
    found: list[dict[str, object]] = []
    for contender, name in (("wrapd", "a single query"), ("ids", "a job of a list by ids")):
        found += [
            {
                "what": f"CPU of {name}, beside a query by {words}",
                "wrapd": f"{figures[cpu(contender)]:.0f} µs",
                "beside": f"{figures[cpu(other)]:.0f} µs",
                "ratio": round(figures[cpu(contender)] / figures[cpu(other)], 2),
                "target": "at most 18 µs" if (contender, other) == ("ids", "transport") else "",
            }
            for other, words in others.items()
            if contender == "wrapd" or other == "transport"
        ]
    found[-1]["met"] = figures[cpu("ids")] <= 18
    found += [
        {
            "what": name.partition(": ")[0].capitalize() + ": " + name.partition(": ")[2],
            "wrapd": f"{value:.1f}",
            "beside": "",
            "ratio": None,
            "target": "",
        }
        for name, value in figures.items()
        if name.startswith(("memory", "start"))
    ]
    return found


def scale(rounds: int) -> dict[str, float]:
    """Peak memory and seconds from start to first poll of `wrapd run`, with 1 and with 100,000 tracked jobs."""
    peaks: dict[int, list[float]] = {1: [], SCALE: []}
    starts: dict[int, list[float]] = {1: [], SCALE: []}
    with simulator() as target, tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        configs = {number: _tracked(Path(folder) / str(number), target, number) for number in peaks}
        for _ in range(rounds):
            for number, config in configs.items():
                first_poll, peak = _start(config, target)
                starts[number].append(first_poll)
                peaks[number].append(peak)
    return {
        "memory: peak MiB with 1 job": _median(peaks[1]),
        f"memory: peak MiB with {SCALE} jobs": _median(peaks[SCALE]),
        f"memory: MiB more with {SCALE} jobs": _median(peaks[SCALE]) - _median(peaks[1]),
        "start: seconds to the first poll with 1 job": _median(starts[1]),
        f"start: seconds to the first poll with {SCALE} jobs": _median(starts[SCALE]),
        f"ratio: start with {SCALE} jobs to 1 job": _median(starts[SCALE]) / _median(starts[1]),
    }


def _run(name: str, target: Target, seconds: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--contender", name, "--seconds", str(seconds)],
        input=json.dumps(vars(target)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def simulator(region: str | None = None):
    """A simulator on the last core, with the documented limits of `region`; None: without limits."""
    limits = "show_rate=None, write_rate=None" if region is None else f"region={region!r}"
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE.replace("LIMITS", limits)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield Target(**json.loads(process.stdout.readline()), jobs=[])
    finally:
        process.terminate()
        process.wait(10)


_SERVE = """
import asyncio, json, os
from daemon.sim import SimSettings, Simulator

async def serve():
    async with Simulator(SimSettings(LIMITS)) as sim:
        keys = sim.settings
        print(json.dumps({"url": sim.url, "access_key": keys.access_key, "secret_key": keys.secret_key,
                          "project_id": keys.project_id, "token": keys.token}), flush=True)
        await asyncio.Event().wait()

os.sched_setaffinity(0, {os.cpu_count() - 1})
asyncio.run(serve())
"""


def _create(target: Target, number: int) -> list[str]:
    """Jobs that change their state every three minutes: of 2,000 polls a second about 30 see a transition."""
    steps = [[state, 180] for _ in range(20) for state in ("WAITING", "PROCESSING")]
    return control(target, "POST", "jobs", {"count": number, "timeline": [*steps, ["SUCCEED", None]]})["job_ids"]


def control(target: Target, method: str, what: str, body: object = None) -> dict:
    request = urllib.request.Request(
        f"{target.url}/_sim/{what}", method=method, data=None if body is None else json.dumps(body).encode()
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _tracked(folder: Path, target: Target, number: int) -> Path:
    """A config and a database with so many tracked jobs, one of which the service knows."""
    folder.mkdir()
    config = folder / "wrapd.toml"
    config.write_text(
        f"""[projects.main]
endpoint = "{target.url}"
project_id = "{target.project_id}"
requests_per_second = 5
auth = {{ method = "aksk", access_key = "{target.access_key}", secret_key = "{target.secret_key}" }}
[web]
listen = "127.0.0.1:0"
"""
    )
    ids = [*_create(target, 1), *(str(uuid.UUID(int=n)) for n in range(1, number))]
    subprocess.run(
        [sys.executable, "-m", "daemon.cli", "--config", config, "track", "-"],
        input="\n".join(ids),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return config


def _start(config: Path, target: Target) -> tuple[float, float]:
    """Start `wrapd run`: seconds to the first query, and peak MiB once all jobs are taken up."""
    control(target, "DELETE", "stats")
    log = config.with_suffix(".log")
    with log.open("wb") as stream:
        begun = time.monotonic()
        daemon = subprocess.Popen([sys.executable, "-m", "daemon.cli", "--config", config, "run"], stderr=stream)
    try:
        until(lambda: control(target, "GET", "stats")["total"] > 0, "a query", within=60, pace=0.005)
        first = time.monotonic() - begun
        until(lambda: "daemon.started" in log.read_text(), "the daemon runs", within=60, pace=0.005)
        time.sleep(3)  # some ticks more
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    finally:
        daemon.terminate()
        daemon.wait(30)
    return first, peak / 1024


def _median(values) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
