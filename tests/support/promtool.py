"""Prometheus' own program judges what a real daemon says: the format of its metrics, and which alerts they raise.

Needs promtool, which is in Debian's package `prometheus`; `.ci/run` fetches it.
"""

import json
import math
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.programs import ROOT, need, run

RULES = ROOT / "packaging" / "prometheus" / "rules.yml"
QUIET_MINUTES = 20
"""How long the first scrape is held: a wrapd in good order."""
HELD_MINUTES = 100
"""How long the last scrape is held: longer than any rule waits."""


def promtool() -> str:
    """The program, or the test is skipped."""
    return need("promtool", package="prometheus")


def check_metrics(text: str) -> str:
    """What promtool has to say about a scrape; empty if nothing."""
    ended = subprocess.run(
        [promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return ended.stdout + ended.stderr


def series(text: str) -> dict[str, float]:
    """The samples of a scrape by their series in Prometheus' notation."""
    return {
        f"{sample.name}{{{', '.join(f'{name}={json.dumps(value)}' for name, value in sample.labels.items())}}}": (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def fired(folder: Path, scrapes: Sequence[str], *, quiet: int = QUIET_MINUTES) -> set[str]:
    """The alerts that fire if Prometheus sees these scrapes: the first for `quiet` minutes, then one a minute,
    then the last for `HELD_MINUTES`. An empty scrape is one without an answer. promtool's clock begins at 0, so
    the time of the newest backup is moved: it is as old at the second scrape as it is now."""
    seen = [_moved(series(each), time.time() - quiet * 60) for each in scrapes]
    minutes = [*[seen[0]] * quiet, *seen[1:], *[seen[-1]] * HELD_MINUTES]
    case = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": _values([_value(each.get(name)) for each in minutes])}
                    for name in sorted(set().union(*seen))
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1d]))',
                        "eval_time": f"{len(minutes)}m",
                        "exp_samples": [],
                    }
                ],
            }
        ],
    }
    path = folder / "case.yml"
    path.write_text(json.dumps(case))  # JSON is YAML too
    return set(_names(run(promtool(), "test", "rules", path).stdout))


def _moved(samples: dict[str, float], by: float) -> dict[str, float]:
    return {
        name: max(1.0, value - by) if name.startswith("wrapd_backup_timestamp_seconds") and value else value
        for name, value in samples.items()
    }


def _values(values: Sequence[str]) -> str:
    """Values in promtool's notation, which has one for repeats."""
    runs = ((value, sum(1 for _ in same)) for value, same in groupby(values))
    return " ".join(f"_x{number}" if value == "_" else f"{value}+0x{number - 1}" for value, number in runs)


def _value(value: float | None) -> str:
    return "_" if value is None or math.isnan(value) else f"{value:.17g}"


def _names(said: str) -> Iterator[str]:
    """The alerts in promtool's report of a test that expected none."""
    if "SUCCESS" in said:
        return
    assert "got:" in said, said
    for part in said.partition("got:")[2].split('alertname="')[1:]:
        yield part.partition('"')[0]
