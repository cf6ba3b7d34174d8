"""`python -m tests.support.faulty run …`: wrapd with a defect: sending a message fails with an error whose text is
the value of SPILL_OF_TESTS. For tests of what a traceback shows."""

import os
from typing import NoReturn

from daemon.cli import main
from daemon.notify.transport import Channel

SPILL = os.environ.pop("SPILL_OF_TESTS", "")


def broken(*_arguments: object, **_more: object) -> NoReturn:
    raise ValueError(f"a defect at {SPILL}")


if __name__ == "__main__":
    Channel.send = broken  # type: ignore[method-assign]
    main()
