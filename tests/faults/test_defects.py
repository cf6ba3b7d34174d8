"""Every failure has an owner: an error is raised at every `await` and every call of the store that a daemon passes
while it polls, lists, reads the feed, claims, sends, records, discovers and gets callbacks.

The places are found in the code (`tests.support.probing`). Each run is a complete daemon in time that jumps
(`tests.support.defects`, which defines what must hold after it). `make faults` tries every place in every way; the
other runs draw from them.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_SHARDS = 8
_QUICK = 2
_AGAIN = 1000
"""More often than any place is passed."""

Wanted = dict[str, Any]


class Runs:
    """A process that makes one run after the other, since it starts slowly."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.defects", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def make(self, wanted: Wanted | None) -> dict[str, Any]:
        """Return the result of a run with this fault."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result

    def end(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    runs = Runs(tmp_path_factory.mktemp("runs"))
    yield runs
    runs.end()


@pytest.fixture(scope="module")
def faults(runs: Runs) -> list[list[Wanted]]:
    """Return the ways to fail for each place that a run without errors passes."""
    run = runs.make(None)
    assert run["violations"] == []
    rng = random.Random(8)
    places = [
        _ways(site, kind, after=after, passes=passes, rng=rng)
        for site, kind, after, passes in sorted(run["passes"])
        if not after or _may_fail_late(site, kind)
    ]
    assert len(places) > 250, "the probes are not where they should be"
    return places


def _may_fail_late(site: str, kind: str) -> bool:
    """Whether an error can be raised after the work is done: a commit that seems to have failed, a message that
    was sent. Other calls return something (a permit, a lock), so they cannot also raise."""
    return kind in ("store", "bare") or site.startswith("daemon/notify/")


def _ways(site: str, kind: str, *, after: bool, passes: int, rng: random.Random) -> list[Wanted]:
    def way(error: str, **more: Any) -> Wanted:
        return {"site": site, "after": after, "error": error, **more}

    ways = [way("RuntimeError"), way("RuntimeError", times=_AGAIN, same_job=True)]
    if passes > 2:
        ways.append(way("RuntimeError", first=rng.randint(2, passes)))
    if kind == "store":
        ways += [way("StoreFailed"), way("StoreBusy", first=rng.randint(1, passes))]
        ways.append(way("StoreFailed", times=_AGAIN, same_job=True))
    return ways


def _try(runs: Runs, wanted: list[Wanted]) -> None:
    ends = [(way, runs.make(way)) for way in wanted]
    wrong = [(json.dumps(way), run["violations"]) for way, run in ends if run["violations"]]
    assert not wrong, f"{len(wrong)} of {len(wanted)}:\n" + "\n".join(
        f"  {way}\n" + "".join(f"      {each}\n" for each in violations) for way, violations in wrong
    )
    assert sum(run["hits"] > 0 for _, run in ends) >= 0.8 * len(ends) - 1, "most places were passed again"


def test_an_error_at_a_few_places_is_owned(runs: Runs, faults: list[list[Wanted]]) -> None:
    rng = random.Random(8)
    _try(runs, [rng.choice(rng.choice(faults)) for _ in range(_QUICK)])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(_SHARDS))
def test_an_error_at_every_place_is_owned(runs: Runs, faults: list[list[Wanted]], shard: int) -> None:
    """Each place once, in a random way; with EVERY_FAULT=1 in every way (`make faults`)."""
    places, rng = faults[shard::_SHARDS], random.Random(shard)
    every = bool(os.environ.get("EVERY_FAULT"))
    _try(runs, [way for ways in places for way in (ways if every else [rng.choice(ways)])])
