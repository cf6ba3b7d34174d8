"""Simulated worlds for comparing plans: seeded jobs of four kinds, and their true laws.

Independent of how wrapd learns and plans. Times are in seconds.
"""

import random
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, exp, log, sqrt

from daemon.domain.survival import Law

Kind = tuple[str, str]
KINDS: tuple[tuple[Kind, float, float], ...] = (
    (("studio", "avatar_video"), 40.0, 1.2),
    (("studio", "photo_video"), 25.0, 1.7),
    (("studio", "long_video"), 80.0, 0.8),
    (("studio", "clip"), 15.0, 0.5),
)
"""Each kind with a and b: production takes about a + b * seconds of speech."""
_LENGTH, _LENGTH_SPREAD = 60.0, 0.6
HANGS_FOR = 15.0
"""Production time of a hung job as a multiple of its scale."""
_HEAVY, _HEAVY_FROM, _HEAVY_TO, _HEAVY_SHAPE = 0.03, 2.0, 20.0, 1.5
_FAILS, _FAILS_AFTER = 0.05, 12.0
_QUIET_WAIT, _BUSY_WAIT = 15.0, 290.0
_QUIET, _BUSY = 1800.0, 800.0
"""The queue alternates between quiet and busy: mean seconds of each, and of a job's wait during it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The distribution of production times, and what wrapd can know of jobs."""

    name: str
    sigma: float = 0.25
    shape: str = "lognormal"  # or "exponential", "modes"
    every: float = 12.0  # mean seconds between jobs
    speed: float = 1.0  # factor of production times
    slower_at: float = float("inf")  # from this time on …
    slower_by: float = 1.0  # … production times have this additional factor
    hangs: float = 0.0  # share of jobs that hang until they are cancelled
    labels: bool = True  # kinds are known
    lengths: bool = True  # lengths are known


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its true times, and what is known of it."""

    kind: Kind
    length: float | None
    created: float
    began: float
    ended: float
    failed: bool
    scale: float

    @property
    def life(self) -> float:
        return self.ended - self.created


def jobs(world: World, seed: int, count: int) -> list[Job]:
    """Create `count` jobs in order of creation."""
    rng = random.Random(f"{world.name} {seed}")
    made: list[Job] = []
    now, turn, busy = 0.0, rng.expovariate(1 / _QUIET), False
    for _ in range(count):
        now += rng.expovariate(1 / world.every)
        while now > turn:
            busy = not busy
            turn += rng.expovariate(1 / (_BUSY if busy else _QUIET))
        kind, base, slope = rng.choice(KINDS)
        length = _LENGTH * exp(_LENGTH_SPREAD * rng.gauss(0, 1))
        began = now + rng.expovariate(1 / (_BUSY_WAIT if busy else _QUIET_WAIT))
        scale = (base + slope * length) * world.speed * (world.slower_by if began >= world.slower_at else 1.0)
        failed = rng.random() < _FAILS
        seconds = rng.expovariate(1 / _FAILS_AFTER) if failed else scale * _relative(world, rng)
        if world.hangs and rng.random() < world.hangs:
            failed, seconds = True, scale * HANGS_FOR
        made.append(
            Job(
                kind if world.labels else KINDS[0][0],
                length if world.lengths else None,
                now,
                began,
                began + seconds,
                failed,
                scale,
            )
        )
    return made


def _relative(world: World, rng: random.Random) -> float:
    if world.shape == "exponential":
        return rng.expovariate(1.0)
    x = exp(world.sigma * rng.gauss(0, 1))
    if world.shape == "modes" and rng.random() < 0.4:
        x *= 3.5
    if rng.random() < _HEAVY:
        x *= _heavy(rng.random())
    return x


def _heavy(share: float) -> float:
    """Quantile of the factor of slow jobs, a truncated Pareto distribution."""
    cut = (_HEAVY_FROM / _HEAVY_TO) ** _HEAVY_SHAPE
    return _HEAVY_FROM / (1 - share * (1 - cut)) ** (1 / _HEAVY_SHAPE)


@lru_cache(maxsize=4096)
def true_law(world: World, scale: float) -> Law:
    """The true law of a job of this scale, including failures."""
    edges, alive = _true_survival(world.shape, world.sigma)
    times = sorted({0.0, *(edge * scale for edge in edges), *(2.0 * i for i in range(1, 40))})
    survival, k = [], 0
    for at in times:
        x = at / scale
        while k + 1 < len(edges) - 1 and edges[k + 1] <= x:
            k += 1
        share = min(1.0, max(0.0, (x - edges[k]) / (edges[k + 1] - edges[k])))
        going = alive[k] * (alive[k + 1] / alive[k]) ** share
        survival.append((1 - _FAILS) * going + _FAILS * exp(-at / _FAILS_AFTER))
    hazard = [
        max(log(survival[i] / survival[i + 1]), 0.0) / (times[i + 1] - times[i]) + 1e-9
        for i in range(len(times) - 1)
    ]
    law = Law(times, [*hazard, hazard[-1]], stuck_after=float("inf"))
    law.stuck_after = max(law.quantile(0.99), 2 * law.quantile(0.5))
    return law


@lru_cache(maxsize=16)
def _true_survival(shape: str, sigma: float) -> tuple[list[float], list[float]]:
    edges = [0.0, *(0.02 * exp(log(4000) * i / 260) for i in range(261))]
    if shape == "exponential":
        edges = [edge for edge in edges if edge < 30]
        return edges, [exp(-edge) for edge in edges]
    modes = [(0.6, 1.0), (0.4, 3.5)] if shape == "modes" else [(1.0, 1.0)]
    slow = [_heavy((i + 0.5) / 200) for i in range(200)]
    parts = [(share * (1 - _HEAVY), at) for share, at in modes]
    parts += [(share * _HEAVY / len(slow), at * factor) for share, at in modes for factor in slow]
    alive = [1.0, *(sum(p * erfc(log(edge / at) / sigma / sqrt(2)) / 2 for p, at in parts) for edge in edges[1:])]
    kept = sum(each > 1e-12 for each in alive)
    return edges[:kept], alive[:kept]
