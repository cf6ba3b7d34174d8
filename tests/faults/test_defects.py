"""A failure has an owner: an error is raised at every `await` and every call of the store that a daemon passes
while it looks, lists, reads the feed, claims, sends, records, discovers and is called back.

The places are found in the code (`tests.support.probing`). Each run is a whole daemon in time that jumps
(`tests.support.defects`, which says what must hold after it). `make faults` tries every place in every way; the
other runs draw from them.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SHARDS = 8
_QUICK = 4
_AGAIN = 1000
"""More often than a place is passed."""

Wanted = dict[str, Any]


def _runs(
    folder: Path, wanted: list[Wanted | None], *, seconds: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What became of each run, and what each site is."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.defects", str(folder)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    *runs, last = [json.loads(line) for line in ended.stdout.splitlines()]
    return runs, last["sites"]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> list[list[Wanted]]:
    """For each place that a run without errors passes, the ways in which it can fail."""
    [[run], kinds] = _runs(tmp_path_factory.mktemp("plain"), [None], seconds=60)
    assert run["violations"] == []
    rng = random.Random(8)
    places = [
        _ways(site, kinds[site], after=after, passes=passes, rng=rng)
        for site, after, passes in sorted(run["passes"])
        if not after or _may_fail_late(site, kinds[site])
    ]
    assert len(places) > 150, "the probes are not where they should be"
    return places


def _may_fail_late(site: str, kind: str) -> bool:
    """Whether an error can come when the work is done: a commit taken for failed, a message that was sent. What
    other calls hand over (a permit, a lock) cannot come with an error."""
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


def _try(folder: Path, wanted: list[Wanted], *, seconds: float) -> None:
    runs, _ = _runs(folder, list(wanted), seconds=seconds)
    assert len(runs) == len(wanted)
    wrong = {
        json.dumps(way): run["violations"] for way, run in zip(wanted, runs, strict=True) if run["violations"]
    }
    assert not wrong, f"{len(wrong)} of {len(wanted)}:\n" + "\n".join(
        f"  {way}\n" + "".join(f"      {each}\n" for each in violations) for way, violations in wrong.items()
    )
    assert sum(run["hits"] > 0 for run in runs) > 0.8 * len(runs), "most places were passed again"


def test_an_error_at_a_few_places_is_owned(tmp_path: Path, faults: list[list[Wanted]]) -> None:
    rng = random.Random(8)
    _try(tmp_path, [rng.choice(rng.choice(faults)) for _ in range(_QUICK)], seconds=60)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(_SHARDS))
def test_an_error_at_every_place_is_owned(tmp_path: Path, faults: list[list[Wanted]], shard: int) -> None:
    """Each place once, in a way that is drawn; with EVERY_FAULT=1 in every way (`make faults`)."""
    places, rng = faults[shard::_SHARDS], random.Random(shard)
    every = bool(os.environ.get("EVERY_FAULT"))
    wanted = [way for ways in places for way in (ways if every else [rng.choice(ways)])]
    _try(tmp_path, wanted, seconds=880)
