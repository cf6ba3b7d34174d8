"""kill -9 of a writing process: acknowledged writes are stored, none partially, and the next start works."""

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.clock import SystemClock
from daemon.store import DeliveryStatus, Store
from daemon.store.migrate import revisions as known_revisions
from tests.support.old_schema import add_job, columns, connect, first_schema, rows
from tests.support.store import url_of

_WRITE = """
import asyncio, sys
from datetime import UTC, datetime
from daemon.clock import SystemClock
from daemon.domain.jobs import Observation
from daemon.domain.routing import routing
from daemon.domain.transitions import judge
from daemon.store import Store, TrackRequest

async def main():
    url, first = sys.argv[1], int(sys.argv[2])
    store = Store.open(url, clock=SystemClock(), daemon=True)
    routes = routing([], operators=None, channels=["a", "b"])
    now = datetime.now(UTC)
    await store.write(lambda tx: tx.outbox.recover(at=now))

    async def job(number):
        request = TrackRequest(project="p", kind="avatar", job_id=f"job-{number}")
        await store.write(lambda tx: tx.jobs.track(request, at=now))
        row = await store.read_async(lambda tx: tx.jobs.find(request.job_id)[0].id)
        seen = Observation(state="SUCCEED")
        move = judge(None, seen, at=now)
        await store.write(lambda tx: tx.jobs.record_move(row, move, seen, routing=routes, due_at=now))
        print(request.job_id, flush=True)
        await store.write(lambda tx: tx.outbox.claim("a", now=now))

    for number in range(first, first + 100_000, 8):
        await asyncio.gather(*(job(number + n) for n in range(8)))

asyncio.run(main())
"""


_SEND_TOGETHER = """
import asyncio, sys
from datetime import UTC, datetime
from daemon.clock import SystemClock
from daemon.domain.jobs import Observation
from daemon.domain.routing import routing
from daemon.domain.transitions import judge
from daemon.store import AttemptOutcome, Outcome, Store, TrackRequest

async def main():
    url, first = sys.argv[1], int(sys.argv[2])
    store = Store.open(url, clock=SystemClock(), daemon=True)
    routes = routing([], operators=None, channels=["a"])
    now = lambda: datetime.now(UTC)
    await store.write(lambda tx: tx.outbox.recover(at=now()))
    sent = Outcome(kind=AttemptOutcome.SENT, reason="200")
    for number in range(first, first + 100_000):
        batch = f"b{number // 7}"
        request = TrackRequest(project="p", kind="avatar", job_id=f"job-{number}", batch=batch)

        def end(tx):
            tx.jobs.track(request, at=now())
            job = tx.jobs.find(request.job_id)[0].id
            seen = Observation(state="SUCCEED")
            tx.jobs.record_move(job, judge(None, seen, at=now()), seen, routing=routes, due_at=now())

        await store.write(end)
        if number % 3 == 0:
            at = now()
            group = await store.write(lambda tx: tx.outbox.claim_together("a", now=at, most=9))
            print("taken", *(each.delivery.id for each in group), flush=True)
            await store.write(lambda tx: tx.outbox.finish_all([(each, sent, now()) for each in group]))
            print("sent", *(each.delivery.id for each in group), flush=True)

asyncio.run(main())
"""


def write_until_killed(url: str, first: int, lines: int) -> set[str]:
    """Return the jobs whose end the process reported as stored before it was killed, at `lines` of them or soon
    after."""
    said = run_until_killed(_WRITE, url, first, lines)
    return {line.strip() for line in said if line.startswith("job-")}


def run_until_killed(code: str, url: str, first: int, lines: int) -> list[str]:
    """Return the complete lines that the process wrote before it was killed, at `lines` of them or soon after."""
    command = [sys.executable, "-c", code, url, str(first)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[2]
    ) as program:
        assert program.stdout is not None
        said = [program.stdout.readline() for _ in range(lines)]
        program.kill()
        said += program.stdout.readlines()
    assert program.returncode == -9
    return [line for line in said if line.endswith("\n")]


def test_what_was_answered_is_stored_whole_whenever_the_process_is_killed(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    chance = random.Random(7)
    said: set[str] = set()
    for run in range(6):
        lines = chance.randint(1, 60)
        said |= write_until_killed(url, run * 1_000_000, lines)
        check(tmp_path / "wrapd.db", url, said)
    assert len(said) >= 6


def check(path: Path, url: str, said: set[str]) -> None:
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()
    store = Store.open(url, clock=SystemClock(), daemon=True)  # the lock was released with the process
    jobs = {job.id: job for job in store.read(lambda tx: tx.jobs.list())}
    assert said <= {job.job_id for job in jobs.values() if job.tracking == "finished"}
    for job in jobs.values():
        moves = store.read(lambda tx, n=job.id: tx.history.transitions(n))
        told = store.read(lambda tx, n=job.id: tx.outbox.list(job=n))
        # The state, its transition and its alerts: all of them or none.
        assert (len(moves), len(told)) == ((1, 2) if job.tracking == "finished" else (0, 0))
    sending = store.read(lambda tx: tx.outbox.list(status=DeliveryStatus.SENDING))
    for row in sending:
        outcomes = [a.outcome for a in store.read(lambda tx, n=row.id: tx.outbox.attempts(n))]
        assert outcomes == ["unknown"] * (len(outcomes) - 1) + [None]
    assert store.write_now(lambda tx: tx.outbox.recover(at=SystemClock().now())) == len(sending)
    marked = {row.id for row in store.read(lambda tx: tx.outbox.list()) if row.possible_repeat}
    assert {row.id for row in sending} <= marked
    store.close()


@pytest.mark.long
def test_of_messages_that_tell_of_many_all_or_none_is_stored(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    chance = random.Random(11)
    sending = 0
    for run in range(6):
        said = run_until_killed(_SEND_TOGETHER, url, run * 1_000_000, chance.randint(1, 40))
        sent = {int(word) for line in said if line.startswith("sent") for word in line.split()[1:]}
        taken = {int(word) for line in said if line.startswith("taken") for word in line.split()[1:]}
        sending += check_groups(url, sent, taken)
    assert sending > 0  # some were killed between the send and its record


def check_groups(url: str, sent: set[int], taken: set[int]) -> int:
    store = Store.open(url, clock=SystemClock(), daemon=True)
    rows = {row.id: row for row in store.read(lambda tx: tx.outbox.list())}
    assert sent <= {number for number, row in rows.items() if row.status is DeliveryStatus.SENT}
    tries = store.read(lambda tx: tx.outbox.attempts_of(sorted(rows)))
    assert taken <= set(tries)
    groups: dict[object, list[int]] = {}
    for number, attempts in tries.items():
        for each in attempts:
            groups.setdefault((each.started_at, each.shared, each.outcome), []).append(number)
    # The deliveries of one message share its outcome.
    assert all(len(numbers) == shared for (_, shared, _), numbers in groups.items())
    under_way = [number for number, row in rows.items() if row.status is DeliveryStatus.SENDING]
    assert sorted(n for (_, _, outcome), ns in groups.items() if outcome is None for n in ns) == sorted(under_way)
    assert store.write_now(lambda tx: tx.outbox.recover(at=SystemClock().now())) == len(under_way)
    marked = {row.id for row in store.read(lambda tx: tx.outbox.list()) if row.possible_repeat}
    assert set(under_way) <= marked
    store.close()
    return len(under_way)


_UPGRADE = """
import sys
import alembic.config, alembic.runtime.environment, alembic.script
from daemon.store import upgrade
print("begins", flush=True)
upgrade(sys.argv[1])
print("done", flush=True)
"""


@pytest.mark.long
def test_an_upgrade_that_is_killed_changed_nothing_or_all(tmp_path: Path) -> None:
    old = first_schema(tmp_path)
    connection = connect(old)
    connection.execute("BEGIN")
    for number in range(3000):
        add_job(connection, f"job-{number}", "WAITING", "SUCCEED", tracking="finished", told=True)
    connection.execute("COMMIT")
    connection.close()
    tables = ("transitions", "deliveries", "attempts")
    names_of = {**{table: columns(old, table) for table in tables}, "sqlite_sequence": ["*"]}
    before = {table: rows(old, table, names) for table, names in names_of.items()}
    revisions = set()
    for number, wait in enumerate((0.0, 0.03, 0.06, 0.1, 0.2, 30.0)):
        path = tmp_path / f"{number}.db"
        shutil.copy(old, path)
        upgrade_until_killed(path, wait)
        connection = sqlite3.connect(path)
        revisions.add(revision := connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*), max(id) FROM jobs").fetchone() == (3000, 3000)
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.close()
        assert not any("tmp" in name for name in names)
        assert ("discoveries" in names) == (revision != "0001")
        assert ("links" in names) == (revision != "0001")
        assert {table: rows(path, table, names_of[table]) for table in before} == before
    assert revisions == {"0001", known_revisions()[-1]}


def upgrade_until_killed(path: Path, seconds: float) -> None:
    """Kill the upgrade this many seconds after its start, unless it is done."""
    command = [sys.executable, "-c", _UPGRADE, url_of(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[2]
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "begins\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(seconds)
        program.kill()
