"""What it costs to keep counts and sums by triggers, for each end of a job, and what counting them would.

    python bench/triggers.py [--rows 100000] [--ends 2000] [--json FILE]

Two copies of one database with that many jobs, and as many more in production as ends are recorded, in batches of
50. Both record the same ends with one alert each, 20 in a transaction, in turns; from one of them the triggers
that keep counts and sums were dropped. The kept numbers are read as a page does, and counted from the rows that
they stand for. All is CPU time of this process; of what is read, the least of the rounds.
"""

import argparse
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from _report import save

sys.path.insert(0, str(Path(__file__).parents[1]))

from daemon.clock import ManualClock
from daemon.domain.jobs import ChannelName, JobId, Observation, ProjectName
from daemon.domain.routing import routing
from daemon.domain.transitions import Moved, judge
from daemon.store import Store, TrackRequest, Transaction
from tests.support.many import make
from tests.support.web import NOW

TRIGGERS = (
    *("batches_counted", "batches_recounted", "batches_joined", "batches_uncounted", "batches_left"),
    *("jobs_counted", "jobs_recounted", "jobs_uncounted", "day_sums_kept"),
    *("given_up_counted", "given_up_recounted", "given_up_uncounted"),
)
"""Those that keep counts and sums. The others tell of changes, or keep the looks of a job."""
TOGETHER = 20
"""Ends in a transaction, as the writer stores what waits together."""
BATCH = 50
ROUNDS = 7
MOST, LEAST_SAVED = 1.25, 10
"""Targets: the ratio of an end with the triggers to one without, and how much dearer counting is than reading."""
_DAY = "strftime('%Y-%m-%d', state_since / 1000000, 'unixepoch')"
_NEWEST = "(SELECT batch FROM batches WHERE project = 'main' ORDER BY newest DESC LIMIT 50)"
NUMBERS = {
    "the jobs by project, tracking and state": (
        "SELECT project, tracking, state, n FROM job_counts WHERE n > 0",
        "SELECT project, tracking, coalesce(state, ''), count(*) FROM jobs GROUP BY 1, 2, 3",
    ),
    "the jobs of the 50 newest batches by tracking and state": (
        f"""SELECT batch, tracking, state, n FROM batch_counts
        WHERE batch IN {_NEWEST} AND project = 'main' AND n > 0""",
        f"""SELECT batch, tracking, coalesce(state, ''), count(*) FROM jobs
        WHERE batch IN {_NEWEST} AND project = 'main' GROUP BY 1, 2, 3""",
    ),
    "the ends of 30 days by day, project, kind and state": (
        "SELECT day, project, kind, state, n FROM day_sums WHERE day > '2026-01-30' AND n > 0",
        f"""SELECT {_DAY}, project, kind, state, count(*) FROM jobs
        WHERE tracking = 'finished' AND state_since >= 1769817600000000 GROUP BY 1, 2, 3, 4""",
    ),
}
"""What pages show, each as it is kept and as it would be counted."""
SEEN = Observation(state="SUCCEED")
ROUTES = routing([], operators=None, channels=[ChannelName("team")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--ends", type=int, default=2_000)
    parser.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        first, jobs = made(Path(folder) / "with.db", options.rows, options.ends)
        reads = {what: tuple(least(first, query) for query in pair) for what, pair in NUMBERS.items()}
        bare = without(first, Path(folder) / "without.db")
        kept, dropped = ends([first, bare], jobs)
    rows = [
        _row_of_ends(kept, dropped),
        *(_row_of_reads(what, *pair, options.rows) for what, pair in reads.items()),
    ]
    for row in rows:
        ratio = "" if row["ratio"] is None else f", ratio {row['ratio']:.2f}"
        print(f"{row['what']}: {row['wrapd']} ({row['beside']}{ratio}; {row['target']})")
    if options.json:
        about = (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip()
        save(options.json, title="Triggers that count", order=65, about=about, rows=rows)
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def made(path: Path, rows: int, number: int) -> tuple[Path, list[int]]:
    """Make a database of so many jobs, and so many more in production. Returns it with the row ids of those."""
    make(path, rows, now=NOW)
    begun = judge(None, Observation(state="PROCESSING"), at=NOW)
    assert isinstance(begun, Moved)

    def add(tx: Transaction) -> list[int]:
        wanted = [
            TrackRequest(
                project=ProjectName("main"), kind="avatar", job_id=JobId(f"new-{n}"), batch=f"new-{n // BATCH}"
            )
            for n in range(number)
        ]
        tx.jobs.track_many(wanted, at=NOW)
        found = [tx.jobs.find(each.job_id, each.project)[0].id for each in wanted]
        for job in found:
            tx.jobs.record_move(job, begun, Observation(state="PROCESSING"), routing=ROUTES, due_at=NOW)
        return found

    with closing(opened(path)) as store:
        return path, store.write_now(add)


def without(path: Path, copy: Path) -> Path:
    """Copy a database without the triggers that keep counts and sums."""
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as database:
        for name in TRIGGERS:
            database.execute(f"DROP TRIGGER {name}")
    return copy


def opened(path: Path) -> Store:
    return Store.open(f"sqlite:///{path}", clock=ManualClock(NOW))


def ends(paths: list[Path], jobs: list[int]) -> tuple[list[float], ...]:
    """Record the end of each job in each database, in turns. Returns µs of CPU for each end, by transaction."""
    stores = [opened(path) for path in paths]
    took: tuple[list[float], ...] = tuple([] for _ in stores)
    for number, part in enumerate(jobs[at : at + TOGETHER] for at in range(0, len(jobs), TOGETHER)):
        turns = list(zip(stores, took, strict=True))
        for store, costs in turns if number % 2 else turns[::-1]:
            costs.append(1e6 * _cpu(partial(store.write_now, partial(_end, part=part))) / len(part))
    for store in stores:
        store.close()
    return took


def _end(tx: Transaction, *, part: list[int]) -> None:
    for job in part:
        moved = judge("PROCESSING", SEEN, at=NOW)
        assert isinstance(moved, Moved)
        assert tx.jobs.record_move(job, moved, SEEN, routing=ROUTES, due_at=NOW) is not None


def least(path: Path, query: str) -> float:
    """Return ms of CPU to read what a query returns."""
    with closing(sqlite3.connect(path)) as database:
        return min(1000 * _cpu(lambda: database.execute(query).fetchall()) for _ in range(ROUNDS))


def _cpu(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def _row_of_ends(kept: list[float], dropped: list[float]) -> dict[str, Any]:
    one, other = statistics.median(kept), statistics.median(dropped)
    ratio = statistics.median(mine / bare for mine, bare in zip(kept, dropped, strict=True))
    return {
        "what": "CPU to record an end with its alert",
        "wrapd": f"{one:.0f} µs",
        "beside": f"without these triggers: {other:.0f} µs",
        "ratio": ratio,
        "target": f"at most {MOST:g}",
        "met": ratio <= MOST,
    }


def _row_of_reads(what: str, kept: float, counted: float, rows: int) -> dict[str, Any]:
    return {
        "what": f"reading {what}, of {rows:,} jobs",
        "wrapd": f"{kept:.2f} ms",
        "beside": f"counting: {counted:.1f} ms",
        "ratio": None,
        "target": f"counting takes at least {LEAST_SAVED} times as long",
        "met": LEAST_SAVED * kept <= counted,
    }


if __name__ == "__main__":
    main()
