"""What the daemon last reported of a project's watch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.jobs import ProjectName
from daemon.store import Status, Store, StoreRefused
from tests.support.store import NOW, PROJECT, later, open_store

OTHER = ProjectName("other")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def test_the_last_word_on_each_project_is_kept(store: Store) -> None:
    assert store.read(lambda tx: tx.statuses.all()) == {}
    store.write_now(lambda tx: tx.statuses.set(PROJECT, {"feed": "trusted", "batch": 100}, NOW))
    store.write_now(lambda tx: tx.statuses.set(OTHER, {"feed": None}, NOW))
    store.write_now(lambda tx: tx.statuses.set(PROJECT, {"rate": 9.5, "why": ["429", {"at": "é"}]}, later(5)))
    assert store.read(lambda tx: tx.statuses.all()) == {
        PROJECT: Status(facts={"rate": 9.5, "why": ["429", {"at": "é"}]}, at=later(5)),
        OTHER: Status(facts={"feed": None}, at=NOW),
    }


def test_what_json_cannot_say_is_refused_and_the_last_word_stays(store: Store) -> None:
    store.write_now(lambda tx: tx.statuses.set(PROJECT, {"rate": 1.0}, NOW))
    with pytest.raises(StoreRefused, match="cannot be stored"):
        store.write_now(lambda tx: tx.statuses.set(PROJECT, {"rate": float("nan")}, later(1)))
    assert store.read(lambda tx: tx.statuses.all()) == {PROJECT: Status(facts={"rate": 1.0}, at=NOW)}
