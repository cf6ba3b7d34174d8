"""Whatever two projects and two channels hold: a move loses nothing, repeats nothing, and reports what it did."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.domain.routing import Routing, routing
from daemon.store import AttemptOutcome, DeliveryStatus, Outcome, Store, Transaction
from tests.support.store import BOTH, NOW, A, B, later, open_store, record, track

OLD, NEW = ProjectName("old"), ProjectName("main")
MOVABLE = {DeliveryStatus.PENDING, DeliveryStatus.HELD, DeliveryStatus.DEAD}
JOBS = st.lists(
    st.tuples(
        st.sampled_from([OLD, NEW]),
        st.sampled_from(["job-1", "job-2", "job-3", "job-4"]),
        st.sampled_from([None, "b1", "项目 🎬 / ~"]),
        st.sampled_from([None, "PROCESSING", "SUCCEED", "FAILED"]),
    ),
    max_size=8,
    unique_by=lambda job: job[:2],
)
ALERTS = st.lists(
    st.tuples(st.sampled_from([A, B]), st.integers(1, 4), st.sampled_from([None, *AttemptOutcome, "sending"])),
    max_size=8,
    unique_by=lambda alert: alert[:2],
)


@contextmanager
def opened() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        try:
            yield store
        finally:
            store.close()


@settings(max_examples=20)
@given(JOBS)
def test_moved_jobs_are_all_there_and_their_batches_are_told_once(jobs: list[tuple[str, str, str, str]]) -> None:
    with opened() as store:

        def write(tx: Transaction) -> None:
            for project, job, batch, _ in jobs:
                track(tx, job, project=project, batch=batch)
            for project, job, _, state in jobs:
                if state is not None:
                    record(tx, tx.jobs.find(JobId(job), ProjectName(project))[0].id, state)

        store.write_now(write)
        before = {row.id: row for row in store.read(lambda tx: tx.jobs.list())}
        told = store.read(lambda tx: tx.outbox.list())
        moved = store.write_now(lambda tx: tx.moves.jobs(OLD, NEW, at=later(1), routing=BOTH))
        after = {row.id: row for row in store.read(lambda tx: tx.jobs.list())}
        assert before.keys() == after.keys()
        has = {row.job_id for row in before.values() if row.project == NEW}
        stay = {row.id for row in before.values() if row.project == OLD and row.job_id in has}
        assert {row.id for row in after.values() if row.project == OLD} == stay
        assert moved.moved + moved.stay == sum(row.project == OLD for row in before.values())
        assert moved.stay == len(stay)
        assert set(moved.twins) == {after[row].job_id for row in stay}
        # Nothing that was announced is announced again: each channel gets one end of a batch with the same jobs.
        rows = store.read(lambda tx: tx.outbox.list())
        assert {row.id for row in told} <= {row.id for row in rows}
        new = [row for row in rows if row.id not in {each.id for each in told}]
        assert all(row.event is Event.BATCH_FINISHED and row.project == NEW for row in new)
        ends = [row for row in rows if row.event is Event.BATCH_FINISHED and row.channel == A]
        again = Counter(str(row.facts["members"]) for row in ends if row.status is not DeliveryStatus.CANCELED)
        assert all(number == 1 for number in again.values())
        for row in rows:
            assert row.job is None or row.project == after[row.job].project


def _stands(tx: Transaction, channel: ChannelName, outcome: AttemptOutcome | str | None) -> None:
    if outcome is None or (claimed := tx.outbox.claim(channel, now=NOW)) is None:
        return
    if isinstance(outcome, AttemptOutcome):
        tx.outbox.finish(claimed, Outcome(kind=outcome, reason="x", due_at=later(60)), at=NOW)


@settings(max_examples=20)
@given(ALERTS)
def test_moved_alerts_are_all_there_and_none_is_told_twice(
    alerts: list[tuple[ChannelName, int, AttemptOutcome | str | None]],
) -> None:
    with opened() as store:

        def write(tx: Transaction) -> None:
            for channel, number, outcome in alerts:
                row = tx.jobs.find(JobId(f"job-{number}"))
                job = row[0].id if row else track(tx, f"job-{number}")
                only: Routing = routing([], operators=None, channels=[channel])
                if tx.jobs.get(job).state is None:  # type: ignore[union-attr]
                    record(tx, job, "SUCCEED", routes=only)
                else:
                    tx.outbox.copy([each.id for each in tx.outbox.list(job=job)], channel, at=NOW)
                _stands(tx, channel, outcome)

        store.write_now(write)
        before = {row.id: row for row in store.read(lambda tx: tx.outbox.list())}
        moved = store.write_now(lambda tx: tx.moves.deliveries(A, B, at=later(1), routing=BOTH))
        after = {row.id: row for row in store.read(lambda tx: tx.outbox.list())}
        keys = {row.key for row in before.values() if row.channel == B}
        mine = [row for row in before.values() if row.channel == A]
        moving = {row.id for row in mine if row.status in MOVABLE and row.key not in keys}
        assert {row for row in after if after[row].channel != before[row].channel} == moving
        assert {row for row in after if after[row] != before[row]} == moving
        assert all(after[row].status in {DeliveryStatus.PENDING, DeliveryStatus.DEAD} for row in moving)
        assert moved.moved == len(moving)
        assert moved.twins == sum(row.status in MOVABLE and row.key in keys for row in mine)
        assert moved.sending == sum(row.status is DeliveryStatus.SENDING for row in mine)
