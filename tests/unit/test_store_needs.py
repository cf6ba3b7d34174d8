"""What needs a person is read within bounds, whatever the number of projects."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import ChannelName, Tracking
from daemon.domain.production import Unended, elapsed_of
from daemon.store import DeliveryStatus, Found, Store, needs
from tests.support.many import make
from tests.support.store import NOW, url_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = make(tmp_path_factory.mktemp("many") / "wrapd.db", 2000, now=NOW, tracked=0.03)
    store = Store.open(url_of(path), clock=ManualClock(NOW))
    yield store
    store.close()


def read(store: Store) -> Found:
    return store.read(
        lambda tx: tx.needs.read(now=NOW, since=NOW - timedelta(days=90), channels=[], links_within=86400.0)
    )


@pytest.mark.parametrize("most", [1, 7, 20, 2000])
def test_the_first_ones_of_all_projects_are_read(store: Store, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(needs, "MOST", most)
    monkeypatch.setattr(needs, "MOST_RUNNING", most)
    found = read(store)
    rows = store.read(lambda tx: tx.jobs.list())
    running = sorted(row.id for row in rows if (row.tracking, row.state) == ("active", "PROCESSING"))
    assert list(found.running) == running[:most]
    assert len({row.project for row in rows if row.id in running}) == 2, "of two projects"
    frozen = sorted(row.id for row in rows if row.state == "BLOCK")
    assert [row.id for row in found.frozen] == frozen[:most]
    for tracking in (Tracking.LOST, Tracking.EXPIRED):
        gone = sorted((row.id for row in rows if row.tracking is tracking), reverse=True)
        assert [row.id for row in getattr(found, tracking.value)] == gone[:most]
    assert found.whole == (most == 2000)
    assert found.tracked == sum(row.tracking is Tracking.ACTIVE for row in rows)


def test_rows_are_those_of_the_jobs(store: Store) -> None:
    found = read(store)
    jobs = {row.id: row for row in store.read(lambda tx: tx.jobs.list())}
    assert found.running
    for row_id, job in found.running.items():
        row = jobs[row_id]
        assert job == Unended((row.project, row.kind), row.expected_length, elapsed_of(row, NOW))
    every = [*found.failed, *found.frozen, *found.lost, *found.expired, *found.links]
    assert found.failed
    assert found.links
    for each in every:
        job = jobs[each.id]
        assert each.asset_name == job.asset.asset_name
        for name in (
            *("project", "job_id", "label", "tags", "batch", "state", "state_since", "tracked_at", "error_code"),
            *("error_msg", "last_polled_at", "link_until", "note"),
        ):
            assert getattr(each, name) == getattr(job, name), name


def test_given_up_alerts_are_counted_whole(store: Store) -> None:
    found = {each.channel: each for each in read(store).dead}
    dead = store.read(lambda tx: tx.deliveries.list(status=DeliveryStatus.DEAD))
    assert found.keys() == {row.channel for row in dead}
    for channel, each in found.items():
        rows = [row for row in dead if row.channel == channel]
        assert (each.count, each.since) == (len(rows), min(row.created_at for row in rows))
        assert each.reason == max(rows, key=lambda row: row.created_at).last_error
    assert ChannelName("nobody") not in found
