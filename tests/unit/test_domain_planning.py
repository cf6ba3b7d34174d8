"""The learned plan's limits and reasons, its explanation, and the bench's simulated service on a small scale."""

import importlib
import math
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest

from daemon.domain.durations import Law
from daemon.domain.planning import WORDS, Rails, Reason, explain, learned_gap, next_gap, undetected
from daemon.domain.states import State

RAILS = Rails()
BENCH = Path(__file__).resolve().parents[2] / "bench"


def _law(hazard: float = 0.01, stuck_after: float = math.inf) -> Law:
    return Law([0.0, 100.0], [hazard, hazard], stuck_after=stuck_after)


def test_the_gap_ends_where_the_delay_reaches_the_price() -> None:
    gap, reason = learned_gap(law=_law(), elapsed=20.0, price=1.0, rails=RAILS, spread=0.0)
    assert reason is Reason.PRICE
    assert _law().area(20.0, gap) == pytest.approx(1.0, rel=1e-3)
    jittered, _ = learned_gap(law=_law(), elapsed=20.0, price=1.0, rails=RAILS, spread=0.999)
    assert jittered == pytest.approx(gap * 0.95, rel=1e-3)


def test_the_rails_hold() -> None:
    assert learned_gap(law=_law(1e-5), elapsed=0.0, price=1.0, rails=RAILS, spread=0.0) == (60.0, Reason.LONGEST)
    assert learned_gap(law=_law(50.0), elapsed=0.0, price=0.5, rails=RAILS, spread=0.9) == (1.0, Reason.SHORTEST)


def test_a_job_that_waits_is_asked_more_rarely_the_longer_it_waits() -> None:
    gaps = [
        learned_gap(law=_law(), elapsed=0.0, price=1.0, rails=RAILS, spread=0.0, waited=waited)[0]
        for waited in (0.0, 30.0, 300.0)
    ]
    running = learned_gap(law=_law(), elapsed=0.0, price=1.0, rails=RAILS, spread=0.0)[0]
    assert running < gaps[0] < gaps[1] < gaps[2] <= 60
    for waited, gap in zip((0.0, 30.0), gaps, strict=False):
        assert undetected(_law(), elapsed=0.0, seconds=gap, waited=waited) == pytest.approx(1.0, rel=0.02)


def test_a_look_comes_when_a_job_is_stuck() -> None:
    law = _law(1e-4, stuck_after=130.0)
    gap, reason = learned_gap(law=law, elapsed=100.0, price=1.0, rails=RAILS, spread=0.9)
    assert reason is Reason.STUCK
    assert 100.0 + gap == pytest.approx(130.1)
    assert learned_gap(law=law, elapsed=131.0, price=1.0, rails=RAILS, spread=0.0)[1] is Reason.LONGEST


def test_an_explanation_agrees_with_the_plan() -> None:
    law = _law()
    gap, _ = learned_gap(law=law, elapsed=20.0, price=1.0, rails=RAILS, spread=0.0)
    told = explain(law=law, elapsed=20.0, ago=5.0, price=1.0, rails=RAILS)
    assert told.next_in == pytest.approx(gap - 5.0)
    assert told.reached_in == pytest.approx(gap - 5.0)
    assert told.ended == pytest.approx(1 - math.exp(-0.05))
    assert told.delay == pytest.approx(law.area(20.0, 5.0))
    assert told.reason is Reason.PRICE
    late = explain(law=law, elapsed=20.0, ago=50.0, price=1.0, rails=RAILS)
    assert (late.next_in, late.reached_in) == (0.0, 0.0)
    assert late.delay > 1.0
    waiting = explain(law=_law(1e-5), elapsed=0.0, ago=10.0, price=1.0, rails=RAILS, waited=20.0)
    assert waiting.reason is Reason.LONGEST
    assert waiting.reached_in > waiting.next_in == 50.0


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(Reason)


def test_a_frozen_job_costs_at_most_fifty_requests_in_three_hours() -> None:
    rng = random.Random(1)
    at, asked = 0.0, 0
    while at < 3 * 3600:
        at += next_gap(state=State.BLOCK, in_state=at, failures=0, floor=0, rails=RAILS, spread=rng.random())
        asked += 1
    assert asked <= 50


def test_the_bench_beats_a_fixed_interval_in_a_small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    worlds, single = importlib.import_module("_worlds"), importlib.import_module("_single")
    made = worlds.jobs(worlds.World(name="base"), 0, 300)
    seen = [each for each in single.learned(made, price=1.0, seed=0) if each.known >= 80]
    plan = single.of(seen)
    even = single.fixed_at([each.job for each in seen], plan.requests)
    assert even.requests == pytest.approx(plan.requests, rel=0.03)
    assert plan.mean < 0.65 * even.mean
    assert plan.largest <= 60 * 1.05


def test_a_bench_replaces_its_block_of_a_page_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    paper = importlib.import_module("_paper")
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- begin one (note) -->\nold\n<!-- end one -->\nbelow\n")
    for text in ("new\n", "newer"):
        paper.replace_block(page, "one", text)
    assert page.read_text() == "above\n<!-- begin one (note) -->\n\nnewer\n\n<!-- end one -->\nbelow\n"
    with pytest.raises(ValueError, match="must have one block 'two'"):
        paper.replace_block(page, "two", "text")


def test_a_plot_is_whole_and_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    plot = importlib.import_module("_plot")
    series = plot.Series(name="a < b", points=[(0.0, 1.0), (5.0, 2.0), (99.0, 3.0)], colour=0)
    panel = plot.Panel(title="t", x="x", y="y", right=10.0, top=4.0, series=[series])
    for name in ("one.svg", "two.svg"):
        plot.write(tmp_path / name, [panel, panel], description="what it shows")
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    root = ElementTree.fromstring(drawn)
    assert len(root.findall("{*}circle")) == 2 * 2 + 2  # two points in each panel, two in the legend
    assert "a < b" in {text.text for text in root.findall("{*}text")}
