"""All faults of the simulator, one after the other, while 50 jobs run to their ends: each end is recorded once,
each alert arrives, and the log reports the events without a secret."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from daemon.sim import SimSettings, Simulator
from daemon.sim.faults import OFFERED
from tests.support.process import DaemonProcess, project_toml
from tests.support.webhook import Webhook

JOBS = 48
"""In addition to these, two jobs end only after all faults: one in production, one frozen."""
GHOST = "never-made"
"""A job unknown to the service: some faults concern only such jobs."""
ON_QUERIES = [name for name, fault in OFFERED.items() if "show" in fault.operations]
"""All faults except those of the list operation: here the daemon polls singly, so that each fault hits. Lists have
their own tests (tests/contract/test_watch_feed.py, test_watch_lists.py)."""
EACH = 1.0
"""Seconds for which each fault acts."""
ENDS = {"SUCCEED": "succeeded", "FAILED": "failed", "CANCELED": "canceled"}


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_every_fault_in_turn_loses_nothing(tmp_path: Path) -> None:
    with Webhook() as hook, ExitStack() as stack:
        async with Simulator(SimSettings(seed=3, show_rate=None)) as sim:
            daemon = stack.enter_context(DaemonProcess(tmp_path, _config(sim, hook)))
            whole = 4 * EACH * len(ON_QUERIES)  # some faults make the daemon wait: jobs must end until the last
            ids: dict[str, list[str]] = {"avatar": [], "photo": []}
            for number in range(JOBS):
                kind = "photo" if number % 3 == 0 else "avatar"
                ids[kind] += sim.create_jobs(kind=kind, timeline=_life(number, whole))
            for kind, jobs in ids.items():
                await asyncio.to_thread(daemon.command, "track", "-", "--kind", kind, given="\n".join(jobs))
            keepers = [
                *sim.create_jobs(timeline=[("PROCESSING", None)]),
                *sim.create_jobs(timeline=[("BLOCK", None)]),
            ]
            await asyncio.to_thread(daemon.command, "track", GHOST, *keepers)
            daemon.start()
            await _play_faults(sim)
            for job in keepers:
                sim.set_state(job, "SUCCEED")
            jobs = await _ended(daemon, hook, sim)
            assert daemon.stop() == 0
            truth = {job["job_id"]: job["history"][-1]["state"] for job in sim.jobs()}
            secrets = [sim.settings.secret_key, sim.settings.token]
        messages = [received.json for received in hook.requests]
    ghost = next(job for job in jobs if job["job_id"] == GHOST)
    assert (ghost["state"], ghost["tracking"]) == (None, "active"), "its grace is not over"
    assert {job["job_id"]: job["state"] for job in jobs if job is not ghost} == truth
    told = Counter((each["job_id"], each["event"]) for each in messages if each["job_id"])
    for job, state in truth.items():
        ends = [step["to"] for step in daemon.json("show", job)["transitions"] if step["to"] in ENDS]
        assert ends == [state]
        assert told[job, ENDS[state]] == 1, f"{job} {state}: {told[job, ENDS[state]]} alerts"
    _check_log(daemon, secrets, messages)


def _config(sim: Simulator, hook: Webhook) -> str:
    return f"""
[polling]
min_interval = "200ms"
max_interval = "1s"
blocked_interval = "1s"
feed = "off"
batch = "off"
not_found_grace = "1h"
[log]
format = "json"
level = "debug"
[web]
enabled = false
[channels.hook]
url = "{hook.url()}"
{project_toml(sim, rate=100)}"""


def _life(number: int, whole: float) -> list[tuple[str, float | None]]:
    """Return a timeline that ends at its place in the run; the ends follow one another."""
    end = ["SUCCEED", "SUCCEED", "FAILED", "SUCCEED", "CANCELED"][number % 5]
    length = max(3.0, whole * (number + 1) / JOBS)
    return [("WAITING", length * 0.3), ("PROCESSING", length * 0.7), (end, None)]


async def _play_faults(sim: Simulator) -> None:
    """Let each fault act on the queries for a moment, then let the daemon recover. A refused key hits only twice,
    as a passing fault does: if refused for longer, the daemon rightly waits for minutes."""
    for name in ON_QUERIES:
        number = sim.fault(
            name,
            operation="show",
            times=2 if name == "unauthorized" else None,
        )
        await asyncio.sleep(EACH)
        await _until(sim, lambda number=number: _hits(sim, number) != 0, f"{name} to hit a request")
        sim.clear_faults()
        before = sim.stats()["by_status"].get("200", 0)
        await _until(
            sim, lambda before=before: sim.stats()["by_status"].get("200", 0) > before, f"an answer after {name}"
        )


def _hits(sim: Simulator, number: int) -> int | None:
    """Return how often the fault hit; None once it is used up."""
    return next((fault["hits"] for fault in sim.faults() if fault["id"] == number), None)


async def _until(sim: Simulator, happened: Callable[[], bool], what: str) -> None:
    for _ in range(450):
        if happened():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"no sign of {what}: {sim.stats()['by_status']}")


async def _ended(daemon: DaemonProcess, hook: Webhook, sim: Simulator) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    for _ in range(240):
        jobs = await asyncio.to_thread(daemon.json, "jobs")
        told = {each.json.get("job_id") for each in hook.requests}
        if all(job["tracking"] != "active" and job["job_id"] in told for job in jobs if job["job_id"] != GHOST):
            return jobs
        await asyncio.sleep(0.5)
    raise AssertionError([job for job in jobs if job["tracking"] == "active"])


def _check_log(daemon: DaemonProcess, secrets: list[str], messages: list[dict[str, Any]]) -> None:
    text = daemon.log.read_text()
    for secret in secrets:
        assert secret not in text
    signatures = {
        value
        for message in messages
        for url in (message.get("cover_url"), message.get("preview_url"), message.get("download_url"))
        for value in parse_qs(urlsplit(url or "").query).get("Signature", [])
    }
    assert signatures
    assert not [signature for signature in signatures if signature in text]
    events = Counter(line["event"] for line in daemon.lines())
    for event in (
        "daemon.started",
        "job.moved",
        "poll.failed",
        "state.unknown",
        "auth.refused",
        "auth.clock_skewed",
    ):
        assert events[event] > 0, f"the log does not tell of {event}: {events}"
    assert "tick.failed" not in events
    assert not [line for line in daemon.lines() if "exception" in line], "no traceback for an expected fault"
