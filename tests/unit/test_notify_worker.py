"""The thread of a channel: one call after the other, and none delays the end of the process."""

import asyncio
import subprocess
import sys
import threading

import pytest

from daemon.tasks import Worker


async def test_calls_run_one_after_the_other_in_one_thread_of_their_own() -> None:
    worker = Worker("test")
    seen: list[tuple[int, int]] = []
    await asyncio.gather(
        *(worker.run(lambda n=n: seen.append((n, threading.get_ident()))) for n in range(20))  # type: ignore[misc]
    )
    worker.stop()
    assert [number for number, _ in seen] == list(range(20))
    assert len({thread for _, thread in seen} | {threading.get_ident()}) == 2


async def test_what_a_call_raises_is_raised_here_and_the_next_one_runs() -> None:
    worker = Worker("test")
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)
    assert await worker.run(lambda: 7) == 7
    worker.stop()


async def test_a_caller_that_gives_up_leaves_the_call_alone() -> None:
    worker, go, begun = Worker("test"), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        go.wait(60)

    task = asyncio.create_task(worker.run(call))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await worker.run(lambda: "next") == "next"
    worker.stop()


def test_a_call_that_hangs_does_not_keep_the_process() -> None:
    code = (
        "import asyncio, threading\n"
        "from daemon.tasks import Worker\n"
        "async def main():\n"
        "    begun = threading.Event()\n"
        "    def hang(): begun.set(); threading.Event().wait()\n"
        "    asyncio.create_task(Worker('w').run(hang))\n"
        "    await asyncio.to_thread(begun.wait, 10)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == ""
