"""How soon ends are reported, and with how many requests, by lists: the feed, lists by ids, single queries.

    python bench/lists.py [--only feed/10000 ...] [--seconds 60] [--json FILE] [--write]

Each run is a real `wrapd run` and a simulator in a separate process, over sockets, with 5 ends a second and the
default settings of the region cn-north-4: 10 requests a second, half of the documented limit, which the
simulator enforces. (`ids` turns the feed off, `singles` lists by ids too.) The delay of an end is the time from
the change at the service until a webhook has the message. Ends not reported by the end of a run count with their
wait until then. Four runs go on at once: most of each is waiting. `--write` puts the figures into
docs/polling.md.
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

from _around import received, webhook
from _report import save
from poll import Target, control, simulator

RATE = 10.0
"""Requests a second."""
ENDS = 5.0
"""Ends a second."""
SEED = 20
SIGMA = 0.25
"""Spread of the production times."""
TICK = os.sysconf("SC_CLK_TCK")
MODES = {
    "feed": "",
    "ids": 'feed = "off"',
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
    """The most that a figure may be."""

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
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement, after it has settled")
    parser.add_argument("--parallel", type=int, default=4, help="runs at once: each needs a tenth of two cores")
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

        write_page(figures, seconds=arguments.seconds)
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
steady state. A delay lasts from the change at the service until a webhook has the message. All figures of this run
are in [polling.md](polling.md)."""


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
    with (
        webhook() as hook,
        simulator(region="cn-north-4") as target,
        tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder,
    ):
        target.jobs = create(target, jobs, ends=mode != "idle")
        config = tracked(Path(folder), target, MODES.get(mode, MODES["feed"]), hook)
        with daemon(config) as process:
            settle(jobs, mode)
            before, begun = reading(target, process, config.with_suffix(".log")), time.time()
            time.sleep(seconds)
            after, ended = reading(target, process, config.with_suffix(".log")), time.time()
        figures = counted(before, after, seconds)
        figures["most requests in a second"] = control(target, "GET", "stats")["max_in_any_second"]
        if mode != "idle":
            figures |= delays(target, hook, begun, ended)
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


def tracked(folder: Path, target: Target, polling: str, hook: int) -> Path:
    """A config with a channel to the webhook, and a database with all jobs tracked."""
    config = folder / "wrapd.toml"
    config.write_text(
        f"""[polling]
{polling}
[projects.main]
endpoint = "{target.url}"
project_id = "{target.project_id}"
requests_per_second = {RATE}
auth = {{ method = "aksk", access_key = "{target.access_key}", secret_key = "{target.secret_key}" }}
[channels.hook]
url = "json://127.0.0.1:{hook}/wrapd"
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
    """`wrapd run`, with its log next to the config."""
    with config.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "daemon.cli", "--config", config, "run"], stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def settle(jobs: int, mode: str) -> None:
    """Wait until every job was polled once (except singly), the feed is trusted, and some ends have shown how long
    jobs take."""
    looks = 0 if mode == "singles" else jobs / 300  # half of the budget goes to links, some to the feed
    time.sleep(60 + looks + (80 if mode == "idle" else 0))


def reading(target: Target, process: subprocess.Popen, log: Path) -> dict[str, float]:
    """The counts so far: requests, the daemon's CPU seconds, jobs polled."""
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


def delays(target: Target, hook: int, begun: float, ended: float) -> dict[str, float]:
    """Seconds from each end of the measurement until the webhook has its message."""
    truth = {
        end["job_id"]: at
        for end in control(target, "GET", f"ends?since={begun}")
        if begun <= (at := datetime.fromisoformat(end["at"]).timestamp()) < ended
    }
    found = {each["job_id"]: each["at"] for each in reversed(received(hook)) if each["state"] == "SUCCEED"}
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
    """Requests for a link for each recorded end, over the complete run."""
    with sqlite3.connect(f"file:{config.parent}/wrapd.db?mode=ro", uri=True) as database:
        (ends,) = database.execute("SELECT count(*) FROM transitions WHERE after = 'SUCCEED'").fetchone()
    return control(target, "GET", "stats")["by_operation"].get("asset", 0) / ends


if __name__ == "__main__":
    main()
