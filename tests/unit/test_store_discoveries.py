"""Discoveries: a command requests one, the daemon carries it out once, and it is deleted after a week."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain.jobs import ProjectName
from daemon.store import DiscoveryRow, Store
from daemon.store.discoveries import KEPT
from tests.support.store import NOW, PROJECT, later, open_store

OTHER = ProjectName("other")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def ask(store: Store, project: ProjectName = PROJECT, *, at: float = 0.0, **filters: object) -> int:
    return store.write_now(lambda tx: tx.discoveries.ask(project, filters, later(at)))


def waiting(store: Store, project: ProjectName | None = None) -> list[int]:
    return [row.id for row in store.read(lambda tx: tx.discoveries.waiting(project))]


def test_a_wish_waits_until_it_is_done(store: Store) -> None:
    one = ask(store, since="24h", kinds=["avatar"])
    wish = DiscoveryRow(
        id=one,
        project=PROJECT,
        filters={"since": "24h", "kinds": ["avatar"]},
        asked_at=NOW,
        ended_at=None,
        found=None,
        added=None,
        error=None,
        result=None,
    )
    assert store.read(lambda tx: (tx.discoveries.waiting(), tx.discoveries.get(one))) == ([wish], wish)
    result = {"jobs": [["job-1", "added"]]}

    def finish(tx):
        return tx.discoveries.finish(one, at=later(3), found=7, added=2, error="page 4: HTTP 500", result=result)

    assert store.write_now(finish) is True
    assert waiting(store) == []
    done = store.read(lambda tx: tx.discoveries.get(one))
    assert done is not None
    assert (done.ended_at, done.found, done.added, done.error, done.result) == (
        *(later(3), 7, 2),
        *("page 4: HTTP 500", result),
    )


def test_a_wish_is_done_once(store: Store) -> None:
    one = ask(store)
    assert store.write_now(lambda tx: tx.discoveries.finish(one, at=later(1), found=1, added=1)) is True
    assert store.write_now(lambda tx: tx.discoveries.finish(one, at=later(2), found=9, added=9)) is False
    assert store.write_now(lambda tx: tx.discoveries.finish(99, at=later(2), found=0, added=0)) is False
    done = store.read(lambda tx: tx.discoveries.get(one))
    assert done is not None
    assert (done.ended_at, done.found, done.added, done.error, done.result) == (later(1), 1, 1, None, None)


def test_wishes_wait_in_order_each_in_its_project(store: Store) -> None:
    one, two, three = ask(store), ask(store, OTHER), ask(store)
    assert waiting(store) == [one, two, three]
    assert waiting(store, PROJECT) == [one, three]
    assert waiting(store, ProjectName("none")) == []


def test_the_last_ones_that_are_done_can_be_read(store: Store) -> None:
    ids = [ask(store, number=number) for number in range(4)]
    other = ask(store, OTHER)

    def work(tx):
        for row in (*ids[:3], other):
            tx.discoveries.finish(row, at=NOW, found=0, added=0)
        return [row.id for row in tx.discoveries.done(PROJECT, limit=2)]

    assert store.write_now(work) == [ids[2], ids[1]]


def test_what_is_older_than_a_week_is_forgotten_and_its_id_not_given_again(store: Store) -> None:
    week = KEPT.total_seconds()
    assert timedelta(days=7) == KEPT
    old, kept = ask(store), ask(store, at=1)
    new = ask(store, at=week + 1)
    assert waiting(store) == [kept, new]
    assert store.read(lambda tx: tx.discoveries.get(old)) is None
    last = ask(store, at=3 * week)
    assert waiting(store) == [last]
    assert len({old, kept, new, last}) == 4
    newest = ask(store, at=9 * week)
    assert newest > last
