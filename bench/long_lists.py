"""CPU time of `wrapd jobs` and `wrapd deliveries` with 1,000,000 rows and with 1,000, for each filter and order.

    python bench/long_lists.py [--rows 1000000] [--rounds 5] [--only jobs] [--json FILE] [--folder DIR]
        [--page-only]

Both databases are made from one fixed seed (DIR keeps them), with the same shares of projects, states, tags and so
on. Each command runs in its own process with `--limit 50 --json`. Next to it are the figures of a page of 50 and
the count of the rows not shown, without the start of a process that would hide them. All is CPU time in
milliseconds; rounds are interleaved, and the minimum of each counts. Only the ratio of the commands has a bound.
"~" marks cases without one: combined filters, and batches or tags with more rows than are sorted, all far down in
the list.
"""

import argparse
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from _report import save

from daemon.cli.pages import COUNTED
from daemon.clock import SystemClock
from daemon.store import DeliverySort, JobSort, Store, upgrade

SMALL = 1_000
MOST = 1.3
"""The bound on the ratio of the commands."""
LIMIT = 50
CONFIG = """
[projects.main]
region = "cn-north-4"
project_id = "0123456789abcdef0123456789abcdef"
auth = { method = "aksk", access_key = "A", secret_key = "S" }
[projects.other]
region = "cn-north-4"
project_id = "0123456789abcdef0123456789abcdee"
auth = { method = "aksk", access_key = "A", secret_key = "S" }
[channels.team]
url = "json://localhost"
"""
BEGIN = 1_760_000_000_000_000
"""When the first job was tracked, in microseconds; the last one is tracked now."""
COUNTS = (
    "INSERT INTO batches SELECT batch, project, max(id) FROM jobs WHERE batch IS NOT NULL GROUP BY 1, 2",
    "INSERT INTO sent_counts SELECT channel, count(*) FROM deliveries WHERE status = 'sent' GROUP BY 1",
)
"""What the program keeps while it writes the rows; triggers keep the rest."""
JOB_FILTERS = {
    "": "",
    "project": "--project other",
    "state, many": "--state SUCCEED",
    "state, few": "--state WAITING",
    "state, none": "--state THAWING",
    "tracking, many": "--tracking finished",
    "tracking, few": "--tracking lost",
    "tag, many": "--tag spring",
    "tag, few": "--tag rare",
    "tag, none": "--tag nobody",
    "batch, many": "--batch giant",
    "batch, few": "--batch batch-9",
    "batch, none": "--batch nobody",
    "since, many": "--since 200d",
    "since, few": "--since 2m",
    "search": "--search 春节",
    "search, none": "--search nowhere",
    "~ tag, many, all old": "--tag archive",
    "~ batch, many, all old": "--batch last-year",
    "~ state and project": "--state FAILED --project other",
    "~ state and tracking that exclude each other": "--state FAILED --tracking active",
    "~ state and tag": "--state FAILED --tag spring",
    "~ state and batch": "--state WAITING --batch giant",
    "~ tag and batch": "--tag spring --batch giant",
    "~ project and tag, none": "--project other --tag main-only",
    "~ state and search": "--state FAILED --search nowhere",
}
DELIVERY_FILTERS = {
    "": "",
    "status, many": "--status sent",
    "status, few": "--status pending",
    "status, none": "--status held",
    "channel": "--channel team",
    "event, many": "--event succeeded",
    "event, few": "--event stuck",
    "event, none": "--event lost",
    "project": "--project other",
    "job": "--job job-900",
    "tag, many": "--tag spring",
    "tag, few": "--tag rare",
    "batch, many": "--batch giant",
    "batch, few": "--batch batch-9",
    "since, many": "--since 200d",
    "since, few": "--since 2m",
    "search": "--search 春节",
    "search, none": "--search nowhere",
    "~ tag, many, all old": "--tag archive",
    "~ batch, many, all old": "--batch last-year",
    "~ status and channel": "--status dead --channel team",
    "~ status and event": "--status dead --event failed",
    "~ status and event that exclude each other": "--status canceled --event succeeded",
    "~ event and batch": "--event failed --batch giant",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("jobs", "deliveries"), help="leave the other command out")
    parser.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    parser.add_argument("--folder", type=Path, help="keep the databases here")
    parser.add_argument("--page-only", action="store_true", help="leave the commands out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        homes = [made(folder / str(rows), rows) for rows in (SMALL, arguments.rows)]
        figures = {}
        for command, name, sort, options in cases():
            if arguments.only not in (None, command):
                continue
            figure = measured(homes, command, options, arguments.rounds, whole=not arguments.page_only)
            figures[f"{command} {name} {sort}".replace("  ", " ")] = figure
            print(
                f"{command:<10} {name:<46} {sort:<8} " + "  ".join(f"{each:>8.2f}" for each in figure), flush=True
            )
    if arguments.json:
        found = {"rows": rows(figures, arguments.rows), "figures": figures}
        save(arguments.json, title="Long lists", order=70, about=ABOUT, **found)
    missed = [name for name, figure in bounded(figures).items() if figure[4] > MOST]
    print("\n".join(f"{name}: over {MOST}" for name in missed))
    sys.exit(bool(missed))


ABOUT = f"""
`wrapd jobs` and `wrapd deliveries` with `--limit {LIMIT} --json`, each in its own process: CPU time, the least of
interleaved rounds. The row shows the filter and order with the largest ratio."""


def bounded(figures: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    """The cases whose ratio has a bound."""
    return {name: figure for name, figure in figures.items() if len(figure) > 4 and "~" not in name}


def rows(figures: dict[str, tuple[float, ...]], number: int) -> list[dict[str, object]]:
    """The worst case of each command, as rows of docs/performance.md."""
    found = []
    for command in ("jobs", "deliveries"):
        cases = {name: each for name, each in bounded(figures).items() if name.startswith(f"{command} ")}
        if cases:
            name, (_, _, small, large, ratio) = max(cases.items(), key=lambda case: case[1][4])
            found.append(
                {
                    "what": f"`wrapd {command}`, {number:,} rows, worst of {len(cases)} cases: {name}",
                    "wrapd": f"{large:.0f} ms",
                    "beside": f"{SMALL:,} rows: {small:.0f} ms",
                    "ratio": ratio,
                    "target": f"at most {MOST:g}",
                    "met": ratio <= MOST,
                }
            )
    return found


def cases() -> Iterator[tuple[str, str, str, list[str]]]:
    for command, filters, sorts in (
        ("jobs", JOB_FILTERS, JobSort),
        ("deliveries", DELIVERY_FILTERS, DeliverySort),
    ):
        for name, options in filters.items():
            for sort in sorts if "--since" not in options or command != "jobs" else [JobSort.CHANGED]:
                yield command, name, sort.value, [*options.split(), "--sort", sort.value]


def measured(
    homes: list[Path], command: str, options: list[str], rounds: int, *, whole: bool
) -> tuple[float, ...]:
    """Return milliseconds of a page with its count, small and large; then of the command, with the ratio."""
    pages: list[list[float]] = [[], []]
    commands: list[list[float]] = [[], []]
    for _ in range(rounds):
        for index, home in enumerate(homes):
            pages[index].append(page(home, command, options))
            if whole:
                commands[index].append(process(home, command, options))
    small, large = (min(each) for each in pages)
    if not whole:
        return small, large
    one, other = (min(each) for each in commands)
    return small, large, one, other, other / one


def process(home: Path, command: str, options: list[str]) -> float:
    words = [sys.executable, "-m", "daemon.cli", "--config", str(home / "wrapd.toml"), command, *options]
    # Otherwise each process would compile the entire program.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = cpu_of_children()
    done = subprocess.run(
        [*words, "--limit", str(LIMIT), "--json"], capture_output=True, check=False, text=True, env=env
    )
    took = cpu_of_children() - begun
    if done.returncode and "no job is in state" not in done.stderr:
        raise RuntimeError(done.stderr)
    return took * 1000


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def page(home: Path, command: str, options: list[str]) -> float:
    """Do what a terminal requests from the store: a page, and the count of the other rows."""
    from daemon.cli.deliveries import command as deliveries
    from daemon.cli.jobs import command as jobs

    context = (jobs if command == "jobs" else deliveries).make_context(command, list(options))
    given = context.params
    store = Store.open(f"sqlite:///{home / 'wrapd.db'}", clock=SystemClock())
    try:
        begun = time.process_time()
        if command == "jobs":
            fit = {name: given[name] for name in ("project", "state", "tracking", "tag", "batch", "since")}
            sort = JobSort(given["sort"])
            store.read(lambda tx: read(tx.jobs, sort, given["search"], fit))
        else:
            names = ("status", "channel", "event", "project", "batch", "tag", "since")
            fit = {name: given[name] for name in names}
            if given["job"] is not None:
                fit["jobs"] = [row.id for row in store.read(lambda tx: tx.jobs.find(given["job"]))]
            store.read(lambda tx: read(tx.outbox, DeliverySort(given["sort"]), given["search"], fit))
        return (time.process_time() - begun) * 1000
    finally:
        store.close()


def read(part: object, sort: object, search: str | None, fit: dict[str, object]) -> None:
    """Read one page; of a search as many as a command reads."""
    from daemon.cli.pages import SEARCHED

    after, searched, found = None, 0, 0
    while True:
        got = part.page(limit=LIMIT - found, after=after, sort=sort, search=search, **fit)  # type: ignore[attr-defined]
        after, searched, found = got.after, searched + got.searched, found + len(got.rows)
        if search is None:
            part.count(most=LIMIT + COUNTED + 1, **fit)  # type: ignore[attr-defined]
        if after is None or found >= LIMIT or searched >= SEARCHED:
            return


def made(home: Path, rows: int) -> Path:
    """Make a database with that many jobs and deliveries."""
    path = home / "wrapd.db"
    if path.exists():
        return home
    home.mkdir(parents=True)
    (home / "wrapd.toml").write_text(CONFIG)
    (home / "wrapd.toml").chmod(0o600)
    upgrade(f"sqlite:///{path}")
    rng = random.Random(7)
    now = int(time.time() * 1e6)
    step = (now - BEGIN) // rows
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        for start in range(1, rows + 1, 10_000):
            numbers = range(start, min(start + 10_000, rows + 1))
            jobs = [job(rng, n, rows, BEGIN + n * step, now) for n in numbers]
            marks = ", ".join("?" * len(jobs[0]))
            database.executemany(
                "INSERT INTO jobs (id, project, kind, job_id, label, tags, batch, tracking, state, state_since,"
                f" tracked_at, asset_name, preview_url) VALUES ({marks})",
                jobs,
            )
            tags = [(tag, each[0]) for each in jobs for tag in json.loads(each[5])]
            database.executemany("INSERT INTO job_tags (tag, job) VALUES (?, ?)", tags)
            alerts = [delivery(rng, each, BEGIN + each[0] * step) for each in jobs]
            marks = ", ".join("?" * len(alerts[0]))
            database.executemany(
                "INSERT INTO deliveries (key, channel, event, job, project, facts, status, due_at, created_at,"
                f" sent_at, attempts, last_error) VALUES ({marks})",
                alerts,
            )
        for statement in COUNTS:
            database.execute(statement)
    return home


def job(rng: random.Random, n: int, rows: int, at: int, now: int) -> tuple[object, ...]:
    """Make one of the jobs, which have all ended except for the last ones."""
    state, tracking = ends(rng, n, rows)
    chosen = rng.random()
    old = n < rows // 10
    batch = "last-year" if old else "giant" if chosen < 0.2 else f"batch-{n // 50}" if chosen < 0.5 else None
    project = "other" if rng.random() < 0.2 else "main"
    tags = [tag for tag, share in (("spring", 0.1), ("rare", 30 / rows), ("web", 0.2)) if rng.random() < share]
    tags += ["archive"] if old else []
    tags += ["main-only"] if project == "main" and chosen < 0.05 else []
    since = None if state is None else min(now, at + int(rng.expovariate(1 / 1.2e9)))
    name = f"春节 {n}" if n % 10 == 0 else f"Clip {n}"
    url = f"https://example.com/{n}?{'s' * 300}"
    return (n, project, "avatar", f"job-{n}", name, json.dumps(tags), batch, tracking, state, since, at, name, url)


def ends(rng: random.Random, n: int, rows: int) -> tuple[str | None, str]:
    if n > rows - rows // 50:
        return rng.choice([("WAITING", "active"), ("PROCESSING", "active"), (None, "active")])
    dice = rng.random()
    if dice < 0.001:
        return "PROCESSING", rng.choice(["lost", "expired", "stopped"])
    return ("FAILED" if dice < 0.05 else "CANCELED" if dice < 0.06 else "SUCCEED"), "finished"


def delivery(rng: random.Random, job: tuple[object, ...], at: int) -> tuple[object, ...]:
    number, project, state = job[0], job[1], job[8]
    event = {"FAILED": "failed", "CANCELED": "canceled", "SUCCEED": "succeeded"}.get(str(state), "started")
    event = "stuck" if rng.random() < 0.0005 else event
    dice = rng.random()
    status = "pending" if state is None else "dead" if dice < 0.02 else "canceled" if dice < 0.03 else "sent"
    channel = rng.choice(["team", "editors", "ops"])
    error = "HTTP 500: the service is out" if status == "dead" else None
    sent = at if status == "sent" else None
    return (
        f"job/{number}",
        channel,
        event,
        number,
        project,
        "{}",
        status,
        at,
        at,
        sent,
        int(status != "pending"),
        error,
    )


if __name__ == "__main__":
    main()
