"""Predictions before a job ends: whether the ETA holds, and whether hung jobs, and few others, count as stuck."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from _single import learned
from _worlds import HANGS_FOR, Job, World, jobs, true_law

from daemon.domain.durations import Durations, eta

WORLD = World(name="foresight")
HANGING = World(name="hanging", hangs=0.04)
_JOBS, _KNOWN = 1000, 80


@dataclass(slots=True)
class Foresight:
    """Results of jobs created after 80 had ended."""

    first_looks: list[bool] = field(default_factory=list)  # whether the end was in the first poll's range
    later_looks: list[bool] = field(default_factory=list)
    normal: dict[int, bool] = field(default_factory=dict)  # by job: whether it counted as stuck
    hung: dict[int, tuple[float, float]] = field(default_factory=dict)  # by job: age ÷ learned, true limit

    @staticmethod
    def sum(parts: Sequence["Foresight"]) -> "Foresight":
        whole = Foresight()
        for i, part in enumerate(parts):
            whole.first_looks += part.first_looks
            whole.later_looks += part.later_looks
            whole.normal |= {(i << 32) + job: each for job, each in part.normal.items()}
            whole.hung |= {(i << 32) + job: each for job, each in part.hung.items()}
        return whole

    @property
    def count(self) -> int:
        return len(self.first_looks)

    @property
    def first(self) -> float:
        return _share(self.first_looks)

    @property
    def later(self) -> float:
        return _share(self.later_looks)

    @property
    def false_alarms(self) -> float:
        return _share(list(self.normal.values()))

    @property
    def reported(self) -> float:
        return _share([own <= 2.0 for own, _ in self.hung.values()])

    @property
    def reported_true(self) -> float:
        return _share([true <= 2.0 for _, true in self.hung.values()])


def _share(values: Sequence[bool]) -> float:
    return sum(values) / max(1, len(values))


def foresee(seed: int) -> Foresight:
    """Run without hung jobs, for the ETA and false alarms, and then with some."""
    found = Foresight()
    for world in (WORLD, HANGING):
        made = jobs(world, seed, _JOBS)
        place = {id(job): i for i, job in enumerate(made)}
        watcher = _Watcher(world, place, found)
        learned(made, price=1.0, seed=seed, notice=watcher.notice)
    return found


class _Watcher:
    """Records at each poll what the daemon would report."""

    def __init__(self, world: World, place: dict[int, int], found: Foresight) -> None:
        self._world = world
        self._place = place
        self._found = found
        self._looked: set[int] = set()
        self._early: set[int] = set()

    def notice(self, job: Job, now: float, durations: Durations, ends: int) -> None:
        place = self._place[id(job)]
        if ends < _KNOWN:
            self._early.add(place)
        if place in self._early or now <= job.began:
            return
        elapsed = min(now, job.ended) - job.began
        stuck_after = durations.law(job.kind, job.length).stuck_after
        if self._world.hangs:
            if job.failed and job.ended - job.began > job.scale * (HANGS_FOR - 1):
                self._hang(place, job, elapsed, stuck_after)
            return
        normal = self._found.normal
        normal[place] = normal.get(place, False) or elapsed > stuck_after
        if now < job.ended:
            self._range(place, job, now, durations)

    def _hang(self, place: int, job: Job, elapsed: float, stuck_after: float) -> None:
        """Record the first poll beyond `stuck_after`."""
        reported = self._found.hung.setdefault(place, (float("inf"), float("inf")))
        if reported[0] == float("inf") and elapsed > stuck_after:
            self._found.hung[place] = (
                elapsed / stuck_after,
                elapsed / true_law(self._world, job.scale).stuck_after,
            )

    def _range(self, place: int, job: Job, now: float, durations: Durations) -> None:
        expected = eta(durations, job.kind, job.length, now - job.began)
        if expected is None:
            return
        looks = self._found.later_looks if place in self._looked else self._found.first_looks
        self._looked.add(place)
        looks.append(expected.low <= job.ended - now <= expected.high)
