"""What a poll costs: the whole path of wrapd beside a bare httpx loop and the official SDK in a thread pool.

    python bench/poll.py [--rounds 5] [--seconds 3] [--json FILE]

wrapd asks singly ("wrapd") and with lists by ids ("ids": one request, 100 jobs looked at). All contenders ask the
same simulator, which runs in a process of its own on another core; each runs in a process of its own, pinned to
one core, 64 queries in flight. Rounds are interleaved, so that a noisy machine is noisy for all. The figures that
count are the ratios.
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
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


# The contenders: each returns {"polls": n, "cpu": seconds, "wall": seconds}


def bare(target: Target, seconds: float) -> dict[str, float]:
    """A loop over httpx with the aiohttp transport: GET, read, nothing else."""
    return asyncio.run(_bare(target, seconds))


async def _bare(target: Target, seconds: float) -> dict[str, float]:
    import httpx
    from httpx_aiohttp import AiohttpTransport

    async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=10) as client:
        headers = {"X-Auth-Token": target.token}
        base = f"{target.url}/v1/{target.project_id}/2d-digital-human-videos/"
        jobs = iter(target.jobs * 1000)
        polls = 0
        end = time.monotonic() + seconds

        async def worker() -> None:
            nonlocal polls
            while time.monotonic() < end:
                answer = await client.get(base + next(jobs), headers=headers)
                assert answer.status_code == 200
                polls += 1

        with metered() as meter:
            await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
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


CONTENDERS = {"bare": bare, "wrapd": wrapd, "ids": ids, "sdk": sdk}


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
        spec = Spec(
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
        service = Daemon(spec=spec, clock=clock, rng=random.Random(1))
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
            for name in order[number % 4 :] + order[: number % 4]:
                runs[name].append(_run(name, target, seconds))
    figures = {}
    for name, results in runs.items():
        figures[f"{name}: CPU microseconds for each poll"] = _median(1e6 * r["cpu"] / r["polls"] for r in results)
        figures[f"{name}: polls a second"] = _median(r["polls"] / r["wall"] for r in results)
    cpu = "{}: CPU microseconds for each poll".format
    rate = "{}: polls a second".format
    figures["ratio: CPU for each poll, wrapd to the bare loop"] = figures[cpu("wrapd")] / figures[cpu("bare")]
    figures["ratio: CPU for each look, the SDK to wrapd by ids"] = figures[cpu("sdk")] / figures[cpu("ids")]
    figures["ratio: polls a second, wrapd to the SDK"] = figures[rate("wrapd")] / figures[rate("sdk")]
    return figures


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
def simulator():
    """`wrapd sim` without rate limits, on the last core."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        stdout=subprocess.PIPE,
        text=True,
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
    async with Simulator(SimSettings(show_rate=None, write_rate=None)) as sim:
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
        _until(lambda: control(target, "GET", "stats")["total"] > 0)
        first = time.monotonic() - begun
        _until(lambda: "daemon.started" in log.read_text())
        time.sleep(3)  # some ticks more
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    finally:
        daemon.terminate()
        daemon.wait(30)
    return first, peak / 1024


def _until(happened) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError("the daemon did not start within 60 s")
        time.sleep(0.005)


def _median(values) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
