"""Lists of 100,000 rows are written in bounded memory, each row once."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli_runner import CONFIG
from tests.support.process import COMMAND
from tests.support.store import NOW, open_store

pytestmark = pytest.mark.long

ROWS = 100_000
MOST = 100 * 1024
"""Maximum KiB of resident memory at the peak."""
# In a small process: a child starts with its parent's peak.
_MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a database with this many jobs, half of them in production, and as many deliveries, each with an
    attempt."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "wrapd.toml").write_text(CONFIG)
    store = open_store(folder)
    store.close()
    with closing(sqlite3.connect(store.path)) as database, database:
        at = int(NOW.timestamp() * 1000)
        every = range(1, ROWS + 1)
        database.executemany(
            "INSERT INTO jobs (id, project, kind, job_id, batch, label, tracking, state, state_since, tracked_at,"
            " started_at, preview_url) VALUES (?, 'main', 'avatar', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    n,
                    f"job-{n:06}",
                    f"批次 {n}",
                    f"春节 {n}",
                    *_state(n),
                    at + n,
                    at,
                    at,
                    f"https://e/{n}?{'s' * 400}",
                )
                for n in every
            ),
        )
        database.executemany(
            "INSERT INTO deliveries (id, key, channel, event, job, project, facts, status, due_at, created_at,"
            " attempts, last_error) VALUES (?, ?, 'editors', 'succeeded', ?, 'main', '{}', 'dead', ?, ?, 1, ?)",
            ((n, f"job:{n}:succeeded", n, at, at, f"HTTP 500: {'x' * 200}") for n in every),
        )
        database.executemany(
            "INSERT INTO attempts (delivery, n, started_at, ended_at, outcome, reason)"
            " VALUES (?, 1, ?, ?, 'dead', 'no')",
            ((n, at, at) for n in every),
        )
    return folder


def _state(n: int) -> tuple[str, str]:
    return ("active", "PROCESSING") if n % 2 else ("finished", "SUCCEED")


def measured(home: Path, *args: str) -> tuple[Path, int]:
    """Return the output of a command, in a file, and its peak memory in KiB."""
    out = home / "out"
    with out.open("wb") as file:
        ended = subprocess.run(
            [sys.executable, "-c", _MEASURED, *COMMAND, "--config", home / "wrapd.toml", *args],
            stdout=file,
            stderr=subprocess.PIPE,
            check=True,
            env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"},
        )
    return out, int(ended.stderr)


def falling() -> Iterator[int]:
    return iter(range(ROWS, 0, -1))


def test_jobs_as_json(home: Path) -> None:
    out, peak = measured(home, "jobs", "--json")
    text = out.read_text(encoding="utf-8")
    found = json.loads(text)
    assert [each["job_id"] for each in found] == [f"job-{n:06}" for n in falling()]
    assert text == json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    assert peak <= MOST, f"{peak} KiB"


def test_deliveries_as_json(home: Path) -> None:
    out, peak = measured(home, "deliveries", "--json")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [each["id"] for each in found] == list(falling())
    assert all(len(each["tries"]) == 1 for each in found)
    assert peak <= MOST, f"{peak} KiB"


def test_batches_as_json(home: Path) -> None:
    out, peak = measured(home, "batches", "--json")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [each["batch"] for each in found] == [f"批次 {n}" for n in falling()]
    assert peak <= MOST, f"{peak} KiB"


@pytest.mark.parametrize(
    "command", [("jobs", "--project", "main"), ("deliveries", "--channel", "editors", "--dead"), ("batches",)]
)
def test_tables_in_a_pipe(home: Path, command: tuple[str, ...]) -> None:
    out, peak = measured(home, *command)
    with out.open(encoding="utf-8") as file:
        assert sum(1 for _ in file) == ROWS + 1
    assert peak <= MOST, f"{peak} KiB"
