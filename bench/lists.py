"""How soon ends are known, and for how many requests, with lists: the feed, lists by ids, single queries.

    python bench/lists.py [--only feed/10000 ...] [--seconds 90] [--json FILE] [--write]

Each run is a real `wrapd run` beside a simulator in a process of its own, over sockets, at 10 requests a second
with 5 ends a second. The delay of an end is what passes from the change at the service to the transition's record.
Ends that nobody found by the end of a run count with the time that they had waited until then. `--write` puts the
figures into docs/polling.md.
"""

import argparse
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from _report import save
from poll import Target, control, simulator

RATE = 10.0
"""Requests a second."""
ENDS = 5.0
"""Ends a second."""
SEED = 20
SIGMA = 0.25
"""Of the production times."""
TICK = os.sysconf("SC_CLK_TCK")
MODES = {
    "feed": 'feed = "auto"\nbatch = "auto"',
    "ids": 'feed = "off"\nbatch = "auto"',
    "singles": 'feed = "off"\nbatch = "off"',
}
RUNS = (
    *("feed/100000", "feed/10000", "feed/1000"),
    *("ids/10000", "ids/3000", "ids/1000"),
    *("singles/10000", "singles/3000", "singles/1000"),
)
IDLE = "idle/10000"


@dataclass(frozen=True)
class Bound:
    """What a figure must not exceed."""

    run: str
    figure: str
    most: float


BOUNDS = (
    *(
        Bound(run, figure, most)
        for run in ("feed/10000", "feed/100000")
        for figure, most in (
            ("mean delay, s", 1.0),
            ("p99 delay, s", 3.0),
            ("lists a second", 3.0),
            ("completing requests an end", 1.0),
        )
    ),
    Bound("ids/10000", "mean delay, s", 6.0),
    *(Bound(run, "most requests in a second", RATE + 1) for run in (*RUNS, IDLE)),
    Bound(IDLE, "share of a core, %", 4.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=(*RUNS, IDLE), default=(*RUNS, IDLE))
    parser.add_argument("--seconds", type=float, default=90.0, help="of each measurement, after it has settled")
    parser.add_argument("--parallel", type=int, default=2, help="runs at once: each needs a tenth of two cores")
    parser.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    parser.add_argument("--write", action="store_true", help="put the figures and the plot into docs/polling.md")
    arguments = parser.parse_args()
    figures = {}
    with ThreadPoolExecutor(arguments.parallel) as pool:
        for name, found in zip(
            arguments.only, pool.map(lambda each: measure(each, arguments.seconds), arguments.only), strict=True
        ):
            figures[name] = found
            print(name)
            print("\n".join(f"    {figure:<32} {value:>10.2f}" for figure, value in found.items()), flush=True)
    plots = []
    if arguments.write or (arguments.json and len(figures) == len(RUNS) + 1):  # both pages show the same run
        from _lists_paper import write_page

        write_page(figures)
        plots = [{"file": "polling-lists.svg", "alt": "Delay over the number of tracked jobs"}]
    if arguments.json:
        found = {"rows": rows(figures), "plots": plots, "figures": figures}
        save(arguments.json, title="Many jobs", order=20, about=ABOUT, **found)
    missed = [bound for bound in BOUNDS if figures.get(bound.run, {}).get(bound.figure, 0) > bound.most]
    for bound in missed:
        print(f"{bound.run}: {bound.figure} is {figures[bound.run][bound.figure]:.2f}, over {bound.most:g}")
    sys.exit(bool(missed))


ABOUT = f"""
A real `wrapd run` and a simulator over sockets: {RATE:g} requests a second, {ENDS:g} ends a second among jobs in
steady state. A delay lasts from the change at the service to the record in the database. [polling.md](polling.md)
has all figures of this run."""


def rows(figures: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """The bounded figures, as rows of docs/performance.md."""
    values: dict[str, tuple[float, float]] = {}
    for bound in BOUNDS:
        if bound.run in figures:
            mode, _, jobs = bound.run.partition("/")
            same = bound.figure == "most requests in a second"  # in all runs: one row, with the largest
            what = f"{'All runs' if same else f'{NAMES[mode]}, {int(jobs):,} jobs'}: {bound.figure}"
            values[what] = max(figures[bound.run][bound.figure], values.get(what, (0.0,))[0]), bound.most
    return [
        {
            "what": what,
            "wrapd": f"{value:.2f}",
            "beside": "",
            "ratio": None,
            "target": f"at most {most:g}",
            "met": value <= most,
        }
        for what, (value, most) in values.items()
    ]


NAMES = {"feed": "Feed", "ids": "Lists by ids", "singles": "Single queries", "idle": "Feed, no job ends"}


def measure(name: str, seconds: float) -> dict[str, float]:
    """One run: settle, then count for `seconds`."""
    mode, number = name.split("/")
    jobs = int(number)
    with simulator() as target, tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        target.jobs = create(target, jobs, ends=mode != "idle")
        config = tracked(Path(folder), target, MODES.get(mode, MODES["feed"]))
        with daemon(config) as process:
            settle(jobs, mode)
            before, begun = reading(target, process, config.with_suffix(".log")), time.time()
            time.sleep(seconds)
            after, ended = reading(target, process, config.with_suffix(".log")), time.time()
        figures = counted(before, after, seconds)
        figures["most requests in a second"] = control(target, "GET", "stats")["max_in_any_second"]
        if mode != "idle":
            figures |= delays(target, config, begun, ended)
            figures["completing requests an end"] = completing(target, config)
        return figures


def create(target: Target, number: int, *, ends: bool) -> list[str]:
    """Jobs in production as a service in steady state has them, of which five end in each second; where `ends` is
    false none does. Production times are lognormal; at any moment more of the long ones are under way."""
    rng = random.Random(SEED)
    mean = number / ENDS
    lives = [mean * rng.lognormvariate(-SIGMA * SIGMA / 2, SIGMA) for _ in range(number)]
    lives = rng.choices(lives, lives, k=number)
    orders = [
        {
            "timeline": [["PROCESSING", life if ends else 1e7], ["SUCCEED", None]],
            "created_ago": rng.uniform(0, life),
        }
        for life in lives
    ]
    return control(target, "POST", "jobs", {"jobs": orders})["job_ids"]


def tracked(folder: Path, target: Target, polling: str) -> Path:
    """A config, and a database with all jobs tracked."""
    config = folder / "wrapd.toml"
    config.write_text(
        f"""[polling]
{polling}
[projects.main]
endpoint = "{target.url}"
project_id = "{target.project_id}"
requests_per_second = {RATE}
auth = {{ method = "aksk", access_key = "{target.access_key}", secret_key = "{target.secret_key}" }}
[web]
listen = "127.0.0.1:0"
[log]
format = "json"
"""
    )
    subprocess.run(
        [sys.executable, "-m", "daemon.cli", "--config", config, "track", "-"],
        input="\n".join(target.jobs),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return config


@contextmanager
def daemon(config: Path):
    """`wrapd run`, its log beside the config."""
    with config.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "daemon.cli", "--config", config, "run"], stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def settle(jobs: int, mode: str) -> None:
    """Let every job be looked at once (where that is to be had), the feed be proven, and some ends teach how long
    jobs take."""
    looks = 0 if mode == "singles" else jobs / 300  # half of the budget goes to links, some to the feed
    time.sleep(60 + looks + (80 if mode == "idle" else 0))


def reading(target: Target, process: subprocess.Popen, log: Path) -> dict[str, float]:
    """What was counted so far: requests, the daemon's CPU seconds, jobs looked at."""
    asked = control(target, "GET", "stats")["by_operation"]
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    looks = sum(
        float(line.rpartition(" ")[2])
        for line in metrics(log).splitlines()
        if line.startswith("wrapd_looks_total")
    )
    return {
        "cpu": (int(fields[11]) + int(fields[12])) / TICK,
        "looks": looks,
        **{operation: asked.get(operation, 0) for operation in ("list", "show", "asset")},
    }


def metrics(log: Path) -> str:
    """The daemon's /metrics; its log says where it listens."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if "web.listening" in line)
    with urllib.request.urlopen(f"http://{next(lines)['address']}/metrics") as answer:
        return answer.read().decode()


def counted(before: dict[str, float], after: dict[str, float], seconds: float) -> dict[str, float]:
    more = {name: after[name] - before[name] for name in after}
    return {
        "lists a second": more["list"] / seconds,
        "single queries a second": more["show"] / seconds,
        "share of a core, %": 100 * more["cpu"] / seconds,
        "looks a second": more["looks"] / seconds,
    }


def delays(target: Target, config: Path, begun: float, ended: float) -> dict[str, float]:
    """Seconds from each end of the measurement to its record."""
    truth = {
        end["job_id"]: at
        for end in control(target, "GET", f"ends?since={begun}")
        if begun <= (at := datetime.fromisoformat(end["at"]).timestamp()) < ended
    }
    with sqlite3.connect(f"file:{config.parent}/wrapd.db?mode=ro", uri=True) as database:
        found = dict(
            database.execute(
                "SELECT j.job_id, t.observed_at / 1e6 FROM transitions t JOIN jobs j ON j.id = t.job "
                "WHERE t.after = 'SUCCEED'"
            )
        )
    seconds = sorted(found.get(job_id, ended) - at for job_id, at in truth.items())
    return {
        "ends": len(seconds),
        "not found in time": sum(job_id not in found for job_id in truth),
        "mean delay, s": statistics.fmean(seconds),
        "p95 delay, s": seconds[int(0.95 * len(seconds))],
        "p99 delay, s": seconds[int(0.99 * len(seconds))],
        "largest delay, s": seconds[-1],
    }


def completing(target: Target, config: Path) -> float:
    """Requests for a link for each end that was recorded, over the whole run."""
    with sqlite3.connect(f"file:{config.parent}/wrapd.db?mode=ro", uri=True) as database:
        (ends,) = database.execute("SELECT count(*) FROM transitions WHERE after = 'SUCCEED'").fetchone()
    return control(target, "GET", "stats")["by_operation"].get("asset", 0) / ends


if __name__ == "__main__":
    main()
