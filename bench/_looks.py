"""A whole look at a job: the query chosen and sent, the answer read and taken, the next query planned, the
bookkeeping stored. In daemons that track few and many jobs, for `growth.py`.

Each daemon is a process of its own, over one service in another. It is as `wrapd run` starts it, without its web
server and its feed; only when it asks is up to the benchmark. The jobs that are due next are random ones, which
nothing has touched for long, and none has changed. Their bookkeeping is stored as often as the daemon does it.

Beside it is a bare program that does the least: see `_look_barely`.
"""

import asyncio
import gc
import heapq
import http.client
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOOKS = {"ids": 30_000, "single": 200}
"""Most looks in a round, by ids in lists of 100: at the default rate, those between two checkpoints. A job has one
at most."""
PACE, LATE = 100.0, 1e6
"""Jobs that become due in a second, and for how many seconds the first of them has been."""


class Looker:
    """A daemon on this database, which looks at jobs when it is told to."""

    def __init__(self, url: str, database: Path, *, barely: int = 0) -> None:
        """`barely`: not wrapd, but a bare program with so many jobs and a new database."""
        command = [sys.executable, __file__, url, str(database), *([str(barely)] if barely else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()  # it has taken up its jobs

    def looks(self, by: str, _: int) -> float:
        """Microseconds of its CPU for a look, singly or by ids."""
        assert self._process.stdin is not None
        self._process.stdin.write(by + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Stop the daemon."""
        self._process.terminate()
        self._process.wait(30)

    def _answer(self) -> float:
        assert self._process.stdout is not None
        return float(json.loads(self._process.stdout.readline()))


@contextmanager
def service() -> Iterator[str]:
    """The address of a service that knows every job: all are in production."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


async def _serve() -> None:
    from aiohttp import web

    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def entry(job: str) -> dict[str, object]:
        return {
            "job_id": job,
            "state": "PROCESSING",
            "job_type": "2D_DIGITAL_HUMAN_VIDEO",
            "create_time": moment,
            "start_time": moment,
            "lastupdate_time": moment,
            "output_asset_config": {"asset_name": "A video"},
        }

    async def answer(request: web.Request) -> web.Response:
        ids = parse_qs(urlsplit(str(request.rel_url)).query).get("job_ids")
        if ids is None:
            return web.json_response(entry(request.path.rsplit("/", 1)[1]))
        return web.json_response({"count": len(ids), "jobs": [entry(job) for job in ids]})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


async def _look_when_told(url: str, database: str) -> None:
    from daemon.logs import set_up
    from daemon.watch.poller import Poller

    set_up(output="json")
    Poller.pump = lambda self: None  # it asks nothing by itself
    daemon = _daemon(url, database)
    await daemon.start()
    await daemon._schedule.stop(patience=0)  # nor does it store anything by itself
    [poller] = daemon.scope.pollers.values()
    if daemon._settling is not None:
        await daemon._settling
    line = _Line(poller)
    looked = None
    while looked is None:  # opens the connection, and takes what had changed in a database that was kept
        looked = await _looks(daemon.scope.watcher, line, "ids")
    while True:
        print(json.dumps(looked), flush=True)
        by = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if not by:
            return
        looked = await _looks(daemon.scope.watcher, line, by)
        assert looked is not None


class _Line:
    """The jobs of a poller, all of them overdue and in a random order."""

    def __init__(self, poller: Any) -> None:
        self.poller, self.jobs = poller, list(poller.agenda)
        self._rng, self._end = random.Random(1), time.monotonic() - LATE
        self.append(self.jobs, number=len(self.jobs))

    def append(self, jobs: list[Any], *, number: int) -> None:
        """Make jobs due last, at random moments of the seconds in which `number` of them become due."""
        from daemon.domain.planning import Reason

        for watched in jobs:
            watched.ask_in_list()
            watched.plan(self._end + self._rng.random() * len(self.jobs) / PACE, Reason.PRICE)
            self.poller.agenda.put(watched, watched.due)
        self._end += number / PACE

    def singly(self, number: int) -> list[Any]:
        """Make random jobs due before all others, singly."""
        jobs = self._rng.sample(self.jobs, number)
        for watched in jobs:
            watched.ask_singly(time.monotonic() - 2 * LATE)
            self.poller.agenda.put(watched, watched.due)
        return jobs


async def _looks(watcher: Any, line: _Line, by: str) -> float | None:
    """Microseconds of CPU for a look; None if answers showed changes."""
    from daemon.metastudio.budget import Priority

    poller, number = line.poller, min(LOOKS[by], len(line.jobs))
    if by == "single":
        line.singly(number)
    asked, asker, begun = 0, poller._asker, time.process_time()
    while asked < number:
        now = time.monotonic()
        assert poller.chooser.anything(now, idle=False)
        question = poller.chooser.question(now, idle=False)
        assert question is not None
        assert question.single == (by == "single")
        permit = await poller.context.client.budget.take(Priority.NEWS)
        if question.single:
            await asker._ask_singly(question.jobs[0], permit)
        else:
            await asker._ask_by_ids(question.jobs, permit)
        asked += len(question.jobs)
    touched = poller.answers.take_touched()
    await watcher._flush(touched)
    took = time.process_time() - begun
    await poller.idle()
    line.append(touched, number=number)
    return took / number * 1e6 if len(touched) > 0.9 * number else None


def _daemon(url: str, database: str) -> Any:
    from daemon.app.run import Daemon
    from daemon.clock import SystemClock
    from daemon.domain.routing import routing
    from daemon.metastudio.settings import AkSk, ProjectSettings
    from daemon.notify import NotifySettings
    from daemon.spec import Spec
    from daemon.watch.settings import PollingPlan

    keys = AkSk(access_key="A", secret_key="S")
    spec = Spec(
        database_url=f"sqlite:///{database}",
        projects=(ProjectSettings(name="main", endpoint=url, project_id="0" * 32, rate=1e6, auth=keys),),
        max_in_flight={"main": 16},
        polling=PollingPlan(feed=False),
        not_found_grace=600,
        give_up_after=86400 * 400,
        channels={},
        routing=routing([], operators=[], channels=[]),
        notify=NotifySettings(),
        web=None,
    )
    return Daemon(spec=spec, clock=SystemClock(), rng=random.Random(1))


class _Job:
    __slots__ = ("due", "id", "looked", "polls", "row", "state")


def _look_barely(url: str, database: str, number: int) -> None:
    """The least that any program does: jobs in a dictionary, a heap of due times, a request for a hundred ids, its
    answer compared with what is known, and one row of each look in SQLite, a thousand in a transaction. No errors,
    no plan, no budget, no metrics."""
    jobs = {}
    for row in range(number):
        job = jobs[f"job-{row}"] = _Job()
        job.id, job.row, job.state, job.polls, job.due = f"job-{row}", row, "PROCESSING", 0, random.random()
    heap = [(job.due, job.row, job) for job in jobs.values()]
    heapq.heapify(heap)
    gc.freeze()
    store = sqlite3.connect(database, isolation_level=None)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("CREATE TABLE looks (job INTEGER PRIMARY KEY, polls INTEGER, looked INTEGER, due INTEGER)")
    store.execute("BEGIN")
    store.executemany("INSERT INTO looks VALUES (?, 1, 1, 1)", ((row,) for row in range(number)))
    store.execute("COMMIT")
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    count = min(LOOKS["ids"], number)
    print(0, flush=True)
    while sys.stdin.readline():
        begun, looked = time.process_time(), []
        for _ in range(count // 100):
            asked = [heapq.heappop(heap)[2] for _ in range(100)]
            connection.request(
                "GET", "/v1/p/digital-human-videos?" + "&".join(f"job_ids={each.id}" for each in asked)
            )
            now = time.monotonic()
            for entry in json.loads(connection.getresponse().read())["jobs"]:
                job = jobs[entry["job_id"]]
                assert entry["state"] == job.state
                job.looked, job.polls, job.due = now, job.polls + 1, now + random.random()
                heapq.heappush(heap, (job.due, job.row, job))
                looked.append(job)
        looked.sort(key=attrgetter("row"))
        for begin in range(0, count, 1000):
            rows = [(1, int(each.looked), int(each.due), each.row) for each in looked[begin : begin + 1000]]
            store.execute("BEGIN IMMEDIATE")
            store.executemany("UPDATE looks SET polls = polls + ?, looked = ?, due = ? WHERE job = ?", rows)
            store.execute("COMMIT")
        print((time.process_time() - begun) / count * 1e6, flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _look_barely(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        asyncio.run(_look_when_told(*sys.argv[1:]) if sys.argv[1:] else _serve())
