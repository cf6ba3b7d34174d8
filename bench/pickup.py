"""How soon a running daemon takes up jobs that a command tracks.

    python bench/pickup.py [--jobs 50000] [--rounds 3]

Runs a real `wrapd run` with a simulator in another process, and `wrapd track -` with that many ids. Measures the
time from the end of the command until the daemon has taken up the last of them, as a share of the command's own
time, and the daemon's CPU time for each job.
"""

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from lists import TICK, daemon, tracked
from poll import Target, simulator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = [measure(options.jobs) for _ in range(options.rounds)]
    command, taken, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{options.jobs:,} ids: the command took {command:.1f} s, the last one was taken up {taken:.1f} s later "
        f"({taken / command:.2f} of it); {1e6 * cpu / options.jobs:.0f} µs of the daemon's CPU for each"
    )


def measure(number: int) -> tuple[float, float, float]:
    """Return the seconds that the command took, those from its end until all are taken up, and the daemon's CPU
    seconds."""
    with tempfile.TemporaryDirectory() as folder, simulator() as target:
        config = tracked(Path(folder), _with(target, 1), "")
        with daemon(config) as process, sqlite3.connect(config.with_name("wrapd.db")) as database:
            _until(lambda: "daemon.started" in config.with_suffix(".log").read_text())
            before, begun = _cpu(process), time.monotonic()
            tracked(Path(folder), _with(target, number), "")
            ended = time.monotonic()
            _until(lambda: database.execute("SELECT 1 FROM jobs WHERE changed = 1 LIMIT 1").fetchone() is None)
            return ended - begun, time.monotonic() - ended, _cpu(process) - before


def _with(target: Target, number: int) -> Target:
    target.jobs[:] = [str(uuid.uuid4()) for _ in range(number)]
    return target


def _cpu(process: subprocess.Popen) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _until(happened) -> None:
    end = time.monotonic() + 120
    while not happened():
        if time.monotonic() > end:
            sys.exit("bench: it did not happen within 120 s")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
