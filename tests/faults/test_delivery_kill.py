"""`kill -9` at each step of a send, alone and in a digest, to a webhook and to a group bot: never lost, repeated
only where the arrival is unknown, and then marked."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import SystemClock
from daemon.domain.jobs import Asset, ChannelName, Observation
from daemon.domain.routing import routing
from daemon.domain.transitions import Moved, judge
from daemon.notify.outbox.sender import OVERLAP
from daemon.store import Store, Transaction
from tests.support.killing import STEPS
from tests.support.live import until
from tests.support.process import DaemonProcess
from tests.support.programs import ROOT
from tests.support.services import SERVICES, Stand
from tests.support.store import request, url_of
from tests.support.webhook import Answer, Received, Webhook

CHANNEL = ChannelName("team")
UNKNOWN = ("before", "during", "after", "record")
"""Steps after which the next start finds a send begun and not ended."""
ARRIVED = ("during", "after", "record", "recorded")
"""Steps at which the service already had the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A service, with readers for the jobs in a message and its mark as a possible repeat."""

    url: str
    stand: Webhook
    hang: Callable[[], None]

    def told(self, received: Received, jobs: Sequence[str]) -> list[str]:
        """Return the jobs that a message names."""
        return [job for job in jobs if job.encode() in received.body]

    def marked(self, received: Received) -> bool:
        body = received.body.replace(b'"possible_repeat": false', b"").replace(b'"possible_repeat":false', b"")
        return b"repeat" in body


@contextmanager
def webhook() -> Iterator[Post]:
    with Webhook() as hook:
        yield Post(url=hook.url(), stand=hook, hang=lambda: hook.program(Answer(hang=True)))


@contextmanager
def bot() -> Iterator[Post]:
    with Stand(SERVICES["feishu"]) as stand:
        yield Post(url=stand.url(), stand=stand, hang=lambda: stand.program("key", Answer(hang=True)))
    assert stand.complaints == []


def config(post: Post, *, together: bool) -> str:
    digest = 'digest_above = 1\ndigest_window = "1s"' if together else "digest_above = 0"
    return f"""
operators = []
[log]
format = "json"
[web]
enabled = false
[channels.{CHANNEL}]
url = "{post.url}"
{digest}
[projects.main]
endpoint = "http://127.0.0.1:9"
project_id = "p"
auth = {{ method = "aksk", access_key = "a-key-of-tests", secret_key = "a-secret-of-tests" }}
"""


def seed(folder: Path, jobs: Sequence[str]) -> None:
    """Write finished videos that are not alerted yet."""
    clock = SystemClock()
    store = Store.open(url_of(folder / "wrapd.db"), clock=clock)
    try:
        store.write_now(lambda tx: [_ends(tx, job, clock) for job in jobs])
    finally:
        store.close()


def _ends(tx: Transaction, job: str, clock: SystemClock) -> None:
    at = clock.now()
    tx.jobs.track(request(job), at=at)
    (row,) = tx.jobs.find(request(job).job_id)
    seen = Observation(state="SUCCEED", asset=Asset(asset_name=f"Film of {job}"))
    moved = judge(row.state, seen, at=at)
    assert isinstance(moved, Moved)
    routes = routing([], operators=[], channels=[CHANNEL])
    tx.jobs.record_move(row.id, moved, seen, routing=routes, due_at=at)


def die_at(step: str, daemon: DaemonProcess, post: Post) -> None:
    """Run the daemon until it dies at `step`."""
    if step == "during":
        post.hang()
        daemon.start()
        post.stand.wait_for(1)
        daemon.kill()
        return
    arguments = [sys.executable, "-m", "tests.support.killing", step, "--config", str(daemon.config), "run"]
    with daemon.log.open("ab") as log:
        ended = subprocess.run(
            arguments, cwd=ROOT, stdout=log, stderr=log, env={**os.environ}, check=False, timeout=120
        )
    assert ended.returncode == -signal.SIGKILL, daemon.log.read_text()[-2000:]


def _starts(daemon: DaemonProcess) -> int:
    return sum(line["event"] == "daemon.started" for line in daemon.lines())


@pytest.mark.long
@pytest.mark.parametrize("service", [webhook, bot], ids=lambda service: service.__name__)
@pytest.mark.parametrize("jobs", [("film-1",), ("film-1", "film-2", "film-3")], ids=["alone", "together"])
@pytest.mark.parametrize("step", [*STEPS, "during"])
def test_a_kill_at(step: str, jobs: tuple[str, ...], service: Any, tmp_path: Path) -> None:
    with service() as post, DaemonProcess(tmp_path, config(post, together=len(jobs) > 1)) as daemon:
        seed(tmp_path, jobs)
        die_at(step, daemon, post)
        before = list(post.stand.requests)
        assert len(before) == (1 if step in ARRIVED else 0)
        assert all(post.told(each, jobs) == list(jobs) and not post.marked(each) for each in before)
        starts = _starts(daemon)
        daemon.start()
        until("it has started", lambda: _starts(daemon) > starts)
        until("all is sent", lambda: {each["status"] for each in daemon.json("deliveries")} == {"sent"}, pace=0.3)
        assert daemon.stop() == 0
        after = list(post.stand.requests)[len(before) :]
        rows = daemon.json("deliveries")
    assert [job for each in after for job in post.told(each, jobs)] == ([] if step == "recorded" else list(jobs))
    assert all(post.marked(each) is (step in UNKNOWN) for each in after)
    assert {row["possible_repeat"] for row in rows} == {step in UNKNOWN}
    assert len(after) <= len(jobs)


@pytest.mark.long
def test_a_kill_while_messages_overlap_repeats_only_those(tmp_path: Path) -> None:
    jobs = [f"film-{number}" for number in range(1, 4 + OVERLAP)]
    with webhook() as post, DaemonProcess(tmp_path, config(post, together=False)) as daemon:
        post.stand.program(Answer(), *[Answer(hang=True)] * OVERLAP)
        seed(tmp_path, jobs)
        daemon.start()
        post.stand.wait_for(1 + OVERLAP)
        daemon.kill()
        before = [job for each in post.stand.requests for job in post.told(each, jobs)]
        starts = _starts(daemon)
        daemon.start()
        until("it has started", lambda: _starts(daemon) > starts)
        until("all is sent", lambda: {each["status"] for each in daemon.json("deliveries")} == {"sent"}, pace=0.3)
        assert daemon.stop() == 0
        after = {post.told(each, jobs)[0]: post.marked(each) for each in post.stand.requests[len(before) :]}
        assert len(post.stand.requests) == len(jobs) + OVERLAP
    assert after == {job: job in before for job in jobs if job != before[0]}
