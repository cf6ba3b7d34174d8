"""A whole look at a job: the query chosen and sent, the answer read and taken, the next query planned, the
bookkeeping stored. In daemons that track few and many jobs, for `growth.py`.

Each daemon is a process of its own, over one service in another. It is as `wrapd run` starts it, without its web
server and its feed; only when it asks is up to the benchmark. The jobs are random ones, all due, and none has
changed. What is slower with many jobs is mostly memory that is not in the processor's caches.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOOKS = {"ids": 1000, "single": 200}
"""Looks in a round, by ids in lists of 100. Their bookkeeping is stored in one transaction, as by a checkpoint."""
DUE, LATER = 10.0, 3600.0
"""Seconds over which the due times of the jobs of a round are spread, and after which all others are due."""


class Looker:
    """A daemon on this database, which looks at jobs when it is told to."""

    def __init__(self, url: str, database: Path) -> None:
        command = [sys.executable, __file__, url, str(database)]
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
    jobs, rng = list(poller.agenda), random.Random(1)
    _plan(
        poller, jobs, time.monotonic() + LATER, len(jobs) / 100, rng
    )  # as lists of a hundred a second leave them
    looked = None
    while looked is None:  # opens the connection, and takes what had changed in a database that was kept
        looked = await _looks(daemon.scope.watcher, poller, "ids", jobs, rng)
    while True:
        print(json.dumps(looked), flush=True)
        by = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if not by:
            return
        looked = await _looks(daemon.scope.watcher, poller, by, jobs, rng)
        assert looked is not None


def _plan(
    poller: Any, jobs: list[Any], first: float, spread: float, rng: random.Random, *, singly: bool = False
) -> None:
    """Make jobs due at random moments of these `spread` seconds."""
    from daemon.domain.planning import Reason

    for watched in jobs:
        plan = watched.ask_singly if singly else watched.plan
        plan(first + spread * rng.random(), Reason.PRICE)
        poller.agenda.put(watched, watched.due)


async def _looks(watcher: Any, poller: Any, by: str, jobs: list[Any], rng: random.Random) -> float | None:
    """Microseconds of CPU for a look; None if answers showed changes."""
    from daemon.metastudio.budget import Priority

    number = LOOKS[by]
    _plan(poller, rng.sample(jobs, number), time.monotonic() - DUE, DUE, rng, singly=by == "single")
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


if __name__ == "__main__":
    asyncio.run(_look_when_told(*sys.argv[1:]) if sys.argv[1:] else _serve())
