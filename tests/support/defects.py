"""`python -m tests.support.defects FOLDER`: runs a complete daemon with an error raised at a chosen place, run by
run.

Reads faults from standard input, one line of JSON each (`null`: a run without a fault), and writes one line for
each run: the violations, how often each place was passed, and its kind. Everything is real (two simulators, three
webhooks, the database, the web server) except time, which jumps. Runs in a separate process, since the probes
change the imported code.
"""

from tests.support.probing import PROBE, Fault, install

install()

# ruff: noqa: E402 - the probes come first

import asyncio
import contextlib
import gc
import json
import logging
import random
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from daemon.app.run import Daemon
from daemon.build import load_spec
from daemon.clock import ManualClock
from daemon.logs import set_up
from daemon.notify import NotifySettings
from daemon.sim import SimSettings, Simulator
from daemon.store import StoreBusy, StoreFailed
from tests.support.around import BUSY, TOKEN, Run, acts, prepare
from tests.support.virtual import VirtualLoop, stand_in
from tests.support.webhook import Answer, Webhook

INJECTED = "raised by the test"
ERRORS: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError(INJECTED),
    "StoreFailed": lambda: StoreFailed(INJECTED),
    "StoreBusy": lambda: StoreBusy(INJECTED),
}
RESCUE = 120.0
"""Maximum seconds for which a delivery may be `sending`."""
LATEST = 2500.0
"""Seconds within which all alerts are sent that are not hit again and again."""
PROMPT = 60.0
"""Seconds within which an end not affected by the error is alerted."""
MAX_INTERVAL = 10.0
LOOK_INTERVAL = NotifySettings().look_interval
KEY = "a-callback-key-of-tests"


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, str(record.msg)))


def run(folder: Path, fault: Fault | None) -> dict[str, Any]:
    """Make one run with `fault`."""
    clock = ManualClock()
    it = Run(folder=folder, clock=clock, fault=fault)
    BUSY.count = 0
    log = _Log()
    logging.getLogger().handlers[:] = [log]
    PROBE.reset(fault)
    PROBE.on_hit = lambda: setattr(it, "hit_at", it.hit_at or clock.monotonic())
    begun = time.monotonic()
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock, BUSY)) as runner:
        runner.run(_live(it))
        gc.collect()
        runner.run(asyncio.sleep(0))
    PROBE.armed = False
    # an error at a close that the fault prevented is expected
    it.violations += [f"nobody heard of: {each}" for each in it.unheard if not each.startswith("Unclosed")]
    if PROBE.hits:
        _check_told_of(it, log)
    return {
        "fault": None if fault is None else fault.site,
        "violations": it.violations,
        "passes": [[site, PROBE.kinds[site], after, count] for (site, after), count in PROBE.passes.items()],
        "hits": len(PROBE.hits),
        "victim": it.labels.get(PROBE.victim or "", PROBE.victim),
        "seconds": round(time.monotonic() - begun, 2),
        "virtual": round(clock.monotonic() - 1000.0),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _config(sims: dict[str, Simulator], hooks: dict[str, Webhook], port: int) -> str:
    projects = "".join(
        f'[projects.{name}]\nendpoint = "{sim.url}"\nproject_id = "{sim.settings.project_id}"\n'
        f"requests_per_second = 10\nauth = {{ method = 'aksk', access_key = '{sim.settings.access_key}', "
        f"secret_key = '{sim.settings.secret_key}' }}\n"
        for name, sim in sims.items()
    )
    return f"""
operators = ["ops"]
[polling]
min_interval = "1s"
max_interval = "{MAX_INTERVAL:g}s"
blocked_interval = "5s"
not_found_grace = "30s"
[web]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
token = "{TOKEN}"
{projects}
[projects.other.discovery]
interval = "10s"
[projects.main.callback]
auth = "none"
key = "{KEY}"
track_unknown = true
[channels.a]
url = "{hooks["a"].url()}"
[channels.b]
url = "mmost://{hooks["b"].address}/tokentokentoken12345678"
digest_above = 3
digest_window = "10s"
[channels.ops]
url = "{hooks["ops"].url()}"
[[routes]]
channels = ["a", "b"]
"""


async def _live(it: Run) -> None:
    async with contextlib.AsyncExitStack() as stack:
        sims = {
            name: await stack.enter_async_context(
                Simulator(SimSettings(seed=seed, show_rate=None, write_rate=None, clock=it.clock))
            )
            for name, seed in (("main", 1), ("other", 2))
        }
        hooks = {name: stack.enter_context(Webhook(default=Answer(body=b"ok"))) for name in ("a", "b", "ops")}
        config = it.folder / "wrapd.toml"
        config.write_text(_config(sims, hooks, _free_port()))
        config.chmod(0o600)
        plan = load_spec(config)[0]
        service = Daemon(spec=plan, clock=it.clock, rng=random.Random(1))
        prepare(it, sims, plan.database_url)
        await service.start()
        # the daemon handles these as well, but they have no owner
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: it.unheard.append(f"{context['message']}: {context.get('exception')!r}")
        )
        PROBE.armed = True
        under_way = [asyncio.create_task(act, name=act.__name__) for act in acts(it, service, sims)]
        try:
            await _told(it, hooks, under_way)
            await asyncio.sleep(RESCUE + 10)  # by then repeated sends are done
            PROBE.armed = False
            await asyncio.sleep(MAX_INTERVAL)  # by then a late error is reported
        finally:
            PROBE.armed = False
            for act in under_way:
                act.cancel()
            ends = await asyncio.gather(*under_way, return_exceptions=True)
            await service.stop()
        it.violations += [
            f"{act.get_name()} was not served: {end!r}" for act, end in zip(under_way, ends, strict=True) if end
        ]
        _check_messages(it, hooks)
        _check_rows(it)
        _check_asked(it)


async def _told(it: Run, hooks: dict[str, Webhook], acts: Collection["asyncio.Task[None]"]) -> None:
    """Return once all alerts are sent, or when they should have been."""
    begun = it.clock.monotonic()
    while it.clock.monotonic() < begun + LATEST:
        await asyncio.sleep(1.0)
        wanted = {job for job in it.labels if job != PROBE.victim}
        if all(act.done() for act in acts) and all(wanted <= set(_times(it, name, hooks[name])) for name in "ab"):
            return


# Checks


def _check_messages(it: Run, hooks: dict[str, Webhook]) -> None:
    excused = set() if PROBE.victim is None else {PROBE.victim}
    for name in "ab":
        if missing := set(it.labels) - set(_times(it, name, hooks[name])) - excused:
            it.violations.append(f"never told on {name}: {_labels(it, missing)}")
        said = b"".join(received.body for received in hooks[name].requests)
        if b"spring" not in said and not excused:
            it.violations.append(f"the end of the batch was not told on {name}")
    again = {job: times for job, times in _times(it, "a", hooks["a"]).items() if times > 1}
    if len(again) > max(1, len(PROBE.hits)):
        it.violations.append(f"told more than once: {_labels(it, set(again))}")
    marked = Counter(
        _end_in(received.body) for received in hooks["a"].requests if b'"possible_repeat": true' in received.body
    )
    if silent := {job for job, times in again.items() if marked[job] < times - 1}:
        it.violations.append(f"told twice without saying so: {_labels(it, silent)}")


def _times(it: Run, name: str, hook: Webhook) -> Counter[str]:
    """Return how often each job's end was alerted; on `b`, whose messages cover several jobs, whether it was
    named."""
    bodies = [received.body for received in list(hook.requests)]
    if name == "a":
        return Counter(job for body in bodies if (job := _end_in(body)) in it.labels)
    sent = {job for job, channel, status, *_ in it.rows(_ENDS) if (channel, status) == (name, "sent")}
    said = b"".join(bodies).decode()
    return Counter(job for job in sent if job in it.labels and (it.labels[job] in said or job in said))


def _end_in(body: bytes) -> str:
    """Return the id of the job whose end a message on `a` reports."""
    facts = json.loads(body)
    return str(facts.get("job_id")) if facts.get("event") in ("succeeded", "failed") else ""


def _labels(it: Run, jobs: set[str]) -> str:
    labels = sorted(it.labels.get(job, job) for job in jobs)
    return " ".join(labels) if len(labels) < 8 else f"{len(labels)} jobs, {labels[0]} to {labels[-1]}"


_ENDS = """SELECT jobs.job_id, d.channel, d.status, d.sent_at, d.event FROM deliveries d
JOIN jobs ON jobs.id = d.job WHERE d.event IN ('succeeded', 'failed', 'lost', 'expired', 'canceled')"""


def _check_rows(it: Run) -> None:
    late: dict[str, list[str]] = {}
    for job, channel, _status, sent, event in it.rows(_ENDS):
        if event not in ("succeeded", "failed"):
            it.violations.append(f"{it.labels.get(job, job)} is told as {event}")
        elif sent is not None and job != PROBE.victim and (took := _monotonic(it, sent) - it.ends[job]) > PROMPT:
            late.setdefault(channel, []).append(f"{it.labels[job]} {took:.0f} s")
    for channel, jobs in late.items():
        if len(jobs) > 1 or it.fault is None:
            it.violations.append(f"told late on {channel}: {', '.join(sorted(jobs)[:8])}")
    unsent = "SELECT status, count(*) FROM deliveries WHERE status NOT IN ('sent', 'canceled') GROUP BY status"
    it.violations += [f"{number} deliveries stay {status}" for status, number in it.rows(unsent)]
    active = {job for (job,) in it.rows("SELECT job_id FROM jobs WHERE tracking = 'active'")}
    if left := active - {PROBE.victim}:
        it.violations.append(f"still watched: {_labels(it, left)}")


def _monotonic(it: Run, stamp: int) -> float:
    return it.clock.monotonic() - (it.clock.now().timestamp() - stamp / 1e6)


def _check_asked(it: Run) -> None:
    """Check a job that is hit again and again: it is polled at `max_interval`, or sent at the pace of the lanes,
    not in a tight loop."""
    if PROBE.victim is None or it.hit_at is None:
        return
    assert it.fault is not None
    lasted = it.clock.monotonic() - it.hit_at
    pace = LOOK_INTERVAL / 2 if "/notify/" in it.fault.site else MAX_INTERVAL  # there are two channels
    most = 8 + 1.5 * lasted / pace
    if len(PROBE.hits) > most:
        it.violations.append(f"{_labels(it, {PROBE.victim})} was hit {len(PROBE.hits)} times in {lasted:.0f} s")


def _check_told_of(it: Run, log: _Log) -> None:
    """Check that the operators are alerted by name of unforeseen errors. The store itself reports failed
    transactions."""
    assert it.fault is not None
    if not isinstance(it.fault.error(), RuntimeError):
        return
    if not it.rows("SELECT 1 FROM deliveries WHERE event = 'defect'"):
        logged = any(INJECTED in line and level >= logging.WARNING for level, line in log.lines)
        it.violations.append("no operator heard of it" + ("" if logged else ", and no log line tells of it"))


def main() -> None:
    folder = Path(sys.argv[1])
    set_up(level="info", output="json")
    stand_in(setattr, BUSY)
    for number, line in enumerate(sys.stdin):
        wanted = json.loads(line)
        inner = folder / f"run-{number}"
        inner.mkdir(parents=True)
        fault = None if wanted is None else Fault(**wanted | {"error": ERRORS[wanted["error"]]})
        print(json.dumps(run(inner, fault)), flush=True)
        shutil.rmtree(inner)


if __name__ == "__main__":
    main()
