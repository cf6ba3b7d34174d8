"""One thread for one channel: blocking sends run here, one after the other, and never delay another channel.

A daemon thread of our own, not a pool's: a pool waits at the end of the process for a send that hangs. Must never
touch the store.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_Task = Callable[[], None]


class Worker:
    """Runs calls in its own thread, which starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task | None] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """The result of `call`, made in the thread; what it raises is raised here. A caller that is cancelled
        leaves the call running: it cannot be ended from outside."""
        if self._tasks is None:
            self._tasks = queue.SimpleQueue()
            threading.Thread(target=_work, args=[self._tasks], name=self._name, daemon=True).start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._tasks.put(lambda: _resolve(loop, future, call))
        return await future

    def stop(self) -> None:
        """End the thread after the call that is under way; does not wait. A call after that begins a new one."""
        if self._tasks is not None:
            self._tasks.put(None)
            self._tasks = None


def _work(tasks: "queue.SimpleQueue[_Task | None]") -> None:
    while (task := tasks.get()) is not None:
        task()


def _resolve(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[T]", call: Callable[[], T]) -> None:
    """Make the call and hand its end to the loop, which may be gone by then."""
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
        failure = error
        settle = lambda: None if future.done() else future.set_exception(failure)  # noqa: E731 - two short ends
    else:
        settle = lambda: None if future.done() else future.set_result(result)  # noqa: E731 - as above
    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return
