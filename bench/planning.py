"""How well wrapd chooses when to poll single jobs: delay against requests, in seeded simulations.

    python bench/planning.py [--write] [--quick]

Runs the daemon's own domain code under a simulated clock. Prints each promise with its bound and exits with 1 if
one does not hold. `--write` also updates the figures and plots of docs/polling.md. `--quick` uses one seed and
fewer jobs, so that some bounds are missed. Takes two processes and some minutes.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path

from _paper import ROOT, replace_block, table
from _plot import Panel, Series, write
from _single import CAP, RAILS, Figures, Seen, backoff, fixed, fixed_at, learned, of
from _stuck import Foresight, foresee
from _worlds import Job, World, jobs

from daemon.domain.planning import next_gap
from daemon.domain.states import State

PAGE = ROOT / "docs" / "polling.md"
DEFAULT = 1.0
PRICES = (0.35, 0.6, DEFAULT, 1.8, 2.8, 3.7)
FEW_PRICES = (0.6, DEFAULT, 1.8)
WARM = 80  # finished jobs before a plan is judged
BASE = World(name="base")
SHARP = World(name="sharp", sigma=0.1)
MEMORYLESS = World(name="exponential", shape="exponential")
MODES = World(name="two modes", shape="modes")
UNLABELLED = World(name="kinds not told apart", labels=False)
UNSIZED = World(name="lengths not known", lengths=False)
UNKNOWN = World(name="neither", labels=False, lengths=False)
SPEEDS = (0.2, 1.0, 5.0)  # production times as multiples of wrapd's initial assumption
THAW = 3 * 3600.0
FIXED = (5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
BACKOFFS = ((1.0, 60.0), (0.1, 10.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of the simulations."""

    seeds: int = 5
    jobs: int = 800
    cold_seeds: int = 20
    slow_seeds: int = 5
    foresight_seeds: int = 8


QUICK = Size(seeds=1, jobs=300, cold_seeds=2, slow_seeds=1, foresight_seeds=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One plan in one world under one seed, without the start. `even` is the fixed interval with equal
    requests."""

    world: str
    price: float
    true: bool
    plan: Figures
    even: Figures


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure and its bounds."""

    name: str
    value: float
    most: float
    least: float = float("-inf")

    @property
    def holds(self) -> bool:
        return self.least <= self.value <= self.most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="update the figures and plots of docs/polling.md")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer jobs")
    arguments = parser.parse_args()
    result = measure(QUICK if arguments.quick else Size())
    for promise in result.promises:
        print(f"{'ok  ' if promise.holds else 'MISS'} {promise.name:<66} {_bounded(promise)}")
    print("\n" + result.text)
    if arguments.write:
        replace_block(PAGE, "planning", result.text)
        result.draw(PAGE.parent)
    sys.exit(not all(promise.holds for promise in result.promises))


def _bounded(promise: Promise) -> str:
    least = "" if promise.least == float("-inf") else f"at least {promise.least:g}, "
    return f"{promise.value:8.4g}   ({least}at most {promise.most:g})"


# What one process does


def _sweep(task: tuple[World, float, bool, int, int]) -> Run:
    world, price, true, seed, count = task
    seen = _warm(learned(jobs(world, seed, count), price=price, seed=seed, world=world if true else None))
    plan = of(seen)
    return Run(world.name, price, true, plan, fixed_at([each.job for each in seen], plan.requests))


def _warm(seen: Iterable[Seen]) -> list[Seen]:
    return [each for each in seen if each.known >= WARM]


def _cold(task: tuple[float, int]) -> list[Seen]:
    speed, seed = task
    world = World(name="cold", every=60.0, speed=speed)
    return learned(jobs(world, seed, 60), price=DEFAULT, seed=seed)


def _slow(seed: int) -> list[Seen]:
    """Make production 5 times slower after 300 jobs. Returns the jobs that begin after that, in order of ends."""
    begin = jobs(World(name="slow"), seed, 300)[-1].created
    made = jobs(World(name="slow", slower_at=begin, slower_by=5.0), seed, 850)
    return [each for each in learned(made, price=DEFAULT, seed=seed) if each.job.began >= begin]


def _plain(task: tuple[str, float, float, int, int]) -> tuple[str, Figures]:
    name, first, cap, seed, count = task
    made: Sequence[Job] = jobs(BASE, seed, count)[WARM:]
    return name, fixed(made, first) if first == cap else backoff(made, first, cap)


def _frozen(seed: int) -> int:
    """Requests until the thaw of a job frozen for 3 h is seen."""
    at, asked = 0.0, 0
    while at < THAW:
        spread = (seed * 0.37 + asked * 0.61) % 1.0
        at += next_gap(state=State.BLOCK, in_state=at, failures=0, floor=0.0, rails=RAILS, spread=spread)
        asked += 1
    return asked


# All of it


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements, and their text for docs/polling.md."""

    promises: list[Promise]
    text: str
    curves: dict[str, list[Figures]]
    cold: dict[float, list[float]]
    slow: list[float]

    def draw(self, folder: Path) -> None:
        """Write the plots."""
        _draw_delays(folder / "polling-delay.svg", self.curves)
        _draw_learning(folder / "polling-learning.svg", self.cold, self.slow)


COLD_STEPS = ((0, 5), (5, 10), (10, 20), (20, 40), (40, 60))
SLOW_STEPS = ((0, 25), (25, 50), (50, 100), (100, 200), (200, 400))


def measure(size: Size) -> Result:
    """Run everything."""
    seeds = range(size.seeds)
    few = (SHARP, MEMORYLESS, MODES)
    tasks = [(BASE, price, true, seed, size.jobs) for price in PRICES for true in (False, True) for seed in seeds]
    tasks += [
        (w, price, t, seed, size.jobs)
        for w in few
        for price in FEW_PRICES
        for t in (False, True)
        for seed in seeds
    ]
    tasks += [(w, DEFAULT, False, seed, size.jobs) for w in (UNLABELLED, UNSIZED, UNKNOWN) for seed in seeds]
    plain = [(f"fixed {each:g} s", each, each, seed, size.jobs) for each in FIXED for seed in seeds]
    plain += [(f"back-off, {a:g} to {b:g} s", a, b, seed, size.jobs) for a, b in BACKOFFS for seed in seeds]
    with Pool(2) as pool:
        runs = pool.map(_sweep, tasks, chunksize=1)
        plains = pool.map(_plain, plain)
        cold_tasks = [(speed, seed) for speed in SPEEDS for seed in range(size.cold_seeds)]
        cold = dict(zip(cold_tasks, pool.map(_cold, cold_tasks), strict=True))
        slow = pool.map(_slow, range(size.slow_seeds))
        foresight = pool.map(foresee, range(size.foresight_seeds))
    by_run: defaultdict[tuple[str, float, bool], list[Run]] = defaultdict(list)
    for run in runs:
        by_run[run.world, run.price, run.true].append(run)
    by_plan: defaultdict[str, list[Figures]] = defaultdict(list)
    for name, each in plains:
        by_plan[name].append(each)
    return _judge(by_run, by_plan, cold, slow, foresight, max(_frozen(seed) for seed in seeds))


Runs = dict[tuple[str, float, bool], list[Run]]


def _judge(
    runs: Runs,
    plans: dict[str, list[Figures]],
    cold: dict[tuple[float, int], list[Seen]],
    slow: list[list[Seen]],
    foresight: list[Foresight],
    frozen: int,
) -> Result:
    by_speed = {speed: [seen for (each, _), seen in cold.items() if each == speed] for speed in SPEEDS}
    cold_ratios = {speed: [_ratio_of(group, a, b) for a, b in COLD_STEPS] for speed, group in by_speed.items()}
    slow_ratios = [_ratio_of(slow, a, b) for a, b in SLOW_STEPS]
    promises = _promises(runs)
    for speed, group in by_speed.items():
        about = f"cold start, production {speed:g} times as long as assumed: ratio"
        promises.append(Promise(f"{about}, jobs 1-10", _ratio_of(group, 0, 10), 1.25))
        promises.append(Promise(f"{about}, jobs 11-20", _ratio_of(group, 10, 20), 1.0))
    promises.append(Promise("5 times slower: ratio, the first 50 jobs", _ratio_of(slow, 0, 50), 1.5))
    promises.append(Promise("5 times slower: ratio, jobs 51-100", slow_ratios[2], 1.5))
    promises.append(Promise("5 times slower: ratio, jobs 101-200", slow_ratios[3], 1.0))
    promises.append(Promise("5 times slower: ratio, jobs 201-400", slow_ratios[4], 1.0))
    promises.append(Promise("BLOCK: requests for a thaw after 3 h", frozen, 50))
    together = Foresight.sum(foresight)
    promises.append(Promise("ETA: jobs with one at their first poll", together.count, float("inf"), 2000))
    promises.append(Promise("ETA at the first poll: ends in the 80 % range", together.first, 0.85, 0.75))
    promises.append(Promise("ETA at later polls: ends in the 80 % range", together.later, 0.85, 0.75))
    promises.append(Promise("stuck: share of normal jobs", together.false_alarms, 0.01))
    reported = "stuck: hung jobs reported within twice the"
    promises.append(Promise(f"{reported} learned limit", together.reported, 1.0, 0.95))
    promises.append(Promise(f"{reported} true limit", together.reported_true, 1.0, 0.95))
    curves = _curves(runs, plans)
    text = _text(runs, plans, promises, cold_ratios, slow_ratios)
    return Result(promises, text, curves, cold_ratios, slow_ratios)


def _promises(runs: Runs) -> list[Promise]:
    promises = []
    base = [(runs[BASE.name, price, False]) for price in PRICES]
    asked = [_mean([run.plan.requests for run in each]) for each in base]
    ratios = [_ratio(each) for each in base]
    for requests in (6, 8, 10, 12):
        value = _interpolate(asked, ratios, requests)
        promises.append(Promise(f"base world: delay, ratio to fixed at R = {requests}", value, 0.52))
    for world, most in ((SHARP, 0.35), (MEMORYLESS, 1.06)):
        promises.append(
            Promise(f"{world.name}: ratio at the default price", _ratio(runs[world.name, DEFAULT, False]), most)
        )
    for world in (BASE, SHARP, MEMORYLESS, MODES):
        prices = PRICES if world is BASE else FEW_PRICES
        worst = max(
            _cost(runs, world, price, true=False) / _cost(runs, world, price, true=True) for price in prices
        )
        promises.append(Promise(f"{world.name}: c R + D to the true law, the worst price", worst, 1.1))
    default = runs[BASE.name, DEFAULT, False]
    p99 = _mean([run.plan.p99 for run in default]) / _mean([run.even.p99 for run in default])
    promises.append(Promise("base world: p99, ratio to fixed, at the default price", p99, 1.5))
    largest = max(run.plan.largest for each in runs.values() for run in each if not run.true)
    promises.append(Promise("all worlds and prices: largest delay, seconds", largest, CAP * 1.05))
    return promises


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _ratio(runs: Sequence[Run]) -> float:
    return _mean([run.plan.mean for run in runs]) / _mean([run.even.mean for run in runs])


def _cost(runs: Runs, world: World, price: float, *, true: bool) -> float:
    return _mean([price * run.plan.requests + run.plan.mean for run in runs[world.name, price, true]])


def _ratio_of(groups: Sequence[Sequence[Seen]], first: int, end: int) -> float:
    """Mean delay ÷ that of a fixed interval at equal requests, over the jobs `first` to `end` of all groups."""
    seen = [each for group in groups for each in group[first:end]]
    if not seen:
        return 0.0
    plan = of(seen)
    return plan.mean / fixed_at([each.job for each in seen], plan.requests).mean


def _interpolate(x: Sequence[float], y: Sequence[float], at: float) -> float:
    points = sorted(zip(x, y, strict=True))
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return float("inf")  # not covered: a miss


def _average(figures: Sequence[Figures]) -> Figures:
    return Figures(
        requests=_mean([each.requests for each in figures]),
        mean=_mean([each.mean for each in figures]),
        p95=_mean([each.p95 for each in figures]),
        p99=_mean([each.p99 for each in figures]),
        largest=max(each.largest for each in figures),
    )


def _curves(runs: Runs, plans: dict[str, list[Figures]]) -> dict[str, list[Figures]]:
    def over(*, true: bool) -> list[Figures]:
        return [_average([run.plan for run in runs[BASE.name, price, true]]) for price in PRICES]

    curves = {"learned": over(true=False), "true law": over(true=True)}
    curves["fixed, 5 to 60 s"] = [_average(plans[f"fixed {each:g} s"]) for each in FIXED]
    curves["back-off"] = [_average(plans[f"back-off, {a:g} to {b:g} s"]) for a, b in BACKOFFS]
    return curves


# The page


def _text(
    runs: Runs,
    plans: dict[str, list[Figures]],
    promises: Sequence[Promise],
    cold: dict[float, list[float]],
    slow: Sequence[float],
) -> str:
    rows = [_row(name, _average(each), _fixed_delay(plans, _average(each))) for name, each in plans.items()]
    for price in PRICES:
        for true in (False, True):
            each = runs[BASE.name, price, true]
            name = f"{'true law' if true else 'learned'}, price {price:g} s"
            rows.append(_row(name, _average([run.plan for run in each]), _mean([run.even.mean for run in each])))
    worlds = []
    for world in (BASE, SHARP, MEMORYLESS, MODES, UNLABELLED, UNSIZED, UNKNOWN):
        each = runs[world.name, DEFAULT, False]
        worlds.append(
            _row(world.name, _average([run.plan for run in each]), _mean([run.even.mean for run in each]))
        )
    titles = ("requests per job", "mean", "p95", "p99", "largest", "mean ÷ fixed")
    steps = [f"{a + 1}-{b}" for a, b in COLD_STEPS]
    cold_rows = [(f"{speed:g} times", *(f"{each:.2f}" for each in ratios)) for speed, ratios in cold.items()]
    slow_rows = [("ratio", *(f"{each:.2f}" for each in slow))]
    promised = [
        (each.name, f"{each.value:.4g}", _bounds(each), "yes" if each.holds else "**no**") for each in promises
    ]
    return "\n".join(
        [
            "### Plans in the base world",
            "",
            "Delays in seconds. The fixed interval of the last column uses as many requests as the row's plan.",
            "",
            table(("plan", *titles), rows),
            "![Delay over requests a job](polling-delay.svg)",
            "",
            "### The learned plan in other worlds, at the default price",
            "",
            table(("world", *titles), worlds),
            "### While it learns",
            "",
            "Mean delay ÷ that of a fixed interval with as many requests, by finished jobs. Starting without any,",
            "with production times as wrapd initially assumes, a fifth of that, and five times that:",
            "",
            table(("production takes", *steps), cold_rows),
            "After production suddenly became five times slower, by jobs that began since:",
            "",
            table(("jobs", *(f"{a + 1}-{b}" for a, b in SLOW_STEPS)), slow_rows),
            "![Ratio to a fixed interval while it learns](polling-learning.svg)",
            "",
            "### Promises",
            "",
            table(("promise", "measured", "bound", "holds"), promised),
        ]
    )


def _fixed_delay(plans: dict[str, list[Figures]], at: Figures) -> float:
    points = [_average(plans[f"fixed {each:g} s"]) for each in FIXED]
    return _interpolate([each.requests for each in points], [each.mean for each in points], at.requests)


def _row(name: str, each: Figures, even: float) -> tuple[str, ...]:
    ratio = f"{each.mean / even:.2f}"
    return (
        name,
        f"{each.requests:.1f}",
        *(f"{v:.1f}" for v in (each.mean, each.p95, each.p99, each.largest)),
        ratio,
    )


def _bounds(promise: Promise) -> str:
    if promise.least == float("-inf"):
        return f"≤ {promise.most:g}"
    if promise.most in (1.0, float("inf")):
        return f"≥ {promise.least:g}"
    return f"{promise.least:g} to {promise.most:g}"


def _draw_delays(path: Path, curves: dict[str, list[Figures]]) -> None:
    panels = []
    for title, field, top in (
        ("mean", "mean", 30.0),
        ("95th percentile", "p95", 60.0),
        ("99th percentile", "p99", 60.0),
    ):
        series = [
            Series(
                name=name,
                points=[(each.requests, getattr(each, field)) for each in points],
                colour=i,
                dots=name == "back-off",
                dashed=name == "true law",
            )
            for i, (name, points) in enumerate(curves.items())
        ]
        panels.append(Panel(title=title, x="requests per job", y="delay, s", right=35.0, top=top, series=series))
    write(path, panels, description="Delay until an end is seen, over requests per job: mean, p95 and p99")


def _draw_learning(path: Path, cold: dict[float, list[float]], slow: Sequence[float]) -> None:
    def middles(steps: Sequence[tuple[int, int]], ratios: Sequence[float]) -> list[tuple[float, float]]:
        return [((a + b) / 2, ratio) for (a, b), ratio in zip(steps, ratios, strict=True)]

    names = {0.2: "a fifth of the assumed time", 1.0: "the assumed time", 5.0: "five times the assumed time"}
    starts = [
        Series(name=names[speed], points=middles(COLD_STEPS, ratios), colour=i)
        for i, (speed, ratios) in enumerate(cold.items())
    ]
    change = Series(name="", points=middles(SLOW_STEPS, slow), colour=2)
    y = "delay ÷ fixed interval"
    panels = [
        Panel(title="Cold start", x="finished jobs", y=y, right=60.0, top=1.5, series=starts, level=1.0),
        Panel(
            title="Suddenly five times slower",
            x="jobs since",
            y=y,
            right=400.0,
            top=1.5,
            series=[change],
            level=1.0,
        ),
    ]
    write(path, panels, description="Delay relative to a fixed interval with as many requests, while learning")


if __name__ == "__main__":
    main()
