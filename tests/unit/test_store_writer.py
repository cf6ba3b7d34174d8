"""The writer thread: group commits, works isolated from each other, and a thread that survives failures."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from daemon.clock import ManualClock
from daemon.store import Store, StoreBusy, StoreFailed, StoreRefused, writer
from tests.support.store import NOW, open_store, record, request, track, url_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path, daemon=True)
    yield store
    store.close()


class Gate:
    """A work that keeps the writer busy until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _: object) -> None:
        self.entered.set()
        assert self.opened.wait(30)


async def busy(store: Store) -> tuple[Gate, "asyncio.Future[None]"]:
    gate = Gate()
    task = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.entered.wait, 30)
    return gate, task


def names(store: Store) -> set[str]:
    return {job.job_id for job in store.read(lambda tx: tx.jobs.list())}


async def test_what_waits_is_committed_together(store: Store) -> None:
    commits: list[object] = []
    event.listen(store._writing, "commit", commits.append)
    gate, task = await busy(store)
    waiting = [asyncio.ensure_future(store.write(lambda tx, n=n: track(tx, f"job-{n}"))) for n in range(300)]
    await asyncio.sleep(0)
    gate.opened.set()
    rows = await asyncio.gather(*waiting)
    await task
    assert sorted(rows) == list(range(1, 301))
    assert len(commits) == 3  # the gate, 256, 44
    assert len(names(store)) == 300


async def test_the_moves_of_one_answer_are_committed_together(store: Store) -> None:
    """A list reports a hundred jobs at once, and each is written separately."""
    jobs = await store.write(lambda tx: [track(tx, f"job-{n}") for n in range(100)])
    commits: list[object] = []
    event.listen(store._writing, "commit", commits.append)
    moves = [store.write(lambda tx, job=job: record(tx, job, "SUCCEED")) for job in jobs]
    recorded = await asyncio.gather(*moves)
    # The writer may start on the first ones before the rest is queued.
    assert 1 <= len(commits) <= 5
    assert [each.deliveries for each in recorded] == [2] * 100
    assert {job.tracking for job in store.read(lambda tx: tx.jobs.list())} == {"finished"}


async def test_the_answer_comes_after_the_commit(store: Store) -> None:
    await store.write(track)
    other = sqlite3.connect(store.path)
    assert other.execute("SELECT job_id FROM jobs").fetchall() == [("job-1",)]
    other.close()


async def test_a_work_that_fails_spoils_no_other(store: Store) -> None:
    gate, task = await busy(store)

    def half(tx):
        track(tx, "half")
        raise ZeroDivisionError

    def wrong(tx):
        track(tx, "wrong")
        tx.jobs.track(request("x", label="y" * 501), at=NOW)

    works = [lambda tx: track(tx, "first"), half, wrong, lambda tx: track(tx, "last")]
    waiting = [asyncio.ensure_future(store.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.opened.set()
    first, broken, refused, last = await asyncio.gather(*waiting, return_exceptions=True)
    await task
    assert isinstance(broken, ZeroDivisionError)
    assert isinstance(refused, StoreRefused)
    assert isinstance(first, int)
    assert isinstance(last, int)
    assert names(store) == {"first", "last"}


async def test_a_failed_commit_fails_all_of_it_and_the_thread_lives(store: Store) -> None:
    gate, task = await busy(store)
    waiting = [asyncio.ensure_future(store.write(lambda tx, n=n: track(tx, f"job-{n}"))) for n in range(3)]
    await asyncio.sleep(0)

    def fail(_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    # Start failing only after the gate's own commit is past its listener.
    failing = threading.Event()

    def first_passes(connection: object) -> None:
        if failing.is_set():
            fail(connection)
        failing.set()

    event.listen(store._writing, "commit", first_passes)
    gate.opened.set()
    await task
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [StoreFailed] * 3
    assert len({id(result) for result in results}) == 3
    assert "free some space" in str(results[0])
    assert names(store) == set()
    event.remove(store._writing, "commit", first_passes)
    assert await store.write(track) == 1


async def test_another_program_that_writes_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.store.engine.BUSY_SECONDS", 0.05)
    store = open_store(tmp_path, daemon=True)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="another program is writing"):
        await store.write(track)
    with pytest.raises(StoreBusy):
        store.write_now(track)
    assert names(store) == set()  # reading still works
    other.execute("ROLLBACK")
    other.close()
    assert await store.write(track) == 1
    store.close()


async def test_a_log_that_cannot_be_written_does_not_end_the_thread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def error(self, *_: object, **__: object) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(writer, "log", Broken())
    monkeypatch.setattr("daemon.store.engine.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._writing.dispose()  # the next connection has the timeout set above
    with pytest.raises(StoreBusy):
        await store.write(track)
    other.close()
    assert await store.write(track) == 1


async def test_too_many_works_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 2)
    gate, task = await busy(store)
    waiting = [asyncio.ensure_future(store.write(lambda tx, n=n: track(tx, f"job-{n}"))) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreBusy, match="2 changes are queued"):
        await store.write(track)
    gate.opened.set()
    await asyncio.gather(task, *waiting)
    assert names(store) == {"job-0", "job-1"}


async def test_a_wait_that_is_cancelled_does_not_cancel_the_work(store: Store) -> None:
    gate, task = await busy(store)
    waiting = asyncio.ensure_future(store.write(track))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.opened.set()
    await task
    await store.write(lambda tx: None)
    assert waiting.cancelled()
    assert names(store) == {"job-1"}


async def test_closing_stores_what_waits(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    gate, task = await busy(store)
    waiting = [asyncio.ensure_future(store.write(lambda tx, n=n: track(tx, f"job-{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.to_thread(store.close)
    await asyncio.gather(task, *waiting)
    again = open_store(tmp_path)
    assert len(names(again)) == 5
    again.close()


async def test_health_tells_of_commits_and_waits(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    store = Store.open(url_of(tmp_path / "wrapd.db"), clock=clock, daemon=True)
    assert store.writer_health().last_commit_at is None
    gate, task = await busy(store)
    waiting = asyncio.ensure_future(store.write(track))
    await asyncio.sleep(0)
    clock.advance(7)
    health = store.writer_health()
    assert (health.waiting, health.oldest_wait, health.last_commit_at) == (2, 7.0, None)
    gate.opened.set()
    await asyncio.gather(task, waiting)
    health = store.writer_health()
    assert (health.waiting, health.oldest_wait, health.last_commit_at) == (0, 0.0, clock.monotonic())
    store.close()


async def test_commands_can_use_the_same_interface(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert await store.write(track) == 1
    assert [job.job_id for job in await store.read_async(lambda tx: tx.jobs.list())] == ["job-1"]
    assert store.writer_health().waiting == 0
    store.close()


def test_a_reading_work_cannot_write(store: Store) -> None:
    with pytest.raises(StoreFailed, match="read-only"):
        store.read(track)
    assert names(store) == set()


def test_a_work_that_raises_here_leaves_nothing(store: Store) -> None:
    def work(tx):
        record(tx, track(tx), "SUCCEED")
        raise KeyError("x")

    with pytest.raises(KeyError):
        store.write_now(work)
    assert names(store) == set()


def test_a_message_has_no_values_in_it(store: Store) -> None:
    with pytest.raises(StoreRefused) as caught:
        store.write_now(lambda tx: tx.jobs.track(request(label="secret" * 100), at=NOW))
    assert "secret" not in str(caught.value) + repr(caught.value.__cause__)
