"""Values come out of the database as they went in: any time, any text, any tags."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import JobId
from daemon.store import Store
from daemon.store.rows import from_stamp, to_stamp
from tests.support.store import NOW, A, open_store, request

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLY, LATE = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - the zone is drawn
# What UTF-8 can express, which is all that a JSON answer can contain.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        yield store
        store.close()


@given(st.datetimes(EARLY, LATE, timezones=ZONES))
def test_a_time_is_kept_to_the_microsecond_in_utc(moment: datetime) -> None:
    kept = from_stamp(to_stamp(moment))
    assert kept == moment
    assert kept.tzinfo is UTC


@given(st.integers(-(2**33), 2**33), st.integers(0, 999_999))
def test_a_time_is_read_to_the_microsecond_around_today(seconds: int, micros: int) -> None:
    """The limits of the fast way of reading: 1970 and 2106."""
    assert from_stamp(seconds * 1_000_000 + micros) == EPOCH + timedelta(seconds=seconds, microseconds=micros)


@pytest.mark.parametrize("stamp", [-1, 0, 1, 2**32 * 1_000_000 - 1, 2**32 * 1_000_000])
def test_a_time_at_the_edge_is_read_to_the_microsecond(stamp: int) -> None:
    assert from_stamp(stamp) == EPOCH + timedelta(microseconds=stamp)


@given(one=st.datetimes(EARLY, LATE, timezones=ZONES), other=st.datetimes(EARLY, LATE, timezones=ZONES))
def test_stored_times_are_in_the_order_of_time(one: datetime, other: datetime) -> None:
    assert (to_stamp(one) < to_stamp(other)) == (one < other)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(tags=st.lists(TEXTS, min_size=1, max_size=4, unique=True), other=TEXTS)
def test_a_job_is_found_by_its_tags_and_by_no_other_text(store: Store, tags: list[str], other: str) -> None:
    store.write_now(lambda tx: tx.jobs.track(request("job-1", tags=tuple(tags)), at=NOW))
    (job,) = store.read(lambda tx: tx.jobs.find(JobId("job-1")))
    assert job.tags == tuple(tags)
    for tag in (*tags, other, tags[0][:-1], tags[0].upper()):
        found = store.read(lambda tx, tag=tag: tx.jobs.list(tag=tag))
        assert bool(found) == (tag in tags), tag


@settings(max_examples=60)
@given(facts=st.dictionaries(TEXTS, JSON, max_size=4), key=TEXTS.filter(bool))
def test_facts_come_out_as_they_went_in(store: Store, facts: dict[str, object], key: str) -> None:
    alert = OperatorAlert(event=Event.OVERLOADED, key=key, facts=facts)

    def work(tx):
        tx.outbox.retry(ids=None, at=NOW)
        tx.jobs._connection.exec_driver_sql("DELETE FROM deliveries")
        assert tx.outbox.add_operator(alert, channels=[A], at=NOW) == 1
        return tx.outbox.list()

    (row,) = store.write_now(work)
    assert (row.facts, row.key) == (facts, key)
