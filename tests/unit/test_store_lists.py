"""Lists of jobs and deliveries: every filter, alone and combined, in every order, against a plain comparison of
all rows; and the query plans that SQLite chooses."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from daemon.domain.events import Event, batch_key
from daemon.domain.jobs import ChannelName, ProjectName, Tracking
from daemon.store import DeliveryRow, DeliverySort, DeliveryStatus, Found, JobRow, JobSort, Store, lists, paging
from tests.support.store import NOW, later, open_store, request, track

JOBS, DELIVERIES = 60, 90
PROJECTS, CHANNELS, EVENTS = ("main", "other"), ("a", "b", "c"), ("failed", "succeeded", "stuck")
STATES = {
    Tracking.ACTIVE: (None, "WAITING", "PROCESSING"),
    Tracking.FINISHED: ("SUCCEED", "FAILED"),
    Tracking.STOPPED: (None, "WAITING"),
}
TAGS, BATCHES = ("red", "春", 'a"b'), (None, "b1", "b2")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(tmp_path_factory.mktemp("lists"))
    fill(store.path, random.Random(3))
    yield store
    store.close()


def stamp(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def fill(path: Path, rng: random.Random) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for n in range(1, JOBS + 1):
            tracking = rng.choice(list(STATES))
            state = rng.choice(STATES[tracking])
            since = None if state is None else stamp(later(rng.randrange(40)))  # many at the same time
            database.execute(
                "INSERT INTO jobs (id, project, kind, job_id, batch, tracking, state, state_since, tracked_at,"
                " label) VALUES (?, ?, 'avatar', ?, ?, ?, ?, ?, 0, ?)",
                (n, rng.choice(PROJECTS), f"job-{n}", rng.choice(BATCHES), tracking, state, since, f"Größe {n}"),
            )
        store = open_store(path.parent)
        database.commit()
        jobs = store.read(lambda tx: tx.jobs.list())
        store.close()
        for job in jobs:
            tags = [tag for tag in TAGS if rng.random() < 0.3]
            text = lists.to_json(tags)
            database.execute("UPDATE jobs SET tags = ? WHERE id = ?", (text, job.id))
            database.executemany("INSERT INTO job_tags VALUES (?, ?)", [(tag, job.id) for tag in tags])
        for n in range(1, DELIVERIES + 1):
            database.execute(
                "INSERT INTO deliveries (id, key, channel, event, job, project, facts, status, due_at, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, '{}', ?, 0, ?)",
                (n, *about(rng, n, jobs), rng.choice(["pending", "canceled"]), stamp(later(rng.randrange(60)))),
            )


def about(rng: random.Random, n: int, jobs: list[JobRow]) -> tuple[object, ...]:
    """Return key, channel, event, job and project of a delivery about a job, a batch's end or a channel."""
    channel, kind = rng.choice(CHANNELS), rng.randrange(10)
    if kind == 0:
        return f"held/{n}", channel, "channel_held", None, None
    if kind == 1:
        project = ProjectName(rng.choice(PROJECTS))
        key = f"{batch_key(project, rng.choice(['b1', 'b2']))}{n}"
        return key, channel, Event.BATCH_FINISHED, None, project
    job = rng.choice(jobs)
    return f"job/{n}", channel, rng.choice(EVENTS), job.id, job.project


@contextmanager
def few(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(lists, "FEW", number)
        yield


JOB_FITS: dict[str, tuple[Any, Callable[[JobRow], bool]]] = {
    "project": (ProjectName("other"), lambda row: row.project == "other"),
    "tracking": (Tracking.ACTIVE, lambda row: row.tracking is Tracking.ACTIVE),
    "state": ("WAITING", lambda row: row.state == "WAITING"),
    "tag": ("春", lambda row: "春" in row.tags),
    "batch": ("b1", lambda row: row.batch == "b1"),
    "since": (later(12), lambda row: row.state_since is not None and row.state_since >= later(12)),
}
JOB_KEYS: dict[JobSort, Callable[[JobRow], Any]] = {
    JobSort.NEWEST: lambda row: -row.id,
    JobSort.OLDEST: lambda row: row.id,
    JobSort.CHANGED: lambda row: (
        row.state_since is None,
        0.0 if row.state_since is None else -row.state_since.timestamp(),
        -row.id,
    ),
}
DELIVERY_FITS: dict[str, tuple[Any, Callable[["Told"], bool]]] = {
    "status": (DeliveryStatus.PENDING, lambda it: it.row.status == "pending"),
    "channel": (ChannelName("a"), lambda it: it.row.channel == "a"),
    "event": ("failed", lambda it: it.row.event == "failed"),
    "project": (ProjectName("main"), lambda it: it.row.project == "main"),
    "tag": ("red", lambda it: it.job is not None and "red" in it.job.tags),
    "batch": ("b1", lambda it: it.batch == "b1"),
    "since": (later(20), lambda it: it.row.created_at >= later(20)),
}
PAIRS = (1, 2, 4)
"""How many filters are combined."""


@dataclass(frozen=True, slots=True)
class Told:
    row: DeliveryRow
    job: JobRow | None

    @property
    def batch(self) -> str | None:
        if self.row.event == Event.BATCH_FINISHED:
            return self.row.key.split("/")[2]
        return None if self.job is None else self.job.batch


def chosen(fits: dict[str, Any]) -> list[tuple[str, ...]]:
    """Yield each filter alone, none, and a sample of combinations."""
    rng = random.Random(5)
    return [
        (),
        *((name,) for name in fits),
        *(tuple(rng.sample(sorted(fits), rng.choice(PAIRS))) for _ in range(9)),
    ]


def test_what_needs_a_person_is_found_by_indexes(store: Store) -> None:
    since, channels = NOW - timedelta(days=1), [ChannelName("a"), ChannelName("b")]

    def read(tx: Any) -> Found:
        found: Found = tx.needs.read(now=NOW, since=since, channels=channels, links_within=86400.0)
        return found

    assert walks(store, read) == []
    assert store.read(read).failed, "the plans are those of rows that exist"


@pytest.mark.parametrize("number", [lists.FEW, -1], ids=["gathered", "walked"])
@pytest.mark.parametrize("sort", JobSort)
def test_jobs_are_those_that_fit_in_the_order_that_was_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, sort: JobSort, number: int
) -> None:
    every = store.read(lambda tx: tx.jobs.list())
    assert len(every) == JOBS
    with few(monkeypatch, number):
        for names in chosen(JOB_FITS):
            fit = {name: JOB_FITS[name][0] for name in names}
            wanted = [row.id for row in every if all(JOB_FITS[name][1](row) for name in names)]
            order = JobSort.CHANGED if "since" in names else sort
            rows = sorted((row for row in every if row.id in wanted), key=JOB_KEYS[order])
            got = paged(store, lambda tx, after, fit=fit: tx.jobs.page(limit=13, after=after, sort=sort, **fit))
            assert got == [row.id for row in rows], names
            assert store.read(lambda tx, fit=fit: tx.jobs.count(most=99, **fit)) == (len(rows), True), names
            assert store.read(lambda tx, fit=fit: tx.jobs.count(most=3, **fit)).rows == min(3, len(rows)), names


@pytest.mark.parametrize("number", [lists.FEW, -1], ids=["gathered", "walked"])
@pytest.mark.parametrize("sort", DeliverySort)
def test_deliveries_are_those_that_fit_in_the_order_that_was_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, sort: DeliverySort, number: int
) -> None:
    jobs = {row.id: row for row in store.read(lambda tx: tx.jobs.list())}
    rows = store.read(lambda tx: tx.outbox.list())
    every = [Told(row, None if row.job is None else jobs[row.job]) for row in rows]
    assert len(every) == DELIVERIES
    with few(monkeypatch, number):
        for names in chosen(DELIVERY_FITS):
            fit = {name: DELIVERY_FITS[name][0] for name in names}
            fits = [it.row for it in every if all(DELIVERY_FITS[name][1](it) for name in names)]
            got = paged(store, lambda tx, after, fit=fit: tx.outbox.page(limit=13, after=after, sort=sort, **fit))
            by_time = not set(names) <= {"batch", "tag"}
            fits.sort(key=lambda row, by_time=by_time: (row.created_at, row.id) if by_time else row.id)  # type: ignore[misc]
            assert got == [row.id for row in fits[:: 1 if sort is DeliverySort.OLDEST else -1]], names
            assert store.read(lambda tx, fit=fit: tx.outbox.count(most=99, **fit)) == (len(fits), True), names


def test_deliveries_of_one_job_are_found(store: Store) -> None:
    rows = store.read(lambda tx: tx.outbox.list())
    job = next(row.job for row in rows if row.job is not None)
    fits = {row.id for row in rows if row.job == job}
    assert {row.id for row in store.read(lambda tx: tx.outbox.list(job=job))} == fits
    assert {row.id for row in store.read(lambda tx: tx.outbox.list(jobs=[job, 10**6]))} == fits
    assert store.read(lambda tx: tx.outbox.list(jobs=[])) == []


def paged(store: Store, read: Callable[[Any, paging.Place | None], lists.Page[Any]]) -> list[int]:
    """Return the row ids of all pages, each read in its own transaction."""
    found: list[int] = []
    after = None
    while True:
        page = store.read(lambda tx, after=after: read(tx, after))
        found += [row.id for row in page.rows]
        after = page.after
        if after is None:
            return found


def test_combinations_beyond_what_one_statement_takes_are_merged_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [row.id for row in store.read(lambda tx: tx.jobs.page(limit=99, sort=JobSort.CHANGED).rows)]
    monkeypatch.setattr(paging, "ARMS", 2)
    assert paged(store, lambda tx, after: tx.jobs.page(limit=9, after=after, sort=JobSort.CHANGED)) == wanted


# Plans


def walks(store: Store, read: Callable[[Any], object]) -> list[str]:
    """Return those steps of SQLite's plans for the statements of `read` that scan a table, or that sort more rows
    than were counted first."""
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        steps = [row[3] for row in rows]
        counted = any("LIST SUBQUERY" in step for step in steps)
        found.extend(
            step
            for step in steps
            if step.startswith(("SCAN jobs", "SCAN deliveries", "SCAN job_tags"))
            or (step.startswith("USE TEMP B-TREE") and not counted)
        )

    event.listen(store._reading, "before_cursor_execute", explain)
    try:
        store.read(read)
    finally:
        event.remove(store._reading, "before_cursor_execute", explain)
    return found


@pytest.mark.parametrize("number", [lists.FEW, -1], ids=["gathered", "walked"])
@pytest.mark.parametrize("sort", JobSort)
@pytest.mark.parametrize("name", [None, *JOB_FITS])
def test_no_list_of_jobs_walks_or_sorts_the_table(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str | None, sort: JobSort, number: int
) -> None:
    fit = {} if name is None else {name: JOB_FITS[name][0]}
    by_id = sort is not JobSort.CHANGED and name is None
    after = paging.Place(0, stamp(NOW) if sort is JobSort.CHANGED or name == "since" else None, 60)
    with few(monkeypatch, number):
        assert walks(store, lambda tx: tx.jobs.page(limit=50, sort=sort, **fit)) == ["SCAN jobs"] * by_id
        assert walks(store, lambda tx: tx.jobs.page(limit=50, sort=sort, after=after, **fit)) == []
        counted = walks(store, lambda tx: tx.jobs.count(most=50, **fit))
    assert counted == [] or (name is None and len(counted) == 1)


@pytest.mark.parametrize("number", [lists.FEW, -1], ids=["gathered", "walked"])
@pytest.mark.parametrize("sort", DeliverySort)
@pytest.mark.parametrize("name", [None, "job", *DELIVERY_FITS])
def test_no_list_of_deliveries_walks_or_sorts_the_table(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str | None, sort: DeliverySort, number: int
) -> None:
    fit = {} if name is None else {name: 3 if name == "job" else DELIVERY_FITS[name][0]}
    by_id = name is None or (name in ("batch", "tag") and number < 0)
    after = paging.Place(0, None if by_id or name in ("job", "batch", "tag") else stamp(NOW), 60)
    with few(monkeypatch, number):
        assert walks(store, lambda tx: tx.outbox.page(limit=50, sort=sort, **fit)) == ["SCAN deliveries"] * by_id
        assert walks(store, lambda tx: tx.outbox.page(limit=50, sort=sort, after=after, **fit)) == []
        counted = walks(store, lambda tx: tx.outbox.count(most=50, **fit))
    assert len(counted) == by_id


# Search


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("job-1", [1]),
        ("JOB", [5, 4, 3, 2, 1]),
        ("春节", [2]),
        ("GRÖSSE", [3]),
        ("größe", [3]),
        ("\uff4a\uff4f\uff42-4", [4]),
        ('say "hi"', [4]),
        ("week 12", [5]),
        ("100%", [1]),
        ("_", []),
        ("nowhere", []),
        ("spring clip", [1]),
        ("job-1\nspring", [1]),
    ],
)
def test_a_search_finds_parts_of_what_people_named(tmp_path: Path, text: str, numbers: list[int]) -> None:
    store = open_store(tmp_path)
    given: list[dict[str, Any]] = [
        {"label": "Spring clip 100%"},
        {"label": "新春节目"},
        {"label": "Größe"},
        {"tags": ('say "hi"',)},
        {"batch": "Week 12"},
    ]
    for number, each in enumerate(given, 1):
        store.write_now(lambda tx, number=number, each=each: track(tx, f"job-{number}", **each))
    rows = store.read(lambda tx: tx.jobs.page(limit=9, search=text)).rows
    store.close()
    assert [row.id for row in rows] == numbers


@pytest.mark.parametrize(("limit", "window"), [(3, 2), (1, 50), (100, 8)])
def test_a_search_goes_through_the_whole_list_piece_by_piece(
    store: Store, monkeypatch: pytest.MonkeyPatch, limit: int, window: int
) -> None:
    monkeypatch.setattr(lists, "EXAMINED", window)
    wanted = [n for n in range(JOBS, 0, -1) if "7" in f"job-{n}"]
    assert paged(store, lambda tx, after: tx.jobs.page(limit=limit, after=after, search="7")) == wanted
    page = store.read(lambda tx: tx.jobs.page(limit=limit, search="no such"))
    assert (page.rows, page.searched) == ([], min(JOBS, max(limit, window)))


def test_a_search_of_deliveries_looks_at_their_jobs_and_at_why(store: Store) -> None:
    found = store.read(lambda tx: tx.outbox.page(limit=DELIVERIES, search="GRÖSSE 7")).rows
    every = store.read(lambda tx: tx.outbox.list())
    fits = {n for n in range(JOBS) if f"Größe {n}".startswith("Größe 7")}
    assert found
    assert {row.id for row in found} == {row.id for row in every if row.job in fits}


# The tags' own table


def tags_twice(store: Store) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return the tags by the jobs' column and by their own table."""
    with closing(sqlite3.connect(store.path)) as database:
        said = [(row.id, tag) for row in store.read(lambda tx: tx.jobs.list()) for tag in dict.fromkeys(row.tags)]
        return sorted(said), sorted(database.execute("SELECT job, tag FROM job_tags").fetchall())


def test_the_table_of_tags_says_what_the_jobs_say(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for job, tags in (
        ("a", ("x", "y")),
        ("b", ()),
        ("a", ("y", "é")),
        ("a", ()),
        ("b", ("x",)),
        ("c", ("x", "x")),
    ):
        store.write_now(lambda tx, job=job, tags=tags: track(tx, job, tags=tags))
        said, kept = tags_twice(store)
        assert said == kept
    requests = [request(f"many-{n % 600}", tags=("x", f"t{n}")) for n in range(1200)]
    store.write_now(lambda tx: tx.jobs.track_many(requests, at=NOW))
    said, kept = tags_twice(store)
    assert said == kept
    assert len(kept) == 2 + 1 + 1 + 1200
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM jobs WHERE job_id LIKE 'many-%'")
    assert len(tags_twice(store)[1]) == 4
    store.close()
