"""CPU time of commands next to that of Python importing the libraries that each of them needs.

    python bench/start.py [--rounds 21] [--json FILE]

Each run is a process of its own: the same interpreter, isolated in the same way (-I), in a folder with a config of
one project and two channels and a database of 100 jobs, half of them in production. User and system time count;
rounds are interleaved, and medians are compared. The exit status is 1 if a ratio is over its bound.
"""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from _report import save

ABOUT = """
CPU time of a command next to that of Python importing the libraries that it needs: the same interpreter, each run
a process of its own. The database has 100 jobs. Rounds take turns, and medians are compared."""
CONFIG = """
[projects.main]
region = "cn-north-4"
auth = { method = "aksk", access_key = "AK", secret_key = "SECRET-KEY" }

[channels.hook]
url = "json://127.0.0.1:9/hook"

[channels.chat]
url = "discord://123456789012345678/abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789abcd"
"""
PRODUCED = """
UPDATE jobs SET state = 'PROCESSING', state_since = tracked_at, started_at = tracked_at,
    last_polled_at = tracked_at, polls = 1, kind_source = 'found' WHERE id % 2
"""
CLICK = "import click"
SQLALCHEMY = "import click, sqlalchemy"
RIVALS = Path(__file__).parents[1] / "build" / "rivals"
"""Where libraries are that wrapd does not use, but whoever does the same by hand; `make bench` installs them."""
APPRISE = (
    f"import sys; sys.path.append({str(RIVALS)!r}); "
    "import click, pydantic, apprise.plugins.custom_json, apprise.plugins.discord"
)
WRAPD = "import sys; from daemon.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Case:
    """A command, what it is compared with, and how often that it may take."""

    command: str
    reference: str
    bound: float
    environ: tuple[tuple[str, str], ...] = ()


TAB = (("_WRAPD_COMPLETE", "bash_complete"), ("COMP_WORDS", "wrapd jo"), ("COMP_CWORD", "1"))
CASES = (
    Case("--help", CLICK, 1.5),
    Case("--version", CLICK, 1.5),
    Case("completion bash", CLICK, 1.5),
    Case("", CLICK, 1.5, TAB),
    Case("jobs", SQLALCHEMY, 1.4),
    Case("show job-1", SQLALCHEMY, 1.4),
    Case("track job-1", SQLALCHEMY, 1.4),
    Case("deliveries", SQLALCHEMY, 1.4),
    Case("config check", APPRISE, 1.5),
)


def cpu(folder: Path, code: str, *args: str, environ: tuple[tuple[str, str], ...] = ()) -> float:
    """Milliseconds of CPU of one process."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", code, *args],
        cwd=folder,
        env={"PATH": os.environ.get("PATH", ""), **dict(environ)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"wrapd {' '.join(args)} failed: {said}")
    return (used.ru_utime + used.ru_stime) * 1000


def measured(folder: Path, rounds: int) -> dict[str, float]:
    """The medians, by reference or command."""
    runs = {each.reference: (each.reference, (), ()) for each in CASES}
    runs |= {_name(each): (WRAPD, tuple(each.command.split()), each.environ) for each in CASES}
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, (code, args, environ) in runs.items():
            taken = cpu(folder, code, *args, environ=environ)
            if number:  # the first one compiles modules
                found[name].append(taken)
    return {name: statistics.median(each) for name, each in found.items()}


def _name(case: Case) -> str:
    return f"wrapd {case.command}" if case.command else "the Tab key"


def _misses(case: Case, found: dict[str, float]) -> bool:
    return found[_name(case)] > case.bound * found[case.reference]


def rows(found: dict[str, float]) -> list[dict[str, object]]:
    """The rows of docs/performance.md."""
    return [
        {
            "what": f"`{_name(case)}`" if case.command else "The Tab key",
            "wrapd": f"{found[_name(case)]:.0f} ms",
            "beside": f"`{case.reference.rpartition('; ')[2]}`: {found[case.reference]:.0f} ms",
            "ratio": found[_name(case)] / found[case.reference],
            "target": f"at most {case.bound:g}",
            "met": not _misses(case, found),
        }
        for case in CASES
    ]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=21)
    options.add_argument("--json", type=Path, help="also write the result here, for docs/performance.md")
    given = options.parse_args()
    if not RIVALS.exists():
        sys.exit(
            f"pydantic, beside which `config check` is measured, is not in {RIVALS}; run `make bench ARGS=start`"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wrapd.toml").write_text(CONFIG)
        (folder / "wrapd.toml").chmod(0o600)
        cpu(folder, WRAPD, "track", *(f"job-{number}" for number in range(100)))
        with closing(sqlite3.connect(folder / "wrapd.db")) as database, database:
            database.execute(PRODUCED)
        found = measured(folder, given.rounds)
    if given.json:
        save(given.json, title="Start of commands", order=45, about=ABOUT, rows=rows(found), figures=found)
    over = 0
    print(f"{'command':22} {'CPU, ms':>8} {'beside, ms':>10} {'ratio':>6} {'bound':>6}  beside")
    for case in CASES:
        taken, beside = found[_name(case)], found[case.reference]
        over += _misses(case, found)
        figures = f"{taken:8.1f} {beside:10.1f} {taken / beside:6.2f} {case.bound:6.1f}"
        print(f"{_name(case):22} {figures}  {case.reference}")
    return min(over, 1)


if __name__ == "__main__":
    sys.exit(main())
