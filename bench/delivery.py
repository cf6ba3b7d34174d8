"""How soon an end is reported, and how many sends a second one core makes, compared with doing so without wrapd.

    python bench/delivery.py [--rounds 3] [--seconds 30] [--json FILE]

Latency: a job's state changes at the simulator, which POSTs its callback; the job is queried; the webhook gets the
message. `callbacks` is `wrapd run`, `bare` a small aiohttp program that does nothing else. `polling` is `wrapd
run` without callbacks at a fixed interval. Sends: the dispatcher over a full outbox, compared with an Apprise loop
that commits once for each send, in rounds that take turns; the flood is one round with more alerts. Everything
runs on loopback, the simulator and the webhook on the last core, the contender on the first.
"""

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from _around import free_port, listens, received, until, webhook
from _report import save
from poll import Target, control, metered, simulator

GAP = 2.0
"""Seconds between two polls of a job without callbacks."""
ENDS_A_SECOND = 8
SENDS, FLOOD = 1500, 10_000
"""Alerts in the outbox of each round, and of the flood."""
KEY = "a-callback-key-of-the-bench"
LAST_CORE = os.cpu_count() - 1
BOUNDS = {
    "callbacks: p99, s": (0.3, "at most"),
    "polling: p99 beyond the planned gap, s": (0.3, "at most"),
    "ratio: sends a second, wrapd to the bare loop": (1.5, "at least"),
    "ratio: CPU for each send, wrapd to the bare loop": (1.1, "at most"),
    "wrapd: seconds for the flood": (8.0, "at most"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of sends a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="over which the jobs end")
    parser.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--to", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        os.sched_setaffinity(0, {0})
        CONTENDERS[arguments.contender](arguments.to)
        return
    figures = latencies(arguments.seconds) | sends(arguments.rounds)
    print("\n".join(f"{name:<58} {value:>10.3f}" for name, value in figures.items()))
    if arguments.json:
        save(arguments.json, title="Delivery", order=30, about=ABOUT, rows=rows(figures), figures=figures)
    missed = [
        f"{name} is {figures[name]:.3f}, not {way} {bound:g}"
        for name, (bound, way) in BOUNDS.items()
        if _misses(figures[name], bound, way)
    ]
    print("\n".join(missed))
    sys.exit(bool(missed))


# ------------------------------------------------------------------------------------------- how soon


def latencies(seconds: float) -> dict[str, float]:
    """Seconds from the change of state to the webhook's receipt: wrapd and the bare program take turns."""
    figures: dict[str, float] = {}
    for name, way in (("bare", told_bare), ("callbacks", told_by_callback), ("polling", told_by_polling)):
        with webhook(core=LAST_CORE) as hook:  # the simulators' ids are the same
            took = way(hook, seconds)
        figures[f"{name}: ends told"] = len(took)
        figures[f"{name}: median, s"] = statistics.median(took)
        figures[f"{name}: p99, s"] = quantile(took, 0.99)
        figures[f"{name}: longest, s"] = max(took)
    figures["polling: planned gap, s"] = GAP
    figures["polling: p99 beyond the planned gap, s"] = figures["polling: p99, s"] - GAP
    figures["callbacks: p99 beyond the bare program's, s"] = figures["callbacks: p99, s"] - figures["bare: p99, s"]
    return figures


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def told_bare(hook: int, seconds: float) -> list[float]:
    port = free_port()
    with simulator() as target:
        settings = {"target": vars(target), "port": port, "hook": hook}
        command = [sys.executable, __file__, "--contender", "bare-callback"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.close()
            try:
                until(lambda: listens(port), "the bare program listens")
                create(
                    target, seconds, callback={"callback_url": f"http://127.0.0.1:{port}/", "auth_type": "NONE"}
                )
                return delays(target, hook)
            finally:
                process.terminate()


def told_by_callback(hook: int, seconds: float) -> list[float]:
    """Callbacks signed as MSS_A; no poll would be due for a minute."""
    port = free_port()
    with simulator() as target, tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        public = f"http://127.0.0.1:{port}"
        config = write_config(folder, target, hook, port, gap=60.0, callback=True)
        callback = {"callback_url": f"{public}/callbacks/main", "auth_type": "MSS_A", "key": KEY}
        with daemon(config, port):
            track(config, create(target, seconds, callback=callback))
            return delays(target, hook)


def told_by_polling(hook: int, seconds: float) -> list[float]:
    port = free_port()
    with simulator() as target, tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        config = write_config(folder, target, hook, port, gap=GAP, callback=False)
        with daemon(config, port):
            track(config, create(target, seconds, callback=None))
            return delays(target, hook)


def create(target: Target, seconds: float, *, callback: dict[str, str] | None) -> list[str]:
    """Create jobs whose ends are spread at random over `seconds`, starting 5 s from now."""
    rng = random.Random(7)
    more = {} if callback is None else {"callback_config": callback}
    jobs = [
        {"kind": "photo", "timeline": [["PROCESSING", 5 + rng.random() * seconds], ["SUCCEED", None]], **more}
        for _ in range(int(ENDS_A_SECOND * seconds))
    ]
    return control(target, "POST", "jobs", {"jobs": jobs})["job_ids"]


def delays(target: Target, hook: int) -> list[float]:
    """Wait until every end is reported, once each. Returns how long each took, in seconds."""
    ends = {
        job["job_id"]: datetime.fromisoformat(job["history"][-1]["at"]).timestamp()
        for job in wait_for_ends(target)
    }
    until(lambda: ends.keys() <= {each["job_id"] for each in received(hook)}, "all ends are told")
    told: dict[str, list[float]] = {}
    for each in received(hook):
        told.setdefault(each["job_id"], []).append(each["at"])
    assert all(len(told[job]) == 1 for job in ends), "no end is told twice"
    return [told[job][0] - at for job, at in ends.items()]


def wait_for_ends(target: Target) -> list[dict[str, Any]]:
    def jobs() -> list[dict[str, Any]]:
        found = control(target, "GET", "jobs")
        return found["jobs"] if isinstance(found, dict) else found

    until(lambda: all(job["history"][-1]["state"] == "SUCCEED" for job in jobs()), "all jobs end", pace=1.0)
    return jobs()


def write_config(folder: str, target: Target, hook: int, port: int, *, gap: float, callback: bool) -> Path:
    config = Path(folder) / "wrapd.toml"
    more = f'callback = {{ auth = "mss_a", key = "{KEY}" }}' if callback else ""
    config.write_text(
        f"""operators = []
[polling]
strategy = "fixed"
feed = "off"
batch = "off"
min_interval = "{gap:g}s"
max_interval = "{gap:g}s"
[web]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
[channels.hook]
url = "json://127.0.0.1:{hook}/"
[projects.main]
endpoint = "{target.url}"
project_id = "{target.project_id}"
requests_per_second = 400
auth = {{ method = "aksk", access_key = "{target.access_key}", secret_key = "{target.secret_key}" }}
{more}
"""
    )
    return config


@contextmanager
def daemon(config: Path, port: int) -> Iterator[None]:
    """`wrapd run` on the first core."""
    with config.with_suffix(".log").open("wb") as log:
        command = [sys.executable, "-m", "daemon.cli", "--config", str(config), "run"]
        process = subprocess.Popen(command, stderr=log, preexec_fn=lambda: os.sched_setaffinity(0, {0}))  # noqa: PLW1509
    try:
        until(lambda: listens(port), "the daemon listens")
        yield
    finally:
        process.terminate()
        process.wait(30)


def track(config: Path, jobs: list[str]) -> None:
    command = [sys.executable, "-m", "daemon.cli", "--config", str(config), "track", "-", "--kind", "photo"]
    subprocess.run(command, input="\n".join(jobs), text=True, check=True, stdout=subprocess.DEVNULL)


def bare_callback(_to: int) -> None:
    """Take callbacks, query, post: nothing is stored, checked or retried."""
    from aiohttp import ClientSession, web

    given = json.loads(sys.stdin.readline())
    target = Target(**given["target"])

    async def serve() -> None:
        async with ClientSession() as session:

            async def tell(job: str) -> None:
                url = f"{target.url}/v1/{target.project_id}/photo-digital-human-videos/{job}"
                async with session.get(url, headers={"X-Auth-Token": target.token}) as answer:
                    assert answer.status == 200, await answer.text()
                    found = await answer.json()
                async with session.post(f"http://127.0.0.1:{given['hook']}/", json={"job_id": job, **found}):
                    return

            tasks: set[asyncio.Task[None]] = set()

            async def taken(request: web.Request) -> web.Response:
                body = await request.json()
                task = asyncio.create_task(tell(str(body["job_id"])))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                return web.Response()

            app = web.Application()
            app.router.add_post("/", taken)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", given["port"]).start()
            await asyncio.Event().wait()

    asyncio.run(serve())


# ------------------------------------------------------------------------------------------- how many


def sends(rounds: int) -> dict[str, float]:
    """Sends a second on one core, rounds interleaved; medians."""
    names = ("wrapd-sends", "bare-sends")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with webhook(core=LAST_CORE) as hook:
        for number in range(rounds):
            for name in names if number % 2 else names[::-1]:
                runs[name].append(contend(name, hook))
        flood = contend("wrapd-flood", hook)
    figures = {"wrapd: seconds for the flood": flood["wall"]}
    for name, word in zip(names, ("wrapd", "the bare loop"), strict=True):
        figures[f"{word}: sends a second"] = statistics.median(SENDS / run["wall"] for run in runs[name])
        figures[f"{word}: CPU milliseconds for each send"] = statistics.median(
            1000 * run["cpu"] / SENDS for run in runs[name]
        )
    for what, key in (
        ("sends a second", "sends a second"),
        ("CPU for each send", "CPU milliseconds for each send"),
    ):
        wrapd, bare = figures[f"wrapd: {key}"], figures[f"the bare loop: {key}"]
        figures[f"ratio: {what}, wrapd to the bare loop"] = wrapd / bare
    return figures


def contend(name: str, hook: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--contender", name, "--to", str(hook)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def wrapd_sends(hook: int, count: int = SENDS) -> None:
    """The dispatcher over an outbox that holds `count` alerts, until all are recorded."""
    print(json.dumps(asyncio.run(_wrapd_sends(hook, count))))


def wrapd_flood(hook: int) -> None:
    wrapd_sends(hook, FLOOD)


async def _wrapd_sends(hook: int, count: int) -> dict[str, float]:
    from daemon.clock import SystemClock
    from daemon.domain.jobs import Observation
    from daemon.domain.routing import routing
    from daemon.domain.transitions import judge
    from daemon.logs import set_up
    from daemon.metrics import Metrics
    from daemon.notify import NotifySettings
    from daemon.notify.outbox.dispatcher import Dispatcher
    from daemon.notify.transport import ChannelSettings, open_channel
    from daemon.store import Store, TrackRequest
    from daemon.tasks import Defects

    set_up(level="error")
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        store = Store.open(f"sqlite:///{folder}/wrapd.db", clock=clock, daemon=True)
        routes = routing([], operators=[], channels=["hook"])

        def seed(tx: Any) -> None:
            at = clock.now()
            for number in range(count):
                tx.jobs.track(TrackRequest(project="bench", kind="avatar", job_id=f"job-{number}"), at=at)
                (row,) = tx.jobs.find(f"job-{number}", "bench")
                seen = Observation(state="SUCCEED")
                moved = judge(None, seen, at=at)
                tx.jobs.record_move(row.id, moved, seen, routing=routes, due_at=at)

        store.write_now(seed)
        channel = open_channel(ChannelSettings(name="hook", url=f"json://127.0.0.1:{hook}/"))
        done = asyncio.Event()
        results: list[str] = []

        def note(_channel: str, outcome: str) -> None:
            results.append(outcome)
            if len(results) == count:
                done.set()

        dispatcher = Dispatcher(
            store,
            {"hook": channel},
            clock=clock,
            rng=random.Random(1),
            settings=NotifySettings(),
            defects=Defects(clock=clock, metrics=Metrics()),
            operators=[],
            on_result=note,
        )
        with metered() as meter:
            await dispatcher.start()
            await done.wait()
        await dispatcher.stop()
        store.close()
        assert set(results) == {"sent"}
        return meter


def bare_sends(hook: int) -> None:
    """Apprise in a loop; each row is marked as sent after its send, in one synced commit."""
    import logging

    import apprise

    logging.disable(logging.CRITICAL)
    asset = apprise.AppriseAsset(service_timeout=0, async_mode=False)
    service = apprise.Apprise(asset=asset)
    assert service.add(f"json://127.0.0.1:{hook}/")
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        database = sqlite3.connect(f"{folder}/bare.db", isolation_level=None)
        database.executescript(
            "pragma journal_mode = wal; pragma synchronous = full; create table rows (id integer primary key, "
            "status text, body text);"
        )
        body = "The video is finished.\n\nFinished: 2026-03-01 12:00 UTC\nProject: main (avatar video)\nJob: "
        database.executemany(
            "insert into rows values (?, 'pending', ?)", [(n, f"{body}job-{n}") for n in range(SENDS)]
        )
        with metered() as meter:
            for number in range(SENDS):
                (text,) = database.execute("select body from rows where id = ?", (number,)).fetchone()
                assert service.notify(title=f"Ready: job-{number}", body=text)
                database.execute("update rows set status = 'sent' where id = ?", (number,))
        database.close()
    print(json.dumps(meter))


CONTENDERS = {
    "bare-callback": bare_callback,
    "wrapd-sends": wrapd_sends,
    "wrapd-flood": wrapd_flood,
    "bare-sends": bare_sends,
}


# ------------------------------------------------------------------------------------------- the page


ABOUT = f"""
From the change of state at the API to the webhook's receipt, {ENDS_A_SECOND} ends a second; the simulator and the
webhook on one core, wrapd or what it is compared with on the other. The bare program takes the callback, queries
and posts; it stores nothing, checks nothing and retries nothing. Sends go to a `json://` channel, compared with a
loop over Apprise that commits once for each."""


def rows(figures: dict[str, float]) -> list[dict[str, object]]:
    """The rows of docs/performance.md."""
    found = []
    for name, what in (("callbacks", "With callbacks"), ("polling", f"Polling every {GAP:g} s")):
        for each in ("median", "p99", "longest"):
            mine, bare = figures[f"{name}: {each}, s"], figures[f"bare: {each}, s"]
            compared = (f"a bare program: {bare:.3f} s", mine / bare) if name == "callbacks" else ("", None)
            row = _row(f"{what}: {each} delay", f"{mine:.3f} s", *compared)
            found.append({**row, **_target(figures, f"{name}: {each}, s", " s")})
    late = "polling: p99 beyond the planned gap, s"
    found.append({**_row(f"Polling: {late[9:-3]}", f"{figures[late]:.3f} s", ""), **_target(figures, late, " s")})
    sends, bare = figures["wrapd: sends a second"], figures["the bare loop: sends a second"]
    ratio = "ratio: sends a second, wrapd to the bare loop"
    row = _row("Sends a second, one core", f"{sends:.0f}", f"the loop: {bare:.0f}", figures[ratio])
    found.append({**row, **_target(figures, ratio)})
    cpu, bare = (figures[f"{name}: CPU milliseconds for each send"] for name in ("wrapd", "the bare loop"))
    ratio = "ratio: CPU for each send, wrapd to the bare loop"
    row = _row("CPU for each send", f"{cpu:.2f} ms", f"the loop: {bare:.2f} ms", figures[ratio])
    found.append({**row, **_target(figures, ratio)})
    flood = "wrapd: seconds for the flood"
    row = _row(f"A flood of {FLOOD:,} alerts, one core", f"{figures[flood]:.1f} s", "")
    found.append({**row, **_target(figures, flood, " s")})
    return found


def _row(what: str, wrapd: str, beside: str, ratio: float | None = None) -> dict[str, object]:
    return {"what": what, "wrapd": wrapd, "beside": beside, "ratio": ratio, "target": ""}


def _target(figures: dict[str, float], name: str, unit: str = "") -> dict[str, object]:
    if name not in BOUNDS:
        return {}
    bound, way = BOUNDS[name]
    return {"target": f"{way} {bound:g}{unit}", "met": not _misses(figures[name], bound, way)}


def _misses(value: float, bound: float, way: str) -> bool:
    return value > bound if way == "at most" else value < bound


if __name__ == "__main__":
    main()
