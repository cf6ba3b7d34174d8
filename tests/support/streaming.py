"""`python -m tests.support.streaming FOLDER PACE END`: records transitions and streams them, to be killed.

Goes on where an earlier one was killed, up to the END-th transition. Prints its address, each hundredth transition
and "done".
"""

import asyncio
import sys
from pathlib import Path

from daemon.domain.jobs import JobId
from daemon.store import Store, Transaction
from daemon.web import live
from tests.support.store import PROJECT, SILENT, later, record, track
from tests.support.streams import stage

JOBS, MOVES = 200, 2000
STATES = ("WAITING", *("PROCESSING", "BLOCK") * 4, "SUCCEED")


async def main(folder: Path, pace: int, end: int) -> None:
    live.MOST_A_SECOND, live._BACKLOG = pace, 2 * pace
    async with stage(folder, most=200, most_each=200) as it:
        it.store.write_now(_track_all)
        print(f"at {it.web.address}", flush=True)
        for number in range(_moves(it.store), end):
            await it.store.write(lambda tx, number=number: _move(tx, number))  # type: ignore[misc]
            if number % 100 == 0:
                print(f"move {number}", flush=True)
        print("done", end, flush=True)
        await asyncio.Event().wait()


def _track_all(tx: Transaction) -> None:
    if not tx.jobs.find(JobId("job-0"), PROJECT):
        for number in range(JOBS):
            track(tx, f"job-{number}")


def _moves(store: Store) -> int:
    return store.read(
        lambda tx: int(tx._connection.exec_driver_sql("SELECT count(*) FROM transitions").scalar_one())
    )


def _move(tx: Transaction, number: int) -> None:
    [job] = tx.jobs.find(JobId(f"job-{number % JOBS}"), PROJECT)
    record(tx, job.id, STATES[number // JOBS], at=later(number), routes=SILENT)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
