"""The numbers beside a list: those of a count of every row, or fewer and said to be."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import ProjectName, Tracking
from daemon.store import Store, tallies
from tests.support.many import make
from tests.support.store import NOW, track, url_of
from tests.unit.test_store_lists import walks

ROWS = 600


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = make(tmp_path_factory.mktemp("many") / "wrapd.db", ROWS, now=NOW, tracked=0.3)
    store = Store.open(url_of(path), clock=ManualClock(NOW))
    yield store
    store.close()


FITS = [
    dict(zip(("project", "batch", "tag"), values, strict=True))
    for values in itertools.product(
        (None, ProjectName("main"), ProjectName("nobody")),
        (None, "giant", "batch-1", "nobody"),
        (None, "spring", "rare"),
    )
]


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_they_are_those_of_a_count(store: Store, fit: dict[str, str | None]) -> None:
    rows = store.read(lambda tx: tx.jobs.list(**fit))
    wanted = Counter((str(row.tracking), row.state or "") for row in rows)
    found = store.read(lambda tx: tx.jobs.tallies(**fit))
    assert found.whole
    assert {key: number for key, number in found.counts.items() if number} == wanted
    assert found.of(Tracking.ACTIVE) == sum(row.tracking is Tracking.ACTIVE for row in rows)
    assert found.of(Tracking.ACTIVE, "PROCESSING") == wanted["active", "PROCESSING"]


def test_of_many_only_the_first_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_TALLIED", 100)
    path = make(tmp_path / "wrapd.db", 1200, now=NOW, tracked=0.9)
    store = Store.open(url_of(path), clock=ManualClock(NOW))
    fits: list[dict[str, str]] = [{"tag": "spring"}, {"tag": "web", "project": "main"}]
    for fit in fits:
        found = store.read(lambda tx, fit=fit: tx.jobs.tallies(**fit))
        whole = store.read(lambda tx, fit=fit: tx.jobs.list(**fit))
        assert not found.whole, fit
        assert 0 < found.of(Tracking.ACTIVE) <= tallies.MOST_TALLIED < len(whole), fit
    store.close()


def test_a_tag_of_jobs_without_a_batch(tmp_path: Path) -> None:
    store = Store.open(url_of(tmp_path / "wrapd.db"), clock=ManualClock(NOW))
    store.write_now(lambda tx: track(tx, "job-1", tags=("red",)))
    assert not any(store.read(lambda tx: tx.jobs.tallies(batch="b", tag="red")).counts.values())
    assert store.read(lambda tx: tx.jobs.tallies(tag="red")).counts == {("active", ""): 1}
    store.close()


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_they_are_found_by_indexes(store: Store, fit: dict[str, str | None]) -> None:
    """They are grouped by the database, but never scanned."""
    steps = walks(store, lambda tx: tx.jobs.tallies(**fit))
    assert [step for step in steps if not step.startswith("USE TEMP B-TREE FOR GROUP BY")] == []
