"""Simulation of single queries: the requests that each plan makes, and the delay until it sees each end.

The learned plan is wrapd's own (daemon.domain), refitted on the daemon's schedule.
"""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from _worlds import Job, Kind, World, true_law

from daemon.domain.durations import LIMIT, Durations, Running, Sample, fit
from daemon.domain.planning import Rails, learned_gap

RAILS = Rails()
CAP = RAILS.max_interval


@dataclass(frozen=True, slots=True)
class Seen:
    """One job's result: the requests spent on it, and the delay until its end was seen."""

    job: Job
    requests: int
    delay: float
    known: int  # ends seen before it was created
    order: int  # its place among the ends seen


class Learner:
    """Refits like the daemon: at first on every end, then at 5 % of new ends, and once a minute."""

    def __init__(self) -> None:
        self.finished: defaultdict[Kind, list[Sample]] = defaultdict(list)
        self.durations: Durations = fit({}, {})
        self.ends = 0
        self._new = 0
        self._at = 0.0

    def ended(self, job: Job) -> None:
        samples = self.finished[job.kind]
        samples.insert(
            0, Sample(seconds=job.ended - job.began, length=job.length, failed=job.failed, ended=job.ended)
        )
        samples.sort(key=lambda each: -each.ended)
        del samples[LIMIT:]
        self.ends += 1
        self._new += 1

    def refresh(self, now: float, running: Callable[[], dict[Kind, list[Running]]]) -> None:
        since = now - self._at
        known = sum(map(len, self.finished.values()))
        if (self._new and known < 20) or (since >= 5 and self._new > known * 0.05) or since >= 60:
            self.durations = fit(self.finished, running(), now=now)
            self._new, self._at = 0, now


Notice = Callable[[Job, float, Durations, int], None]
"""Called at each poll with the job, the time, the learned durations, and the number of ends seen."""


def learned(
    made: Sequence[Job], *, price: float, seed: int, world: World | None = None, notice: Notice | None = None
) -> list[Seen]:
    """Run the learned plan, or the same rule with the true law of `world`."""
    rng = random.Random(seed)
    learner = Learner()
    queue = [(job.created, i) for i, job in enumerate(made)]
    heapq.heapify(queue)
    asked = [-1] * len(made)  # the first poll is not counted
    known = [0] * len(made)
    live: dict[int, tuple[Job, float]] = {}
    seen: list[Seen] = []

    def running() -> dict[Kind, list[Running]]:
        found: defaultdict[Kind, list[Running]] = defaultdict(list)
        for job, at in live.values():
            found[job.kind].append(Running(seconds=at - job.began, length=job.length))
        return found

    while queue:
        now, i = heapq.heappop(queue)
        job = made[i]
        if asked[i] < 0:
            known[i] = learner.ends
        asked[i] += 1
        if notice is not None:
            notice(job, now, learner.durations, learner.ends)
        if now >= job.ended:
            live.pop(i, None)
            seen.append(Seen(job, asked[i], now - job.ended, known[i], len(seen)))
            learner.ended(job)
            if world is None:
                learner.refresh(now, running)
            continue
        elapsed, waited = now - job.began, None
        if elapsed < 0:
            elapsed, waited = 0.0, now - job.created
        else:
            live[i] = (job, now)
        if world is None:
            learner.refresh(now, running)
            law = learner.durations.law(job.kind, job.length)
        else:
            law = true_law(world, job.scale)
        gap, _ = learned_gap(
            law=law, elapsed=elapsed, price=price, rails=RAILS, spread=rng.random(), waited=waited
        )
        heapq.heappush(queue, (now + gap, i))
    return seen


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests per job, and delays in seconds."""

    requests: float
    mean: float
    p95: float
    p99: float
    largest: float


def figures(requests: Sequence[int], delays: Sequence[float]) -> Figures:
    ordered = sorted(delays)
    count = len(ordered)
    return Figures(
        sum(requests) / count,
        sum(ordered) / count,
        ordered[int(count * 0.95)],
        ordered[int(count * 0.99)],
        ordered[-1],
    )


def of(seen: Sequence[Seen]) -> Figures:
    return figures([each.requests for each in seen], [each.delay for each in seen])


def fixed(made: Sequence[Job], interval: float) -> Figures:
    """Poll when the job is created, and then every `interval` seconds."""
    looks = [max(0, -int(-job.life // interval)) for job in made]
    return figures(looks, [n * interval - job.life for n, job in zip(looks, made, strict=True)])


def fixed_at(made: Sequence[Job], requests: float) -> Figures:
    """The fixed interval with as many requests, by bisection."""
    low, high = 0.5, 600.0
    for _ in range(40):
        middle = (low * high) ** 0.5
        if fixed(made, middle).requests > requests:
            low = middle
        else:
            high = middle
    # Average over intervals around it, because the delays of a single one depend on chance.
    near = [fixed(made, (low * high) ** 0.5 * (1 + 0.01 * k)) for k in range(-3, 4)]
    return Figures(
        *(
            sum(getattr(each, name) for each in near) / len(near)
            for name in ("requests", "mean", "p95", "p99", "largest")
        )
    )


def backoff(made: Sequence[Job], first: float, cap: float) -> Figures:
    """Poll when the job is created, and then with gaps that double from `first` to `cap`."""
    requests, delays = [], []
    for job in made:
        at, gap, count = 0.0, first, 0
        while at < job.life:
            at += gap
            gap = min(cap, gap * 2)
            count += 1
        requests.append(count)
        delays.append(at - job.life)
    return figures(requests, delays)
