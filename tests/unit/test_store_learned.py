"""What is learned from: the latest ended jobs of each kind, the oldest job, expected lengths; always by an
index."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.domain.jobs import JobId, Observation, ProjectName
from daemon.store import FinishedRow, Store, StoreRefused, Transaction
from tests.support.store import NOW, PROJECT, SILENT, later, move, open_store, record, track


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def end(tx: Transaction, job_id: str, *, at: float = 0.0, state: str = "SUCCEED", **more: object) -> int:
    job = track(tx, job_id, **more)
    record(tx, job, state, at=later(at), routes=SILENT)
    return job


def test_the_last_ends_come_by_project_and_kind_the_newest_first(store: Store) -> None:
    def work(tx):
        for number in range(6):
            # Tracked in a different order from that of their ends.
            end(tx, f"job-{number}", at=(number * 5) % 6, state="FAILED" if number == 1 else "SUCCEED")
        end(tx, "photo-1", kind="photo", state="CANCELED")
        end(tx, "other-1", project="other", state="PARTIAL_SUCCEED")
        end(tx, "other-2", project="other", kind="zoo", at=7)
        track(tx, "alive")
        return tx.jobs.finished(limit=4), tx.jobs.finished(PROJECT), tx.jobs.finished(ProjectName("none"))

    some, mine, none = store.write_now(work)
    assert {key: [(row.state, row.state_since) for row in rows] for key, rows in some.items()} == {
        ("main", "avatar"): [("FAILED", later(5)), *(("SUCCEED", later(at)) for at in (4, 3, 2))],
        ("main", "photo"): [("CANCELED", NOW)],
        ("other", "avatar"): [("PARTIAL_SUCCEED", NOW)],
        ("other", "zoo"): [("SUCCEED", later(7))],
    }
    assert {key: len(rows) for key, rows in mine.items()} == {("main", "avatar"): 6, ("main", "photo"): 1}
    assert none == {}
    assert list(some) == sorted(some)


def test_ends_at_one_moment_come_the_latest_tracked_first(store: Store) -> None:
    store.write_now(lambda tx: [end(tx, f"job-{n}", state="FAILED" if n == 2 else "SUCCEED") for n in range(3)])
    rows = store.read(lambda tx: tx.jobs.finished(limit=1))["main", "avatar"]
    assert [row.state for row in rows] == ["FAILED"]


def test_a_finished_row_has_all_that_is_known(store: Store) -> None:
    seen = Observation(
        state="SUCCEED",
        created_at=later(-9),
        started_at=later(-8),
        ended_at=later(-2),
        reported_at=later(-1),
    )

    def work(tx):
        job = track(tx)
        tx.jobs.set_expected_length(job, 61.5)
        tx.jobs.record_move(job, move(None, seen), seen, routing=SILENT, due_at=NOW)
        return tx.jobs.finished()

    assert store.write_now(work) == {
        ("main", "avatar"): [
            FinishedRow(
                project=PROJECT,
                kind="avatar",
                state="SUCCEED",
                created_at=later(-9),
                started_at=later(-8),
                ended_at=later(-2),
                reported_at=later(-1),
                state_since=NOW,
                expected_length=61.5,
                blocked=False,
            )
        ]
    }


@pytest.mark.parametrize(
    ("states", "blocked"),
    [
        (["WAITING", "PROCESSING", "SUCCEED"], False),
        (["BLOCK", "SUCCEED"], True),
        (["PROCESSING", "BLOCK", "PROCESSING", "FAILED"], True),
        (["BLOCKED?", "SUCCEED"], False),
    ],
)
def test_a_job_that_was_frozen_at_any_time_is_marked(store: Store, states: list[str], blocked: bool) -> None:
    def work(tx):
        end(tx, "other", at=9)
        job = track(tx)
        for state in states:
            record(tx, job, state, routes=SILENT)
        return tx.jobs.finished()["main", "avatar"]

    assert [row.blocked for row in store.write_now(work)] == [False, blocked]


def test_the_oldest_active_job_is_told(store: Store) -> None:
    def seen(tx, job_id, created, state="PROCESSING", project=PROJECT):
        job = track(tx, job_id, project=project)
        known = Observation(state=state, created_at=None if created is None else later(created))
        tx.jobs.record_move(job, move(None, known), known, routing=SILENT, due_at=NOW)
        return job

    def oldest(project=PROJECT):
        return store.read(lambda tx: tx.jobs.oldest_created(project))

    assert oldest() is None
    store.write_now(lambda tx: (track(tx, "not asked yet"), seen(tx, "without", None)))
    assert oldest() is None
    store.write_now(lambda tx: [seen(tx, f"job-{n}", -n) for n in range(5)])
    store.write_now(lambda tx: (seen(tx, "ended", -90, "SUCCEED"), seen(tx, "other", -50, project="other")))
    assert oldest() == later(-4)
    assert oldest(ProjectName("other")) == later(-50)
    store.write_now(lambda tx: tx.jobs.untrack(None, JobId("job-4"), at=NOW))
    store.write_now(lambda tx: record(tx, tx.jobs.find(JobId("job-3"))[0].id, "FAILED"))
    assert oldest() == later(-2)


def test_expected_lengths_are_kept_one_by_one_or_many_at_once(store: Store) -> None:
    jobs = store.write_now(lambda tx: [track(tx, f"job-{n}") for n in range(4)])

    def work(tx):
        tx.jobs.set_expected_length(jobs[0], 12.25)
        tx.jobs.set_expected_lengths({jobs[1]: 0.0, jobs[2]: 3600.5, 9999: 1.0})
        tx.jobs.set_expected_lengths({})
        record(tx, jobs[0], "PROCESSING")
        return tx.jobs.take_changes(), [tx.jobs.get(job).expected_length for job in jobs]

    active, lengths = store.write_now(work)
    assert lengths == [12.25, 0.0, 3600.5, None]
    assert [row.expected_length for row in active] == lengths
    with pytest.raises(StoreRefused, match="expected_length_counts"):
        store.write_now(lambda tx: tx.jobs.set_expected_length(jobs[0], -1.0))


def steps(store: Store, work: Callable[[Transaction], object]) -> int:
    """Return how many steps SQLite's virtual machine takes to run `work`: unlike time, the same on every
    computer."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    def counted(tx):
        work(tx)  # warms up what a connection does once
        driver = tx.jobs._connection.connection.dbapi_connection
        driver.set_progress_handler(step, 1)
        work(tx)
        driver.set_progress_handler(None, 1)

    store.read(counted)
    return taken


def test_reading_does_not_grow_with_the_table(store: Store) -> None:
    """A query plan may look fine and still scan the entire index."""

    def grow(tx, begin, finish):
        for number in range(begin, finish):
            end(tx, f"job-{number}", at=number, kind="photo" if number % 2 else "avatar")
            job = track(tx, f"alive-{number}")
            seen = Observation(state="BLOCK", created_at=later(-number))
            tx.jobs.record_move(job, move(None, seen), seen, routing=SILENT, due_at=NOW)

    def learn(tx):
        assert {len(rows) for rows in tx.jobs.finished(limit=20).values()} == {20}
        assert len(tx.jobs.finished(PROJECT, limit=20)) == 2

    store.write_now(lambda tx: grow(tx, 0, 100))
    few = steps(store, learn), steps(store, lambda tx: tx.jobs.oldest_created(PROJECT))
    store.write_now(lambda tx: grow(tx, 100, 400))
    many = steps(store, learn), steps(store, lambda tx: tx.jobs.oldest_created(PROJECT))
    assert many == few
    assert few[0] < 20 * 4 * 50
    assert few[1] < 40
