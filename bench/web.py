"""The cost of viewers: a hundred streams of events, every list of the API, every page, and polling beside readers.

    python bench/web.py [--clients 100] [--rounds 3] [--seconds 10] [--only events|lists|pages|polls] [--json FILE]

A server in a process of its own stores ten changes of jobs a second and streams them by `GET /api/v1/events`, with
store, hub, live events and the whole web server. The clients are another process. `sockets` stores the same
changes and writes the same bytes to raw asyncio sockets: the floor. Each is also run without clients, and the
difference is the cost of telling them. A list of 50 is read with every filter and order that the API offers, alone
and in pairs, from 10,000 jobs and from 100,000: CPU of the server, the least of the rounds. So are the statistics,
which list up to 366 days and not 50 items, with a budget of their own, and every page for people. The first paint
of one in Chromium is compared with that of the same bytes from a bare server. For the polls a real `wrapd run`
with the largest budget queries a simulator, alone and beside readers. Rounds are interleaved.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from _lists_served import SIZES, list_costs, lists, polls, row_of_polls, rows_of_lists
from _pages_served import page_costs, paints, row_of_paints, rows_of_pages
from _report import save

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.web import TOKEN, desk

RATE = 10
"""Changes a second: below the pace of the events, so that each is told."""
JOBS = 50
"""Jobs that change in turn."""
MOST_CPU, MOST_DELAY = 70.0, 250.0
"""Targets: µs of CPU for each event of a client, and ms from the commit to the client (p99)."""
MOST_LIST, MOST_GROWTH, LEAST_POLLS = 10.0, 1.3, 0.95
"""Targets: ms of CPU for a list, its ratio with ten times the jobs, and that of polls beside readers."""
MOST_PAGE, MOST_STATS, MOST_SIZE, MOST_PAINT = 10.0, 30.0, 15_000, 1.5
"""Targets: ms of CPU for a page and for the statistics, bytes of a page, and the ratio of first paints."""
PARTS = ("events", "lists", "pages", "polls")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only", choices=PARTS, help="leave the other parts out")
    parser.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        os.sched_setaffinity(0, {0})
        asyncio.run(serve(options.serve))
        return
    parts = PARTS if options.only is None else (options.only,)
    rows = _events(options.clients, options.rounds, options.seconds) if "events" in parts else []
    if "lists" in parts:
        rows += rows_of_lists(
            list_costs(_lists_of, options.rounds), most=MOST_LIST, stats=MOST_STATS, ratio=MOST_GROWTH
        )
    if "pages" in parts:
        costs = page_costs(_lists_of, options.rounds)
        rows += rows_of_pages(costs, most=MOST_PAGE, stats=MOST_STATS, ratio=MOST_GROWTH, size=MOST_SIZE)
        rows.append(row_of_paints(*paints(_lists_of), ratio=MOST_PAINT))
    if "polls" in parts:
        rows.append(row_of_polls(*polls(options.rounds, options.seconds), least=LEAST_POLLS))
    for row in rows:
        ratio = "" if row["ratio"] is None else f", ratio {row['ratio']:.2f}"
        print(f"{row['what']}: {row['wrapd']} ({row['beside']}{ratio}; {row['target']})")
    if options.json:
        about = (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip()
        save(options.json, title="Viewers", order=60, about=about, rows=rows)
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def _events(clients: int, rounds: int, seconds: int) -> list[dict[str, Any]]:
    costs: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    delays: list[float] = []
    for _ in range(rounds):
        for name, cost in costs.items():
            cpu, delay = measure(name, clients, seconds)
            cost.append(cpu)
            delays += delay if name == "wrapd" else []
    wrapd, sockets = (statistics.median(costs[name]) for name in ("wrapd", "sockets"))
    slow = sorted(delays)[int(0.99 * len(delays))]
    return [
        {
            "what": f"CPU for each event of one of {clients} clients",
            "wrapd": f"{wrapd:.0f} µs",
            "beside": f"raw sockets: {sockets:.0f} µs",
            "ratio": wrapd / sockets,
            "target": f"at most {MOST_CPU:.0f} µs",
            "met": wrapd <= MOST_CPU,
        },
        {
            "what": "from the commit until a client has it, p99",
            "wrapd": f"{slow:.0f} ms",
            "beside": f"p50: {statistics.median(delays):.0f} ms",
            "ratio": None,
            "target": f"at most {MOST_DELAY:.0f} ms",
            "met": slow <= MOST_DELAY,
        },
    ]


@contextmanager
def _lists_of(rows: int) -> Iterator[tuple[int, int]]:
    """A server of lists: its port and its process."""
    with server(f"lists-{rows}") as (port, ask):
        yield port, ask(0)["pid"]


def measure(name: str, clients: int, seconds: int) -> tuple[float, list[float]]:
    """Return µs of the server's CPU for each event of a client, and ms from each commit until each client had
    it."""
    with server(name) as (port, ask):
        alone = ask(RATE * seconds)
        commits: dict[str, float] = {}
        got: list[tuple[str, float]] = []
        cpu = 0.0

        async def run() -> None:
            nonlocal cpu
            os.sched_setaffinity(0, {1 % os.cpu_count()})  # type: ignore[operator]
            readers = [asyncio.create_task(read(port, got)) for _ in range(clients)]
            await asyncio.sleep(1)
            answer = await asyncio.to_thread(ask, RATE * seconds)
            cpu = answer["cpu"]
            commits.update(answer["commits"])
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

        asyncio.run(run())
    found = [(1000 * (at - commits[place])) for place, at in got if place in commits]
    assert len(found) >= 0.9 * clients * RATE * seconds, (
        f"{len(found)} of {clients * RATE * seconds} events arrived"
    )
    return 1e6 * (cpu - alone["cpu"]) / len(found), found


async def read(port: int, got: list[tuple[str, float]]) -> None:
    """A client: note the id of each event, and when it came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    while line := await reader.readline():
        if line.startswith(b"id: "):
            got.append((line[4:].decode().strip(), time.time()))


@contextmanager
def server(name: str) -> Iterator[tuple[int, Any]]:
    """Run a server. Yields its port, and a function that has it store so many changes and returns its report."""
    command = [sys.executable, __file__, "--serve", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(changes: int) -> dict[str, Any]:
            process.stdin.write(f"{changes}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            for line in process.stdout:  # after the log
                if line.strip().isdecimal():
                    break
            yield int(line), ask
        finally:
            process.kill()


async def serve(name: str) -> None:
    """Serve, and store what is asked for on standard input."""
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        async with SERVERS[name](folder) as (port, store):
            os.write(1, f"{port}\n".encode())
            while line := await asyncio.to_thread(sys.stdin.readline):
                os.write(1, json.dumps(await _changes(store, int(line))).encode() + b"\n")


async def _changes(store: Any, number: int) -> dict[str, Any]:
    commits: dict[int, float] = {}
    begun, at = _cpu(), time.monotonic()
    for each in range(number):
        await asyncio.sleep(max(0.0, at + each / RATE - time.monotonic()))
        latest = await store.write(partial(_change, job=each % JOBS + 1))
        commits[latest] = time.time()
    await asyncio.sleep(0.5)
    return {"cpu": _cpu() - begun, "commits": commits, "pid": os.getpid()}


def _change(tx: Any, *, job: int) -> int:
    toggle = "UPDATE jobs SET label = CASE label WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = ?"
    tx._connection.exec_driver_sql(toggle, (job,))
    return tx.changes.latest()


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _track(tx: Any) -> None:
    from daemon.store import TrackRequest

    requests = [TrackRequest(project="main", kind="avatar", job_id=f"job-{each}") for each in range(JOBS)]
    tx.jobs.track_many(requests, at=datetime.now(UTC))


@asynccontextmanager
async def wrapd(folder: str):
    """The daemon's own web server with its API, behind a token."""
    async with desk(Path(folder), streams={"most": 1000, "most_each": 1000}) as it:
        it.store.write_now(_track)
        yield it.web.address.rpartition(":")[2], it.store


@asynccontextmanager
async def sockets(folder: str):
    """The same bytes over raw asyncio sockets."""
    from daemon.clock import SystemClock
    from daemon.store import Store

    store, writers = Store.open(f"sqlite:///{folder}/wrapd.db", clock=SystemClock(), daemon=True), []
    store.write_now(_track)
    loop = asyncio.get_running_loop()
    body = '{"project":"main","job_id":"job-1","version":0,"state":null,"ended":false}'

    def committed(rows: Sequence[Any], _cursor: int) -> None:
        frame = "".join(f"id: {row.id}\nevent: job\ndata: {body}\n\n" for row in rows).encode()
        chunk = b"%x\r\n%b\r\n" % (len(frame), frame)
        loop.call_soon_threadsafe(lambda: [writer.write(chunk) for writer in writers])

    store.follow(committed, after=0, most=1000)
    listening = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1], store


CONTENDERS = {"wrapd": wrapd, "sockets": sockets}
SERVERS = {**CONTENDERS, **{f"lists-{rows}": partial(lists, rows=rows) for rows in SIZES}}


if __name__ == "__main__":
    main()
