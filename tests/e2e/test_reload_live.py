"""Reloads of a real daemon by SIGHUP: under load, and many times."""

import os
import random
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to, until
from tests.support.webhook import Answer, Webhook

pytestmark = pytest.mark.long

JOBS, OTHERS, RELOADS = 200, 20, 30
ENDS = ("succeeded", "failed", "canceled")
HEAD = 'operators = ["ops"]\n' + FAST + "[web]\nenabled = false\n"
MiB = 1024 * 1024
SLACK = 3
"""Threads that read the database are started one by one, up to a handful; connections come and go."""
DATABASE_FILES = 16
"""Maximum descriptors of the database: four kept readers (`store/engine.py`), the writer's connections, each with
its log, and what they share. Readers open as reads overlap: their number up to here says nothing of a leak."""


def resources(pid: int) -> tuple[int, int, int]:
    """Return threads, descriptors (of the database's only those beyond `DATABASE_FILES`) and resident bytes of a
    process."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    names = [_target(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    database = sum("wrapd.db" in name for name in names)
    return threads, len(names) - min(database, DATABASE_FILES), rss * 1024


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed since it was listed
        return ""


class Reloads:
    """A daemon's reloads, each awaited."""

    def __init__(self, daemon: LiveDaemon) -> None:
        self.daemon = daemon
        self.good = self.bad = 0

    def hang_up(self, *, good: bool = True) -> dict[str, Any]:
        """Reload; return the log line with the result."""
        self.good, self.bad = self.good + good, self.bad + (not good)
        os.kill(self.daemon.pid, signal.SIGHUP)
        event, count = ("config.reloaded", self.good) if good else ("config.refused", self.bad)
        return self.daemon.wait_for(event, count=count)[-1]

    def take(self, config: str, *, good: bool = True) -> dict[str, Any]:
        """The same with another config."""
        self.daemon.config.write_text(config)
        return self.hang_up(good=good)


@pytest.mark.timeout(300)
def test_thirty_reloads_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    rng = random.Random(9)
    now = datetime.now(UTC)
    quiet = f'quiet = {{ from = "{now - timedelta(hours=2):%H:%M}", to = "{now + timedelta(hours=2):%H:%M}" }}\n'
    with (
        LiveSim(show_rate=None) as sim,
        LiveSim(seed=2, show_rate=None) as far,
        Webhook() as a,
        Webhook() as b,
        Webhook() as c,
        Webhook() as ops,
        Webhook(default=Answer(status=404)) as gone,
    ):

        def config(i: int) -> str:
            """Return the i-th config: a URL is wrong until the 12th, quiet hours hold from the 4th to the 9th and
            from the 15th to the 18th, a channel is missing from the 10th to the 14th and from the 20th to the
            22nd, a project is present from the 6th to the 12th and from the 18th on, routes change with each."""
            sections = [sim.project(), to(ops, "ops")]
            sections += [to(a, "a") + (quiet if 4 <= i < 9 or 15 <= i < 18 else "")]
            away = 10 <= i < 14 or 20 <= i < 22
            sections += [] if away else [to(b, "b")]
            sections += [to(gone if i < 12 else c, "c")]
            sections += [far.project("far")] if 6 <= i < 12 or i >= 18 else []
            names = ["a", "c"] if away else ["a", "b", "c"]
            events = [*ENDS, *(["started"] if i % 2 else [])]
            sections += [f"[[routes]]\nevents = {events}\nchannels = {names}\n".replace("'", '"')]
            return HEAD + "".join(sections)

        jobs = [
            sim.jobs(timeline=[("PROCESSING", rng.uniform(4, 45)), (rng.choice(["SUCCEED", "FAILED"]), None)])[0]
            for _ in range(JOBS)
        ]
        others = [
            far.jobs(timeline=[("PROCESSING", rng.uniform(4, 40)), ("SUCCEED", None)])[0] for _ in range(OTHERS)
        ]
        with LiveDaemon(tmp_path, config(0)) as daemon:
            daemon.command("track", *jobs)
            daemon.config.write_text(config(6))  # for the name of the project
            daemon.command("track", "--project", "far", *others)
            daemon.config.write_text(config(0))
            daemon.wait_for("job.moved", count=JOBS // 2)
            reloads, refused = Reloads(daemon), 0
            for i in range(RELOADS):
                if i % 5 == 3:
                    before = len(ops.requests)
                    bad = config(i) + f"[nonsense{i}]\n"
                    reloads.take(bad, good=False)
                    reloads.hang_up(good=False)
                    until("it is told", lambda before=before: len(ops.requests) > before)  # type: ignore[misc]
                    refused += 1
                reloads.take(config(i))
                ended = JOBS // 2 + (JOBS * 3 // 2) * (i + 1) // (RELOADS + 2)
                daemon.wait_for("job.moved", count=ended)
            until("all jobs have ended", lambda: _all_ended(daemon), pace=1.0)
            until("all is sent", lambda: not _unsent(daemon), pace=1.0)
            busy = resources(daemon.pid)
            for i in range(RELOADS):  # the same without sends: discarded parts are really gone
                reloads.take(config(i))
            calm = resources(daemon.pid)
            rows = daemon.json("deliveries")
            assert daemon.stop().status == 0
        assert not [line for line in daemon.lines if line["event"] == "defect"], daemon.said
        assert "Traceback" not in daemon.said
        _check(rows, {"a": a, "b": b, "c": c}, jobs, others)
        told = Counter(each.json["event"] for each in ops.requests)
        assert told["config_refused"] == refused
        for each in (sim, far):
            assert each.do(lambda it: it.stats())["max_in_any_second"] <= 21
        assert calm[0] <= busy[0] + SLACK, "threads"
        assert calm[1] <= busy[1] + SLACK, "descriptors"
        assert calm[2] <= busy[2] + 2 * MiB, "memory"


def _all_ended(daemon: LiveDaemon) -> bool:
    states = daemon.states()
    return len(states) == JOBS + OTHERS and all(tracking == "finished" for _, tracking in states.values())


def _unsent(daemon: LiveDaemon) -> list[Any]:
    return [row for row in daemon.json("deliveries") if row["status"] != "sent"]


def _check(rows: list[Any], hooks: dict[str, Webhook], jobs: list[str], others: list[str]) -> None:
    """Each end is alerted once on each channel that existed then, and every written alert arrived, once."""
    came = {name: Counter(_alerts(hook)) for name, hook in hooks.items()}
    for name in ("a", "c"):
        ends = Counter(job for job, event in came[name].elements() if event in ENDS)
        assert ends == Counter([*jobs, *others]), f"on {name}: {ends - Counter(jobs + others)}"
    for name, found in came.items():
        written = Counter((row["job_id"], row["event"]) for row in rows if row["channel"] == name)
        assert found == written, f"on {name}: {found - written} {written - found}"
    assert len(came["b"]) > JOBS / 2


def _alerts(hook: Webhook) -> list[tuple[str, str]]:
    found = []
    for received in hook.requests:
        message = received.json
        each = message["alerts"] if message["event"] == "digest" else [message]
        found += [(alert["job_id"], alert["event"]) for alert in each]
    return found


@pytest.mark.timeout(300)
def test_five_hundred_reloads_of_the_same_file_grow_nothing(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        config = HEAD + sim.project() + to(hook, "ops")
        with LiveDaemon(tmp_path, config) as daemon:
            daemon.command("track", *sim.jobs(count=3, timeline=[("PROCESSING", None)]))
            daemon.wait_for("job.moved", count=3)
            reloads = Reloads(daemon)
            for _ in range(100):
                reloads.hang_up()
            before = resources(daemon.pid)
            for _ in range(500):
                assert reloads.hang_up()["changed"] == []
            after = resources(daemon.pid)
            assert daemon.stop().status == 0
        assert after[0] <= before[0] + SLACK
        assert after[1] <= before[1] + SLACK
        assert after[2] - before[2] < 2 * MiB
