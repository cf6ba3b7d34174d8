"""For web.py: what a list of 50 costs the server, and how fast the daemon polls while people read lists."""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from _around import until
from lists import daemon
from poll import JOBS, Target, _create, control, simulator

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.list_cases import Case, cases
from tests.support.many import make
from tests.support.web import MAIN, NOW, OTHER, TOKEN, desk, learned

SIZES = (10_000, 100_000)
REQUESTS = 3
"""Of each list in a round."""
READERS = 20
PAUSE = 1.0
"""Seconds between two readings of a reader."""
BUDGET = 1000
"""The largest budget that a config may give: requests a second."""


class Cost(NamedTuple):
    """Milliseconds of CPU for a list, with the fewer jobs and with the more."""

    case: Case
    small: float
    large: float


def list_costs(serve: Any, rounds: int) -> list[Cost]:
    """What each list costs, in every order and with each filter, alone and in pairs: the least of interleaved
    rounds. `serve` runs a server for so many jobs and yields its port and process."""
    every = list(cases())
    least = {(number, rows): float("inf") for number in range(len(every)) for rows in SIZES}
    with ExitStack() as stack:
        served = {rows: stack.enter_context(serve(rows)) for rows in SIZES}
        for _ in range(rounds):
            for number, case in enumerate(every):
                for rows, (port, pid) in served.items():
                    least[number, rows] = min(least[number, rows], _cost(port, pid, str(case)))
    return [Cost(case, *(least[number, rows] for rows in SIZES)) for number, case in enumerate(every)]


def _cost(port: int, pid: int, path: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    _read(connection, path)  # statements that were not compiled yet
    begun = cpu(pid)
    for _ in range(REQUESTS):
        _read(connection, path)
    took = cpu(pid) - begun
    connection.close()
    return 1000 * took / REQUESTS


def _read(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body


def cpu(pid: int) -> float:
    """Seconds of CPU of a process's threads so far, to the microsecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


@asynccontextmanager
async def lists(folder: str, rows: int):
    """The daemon's own web server over a database with so many jobs."""
    make(Path(folder) / "web.db", rows, now=NOW, tracked=0.1)
    async with desk(Path(folder), projects=(MAIN, OTHER)) as it:
        it.durations = learned()
        yield it.web.address.rpartition(":")[2], it.store


def polls(rounds: int, seconds: float) -> tuple[list[float], list[float]]:
    """Polls a second of a real daemon with the largest budget and more jobs than that can ask for: alone, and
    beside readers that reload a list each second. Rounds are interleaved."""
    alone: list[float] = []
    beside: list[float] = []
    with simulator() as target, tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        config = _config(Path(folder), target)
        log = config.with_suffix(".log")
        with daemon(config):
            until(lambda: "web.listening" in log.read_text(), "the daemon listens")
            until(lambda: _asked(target) > JOBS, "each job was asked about", within=300)
            lines = (json.loads(line) for line in log.read_text().splitlines() if "web.listening" in line)
            address = next(lines)["address"]
            for _ in range(rounds):
                alone.append(_polls(target, seconds))
                with readers(address):
                    beside.append(_polls(target, seconds))
    return alone, beside


def _polls(target: Target, seconds: float) -> float:
    before, begun = _asked(target), time.monotonic()
    time.sleep(seconds)
    return (_asked(target) - before) / (time.monotonic() - begun)


def _asked(target: Target) -> int:
    return int(control(target, "GET", "stats")["by_operation"].get("show", 0))


def _config(folder: Path, target: Target) -> Path:
    config = folder / "wrapd.toml"
    config.write_text(
        f"""[polling]
feed = "off"
batch = "off"
min_interval = "1s"
max_interval = "1s"
[projects.main]
endpoint = "{target.url}"
project_id = "{target.project_id}"
requests_per_second = {BUDGET}
auth = {{ method = "aksk", access_key = "{target.access_key}", secret_key = "{target.secret_key}" }}
[web]
listen = "127.0.0.1:0"
token = "{TOKEN}"
[log]
format = "json"
"""
    )
    config.chmod(0o600)
    command = [sys.executable, "-m", "daemon.cli", "--config", config, "track", "-"]
    jobs = "\n".join(_create(target, JOBS))
    subprocess.run(command, input=jobs, text=True, check=True, stdout=subprocess.DEVNULL)
    return config


@contextmanager
def readers(address: str) -> Iterator[None]:
    """Readers in a process of their own, on the core of the simulator."""
    command = [sys.executable, "-c", _READ, address, TOKEN, str(READERS), str(PAUSE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "reading\n"
            yield
            assert process.poll() is None, "a reader was refused"
        finally:
            process.terminate()


_READ = """
import asyncio, os, sys

address, token, number, pause = sys.argv[1:]
host, _, port = address.rpartition(":")
lines = ["GET /api/v1/jobs?limit=50 HTTP/1.1", f"Host: {address}", f"Authorization: Bearer {token}"]
head = "".join(f"{line}\\r\\n" for line in [*lines, ""]).encode()

async def read(after):
    await asyncio.sleep(after)
    reader, writer = await asyncio.open_connection(host, int(port))
    while True:
        writer.write(head)
        answer = await reader.readuntil(b"\\r\\n\\r\\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        await reader.readexactly(int(answer.lower().partition(b"content-length:")[2].split(b"\\r\\n")[0]))
        await asyncio.sleep(float(pause))

async def main():
    print("reading", flush=True)
    await asyncio.gather(*(read(each * float(pause) / int(number)) for each in range(int(number))))

os.sched_setaffinity(0, {os.cpu_count() - 1})
asyncio.run(main())
"""


STATS = "/api/v1/stats"
"""No list of 50: the sums of up to 366 days, with a budget of its own."""


def rows_of_lists(costs: list[Cost], *, most: float, stats: float, ratio: float) -> list[dict[str, object]]:
    """The worst lists, as rows of docs/performance.md; and the statistics apart from them."""
    found = []
    plain = [each for each in costs if each.case.path != STATS]
    for what, limit, some in (
        ("a list of 50, at most one filter", most, [each for each in plain if each.case.filters < 2]),
        ("a list of 50, two filters", most, [each for each in plain if each.case.filters == 2]),
        ("the statistics, no list of 50", stats, [each for each in costs if each.case.path == STATS]),
    ):
        for index, rows in enumerate(SIZES):
            worst = max(some, key=lambda each: each[index + 1])
            found.append(
                {
                    "what": f"{what}, {rows:,} jobs, the worst of {len(some)}: `{worst.case}`",
                    "wrapd": f"{worst[index + 1]:.1f} ms",
                    "beside": f"median: {statistics.median(each[index + 1] for each in some):.1f} ms",
                    "ratio": None,
                    "target": f"at most {limit:g} ms",
                    "met": worst[index + 1] <= limit,
                }
            )
    single = max((each for each in costs if each.case.filters < 2), key=lambda each: each.large / each.small)
    found.append(
        {
            "what": f"the list that grows most with the jobs: `{single.case}`",
            "wrapd": f"{single.large:.1f} ms",
            "beside": f"{SIZES[0]:,} jobs: {single.small:.1f} ms",
            "ratio": single.large / single.small,
            "target": f"at most {ratio:g}",
            "met": single.large <= ratio * single.small,
        }
    )
    return found


def row_of_polls(alone: list[float], beside: list[float], *, least: float) -> dict[str, object]:
    """How fast it polls beside readers, as a row of docs/performance.md."""
    one, other = statistics.median(alone), statistics.median(beside)
    return {
        "what": f"polls a second beside {READERS} readers that reload a list of 50 each second",
        "wrapd": f"{other:.0f}",
        "beside": f"no readers: {one:.0f}",
        "ratio": other / one,
        "target": f"at least {least:g}",
        "met": other >= least * one,
    }
