"""Labels and tags of known jobs, and stopping many at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.events import Event
from daemon.domain.jobs import JobId, Tracking
from daemon.domain.routing import Route, routing
from daemon.store import Labelled, Store
from tests.support.store import NOW, PROJECT, SILENT, A, B, later, open_store, record, request, track

VIP = routing(
    [Route(events=frozenset({Event.SUCCEEDED}), channels=(B,), tags=("vip",), labels=("Film*",))],
    operators=None,
    channels=[A, B],
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def test_what_is_said_of_jobs_is_read_in_the_order_asked_for(store: Store) -> None:
    first, second = store.write_now(lambda tx: [track(tx, "one", label="L"), track(tx, "two", tags=("x", "y"))])
    assert store.read(lambda tx: tx.labels.of([second, 99, first, second])) == [
        Labelled(second, PROJECT, JobId("two"), Tracking.ACTIVE, None, ("x", "y")),
        Labelled(first, PROJECT, JobId("one"), Tracking.ACTIVE, "L", ()),
    ]


def test_new_words_replace_the_old_ones_of_just_these_jobs(store: Store) -> None:
    first, second = store.write_now(
        lambda tx: [track(tx, name, label="L", tags=("x",)) for name in ("one", "two")]
    )
    store.write_now(
        lambda tx: (tx.labels.set_label([first], None), tx.labels.set_tags([second], ("春", '"'), at=NOW))
    )
    found = store.read(lambda tx: tx.labels.of([first, second]))
    assert [(each.label, each.tags) for each in found] == [(None, ("x",)), ("L", ("春", '"'))]


def test_the_next_alert_is_routed_by_what_is_said_now(store: Store) -> None:
    before, after = store.write_now(lambda tx: [track(tx, "one"), track(tx, "two")])
    store.write_now(lambda tx: record(tx, before, "SUCCEED", routes=VIP))
    store.write_now(
        lambda tx: (tx.labels.set_tags([after], ("vip",), at=NOW), tx.labels.set_label([after], "Film 9"))
    )
    store.write_now(lambda tx: record(tx, after, "SUCCEED", routes=VIP))
    assert [row.job for row in store.read(lambda tx: tx.outbox.list())] == [after]


def test_many_jobs_are_stopped_with_a_few_statements_and_each_batch_is_told_once(store: Store) -> None:
    wanted = [request(f"job-{number}", batch=f"b{number % 2}") for number in range(1200)]
    store.write_now(lambda tx: tx.jobs.track_many(wanted, at=NOW))
    jobs = store.read(lambda tx: tx.jobs.ids())
    store.write_now(lambda tx: record(tx, jobs[0], "SUCCEED", routes=SILENT))
    ended = routing([Route(events=frozenset({Event.BATCH_FINISHED}), channels=(A,))], operators=None, channels=[A])
    assert store.write_now(lambda tx: tx.jobs.stop(jobs, at=later(1), routing=ended)) == set(jobs[1:])
    assert store.read(lambda tx: tx.jobs.counts()) == {
        (PROJECT, Tracking.FINISHED): 1,
        (PROJECT, Tracking.STOPPED): 1199,
    }
    assert len(store.write_now(lambda tx: tx.jobs.take_changes(limit=5000))) == 1200
    # People stopped all of b1, so its end is not announced.
    assert [row.facts["batch"] for row in store.read(lambda tx: tx.outbox.list())] == ["b0"]


def test_ids_are_those_of_the_jobs_that_fit_the_first_tracked_first(store: Store) -> None:
    first, _, third = store.write_now(
        lambda tx: [track(tx, name, batch=batch) for name, batch in (("c", "b"), ("b", "x"), ("a", "b"))]
    )
    assert store.read(lambda tx: tx.jobs.ids(batch="b", tracking=Tracking.ACTIVE)) == [first, third]
    store.write_now(lambda tx: tx.jobs.stop([first], at=NOW))
    assert store.read(lambda tx: tx.jobs.ids(batch="b", tracking=Tracking.ACTIVE)) == [third]
