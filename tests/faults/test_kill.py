"""`kill -9` at random moments: every state that the API showed long enough is recorded, each end once, and every
alert arrives. Only sends under way at a kill are repeated, and marked as repeats."""

import asyncio
import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.states import is_terminal
from daemon.notify.outbox.sender import OVERLAP
from daemon.sim import SimSettings, Simulator
from tests.support.process import DaemonProcess, project_toml
from tests.support.webhook import Received, Webhook

JOBS = 100
KILLS = 50
MAX_INTERVAL = 1.0
ENDS = {"SUCCEED": "succeeded", "FAILED": "failed", "CANCELED": "canceled"}


@dataclass(frozen=True)
class Up:
    """A period in which the daemon ran."""

    begun: datetime
    ended: datetime


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_kills_at_random_moments_lose_nothing_and_repeat_only_what_was_under_way(tmp_path: Path) -> None:
    rng = random.Random(20261122)
    with Webhook() as hook, ExitStack() as stack:
        async with Simulator(SimSettings(seed=7, show_rate=None)) as sim:
            daemon = stack.enter_context(DaemonProcess(tmp_path, _config(sim, hook)))
            ids: dict[str, list[str]] = {"avatar": [], "photo": []}
            for timeline in _lives(rng, over=KILLS * 2.6):
                kind = rng.choice(list(ids))
                ids[kind] += sim.create_jobs(kind=kind, timeline=timeline)
            for kind, jobs in ids.items():
                await asyncio.to_thread(daemon.command, "track", "-", "--kind", kind, given="\n".join(jobs))
            kills = await _run_and_kill(daemon, sim, rng)
            await _wait_until_all_is_told(daemon, hook)
            status = await asyncio.to_thread(daemon.stop)
            truth = {job["job_id"]: job["history"] for job in sim.jobs()}
        assert status == 0
        shown = {job: daemon.json("show", job) for job in truth}
        messages = [(received, received.json) for received in hook.requests]
    assert len(kills) == KILLS
    _check_transitions(truth, shown, _up_times(daemon, kills))
    _check_alerts(truth, messages)


def _config(sim: Simulator, hook: Webhook) -> str:
    return f"""
operators = []
[polling]
min_interval = "300ms"
max_interval = "{MAX_INTERVAL:g}s"
blocked_interval = "{MAX_INTERVAL:g}s"
[log]
format = "json"
[web]
enabled = false
[channels.hook]
url = "{hook.url()}"
{project_toml(sim, rate=400)}"""


def _lives(rng: random.Random, *, over: float) -> list[list[tuple[str, float | None]]]:
    """Return timelines whose ends are spread over the run; some freeze and thaw."""
    lives: list[list[tuple[str, float | None]]] = []
    for number in range(JOBS):
        whole = max(6.0, over * (number + 1) / JOBS)
        end = rng.choices(list(ENDS), weights=[8, 1, 1])[0]
        first, second = sorted(rng.uniform(0.1, 0.9) * whole for _ in range(2))
        middle = "BLOCK" if number % 5 == 0 else "PROCESSING"
        half = (second - first) / 2
        begin: list[tuple[str, float | None]] = [("WAITING", first), ("PROCESSING", half)]
        lives.append([*begin, (middle, half), ("PROCESSING", whole - second), (end, None)])
    return lives


async def _run_and_kill(daemon: DaemonProcess, sim: Simulator, rng: random.Random) -> list[datetime]:
    """Start and kill again and again, both during start-up and after some work."""
    kills = []
    for _ in range(KILLS):
        daemon.start()
        await asyncio.sleep(rng.choice([rng.uniform(0.3, 1.5), rng.uniform(1.5, 4.5)]))
        daemon.kill()
        kills.append(sim.settings.clock.now())
    daemon.start()
    return kills


async def _wait_until_all_is_told(daemon: DaemonProcess, hook: Webhook) -> None:
    for _ in range(200):
        jobs = await asyncio.to_thread(daemon.json, "jobs")
        unsent = [
            each
            for each in await asyncio.to_thread(daemon.json, "deliveries")
            if each["status"] in ("pending", "sending", "held")
        ]
        if all(job["tracking"] == "finished" for job in jobs) and not unsent:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"{len(unsent)} deliveries wait; {len(hook.requests)} came")


def _up_times(daemon: DaemonProcess, kills: list[datetime]) -> list[Up]:
    starts = [
        datetime.fromisoformat(line["timestamp"]) for line in daemon.lines() if line["event"] == "daemon.started"
    ]
    far = kills[-1] + timedelta(days=1)
    return [Up(begun=start, ended=min([k for k in kills if k > start], default=far)) for start in starts]


def _check_transitions(truth: dict[str, Any], shown: dict[str, Any], ups: list[Up]) -> None:
    need = timedelta(seconds=MAX_INTERVAL + 1)
    checked = 0
    for job, history in truth.items():
        recorded = [step["to"] for step in shown[job]["transitions"]]
        ends = [state for state in recorded if is_terminal(state)]
        assert ends == [history[-1]["state"]], f"{job} ended once, as {history[-1]['state']}: {recorded}"
        assert shown[job]["state"] == history[-1]["state"]
        for step, following in pairwise(_steps(history)):
            seen_for = max(
                (min(up.ended, following.at) - max(up.begun, step.at) for up in ups), default=timedelta()
            )
            if seen_for >= need:
                checked += 1
                assert step.state in recorded, f"{job}: {step} was shown for {seen_for} to a running daemon"
        assert _is_subsequence(recorded, [step["state"] for step in history]), f"{job}: {recorded} of {history}"
    assert checked > JOBS / 2, "the daemon ran long enough to see many states"


@dataclass(frozen=True)
class _Step:
    state: str
    at: datetime


def _steps(history: list[dict[str, str]]) -> list[_Step]:
    """Return the states with their beginnings, merging repeated states."""
    steps: list[_Step] = []
    for entry in history:
        if not steps or steps[-1].state != entry["state"]:
            steps.append(_Step(entry["state"], datetime.fromisoformat(entry["at"])))
    return steps


def _is_subsequence(some: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(state in rest for state in some)


def _check_alerts(truth: dict[str, Any], messages: list[tuple[Received, dict[str, Any]]]) -> None:
    told = Counter((message["job_id"], message["event"]) for _, message in messages)
    for job, history in truth.items():
        assert told[job, ENDS[history[-1]["state"]]] >= 1, f"the end of {job} was not told"
    first: dict[int, Received] = {}
    repeats = 0
    for received, message in messages:
        if message["delivery_id"] in first:
            repeats += 1
            assert message["possible_repeat"] is True, f"an unmarked repeat: {message}"
        first.setdefault(message["delivery_id"], received)
    keys = Counter((m["job_id"], m["event"]) for m in {m["delivery_id"]: m for _, m in messages}.values())
    assert all(keys[job, ENDS[history[-1]["state"]]] == 1 for job, history in truth.items())
    assert repeats <= KILLS * OVERLAP, "only the sends under way at each kill are repeated"
