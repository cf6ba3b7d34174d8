"""500 videos finish within a minute: a handful of messages, none lost, with failures first; single messages for
channels that programs read."""

import json
import random
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from daemon.domain.routing import routing
from daemon.notify.outbox import ChannelPlan
from daemon.store import DeliveryRow, Transaction
from tests.support.delivering import Way, way
from tests.support.rig import CHANNEL
from tests.support.services import SERVICES, Stand, pointed
from tests.support.store import record, track
from tests.support.webhook import Received, Webhook

VIDEOS = 500
FAILURES = 17
SECONDS = 60


def seconds() -> Iterator[list[str]]:
    """Return the states in which videos end, second by second."""
    bad = set(random.Random(500).sample(range(VIDEOS), FAILURES))
    states = ["FAILED" if number in bad else "SUCCEED" for number in range(VIDEOS)]
    for second in range(SECONDS):
        yield states[VIDEOS * second // SECONDS : VIDEOS * (second + 1) // SECONDS]


async def finish_all(whole: Way) -> list[str]:
    """End all within a minute, some of them failing, as seen by the watch; then two minutes pass."""
    jobs: list[str] = []
    for states in seconds():
        for state in states:
            jobs += whole.watch.sim.create_jobs(count=1, timeline=[(state, None)])
            whole.watch.track(jobs[-1])
        await whole.watch.run(1)
        await whole.turn()
    for _ in range(24):
        await whole.later(5)
    return jobs


async def record_all(whole: Way) -> list[str]:
    """The same without the API: only the alerts are written, one transaction each second."""
    routes = routing([], operators=[], channels=[CHANNEL])
    jobs: list[str] = []

    def work(tx: Transaction, states: list[str], at: datetime) -> None:
        for state in states:
            jobs.append(f"job-{len(jobs)}")
            record(tx, track(tx, jobs[-1]), state, at=at, routes=routes)

    for states in seconds():
        whole.watch.clock.advance(1)
        at = whole.watch.clock.now()
        whole.watch.store.write_now(lambda tx, states=states, at=at: work(tx, states, at))  # type: ignore[misc]
        await whole.turn()
    for _ in range(12):
        whole.watch.clock.advance(10)
        await whole.turn()
    return jobs


def check_rows(rows: list[DeliveryRow], jobs: list[str]) -> None:
    """Check that every job was alerted once, and nothing waits."""
    assert len(rows) == len({row.job for row in rows}) == len(jobs) == VIDEOS
    assert {(row.status, row.attempts, row.possible_repeat) for row in rows} == {("sent", 1, False)}
    assert sum(row.event == "failed" for row in rows) == FAILURES


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("service", ["feishu", "dingtalk", "slack", "mattermost"])
async def test_a_chat_gets_a_handful(service: str, tmp_path: Path) -> None:
    with Stand(SERVICES[service]) as stand, pointed([stand]):
        async with way(tmp_path, stand.url(), public_url="https://v.example.com") as whole:
            jobs = await finish_all(whole)
            check_rows(whole.rows(), jobs)
        bodies = [received.body.decode() for received in stand.requests]
        assert stand.complaints == []
    assert len(bodies) <= 12, f"{len(bodies)} messages"
    digests = [body for body in bodies if re.search(r"\d+ finished", body)]
    told = sum(int(count) for body in digests for count in _counts(body))
    assert told + len(bodies) - len(digests) == VIDEOS, "the titles count all of them"
    assert all(body.index("❌") < body.index("✅") for body in digests if "❌" in body and "✅" in body)


def _counts(body: str) -> list[str]:
    """Return the numbers of a digest's title: "83 finished, 2 failed"."""
    title = re.search(r"(\d+) finished(?:, (\d+) failed)?", body)
    assert title is not None
    return [count for count in title.groups() if count]


async def test_a_digest_that_programs_read_holds_every_alert_whole(tmp_path: Path) -> None:
    """A webhook gets digests only if its plan says so."""
    with Webhook() as hook:
        async with way(tmp_path, hook.url(), plan=ChannelPlan(digest_above=6, digest_window=60.0)) as whole:
            jobs = await record_all(whole)
            check_rows(whole.rows(), jobs)
        messages = [received.json for received in hook.requests]
    assert len(messages) <= 12, f"{len(messages)} messages"
    alerts = [alert for message in messages for alert in message["alerts"] or [message]]
    assert sorted(alert["job_id"] for alert in alerts) == sorted(jobs), "each once"
    assert all(alert["state"] in {"SUCCEED", "FAILED"} for alert in alerts)
    for message in messages:
        if message["event"] == "digest":
            assert sum(message["counts"].values()) == len(message["alerts"]) == message["shared"]


@pytest.mark.long
async def test_a_webhook_gets_each_by_itself(tmp_path: Path) -> None:
    with Webhook() as hook:
        async with way(tmp_path, hook.url()) as whole:
            jobs = await finish_all(whole)
            check_rows(whole.rows(), jobs)
    told = [_job(received) for received in hook.requests]
    assert sorted(told) == sorted(jobs)


def _job(received: Received) -> str:
    return str(json.loads(received.body)["job_id"])
