"""Databases of older versions: the schema of a revision, and rows in it, written without the program."""

import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from daemon.store import upgrade
from daemon.store.migrate import scripts_folder
from tests.support.store import url_of

_MOMENT = 1_772_366_400_000_000
"""2026-03-01T12:00:00Z in microseconds."""

JOB = ("project", "kind", "job_id", "tracking", "state", "state_since", "tracked_at", "tags", "label", "batch")
_MORE = ("episode", "changed", "created_at", "duration", "cover_url", "polls", "next_poll_at", "last_error")


def scripts_until(folder: Path, revision: str) -> Path:
    """Return a copy of the migrations without those after `revision`."""
    scripts = folder / f"until-{revision}"
    shutil.copytree(scripts_folder(), scripts, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (scripts / "versions").glob("*.py"):
        if file.name[:4] > revision:
            file.unlink()
    return scripts


def first_schema(folder: Path) -> Path:
    """Create an empty database of the first schema."""
    return empty(folder, "0001")


def empty(folder: Path, revision: str) -> Path:
    """Create an empty database of the schema of a revision."""
    path = folder / "wrapd.db"
    upgrade(url_of(path), scripts=scripts_until(folder, revision))
    return path


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def add_job(
    connection: sqlite3.Connection, job_id: str, *states: str, tracking: str = "active", told: bool = False
) -> int:
    """Add a job that went through `states`; with `told`, a sent delivery for each of them. Returns its row id."""
    active = tracking == "active"
    values = (
        *("main", "avatar", job_id, tracking, states[-1] if states else None, _MOMENT if states else None),
        *(_MOMENT - 9, '["a","é"]', f"label of {job_id}", "b1"),
        *(2, active, _MOMENT - 8, 60.5, "https://h/c?Expires=1", 7, _MOMENT + 5 if active else None, "HTTP 503"),
    )
    job = _insert(connection, "jobs", (*JOB, *_MORE), values)
    before = None
    for seq, after in enumerate(states, 1):
        move = (job, seq, before, after, _MOMENT + seq, None)
        names = ("job", "seq", '"before"', '"after"', "observed_at", "reported_at")
        transition = _insert(connection, "transitions", names, move)
        before = after
        if told:
            _add_delivery(connection, job, transition)
    return job


def _add_delivery(connection: sqlite3.Connection, job: int, transition: int) -> None:
    names = ("key", "channel", "event", "job", "project", "transition", "facts", "status", "due_at", "created_at")
    key = f"job/{job}/x/{transition}"
    row = (key, "a", "succeeded", job, "main", transition, "{}", "sent", _MOMENT, _MOMENT)
    delivery = _insert(connection, "deliveries", (*names, "sent_at", "attempts"), (*row, _MOMENT + 1, 1))
    names = ("delivery", "n", "started_at", "ended_at", "outcome", "status_code", "reason")
    _insert(connection, "attempts", names, (delivery, 1, _MOMENT, _MOMENT + 1, "sent", 200, "200"))


def rows(path: Path, table: str, columns: Iterable[str] = ("*",)) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1").fetchall()
    finally:
        connection.close()


def columns(path: Path, table: str) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [f'"{name}"' for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    finally:
        connection.close()


def _insert(connection: sqlite3.Connection, table: str, names: Iterable[str], values: tuple[object, ...]) -> int:
    marks = ", ".join("?" * len(values))
    done = connection.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
    assert done.lastrowid is not None
    return done.lastrowid
