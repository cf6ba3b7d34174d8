"""The list of batches, newest first, with how many of their jobs have ended."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.dialects import sqlite

from daemon import views
from daemon.domain.events import Event
from daemon.domain.jobs import ProjectName
from daemon.domain.production import Unended, elapsed_of
from daemon.store import BatchRow, Store, batches
from daemon.store.batch_list import _B, _batches
from tests.support.store import BOTH, NOW, PROJECT, SILENT, open_store, record, track

OTHER = ProjectName("other")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def listed(store: Store, **fit: object) -> list[BatchRow]:
    return store.read(lambda tx: tx.batches.page(limit=99, **fit)).rows  # type: ignore[arg-type]


def test_a_batch_stands_where_its_newest_job_does_and_counts_each_way_of_ending(store: Store) -> None:
    ways = ("SUCCEED", "PARTIAL_SUCCEED", "FAILED", "CANCELED", "lost", "expired", "stopped", None)

    def work(tx: object) -> None:
        for way in ways:
            job = track(tx, f"old-{way}", batch="old")  # type: ignore[arg-type]
            if way in ("lost", "expired"):
                tx.jobs.record_end(job, Event(way), at=NOW, routing=BOTH, reason="x")  # type: ignore[attr-defined]
            elif way == "stopped":
                tx.jobs.stop([job], at=NOW)  # type: ignore[attr-defined]
            elif way is not None:
                record(tx, job, way, routes=SILENT)  # type: ignore[arg-type]
        track(tx, "new-1", batch="new")  # type: ignore[arg-type]
        track(tx, "none")  # type: ignore[arg-type]
        track(tx, "old-last", batch="old")  # type: ignore[arg-type]

    store.write_now(work)
    old, new = listed(store)
    assert (old.batch, old.jobs, old.ended, old.id) == ("old", 9, 7, 11)
    assert old.ends == dict.fromkeys(views.WAYS, 1)
    assert (new.batch, new.jobs, new.ended, new.ends) == ("new", 1, 0, {})


def test_two_projects_may_have_a_batch_of_the_same_name(store: Store) -> None:
    def work(tx: object) -> None:
        for number, project in enumerate((PROJECT, OTHER, OTHER)):
            track(tx, f"job-{number}", project=project, batch="b")  # type: ignore[arg-type]

    store.write_now(work)
    assert [(row.project, row.jobs) for row in listed(store)] == [(OTHER, 2), (PROJECT, 1)]
    [own] = listed(store, project=PROJECT)
    assert (own.project, own.jobs) == (PROJECT, 1)
    assert store.read(lambda tx: (tx.batches.get(PROJECT, "b"), tx.batches.get(PROJECT, "c"))) == (own, None)
    unended = store.read(lambda tx: tx.batches.unended([(OTHER, "b"), (PROJECT, "none")], now=NOW))
    assert unended == {(OTHER, "b"): [Unended((OTHER, "avatar"), None, None)] * 2, (PROJECT, "none"): []}


def test_jobs_that_are_not_tracked_or_frozen_have_no_end_to_wait_for(store: Store) -> None:
    def work(tx: object) -> None:
        for state in ("PROCESSING", "WAITING", "BLOCK", "SUCCEED", None):
            job = track(tx, f"job-{state}", batch="b")  # type: ignore[arg-type]
            if state is not None:
                record(tx, job, state, routes=SILENT)  # type: ignore[arg-type]

    store.write_now(work)
    rows = store.read(lambda tx: tx.jobs.list())
    later = NOW + timedelta(seconds=90)
    found = store.read(lambda tx: tx.batches.unfrozen([row.id for row in rows], now=later))
    waiting = [row for row in rows if row.state in ("PROCESSING", "WAITING", None)]
    expected = [Unended((row.project, row.kind), row.expected_length, elapsed_of(row, later)) for row in waiting]
    assert sorted(map(str, found)) == sorted(map(str, expected))
    assert any(each.elapsed for each in found)


def test_pages_give_each_batch_once(store: Store) -> None:
    def work(tx: object) -> None:
        for number in range(60):
            track(tx, f"job-{number}", batch=f"b{number * 7 % 20}")  # type: ignore[arg-type]

    store.write_now(work)
    found: list[BatchRow] = []
    page = store.read(lambda tx: tx.batches.page(limit=3))
    while page.after is not None:
        found += page.rows
        page = store.read(lambda tx, after=page.after: tx.batches.page(limit=3, after=after))
    found += page.rows
    assert found == listed(store)
    assert len({row.batch for row in found}) == 20
    assert store.read(lambda tx: (tx.batches.count(most=7), tx.batches.count(most=99))) == ((7, False), (20, True))


def test_those_under_way_are_the_latest_that_have_a_tracked_job(store: Store) -> None:
    def work(tx: object) -> None:
        for number in range(12):
            track(tx, f"job-{number}", batch=f"b{number % 6}")  # type: ignore[arg-type]
        for number in (0, 6, 1, 5, 11):  # of b0 and b5 no job is left, of b1 one
            tx.jobs.stop([number + 1], at=NOW)  # type: ignore[attr-defined]

    store.write_now(work)
    found = store.read(lambda tx: tx.batches.under_way(limit=3, among=99))
    assert [row.batch for row in found] == ["b4", "b3", "b2"]
    assert found == [row for row in listed(store) if row.jobs > row.ended][:3]
    assert [row.batch for row in store.read(lambda tx: tx.batches.under_way(limit=9, among=3))] == ["b4", "b3"]
    assert [row.batch for row in store.read(lambda tx: tx.batches.under_way(limit=9, among=99))][-1] == "b1"


@pytest.mark.parametrize("project", [None, PROJECT])
def test_the_newest_are_found_by_steps_in_an_index_and_nothing_is_sorted(
    tmp_path: Path, store: Store, project: ProjectName | None
) -> None:
    query = _batches(project).where(_B.newest < 9).order_by(_B.newest.desc()).limit(50)
    text = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with closing(sqlite3.connect(tmp_path / "wrapd.db")) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}"))
    assert (
        "batches_newest (newest<?)" if project is None else "batches_by_project (project=? AND newest<?)"
    ) in plan
    assert "TEMP B-TREE" not in plan


def test_the_ways_are_those_of_the_alert() -> None:
    assert views.WAYS == batches._COUNTED
