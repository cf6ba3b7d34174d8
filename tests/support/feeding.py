"""Workloads for a watch that uses lists, and checks that each end was alerted once and in time."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.domain.events import Event
from daemon.domain.jobs import parse_job_id
from daemon.domain.planning import Rails, Strategy
from daemon.metastudio.listing import Listed
from daemon.store import TrackRequest
from tests.support.rig import PROJECT, Rig, rig

PLAN = {"strategy": Strategy.LEARNED, "feed": True, "batch": True}
LONGEST = 60.0
"""`max_interval` of these rigs in seconds."""
ENDS = (Event.SUCCEEDED, Event.FAILED, Event.CANCELED)


@asynccontextmanager
async def listing_rig(folder: Path, *, rate: float = 10.0, **changes: Any) -> AsyncIterator[Rig]:
    """A rig with the config's defaults: learned planning, the feed, lists by ids."""
    plan = PLAN | changes.pop("plan", {})
    async with rig(folder, rate=rate, rails=Rails(max_interval=LONGEST), plan=plan, **changes) as it:
        yield it


def staggered(rng: random.Random, count: int, *, over: float, freezes: float = 0.0) -> list[dict[str, Any]]:
    """Create jobs whose ends are spread evenly `over` seconds from now, some failed or canceled; a share freezes
    and thaws."""
    jobs = []
    for _ in range(count):
        end = rng.uniform(10.0, over)
        state = rng.choices(("SUCCEED", "FAILED", "CANCELED"), (90, 8, 2))[0]
        wait = rng.uniform(0.1, 0.4) * end
        timeline = [("WAITING", wait), ("PROCESSING", end - wait), (state, None)]
        if rng.random() < freezes:
            third = (end - wait) / 3
            timeline[1:2] = [("PROCESSING", third), ("BLOCK", third), ("PROCESSING", third)]
        jobs.append({"timeline": timeline})
    return jobs


def track(it: Rig, jobs: Iterable[str]) -> None:
    """Track avatar jobs in one transaction."""
    requests = [TrackRequest(project=PROJECT, kind="avatar", job_id=parse_job_id(job)) for job in jobs]
    it.store.write_now(lambda tx: [tx.jobs.track(each, at=it.clock.now()) for each in requests])


def true_ends(it: Rig) -> dict[str, datetime]:
    """Return when each job ended, according to the simulator."""
    return {end["job_id"]: datetime.fromisoformat(end["at"]) for end in it.sim.ends()}


def delays(it: Rig, jobs: Iterable[str]) -> dict[str, float]:
    """Return the seconds from each job's end to its record, or inf if the end is not recorded. Running jobs are
    omitted."""
    ends, found = true_ends(it), {}
    rows = {row.job_id: row for row in it.store.read(lambda tx: tx.jobs.list(limit=100_000))}
    for job in jobs:
        if job not in ends:
            continue
        row = rows[job]
        told = row.tracking == "finished" and row.state_since is not None
        found[job] = (row.state_since - ends[job]).total_seconds() if told else float("inf")
    return found


def told_ends(it: Rig) -> Counter[int | None]:
    """Return how many alerts of its end each job (by row id) has."""
    return Counter(row.job for row in it.deliveries() if row.event in ENDS)


def each_told_once(it: Rig, jobs: Sequence[str]) -> bool:
    """Whether each of the jobs has exactly one alert of its end."""
    told = told_ends(it)
    return len(told) == len(jobs) and set(told.values()) <= {1}


def facts(it: Rig) -> Mapping[str, Any]:
    """What the daemon says of the project's watch."""
    return it.poller.status(it.clock.monotonic(), it.clock.now())


def change_lists(it: Rig, change: Callable[[Listed, Any], Awaitable[Listed] | Listed]) -> None:
    """Pass every answer of the list operation through `change(listed, query)` before the watch gets it."""
    client = it.poller.context.client
    ask = client.list

    async def changed(query: Any, *, permit: Any) -> Listed:
        listed = change(await ask(query, permit=permit), query)
        return listed if isinstance(listed, Listed) else await listed

    client.list = changed  # type: ignore[method-assign]
