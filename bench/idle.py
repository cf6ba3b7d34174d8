"""What a daemon costs while nothing happens: context switches by thread, CPU, memory.

    python bench/idle.py [--only none ten ten-bare ...] [--seconds 30] [--json FILE]

Each run is a real `wrapd run` alongside a simulator in a process of its own, with one project and one channel,
with the web server or without. One without jobs makes its database, the others find it. "import" is a Python
process that imports the same modules and sleeps in asyncio. Counted are voluntary context switches (a thread goes
to sleep and has to be woken) and CPU nanoseconds of all threads, from /proc, so a busy machine hardly changes
them, and two runs go on at once. The CPU of requests is measured with the daemon's own client against the same
simulator.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lists import create
from poll import Target, control, simulator

RATE = 10.0
"""Requests per second that the config allows."""
LIST = 100
"""Jobs in one list."""


@dataclass(frozen=True)
class Run:
    """One daemon: tracked jobs, web server or not, seconds until it has settled, and what it may cost."""

    jobs: int
    web: bool
    settle: float
    switches: float | None = None
    cpu: float | None = None
    memory: float | None = None


RUNS = {
    "none": Run(0, web=True, settle=20, switches=3.0, cpu=0.2, memory=90.0),
    "none-bare": Run(0, web=False, settle=20, switches=3.0, cpu=0.2),
    "ten": Run(10, web=True, settle=40, memory=90.0),
    "ten-bare": Run(10, web=False, settle=40, memory=78.0),
    "10,000": Run(10_000, web=True, settle=180, cpu=0.7),
}
IMPORT = "import"
_IMPORTS = {
    True: "import daemon.app.run, daemon.build, daemon.web.server, uvicorn, litestar",
    False: "import daemon.app.run, daemon.build",
}
_NAMED = """
import sys, threading
begin = threading.Thread._bootstrap_inner

def named(self):
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(self.name[:15])
    begin(self)

threading.Thread._bootstrap_inner = named
from daemon.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""Starts wrapd with threads that the kernel knows by name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=(IMPORT, *RUNS), default=(IMPORT, *RUNS))
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    work = {name: partial(measure, name, arguments.seconds) for name in arguments.only if name != IMPORT}
    if IMPORT in arguments.only:
        work |= {f"{IMPORT}, {_web(web)}": partial(beside, web, arguments.seconds) for web in (True, False)}
    with ThreadPoolExecutor(2) as pool:
        longest_first = sorted(work, key=lambda name: -RUNS[name].settle if name in RUNS else 0.0)
        found = dict(zip(longest_first, pool.map(lambda name: work[name](), longest_first), strict=True))
    figures = {name: found[name] for name in work}
    for name, found in figures.items():
        print(name)
        print("\n".join(f"    {figure:<44} {value:>9.2f}" for figure, value in found.items()), flush=True)
    rows = list(_rows(figures))
    if arguments.json:
        page = {
            "title": "A daemon with nothing to do",
            "command": f"python bench/idle.py --only {' '.join(arguments.only)} --seconds {arguments.seconds:g}",
            "about": __doc__.split("\n\n")[2].replace("\n", " "),
            "rows": rows,
            "figures": figures,
        }
        arguments.json.write_text(json.dumps(page, indent=2, ensure_ascii=False) + "\n")
    sys.exit(any(row.get("met") is False for row in rows))


def measure(name: str, seconds: float) -> dict[str, float]:
    """One run: let it settle, then count for `seconds`."""
    run = RUNS[name]
    with simulator() as target, tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        target.jobs = create(target, run.jobs, ends=False) if run.jobs else []
        config = _config(Path(folder), target, web=run.web)
        if run.jobs:
            _track(config, target)
        with daemon(config) as process:
            _until_started(config)
            time.sleep(run.settle)
            before = control(target, "GET", "stats")["by_operation"]
            figures = counted(process, seconds)
            after = control(target, "GET", "stats")["by_operation"]
        requests = {each: after[each] - before.get(each, 0) for each in after}
        figures["requests a second"] = sum(requests.values()) / seconds
        if run.jobs:
            figures["CPU beyond requests, %"] = figures["CPU, %"] - 100 * _requests(target, requests) / seconds
        return figures


def beside(web: bool, seconds: float) -> dict[str, float]:
    """The same for a process that has the modules of a daemon, and only sleeps."""
    code = f"import asyncio\n{_IMPORTS[web]}\nprint(flush=True)\nasyncio.run(asyncio.sleep(86400))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        return counted(process, seconds)
    finally:
        process.kill()
        process.wait()


def counted(process: subprocess.Popen, seconds: float) -> dict[str, float]:
    """Switches of each thread (by name) and of all, CPU and resident memory over so many seconds."""
    before, begun = _threads(process.pid), time.monotonic()
    time.sleep(seconds)
    after, passed = _threads(process.pid), time.monotonic() - begun
    by_name: Counter[str] = Counter()
    cpu = 0.0
    for thread, (name, switches, ran) in after.items():
        _, switches_before, ran_before = before.get(thread, (name, 0, 0.0))
        by_name[name] += switches - switches_before
        cpu += ran - ran_before
    status = Path(f"/proc/{process.pid}/status").read_text()
    return {
        "switches a second": by_name.total() / passed,
        "CPU, %": 100 * cpu / passed,
        "RSS, MiB": _field(status, "VmRSS") / 1024,
        "threads": len(after),
        **{f"switches a second of {name}": count / passed for name, count in by_name.most_common(6) if count},
    }


def _threads(pid: int) -> dict[str, tuple[str, int, float]]:
    """Name, voluntary switches and CPU seconds of each thread."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        name = status.splitlines()[0].partition("\t")[2] if task.name != str(pid) else "main"
        ran = int((task / "schedstat").read_text().split()[0]) / 1e9
        found[task.name] = (name, _field(status, "voluntary_ctxt_switches"), ran)
    return found


def _field(status: str, name: str) -> int:
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def _requests(target: Target, requests: dict[str, int]) -> float:
    """CPU seconds that these requests cost the daemon's own client, answers decoded."""
    cost = json.loads(
        subprocess.run(
            [sys.executable, __file__, "--client"],
            input=json.dumps(vars(target)),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    return sum(cost["list" if operation == "list" else "show"] * count for operation, count in requests.items())


async def _client(target: Target, number: int = 400) -> dict[str, float]:
    """CPU seconds of one request of each kind."""
    import random

    from daemon.clock import SystemClock
    from daemon.metastudio.budget import Priority
    from daemon.metastudio.client import ProjectClient
    from daemon.metastudio.gate import AuthGates
    from daemon.metastudio.kinds import KINDS
    from daemon.metastudio.listing import ListQuery
    from daemon.metastudio.settings import AkSk, ProjectSettings

    clock = SystemClock()
    client = ProjectClient(
        ProjectSettings(
            name="bench",
            auth=AkSk(access_key=target.access_key, secret_key=target.secret_key),
            endpoint=target.url,
            project_id=target.project_id,
            rate=1e6,
        ),
        clock=clock,
        gates=AuthGates(clock),
        rng=random.Random(1),
    )
    jobs = target.jobs[:LIST]
    kind = next(iter(KINDS.values()))

    async def cost(request) -> float:
        for warm in (True, False):
            begun = time.process_time()
            for turn in range(20 if warm else number):
                await request(turn, await client.budget.take(Priority.NEWS))
        return (time.process_time() - begun) / number

    query = ListQuery(job_ids=tuple(jobs))
    try:
        return {
            "list": await cost(lambda _, permit: client.list(query, permit=permit)),
            "show": await cost(lambda turn, permit: client.show(kind, jobs[turn % len(jobs)], permit=permit)),
        }
    finally:
        await client.aclose()


def _config(folder: Path, target: Target, *, web: bool) -> Path:
    config = folder / "wrapd.toml"
    config.write_text(
        f"""[projects.main]
endpoint = "{target.url}"
project_id = "{target.project_id}"
requests_per_second = {RATE}
auth = {{ method = "aksk", access_key = "{target.access_key}", secret_key = "{target.secret_key}" }}
[channels.hook]
url = "json://127.0.0.1:9"
[[routes]]
channels = ["hook"]
events = ["succeeded", "failed"]
[web]
enabled = {str(web).lower()}
listen = "127.0.0.1:0"
[log]
format = "json"
"""
    )
    return config


def _track(config: Path, target: Target) -> None:
    command = [sys.executable, "-m", "daemon.cli", "--config", config, "track", "-"]
    subprocess.run(command, input="\n".join(target.jobs), text=True, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def daemon(config: Path):
    """`wrapd run`, its log next to the config."""
    with config.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", _NAMED, "--config", config, "run"], stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _until_started(config: Path) -> None:
    end = time.monotonic() + 120
    while "daemon.started" not in config.with_suffix(".log").read_text():
        if time.monotonic() > end:
            sys.exit("bench: the daemon did not start within 120 s")
        time.sleep(0.1)


def _web(web: bool) -> str:
    return "with the web part" if web else "without the web part"


def _rows(figures: dict[str, dict[str, float]]):
    """A row of the page for each figure that is promised, and for what stands beside it."""
    for name, run in RUNS.items():
        if name not in figures:
            continue
        found, floor = figures[name], figures.get(f"{IMPORT}, {_web(run.web)}", {})
        what = f"{run.jobs:,} jobs, {_web(run.web)}"
        cpu = "CPU beyond requests, %" if run.jobs else "CPU, %"
        for figure, bound, unit in (
            ("switches a second", run.switches, ""),
            (cpu, run.cpu, " %"),
            ("RSS, MiB", run.memory, " MiB"),
        ):
            yield {
                "what": f"{what}: {figure}",
                "wrapd": f"{found[figure]:.2f}{unit}",
                "beside": f"imports alone: {floor[figure]:.1f}{unit}" if figure in floor else "",
                "ratio": None,
                "target": "" if bound is None else f"at most {bound:g}{unit}",
                **({} if bound is None else {"met": found[figure] <= bound}),
            }


if __name__ == "__main__":
    if sys.argv[1:] == ["--client"]:
        print(json.dumps(asyncio.run(_client(Target(**json.load(sys.stdin))))))
    else:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        main()
