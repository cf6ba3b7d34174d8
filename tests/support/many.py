"""Databases with many rows, for what must not take longer with more of them.

Everything is made by counting, not by chance: each stretch of rows has as many of a kind as any other, so two
databases differ in their length alone. What is few is as many in each, spread over all rows; what is old is at the
far end of the lists.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from daemon.store import upgrade
from tests.support.counts import keep

MONTHS = 180 * 86_400_000_000
"""From the first job to the last, in microseconds."""
FEW = 30
"""Rows of what is rare, however many there are in all."""
DYING = "https://example.com/{n}?Signature={pad}"
_AT_ONCE = 10_000
_JOB = (
    "id project kind job_id label tags batch tracking state state_since tracked_at created_at started_at ended_at"
    " asset_name preview_url link_until"
)
_DELIVERY = "id key channel event job project facts status due_at created_at sent_at attempts last_error mute"
_CHANNELS = ("team", "editors", "ops", "a", "b")


def make(path: Path, rows: int, *, now: datetime, tracked: float = 0.02) -> Path:
    """Make a database of `rows` jobs, this share of them still tracked, each with a transition and an alert."""
    upgrade(f"sqlite:///{path}")
    made = _Rows(rows, end=int(now.timestamp() * 1_000_000), first_tracked=rows - int(rows * tracked))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA recursive_triggers = OFF")
        for start in range(1, rows + 1, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, rows + 1))
            jobs = [made.job(n) for n in numbers]
            insert(database, "jobs", _JOB, jobs)
            insert(
                database, "job_tags", "tag job", [(tag, job[0]) for job in jobs for tag in json.loads(str(job[5]))]
            )
            moves = [(job[0], 1, job[8], job[9]) for job in jobs if job[8] is not None]
            insert(database, "transitions", "job seq after observed_at", moves)
            alerts = [made.delivery(job) for job in jobs]
            insert(database, "deliveries", _DELIVERY, alerts)
            tries = [
                (each[0], 1, each[9], each[9], "sent" if each[7] == "sent" else "dead")
                for each in alerts
                if each[11]
            ]
            insert(database, "attempts", "delivery n started_at ended_at outcome", tries)
        insert(database, "deliveries", _DELIVERY, made.ends_of_batches())
        insert(database, "actions", "at who what project subject", made.actions())
        insert(database, "mutes", "scope subject started_at until who ended_at ended_by", made.mutes())
        tokens = [(f"token{n:03d}", f"name-{n}", f"{n:064d}", "read", 0, "cli:me") for n in range(FEW)]
        insert(database, "tokens", "id name digest scope created_at created_by", tokens)
        shares = [(f"{n:064d}", "main", "giant", 0, "cli:me", 1) for n in range(1, rows, 100)]
        insert(database, "shares", "digest project batch created_at created_by expires_at", shares)
        database.execute("DELETE FROM changes")
        keep(database)
    return path


def insert(database: sqlite3.Connection, table: str, names: str, rows: Sequence[tuple[object, ...]]) -> None:
    marks = ", ".join("?" * len(names.split()))
    columns = ", ".join(f'"{name}"' for name in names.split())
    database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


class _Rows:
    def __init__(self, rows: int, *, end: int, first_tracked: int) -> None:
        self._rows, self._end, self._first_tracked = rows, end, first_tracked
        self._step = MONTHS // rows
        self._rare = rows // FEW

    def job(self, n: int) -> tuple[object, ...]:
        at = self._end - (self._rows - n) * self._step
        state, tracking = self._end_of(n)
        old = n <= self._rows // 10
        share = n * 7 % 10
        batch = (
            "last-year"
            if old
            else "giant"
            if share < 2
            else f"batch-{(self._rows - n) // 50}"
            if share < 5
            else None
        )
        project = "other" if n % 5 == 1 else "main"
        tags = [tag for tag, fits in self._tags(n, old=old, project=project).items() if fits]
        since = None if state is None else min(self._end, at + n * 7919 % 1200 * 1_000_000)
        took = since if tracking == "finished" else None
        name = f"春节 {n}" if n % 10 == 3 else f"Needle {n}" if n % self._rare == 7 else f"Clip {n}"
        url = f"https://example.com/{n}?{'s' * 300}" if state == "SUCCEED" else None
        dies = None if url is None else at + 7 * 86_400_000_000
        kind = ("avatar", "photo", "tts")[n % 3]
        return (
            n, project, kind, f"job-{n}", name, json.dumps(tags), batch, tracking, state, since, at,
            None if state is None else at, None if state in (None, "WAITING") else at, took, name, url, dies,
        )  # fmt: skip

    def _tags(self, n: int, *, old: bool, project: str) -> dict[str, bool]:
        return {
            "spring": n % 10 == 6,
            "web": n % 5 == 3,
            "rare": n % self._rare == 11,
            "archive": old,
            "main-only": project == "main" and n % 20 == 5,
        }

    def _end_of(self, n: int) -> tuple[str | None, str]:
        if n % self._rare == 13:
            return "PROCESSING", ("lost", "expired", "stopped")[n // self._rare % 3]
        if n % self._rare == 17:
            return "BLOCK", "active"
        if n > self._first_tracked:
            return ("WAITING", "PROCESSING", "PROCESSING", None)[n % 4], "active"
        return {0: "FAILED", 1: "CANCELED"}.get(n % 20, "SUCCEED"), "finished"

    def delivery(self, job: tuple[object, ...]) -> tuple[object, ...]:
        n, project, state, at = int(str(job[0])), job[1], str(job[8]), int(str(job[10]))
        event = {"FAILED": "failed", "CANCELED": "canceled", "SUCCEED": "succeeded"}.get(state, "started")
        if n % self._rare == 19:
            event = "stuck"
        status = (
            "pending"
            if n % self._rare == 23
            else "dead"
            if n % 50 == 9
            else "canceled"
            if n % 100 == 14
            else "sent"
        )
        return self._told(n, f"job/{n}", event, (n, project), status, at)

    def ends_of_batches(self) -> list[tuple[object, ...]]:
        return [
            self._told(
                self._rows + n, f"batch/main/{name}/1", "batch_finished", (None, "main"), "sent", self._end - n
            )
            for n, name in enumerate(("giant", "last-year", *(f"batch-{each}" for each in range(FEW))), 1)
        ]

    def _told(
        self, n: int, key: str, event: str, about: tuple[object, object], status: str, at: int
    ) -> tuple[object, ...]:
        tried = status in ("sent", "dead")
        error = "HTTP 500: the service is out" if status == "dead" else None
        mute = 1 if status == "pending" and n % 2 else None
        channel = _CHANNELS[n % len(_CHANNELS)]
        sent = at if status == "sent" else None
        return n, key, channel, event, *about, "{}", status, at, at, sent, int(tried), error, mute

    def actions(self) -> list[tuple[object, ...]]:
        return [
            (
                self._end - (self._rows - n) * self._step,
                "cli:me",
                "ask",
                "other" if n % 50 == 1 else "main",
                "job-7" if n % self._rare == 5 else f"job-{n}",
            )
            for n in range(1, self._rows, 5)
        ]

    def mutes(self) -> list[tuple[object, ...]]:
        """A mute a hundred jobs, and as few running ones as there is ever."""
        running = [
            ("tag", f"tag-{n}", self._end, self._end + (n + 1) * 3_600_000_000, "cli:me", None, None)
            for n in range(2 * FEW)
        ]
        ended = [
            ("job", f"job-{n}", at, at + 3_600_000_000, "cli:me", at, "wrapd")
            for n in range(1, self._rows, 100)
            for at in [self._end - (self._rows - n) * self._step]
        ]
        return [*running, *ended]
