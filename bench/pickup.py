"""How soon a running daemon takes up jobs that a command tracks.

    python bench/pickup.py [--jobs 50000] [--rounds 3] [--json FILE]

Runs a real `wrapd run` with a simulator in another process, and `wrapd track -` with that many ids. Measures the
time from the end of the command until the daemon has taken up the last of them, as a share of the command's own
time, and the daemon's CPU time for each job.
"""

import argparse
import sqlite3
import statistics
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from _around import until
from _report import save
from lists import TICK, daemon, tracked
from poll import Target, simulator

NOWHERE = 9
"""The port of the channel's webhook: no job ends."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    options = parser.parse_args()
    rounds = [measure(options.jobs) for _ in range(options.rounds)]
    command, taken, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{options.jobs:,} ids: the command took {command:.1f} s, the last one was taken up {taken:.1f} s later "
        f"({taken / command:.2f} of it); {1e6 * cpu / options.jobs:.0f} µs of the daemon's CPU for each"
    )
    if options.json:
        what = f"{options.jobs:,} ids: from the end of `wrapd track -` until the last one is taken up"
        beside, used = f"the command: {command:.1f} s", f"{1e6 * cpu / options.jobs:.0f} µs"
        rows = [
            {"what": what, "wrapd": f"{taken:.1f} s", "beside": beside, "ratio": taken / command, "target": ""},
            {"what": "The daemon's CPU for each", "wrapd": used, "beside": "", "ratio": None, "target": ""},
        ]
        about = "A command tracks jobs in the database of a running `wrapd run`."
        save(options.json, title="Taking up jobs", order=50, about=about, rows=rows)


def measure(number: int) -> tuple[float, float, float]:
    """Return the seconds that the command took, those from its end until all are taken up, and the daemon's CPU
    seconds."""
    with tempfile.TemporaryDirectory() as folder, simulator() as target:
        config = tracked(Path(folder), _with(target, 1), "", NOWHERE)
        with daemon(config) as process, sqlite3.connect(config.with_name("wrapd.db")) as database:
            until(lambda: "daemon.started" in config.with_suffix(".log").read_text(), "the daemon runs", pace=0.02)
            before, begun = _cpu(process), time.monotonic()
            tracked(Path(folder), _with(target, number), "", NOWHERE)
            ended = time.monotonic()
            changed = "SELECT 1 FROM jobs WHERE changed = 1 LIMIT 1"
            until(lambda: database.execute(changed).fetchone() is None, "all are taken up", within=120, pace=0.02)
            return ended - begun, time.monotonic() - ended, _cpu(process) - before


def _with(target: Target, number: int) -> Target:
    target.jobs[:] = [str(uuid.uuid4()) for _ in range(number)]
    return target


def _cpu(process: subprocess.Popen) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


if __name__ == "__main__":
    main()
