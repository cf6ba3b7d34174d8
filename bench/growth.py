"""What grows with the jobs of a database: lists, /metrics, API answers and writes, with 1,000 and 1,000,000 jobs.

    python bench/growth.py [--rows 1000000] [--rounds 7] [--json FILE] [--folder DIR]

Both databases have the same open part: 20 dead alerts, no tracked job. Only the ended part differs: jobs, in
batches of 50 and one with a fifth of them all, and their alerts. Each command runs in its own process, with
`--limit 50` where it has that option; a real daemon answers /metrics and the API. For looks and writes, all jobs
are tracked instead, and were looked at before. A whole look is one of random jobs, from the choice of the query
to the stored bookkeeping, whose answer shows no change (`_looks.py`). All is CPU time, of commands in ms,
otherwise in us; rounds are interleaved, and the minimum of each counts. (`long_lists.py` measures every filter
and order of the two longest lists, `poll.py` compares looks with other programs.)
"""

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from _looks import Looker, service
from _report import save
from lists import TICK, daemon
from long_lists import COUNTS, cpu_of_children

from daemon.clock import SystemClock
from daemon.domain.jobs import JobId, Observation, ProjectName
from daemon.domain.routing import Routing
from daemon.domain.transitions import Moved, judge
from daemon.store import NO_GROUP, Bookkeeping, Store, TrackRequest, TrackResult, Transaction, to_stamp, upgrade

ABOUT = """The same commands, requests, looks and writes on two databases that differ only in how many jobs have
ended (for looks and writes: in how many are tracked). A whole look is at random jobs: query chosen and sent,
answer read, next query planned, bookkeeping stored. Each ratio is that of their CPU time."""
SMALL = 1_000
MOST = 1.3
BOOKKEEPING, KNOWN = "a look by ids: its bookkeeping alone, us", "track: a known id in the store alone, us"
BARE = "a look by ids: a bare program's, us"
PARTS = (BOOKKEEPING, KNOWN, BARE)
"""What is part of another figure or stands beside it, and has no target of its own."""
TOKEN = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
[projects.main]
endpoint = "http://127.0.0.1:9"
project_id = "0123456789abcdef0123456789abcdef"
auth = {{ method = "aksk", access_key = "A", secret_key = "S" }}
[channels.team]
url = "json://localhost"
[web]
listen = "127.0.0.1:0"
token = "{TOKEN}"
[log]
format = "json"
"""
COMMANDS = {
    "jobs": ["jobs", "--limit", "50"],
    "jobs, by change": ["jobs", "--limit", "50", "--sort", "changed"],
    "deliveries": ["deliveries", "--limit", "50"],
    "deliveries, dead": ["deliveries", "--dead", "--limit", "50"],
    "batches": ["batches", "--limit", "50"],
    "channels": ["channels"],
    "routes": ["routes"],
    "links": ["links", "list", "--limit", "50"],
    "show": ["show", "job-7"],
}
REQUESTS = 200
HISTORY = 200
"""Jobs besides the tracked ones that have ended: production times are learned from them."""
Figures = dict[str, tuple[float, float, float]]
ROUTES = Routing(routes=(), operators=())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--folder", type=Path, help="keep the databases here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as temporary:
        folder = options.folder or Path(temporary)
        figures: Figures = {}
        for measure in (commands, tracks, answers, looks, writes):
            for name, small, large in measure(folder, options.rows, options.rounds):
                figures[name] = (small, large, large / small)
                print(f"{name:<46} {small:>10.1f} {large:>10.1f} {large / small:>6.2f}", flush=True)
    if options.json:
        save(options.json, title="Growth", order=60, about=ABOUT, rows=rows(figures, options.rows))
    missed = [name for name, (*_, ratio) in figures.items() if ratio > MOST and name not in PARTS]
    print("\n".join(f"{name}: over {MOST}" for name in missed))
    sys.exit(bool(missed))


def rows(figures: Figures, large: int) -> list[dict[str, Any]]:
    """The rows of docs/performance.md."""
    return [
        {
            "what": name,
            "wrapd": f"{large:,} jobs: {most:.1f}",
            "beside": f"{SMALL:,} jobs: {least:.1f}",
            "ratio": ratio,
            "target": "" if name in PARTS else f"at most {MOST}",
            "met": name in PARTS or ratio <= MOST,
        }
        for name, (least, most, ratio) in figures.items()
    ]


def interleaved(rounds: int, runs: list[Callable[[int], float]]) -> list[float]:
    """The least of each run over the rounds."""
    return [min(times) for times in zip(*([run(each) for run in runs] for each in range(rounds)), strict=True)]


def commands(folder: Path, rows: int, rounds: int) -> Iterator[tuple[str, float, float]]:
    homes = [made(folder, number, "ended") for number in (SMALL, rows)]
    for name, words in COMMANDS.items():
        small, large = interleaved(rounds, [partial(ran, home, words) for home in homes])
        yield f"wrapd {name}, ms", small, large


def tracks(folder: Path, rows: int, rounds: int) -> Iterator[tuple[str, float, float]]:
    """Tracking a hundred jobs that are tracked already."""

    def run(home: Path, most: int, each: int) -> float:
        numbers = random.Random(each).sample(range(HISTORY + 1, HISTORY + most + 1), 100)
        return ran(home, ["track", *(f"job-{n}" for n in numbers)], each)

    runs = [partial(run, made(folder, number, "tracked"), number) for number in (SMALL, rows)]
    small, large = interleaved(rounds, runs)
    yield "wrapd track, 100 known ids, ms", small, large


def ran(home: Path, words: list[str], _: int) -> float:
    """Milliseconds of a command."""
    begun = cpu_of_children()
    command = [sys.executable, "-m", "daemon.cli", "--config", home / "wrapd.toml", *words, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (cpu_of_children() - begun) * 1e3


def answers(folder: Path, rows: int, rounds: int) -> Iterator[tuple[str, float, float]]:
    homes = [made(folder, number, "ended") for number in (SMALL, rows)]
    with ExitStack() as stack:
        served = [served_by(stack, home) for home in homes]
        for name, path in (("/metrics", "/metrics"), ("API, a job", "/api/v1/jobs/main/job-7")):
            runs = [partial(asked, pid, f"http://{address}{path}") for pid, address in served]
            small, large = interleaved(rounds, runs)
            yield f"{name}, us", small, large


def served_by(stack: ExitStack, home: Path) -> tuple[int, str]:
    """A daemon's process id and its address."""
    config = home / "wrapd.toml"
    process = stack.enter_context(daemon(config))
    log = config.with_suffix(".log")
    while "web.listening" not in log.read_text():
        if process.poll() is not None:
            sys.exit(log.read_text())
        time.sleep(0.05)
    time.sleep(3)  # what a start does
    lines = (json.loads(line) for line in log.read_text().splitlines() if "web.listening" in line)
    return process.pid, next(lines)["address"]


def asked(pid: int, url: str, _: int) -> float:
    """Microseconds of the daemon's CPU for an answer."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    before = cpu(pid)
    for _ in range(REQUESTS):
        with urllib.request.urlopen(request) as answer:
            answer.read()
    return (cpu(pid) - before) / REQUESTS * 1e6


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def looks(folder: Path, rows: int, rounds: int) -> Iterator[tuple[str, float, float]]:
    """A look at a job, from the choice of the query to the stored bookkeeping."""
    homes = [made(folder, number, "tracked") for number in (SMALL, rows)]
    with ExitStack() as stack:
        url = stack.enter_context(service())
        lookers = [stack.enter_context(closing(Looker(url, home / "wrapd.db"))) for home in homes]
        for name, by in (("a look by ids, whole, us", "ids"), ("a single poll, whole, us", "single")):
            small, large = interleaved(rounds, [partial(each.looks, by) for each in lookers])
            yield name, small, large
        new = [home / "bare.db" for home in homes]
        for path in new:
            path.unlink(missing_ok=True)
        bare = [
            stack.enter_context(closing(Looker(url, path, barely=number)))
            for path, number in zip(new, (SMALL, rows), strict=True)
        ]
        small, large = interleaved(rounds, [partial(each.looks, "ids") for each in bare])
        yield BARE, small, large


def writes(folder: Path, rows: int, rounds: int) -> Iterator[tuple[str, float, float]]:
    """What of it, and of a move, is the store's."""
    homes = [made(folder, number, "tracked") for number in (SMALL, rows)]
    clock = SystemClock()
    with ExitStack() as stack:
        stores = [
            stack.enter_context(closing(Store.open(f"sqlite:///{home / 'wrapd.db'}", clock=clock)))
            for home in homes
        ]
        for name, number, work in (
            ("a poll that sees a move, the store's part, us", 50, moved),
            (BOOKKEEPING, 100, looked),
            (KNOWN, 100, known),
            ("start: a job is read, us", 1000, loaded),
        ):
            pairs = zip(stores, (SMALL, rows), strict=True)
            runs = [partial(timed, store, work, number, most) for store, most in pairs]
            small, large = interleaved(rounds, runs)
            yield name, small, large


def timed(store: Store, work: Callable[..., None], number: int, most: int, each: int) -> float:
    """Microseconds for each of some jobs, spread over all of them."""
    jobs = random.Random(each).sample(range(HISTORY + 1, HISTORY + most + 1), number)
    begun = time.process_time()
    store.write_now(lambda tx: work(tx, jobs))
    return (time.process_time() - begun) / number * 1e6


def moved(tx: Transaction, jobs: list[int]) -> None:
    at = SystemClock().now()
    for job in jobs:
        row = tx.jobs.get(job)
        after = "WAITING" if row.state == "PROCESSING" else "PROCESSING"
        seen = Observation(state=after, reported_at=at)
        move = judge(row.state, seen, at=at)
        assert isinstance(move, Moved)
        assert tx.jobs.record_move(job, move, seen, routing=ROUTES, due_at=at) is not None


def looked(tx: Transaction, jobs: list[int]) -> None:
    at = to_stamp(SystemClock().now())
    tx.jobs.checkpoint(
        Bookkeeping(job=job, last_polled_at=at, next_poll_at=at, polls=1, last_error=None, next_reason="price")
        for job in jobs
    )


def known(tx: Transaction, jobs: list[int]) -> None:
    requests = [
        TrackRequest(project=ProjectName("main"), kind="avatar", job_id=JobId(f"job-{job}")) for job in jobs
    ]
    assert set(tx.jobs.track_many(requests, at=SystemClock().now())) == {TrackResult.ALREADY}


def loaded(tx: Transaction, jobs: list[int]) -> None:
    page = tx.jobs.active(after=0, limit=len(jobs), ahead=0.0, usual=NO_GROUP)
    assert len(page.rows) + len(page.others) == len(jobs)


def made(folder: Path, rows: int, sort: str) -> Path:
    """A database with that many jobs, which have all ended or are all tracked."""
    home = folder / f"{sort}-{rows}"
    if (home / "wrapd.db").exists():
        return home
    home.mkdir(parents=True)
    (home / "wrapd.toml").write_text(CONFIG)
    (home / "wrapd.toml").chmod(0o600)
    upgrade(f"sqlite:///{home / 'wrapd.db'}")
    now = int(time.time() * 1e6)
    begin = now - (9 * 86_400 if sort == "ended" else 3600) * 1_000_000
    rows += HISTORY if sort == "tracked" else 0
    with closing(sqlite3.connect(home / "wrapd.db")) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        for start in range(1, rows + 1, 10_000):
            numbers = range(start, min(start + 10_000, rows + 1))
            jobs = [job(n, sort, begin + n * (now - begin) // rows) for n in numbers]
            insert(database, "jobs", JOB, jobs)
            if sort == "ended":
                insert(database, "deliveries", DELIVERY, [delivery(each, rows) for each in jobs])
            else:
                insert(
                    database,
                    "transitions",
                    "job seq after observed_at",
                    [(each[0], 1, *each[7:9]) for each in jobs],
                )
        for statement in (*COUNTS, LOOKED):
            database.execute(statement)
    return home


JOB = (
    "id project kind job_id label batch tracking state state_since tracked_at created_at reported_at started_at"
    " expected_length preview_url"
)
LOOKED = """INSERT INTO looks (job, polls, last_polled_at, next_poll_at, asked_by, next_reason)
SELECT id, 1, tracked_at, tracked_at, 'ids', 'price' FROM jobs WHERE tracking = 'active'"""
DELIVERY = "key channel event job project facts status due_at created_at sent_at attempts last_error"


def insert(database: sqlite3.Connection, table: str, names: str, rows: list[tuple[object, ...]]) -> None:
    marks = ", ".join("?" * len(names.split()))
    database.executemany(f"INSERT INTO {table} ({', '.join(names.split())}) VALUES ({marks})", rows)


def job(n: int, sort: str, at: int) -> tuple[object, ...]:
    batch = "giant" if n % 5 == 0 else f"batch-{n // 50}"
    states = (
        ("active", "PROCESSING")
        if sort == "tracked" and n > HISTORY
        else ("finished", "SUCCEED" if n % 20 else "FAILED")
    )
    url = f"https://example.com/{n}?{'s' * 300}" if states[0] == "finished" else None
    length = 60 * random.Random(n).lognormvariate(0, 0.5)
    took = int(4e8 * length * random.Random(-n).lognormvariate(0, 0.2))  # hours, so that none is stuck
    began = at - took if states[0] == "finished" else at
    return (n, "main", "avatar", f"job-{n}", f"Clip {n}", batch, *states, at, began, began, at, began, length, url)


def delivery(job: tuple[object, ...], rows: int) -> tuple[object, ...]:
    n, at = int(str(job[0])), job[8]
    event = {"FAILED": "failed", "SUCCEED": "succeeded"}[str(job[7])]
    end = ("dead", at, at, None, 1, "HTTP 500") if n > rows - 20 else ("sent", at, at, at, 1, None)
    return (f"job/{n}", "team", event, n, "main", "{}", *end)


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
