"""Works run in the calling thread, alongside those of the writer's own thread."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.store import StoreClosed, Transaction
from tests.support.store import open_store, track


def adding(name: str) -> Callable[[Transaction], int]:
    return lambda tx: track(tx, name)


def test_it_is_stored_when_it_returns(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    row = store.write_here(adding("job-1"))
    assert store.read(lambda tx: tx.jobs.get(row)) is not None
    store.close()
    with pytest.raises(StoreClosed):
        store.write_here(adding("job-2"))


def test_what_a_work_raises_undoes_it_alone_and_comes_back(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)

    def broken(tx: Transaction) -> None:
        track(tx, "job-1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write_here(broken)
    store.write_here(adding("job-2"))
    assert [job.job_id for job in store.read(lambda tx: tx.jobs.list())] == ["job-2"]
    store.close()


async def test_many_threads_and_the_loop_write_at_once_and_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    done: list[str] = []

    def work(name: str) -> Callable[[Transaction], None]:
        def do(tx: Transaction) -> None:
            track(tx, name)
            done.append(name)

        return do

    def many(thread: int) -> None:
        for number in range(40):
            store.write_here(work(f"t{thread}-{number}"))

    with ThreadPoolExecutor(4) as pool:
        loop = asyncio.get_running_loop()
        threads = [loop.run_in_executor(pool, many, thread) for thread in range(4)]
        await asyncio.gather(*(store.write(work(f"loop-{number}")) for number in range(200)))
        await asyncio.gather(*threads)
    assert len(done) == len(set(done)) == 360
    assert len(store.read(lambda tx: tx.jobs.list())) == 360
    assert store.writer_health().waiting == 0
    store.close()


def test_what_waits_meanwhile_is_done_in_one_transaction(tmp_path: Path) -> None:
    store, begun, go = open_store(tmp_path, daemon=True), threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        go.wait(60)

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(store.write_here, slow)
        assert begun.wait(60)
        others = [pool.submit(store.write_here, adding(f"job-{number}")) for number in range(8)]
        while store.writer_health().waiting < 9:
            pass
        go.set()
        rows = {other.result(60) for other in others}
        first.result(60)
    assert len(rows) == 8
    store.close()


def test_a_close_waits_for_a_work_that_is_under_way(tmp_path: Path) -> None:
    store, begun, go = open_store(tmp_path, daemon=True), threading.Event(), threading.Event()

    def slow(tx: Transaction) -> int:
        begun.set()
        go.wait(60)
        return track(tx, "job-1")

    with ThreadPoolExecutor(2) as pool:
        work = pool.submit(store.write_here, slow)
        assert begun.wait(60)
        closing = pool.submit(store.close)
        assert not closing.done()
        go.set()
        assert work.result(60) > 0
        closing.result(60)
    store = open_store(tmp_path)
    assert len(store.read(lambda tx: tx.jobs.list())) == 1
    store.close()
