"""Retention: what is old and done is deleted in parts; what is unsent, dead or tracked stays however old it is."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from daemon.domain.actions import Action
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import Asset, JobId
from daemon.store import AttemptOutcome, Bookkeeping, Outcome, PictureRow, Store, to_stamp
from tests.support.store import BOTH, NOW, PROJECT, SILENT, WHO, A, B, later, open_store, record, request, track

OLD = later(100)
"""Everything that the tests write at NOW is older than this."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def prune(store: Store, before: datetime = OLD, limit: int = 500) -> int:
    return store.write_now(lambda tx: tx.retention.prune(before=before, limit=limit))


def ended(store: Store, *names: str, state: str = "SUCCEED", at: float = 0, **more: object) -> list[int]:
    def work(tx):
        jobs = [track(tx, name, **more) for name in names]
        for job in jobs:
            record(tx, job, state, at=later(at))
        return jobs

    return store.write_now(work)


def send_all(store: Store, kind: AttemptOutcome = AttemptOutcome.SENT, *, at: float = 0) -> None:
    outcome = Outcome(kind=kind, reason="x", due_at=later(at + 60))

    def work(tx):
        for channel in (A, B):
            while (claimed := tx.outbox.claim(channel, now=later(at))) is not None:
                tx.outbox.finish(claimed, outcome, at=later(at))

    store.write_now(work)


def left(store: Store) -> dict[str, int]:
    tables = (
        "jobs",
        "transitions",
        "deliveries",
        "attempts",
        "pictures",
        "links",
        "discoveries",
        "actions",
        "mutes",
        "shares",
    )

    def count(tx):
        connection = tx.jobs._connection
        return {t: connection.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar_one() for t in tables}

    return {table: number for table, number in store.read(count).items() if number}


def test_what_is_old_and_done_goes_with_all_that_belongs_to_it(store: Store) -> None:
    jobs = ended(store, "job-1", "job-2")
    send_all(store)

    def more(tx):
        tx.links.of_job(jobs[0], token="t", at=NOW, life=9e9)
        tx.pictures.put(
            PictureRow(job=jobs[0], url="u", content_type="image/png", data=b"x", fetched_at=NOW, error=None)
        )
        tx.outbox.add_operator(OperatorAlert(event=Event.OVERLOADED, key="x"), channels=[A], at=NOW)

    store.write_now(more)
    send_all(store)
    assert prune(store, NOW) == 0
    assert prune(store) == 5 + 2
    assert left(store) == {}
    assert prune(store) == 0
    # Row ids are not reused.
    assert store.write_now(track) == 3


def test_it_goes_in_parts(store: Store) -> None:
    ended(store, *(f"job-{number}" for number in range(7)))
    send_all(store)
    assert [prune(store, limit=4) for _ in range(7)] == [4, 4, 4, 4, 4, 1, 0]


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (None, {"pending"}),
        (AttemptOutcome.RETRY, {"pending"}),
        (AttemptOutcome.HELD, {"held", "pending"}),
        (AttemptOutcome.DEAD, {"dead"}),
    ],
)
def test_what_is_not_sent_stays_and_its_job_with_it(
    store: Store, kind: AttemptOutcome | None, states: set[str]
) -> None:
    ended(store, "job-1", "job-2")
    if kind is not None:
        send_all(store, kind)
    before = left(store)
    assert prune(store, later(9e8)) == 0
    assert left(store) == before
    assert {row.status for row in store.read(lambda tx: tx.outbox.list())} == states


def test_what_is_being_sent_stays(store: Store) -> None:
    ended(store, "job-1")
    store.write_now(lambda tx: (tx.outbox.claim_together(A, now=NOW, most=9), tx.outbox.claim(B, now=NOW)))
    assert prune(store, later(9e8)) == 0


def test_what_was_sent_late_is_as_old_as_that(store: Store) -> None:
    ended(store, "job-1")
    send_all(store, at=200)
    assert prune(store) == 0
    assert prune(store, later(201)) == 3


def test_canceled_ones_go_too(store: Store) -> None:
    ended(store, "job-1")
    store.write_now(lambda tx: tx.outbox.cancel([1, 2], at=later(50)))
    assert (prune(store, later(50)), prune(store, later(51))) == (0, 3)


def test_an_active_job_stays_and_what_it_was_told(store: Store) -> None:
    """Its deliveries prevent it from being announced again."""
    (job,) = ended(store, "job-1", state="BLOCK")
    store.write_now(lambda tx: tx.jobs.record_stuck(job, at=NOW, routing=BOTH))
    send_all(store)
    assert prune(store, later(9e8)) == 0
    assert store.write_now(lambda tx: tx.jobs.record_stuck(job, at=later(9), routing=BOTH)) is None


@pytest.mark.parametrize("way", ["lost", "expired", "stopped"])
def test_jobs_that_are_not_watched_go_too(store: Store, way: str) -> None:
    def work(tx):
        job = track(tx)
        tx.jobs.checkpoint(
            [Bookkeeping(job=job, last_polled_at=to_stamp(later(50)), next_poll_at=None, polls=1, last_error=None)]
        )
        if way == "stopped":
            tx.jobs.untrack(PROJECT, JobId("job-1"), at=NOW)
        else:
            tx.jobs.record_end(job, Event(way), at=NOW, routing=SILENT, reason="x")

    store.write_now(work)
    if way == "stopped":
        assert prune(store) == 0  # the watch has not seen it yet
    store.write_now(lambda tx: tx.jobs.take_changes())
    assert prune(store, later(50)) == 0  # it was polled since
    assert prune(store, later(51)) == 1
    assert left(store) == {}


def test_a_job_that_was_taken_up_again_of_late_stays(store: Store) -> None:
    def work(tx):
        job = track(tx)
        record(tx, job, "WAITING", routes=SILENT)
        for at in (0, 200):
            tx.jobs.track(request(), at=later(at))
            tx.jobs.record_end(job, Event.LOST, at=later(at), routing=SILENT, reason="x")
        tx.jobs.take_changes()

    store.write_now(work)
    assert (prune(store), prune(store, later(201))) == (0, 1)


def test_a_batch_is_whole_until_its_end(store: Store) -> None:
    ended(store, "job-1", batch="b1")
    (last,) = ended(store, "job-2", batch="b1", state="WAITING")
    send_all(store, at=20)
    assert prune(store) == 4  # the alerts about job-1 and, too early, about the batch
    assert len(store.read(lambda tx: tx.jobs.list())) == 2
    store.write_now(lambda tx: record(tx, last, "SUCCEED", at=later(90)))
    (row, _) = [row for row in store.read(lambda tx: tx.outbox.list()) if row.event is Event.BATCH_FINISHED]
    assert row.facts["jobs"] == 2
    send_all(store, at=120)
    assert prune(store, later(121)) == 6
    assert left(store) == {}


def test_links_that_expired_go_and_revoked_ones_stay_revoked(store: Store) -> None:
    jobs = ended(store, "job-1", "job-2", "job-3", state="WAITING")

    def work(tx):
        for job, life in zip(jobs, (50, 50, 500), strict=True):
            tx.links.of_job(job, token=f"t{job}", at=NOW, life=life)
        tx.links.revoke(jobs[1], NOW)

    store.write_now(work)
    assert prune(store) == 1
    assert [row.job for row in store.read(lambda tx: tx.links.list())] == jobs[:0:-1]
    assert store.write_now(lambda tx: tx.links.of_job(jobs[1], token="new", at=later(99), life=9)) is None


def test_old_discoveries_go_when_they_are_done(store: Store) -> None:
    def work(tx):
        done, _ = (tx.discoveries.ask(PROJECT, {}, at=NOW) for _ in range(2))
        tx.discoveries.finish(done, at=later(5), found=1, added=1)

    store.write_now(work)
    assert (prune(store), left(store)) == (1, {"discoveries": 1})


def test_old_actions_and_mutes_that_ended_go(store: Store) -> None:
    def work(tx):
        for at in (NOW, later(101)):
            tx.actions.note(Action.ASK, who=WHO, at=at)

    store.write_now(work)
    assert (prune(store), left(store)) == (1, {"actions": 1})


def test_shares_that_expired_go_revoked_or_not(store: Store) -> None:
    def work(tx):
        for digest, end in (("gone", 50), ("revoked", 50), ("open", 150), ("taken back", 150)):
            share = tx.shares.add(PROJECT, "b", digest, by=WHO, at=NOW, expires_at=later(end))
            if digest in ("revoked", "taken back"):
                tx.shares.revoke(share.id, at=later(1))

    store.write_now(work)
    assert (prune(store), left(store)) == (2, {"shares": 2})
    assert store.read(lambda tx: tx.shares.find("taken back")) is not None, "it must not be made again"


def test_jobs_of_every_project_and_kind_go(store: Store) -> None:
    for project, kind in (("one", "avatar"), ("one", "photo"), ("two", "avatar")):
        ended(store, f"job-{kind}", project=project, kind=kind, state="FAILED")
    send_all(store)
    assert prune(store) == 6 + 3
    assert left(store) == {}
    (job,) = ended(store, "job-1", at=200)
    assert prune(store) == 0
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert row.asset == Asset()


def test_what_is_old_is_counted_before_it_goes(store: Store) -> None:
    for n in range(3):
        ended(store, f"job-{n}", "waiting", state="FAILED" if n else "SUCCEED")
    send_all(store)

    def number() -> int:
        return store.read(lambda tx: tx.retention.old(before=OLD))

    assert store.read(lambda tx: tx.retention.old(before=NOW)) == 0
    total, done = number(), 0
    assert total > 5
    while deleted := prune(store, limit=2):
        done += deleted
        assert number() == total - done
    assert done == total
