"""`python -m tests.support.killing STEP run …`: wrapd, which dies as by `kill -9` at a step of its first send.

The steps: `claim` (the claim is written, but not committed), `before` (it is committed, nothing is sent),
`after` (the service has answered, nothing is written), `record` (the outcome is written, but not committed),
`recorded` (it is committed). Tests kill during a send from outside, with a stand-in that does not answer.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from daemon.cli import main
from daemon.notify.transport import Channel
from daemon.store import Outbox, Store

STEPS = ("claim", "before", "after", "record", "recorded")


def die() -> NoReturn:
    """End the process now, without any cleanup."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives this")


def _then_die(original: Callable[..., Any], *, unless: Callable[[Any], bool] = lambda result: False) -> Any:
    def call(*arguments: Any, **more: Any) -> Any:
        result = original(*arguments, **more)
        return result if unless(result) else die()

    return call


def arm(step: str) -> None:
    """Make this process end at `step`."""
    if step == "claim":
        for name in ("claim", "claim_each", "claim_together"):
            setattr(Outbox, name, _then_die(getattr(Outbox, name), unless=lambda claimed: not claimed))
    elif step == "before":
        Channel.send = lambda *_arguments, **_more: die()  # type: ignore[assignment,method-assign]
    elif step == "after":
        Channel.send = _then_die(Channel.send)  # type: ignore[method-assign]
    elif step == "record":
        for name in ("finish", "finish_all"):
            setattr(Outbox, name, _then_die(getattr(Outbox, name)))
    else:
        _die_after_the_record()


def _die_after_the_record() -> None:
    finished: list[bool] = []
    write = Store.write

    def noted(original: Callable[..., Any]) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            finished.append(True)
            return original(*arguments, **more)

        return call

    async def then_die(self: Store, work: Any) -> Any:
        result = await write(self, work)
        return die() if finished else result

    for name in ("finish", "finish_all"):
        setattr(Outbox, name, noted(getattr(Outbox, name)))
    Store.write = then_die  # type: ignore[method-assign]


if __name__ == "__main__":
    assert sys.argv[1] in STEPS
    arm(sys.argv.pop(1))
    main()
