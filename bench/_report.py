"""Runs the benchmarks and writes docs/performance.md from one run: figures, plots, date, machine.

    python bench/_report.py [NAME ...] [--page-only]

Every `bench/NAME.py` (no leading `_`) is run as `python bench/NAME.py --json build/bench/NAME.json`. The page is
written only by a run of all of them; with names, only these run, and the page is left alone. `--page-only` writes
the page from the last complete run. Exits with 1 if a benchmark failed or missed a target; a missed target is
marked on the page.

A benchmark writes one JSON object, even if it misses a target and then exits with 1:

    {
      "title": "Memory",                            heading of its section; unique
      "command": "python bench/memory.py",          what to type to measure it again
      "rows": [
        {"what": "RSS with 100,000 jobs",           all texts are ready to print, with units; "" for none
         "wrapd": "142 MiB",
         "beside": "1 job: 91 MiB",                 the thing compared with, measured in the same run
         "ratio": 1.56,                             wrapd / beside from interleaved rounds, or null
         "target": "at most 60 MiB more",
         "met": true}                               whether the target was met; only where there is one
      ],
      "about": "…",                                 optional paragraph: what is compared, and why that is fair
      "plots": [{"file": "x.svg", "alt": "…"}],     optional: files of docs/ that this run wrote
      "order": 10,                                  optional: sections are sorted by it (default 50), then by title
      "figures": {…}                                optional: raw values; not shown
    }

`save` writes it. The date, the machine and the duration are added here. The rest of the page is written by hand.
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _paper import ROOT, replace_block, table

BENCH = ROOT / "bench"
RESULTS = ROOT / "build" / "bench"
SOME = ROOT / "build" / "bench-some"
"""For a run of some benchmarks, so that the page always shows one complete run."""
PAGE = ROOT / "docs" / "performance.md"
MACHINE = "machine.json"
SECONDS = "seconds.json"
COLUMNS = ("wrapd", "beside", "ratio", "target")

Result = Mapping[str, Any]


def save(path: Path, *, title: str, rows: Sequence[Result], **optional: Any) -> None:
    """Write a benchmark's result to `path`. The command is that of this process, without `--json`."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    if "--json" in words:
        at = words.index("--json")
        del words[at : at + 2]
    result = {"title": title, "command": f"python bench/{' '.join(words)}", "rows": list(rows), **optional}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="run only these, and leave the page alone")
    parser.add_argument("--page-only", action="store_true", help="run nothing: write the page from the last run")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in BENCH.glob("[!_]*.py"))
    folder = SOME if options.names else RESULTS
    failed = []
    if not options.page_only:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MACHINE).write_text(json.dumps(machine()), encoding="utf-8")  # first: the load before the run
        seconds: dict[str, float] = {}
        failed = [name for name in names if not run(name, folder, seconds)]
        (folder / SECONDS).write_text(json.dumps(seconds), encoding="utf-8")
    if not options.names:
        try:
            results = [read(RESULTS / f"{name}.json") for name in names]
            ran_on = json.loads((RESULTS / MACHINE).read_text(encoding="utf-8"))
            took = json.loads((RESULTS / SECONDS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            sys.exit(f"{PAGE.name} is not written: {error}")
        replace_block(PAGE, "benchmarks", page({**ran_on, "took": _durations(took)}, results))
    if failed:
        print(f"failed, or missed a target: {', '.join(failed)}")
    return bool(failed)


def run(name: str, folder: Path, seconds: dict[str, float]) -> bool:
    """Run one benchmark, with its result in `folder` and its duration in `seconds`. Returns whether it succeeded
    and met its targets."""
    print(f"== {name}", flush=True)
    target, begun = folder / f"{name}.json", time.monotonic()
    target.unlink(missing_ok=True)  # so that the result of an earlier run is not used
    status = subprocess.run([sys.executable, BENCH / f"{name}.py", "--json", target], check=False).returncode
    seconds[name] = time.monotonic() - begun
    print(f"== {name} took {seconds[name]:.0f} s", flush=True)
    return status == 0


def _durations(seconds: Mapping[str, float]) -> str:
    """How long the run took, and each benchmark."""
    each = ", ".join(f"{name} {took:.0f} s" for name, took in seconds.items())
    return f"{sum(seconds.values()) / 60:.0f} minutes: {each}"


def read(path: Path) -> Result:
    """A benchmark's result. Raises ValueError that names the file and what is missing."""
    if not path.exists():
        raise ValueError(f"{path.stem}: no result; run it with --json {path}")
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in ("title", "command", "rows") if not result.get(key)]
    for i, row in enumerate(result.get("rows", ())):
        missing += [f"rows[{i}].{key}" for key in ("what", *COLUMNS) if key not in row]
    if missing:
        raise ValueError(f"{path.stem}: the result has no {', '.join(missing)}")
    return result


def machine() -> dict[str, str]:
    """The date, and what the figures depend on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory / 2**20:.1f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}",
        "Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def page(machine: Mapping[str, str], results: Sequence[Result]) -> str:
    """The block of the page: the machine, then a section for each benchmark."""
    rows = [[name, value] for name, value in machine.items()]
    sections = sorted(results, key=lambda result: (result.get("order", 50), result["title"]))
    return "\n".join([table(["this run", ""], rows), *(_section(result) for result in sections)])


def _section(result: Result) -> str:
    rows = [[_cell(row["what"]), *(_column(row, name) for name in COLUMNS), _holds(row)] for row in result["rows"]]
    parts = [f"## {result['title']}", f"```sh\n{result['command']}\n```", result.get("about", "").strip()]
    parts += [table(["", "wrapd", "compared with", "ratio", "wanted", "holds"], rows).rstrip()]
    parts += [f"![{plot['alt']}]({plot['file']})" for plot in result.get("plots", ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _column(row: Result, name: str) -> str:
    value = row[name]
    if name == "ratio":
        return "" if value is None else f"{value:.2f}"
    return _cell(value)


def _holds(row: Result) -> str:
    if not row["target"] or "met" not in row:
        return ""
    return "yes" if row["met"] else "**no**"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
