"""The outbox: earliest due first, in order for each job; held channels are probed, and a crash leaves marks."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ProjectName
from daemon.store import (
    STOPPED_WHILE_SENDING,
    AttemptOutcome,
    Claimed,
    DeliveryStatus,
    Outcome,
    Store,
)
from tests.support.store import NOW, A, B, later, open_store, record, track


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def claim(store: Store, now: datetime = NOW, channel=A) -> Claimed | None:
    return store.write_now(lambda tx: tx.outbox.claim(channel, now=now))


def taken(store: Store, now: datetime = NOW) -> Claimed:
    claimed = claim(store, now)
    assert claimed is not None
    return claimed


def finish(store: Store, claimed: Claimed, kind: AttemptOutcome, *, at=NOW, due_at=None, status_code=None) -> None:
    outcome = Outcome(kind=kind, reason=f"because {kind}", due_at=due_at, status_code=status_code)
    store.write_now(lambda tx: tx.outbox.finish(claimed, outcome, at=at))


def delivery(store: Store, number: int):
    (row,) = [row for row in store.read(lambda tx: tx.outbox.list()) if row.id == number]
    return row


def ended(store: Store, *names: str, due: tuple[float, ...] = ()) -> list[int]:
    """Add ended jobs, each with a delivery for A and B; returns their row ids."""

    def work(tx):
        jobs = [track(tx, name) for name in names]
        for job, seconds in zip(jobs, due or [0.0] * len(jobs), strict=True):
            record(tx, job, "SUCCEED", due_at=later(seconds))
        return jobs

    return store.write_now(work)


def frozen_and_thawed(store: Store, name: str) -> int:
    """Add a job with two alerts for A (and B), one after the other."""

    def work(tx):
        job = track(tx, name)
        record(tx, job, "BLOCK")
        record(tx, job, "WAITING")
        return job

    return store.write_now(work)


def test_a_claim_tells_all_about_it(store: Store) -> None:
    (job,) = ended(store, "job-1")
    claimed = taken(store)
    assert (claimed.delivery.status, claimed.delivery.attempts, claimed.attempt) == (DeliveryStatus.SENDING, 1, 1)
    assert claimed.job is not None
    assert claimed.move is not None
    assert (claimed.job.id, claimed.move.after, claimed.delivery.channel) == (job, "SUCCEED", A)
    assert claimed.delivery == delivery(store, claimed.delivery.id)
    (attempt,) = store.read(lambda tx: tx.outbox.attempts(claimed.delivery.id))
    assert (attempt.n, attempt.started_at, attempt.ended_at, attempt.outcome) == (1, NOW, None, None)
    assert claim(store) is None


def test_the_earliest_due_comes_first_and_none_before_its_time(store: Store) -> None:
    first, second, third = ended(store, "job-1", "job-2", "job-3", due=(20, 10, 5000))
    assert claim(store) is None
    assert store.read(lambda tx: tx.outbox.next_due(A)) == later(10)
    assert taken(store, later(60)).delivery.job == second
    assert taken(store, later(60)).delivery.job == first
    assert claim(store, later(60)) is None
    assert store.read(lambda tx: tx.outbox.next_due(A, now=later(60))) == later(5000)
    assert taken(store, later(5000)).delivery.job == third
    assert store.read(lambda tx: (tx.outbox.next_due(A), tx.outbox.next_due(B))) == (None, later(10))


def test_a_clock_set_back_delays_nothing_for_hours(store: Store) -> None:
    near, far = ended(store, "job-1", "job-2", due=(7100, 7300))
    assert store.read(lambda tx: tx.outbox.next_due(A)) == later(7100)
    assert store.read(lambda tx: tx.outbox.next_due(A, now=NOW)) == NOW
    assert taken(store).delivery.job == far
    assert claim(store) is None
    assert store.read(lambda tx: tx.outbox.next_due(A, now=NOW)) == later(7100)
    assert taken(store, later(7100)).delivery.job == near


def test_sent_is_sent(store: Store) -> None:
    ended(store, "job-1")
    claimed = taken(store)
    finish(store, claimed, AttemptOutcome.SENT, at=later(1), status_code=200)
    row = delivery(store, claimed.delivery.id)
    assert (row.status, row.sent_at, row.last_error, row.possible_repeat) == ("sent", later(1), None, False)
    (attempt,) = store.read(lambda tx: tx.outbox.attempts(row.id))
    assert (attempt.ended_at, attempt.outcome, attempt.status_code) == (later(1), AttemptOutcome.SENT, 200)
    finish(store, claimed, AttemptOutcome.DEAD)
    assert delivery(store, row.id) == row
    assert claim(store, later(99999)) is None


@pytest.mark.parametrize(("kind", "repeat"), [(AttemptOutcome.RETRY, False), (AttemptOutcome.UNKNOWN, True)])
def test_a_failed_one_waits_and_an_unsure_one_is_marked(store: Store, kind: AttemptOutcome, repeat: bool) -> None:
    ended(store, "job-1")
    finish(store, taken(store), kind, due_at=later(30))
    assert claim(store, later(29)) is None
    again = taken(store, later(30))
    assert (again.attempt, again.delivery.possible_repeat) == (2, repeat)
    assert again.delivery.last_error == f"because {kind}"
    finish(store, again, AttemptOutcome.SENT)
    assert [a.n for a in store.read(lambda tx: tx.outbox.attempts(again.delivery.id))] == [1, 2]
    assert delivery(store, again.delivery.id).possible_repeat is repeat


@pytest.mark.parametrize("kind", [AttemptOutcome.RETRY, AttemptOutcome.UNKNOWN, AttemptOutcome.HELD])
def test_a_next_attempt_needs_its_time(store: Store, kind: AttemptOutcome) -> None:
    ended(store, "job-1")
    claimed = taken(store)
    with pytest.raises(ValueError, match="needs the time"):
        finish(store, claimed, kind)
    assert delivery(store, claimed.delivery.id).status == "sending"


def test_a_job_is_told_in_order_on_each_channel(store: Store) -> None:
    frozen_and_thawed(store, "job-1")
    first = taken(store)
    assert first.delivery.event is Event.BLOCKED
    assert claim(store) is None  # it is being sent
    finish(store, first, AttemptOutcome.RETRY, due_at=later(60))
    assert claim(store) is None  # it is waiting
    assert store.read(lambda tx: tx.outbox.next_due(A)) == later(60)
    other = claim(store, channel=B)
    assert other is not None
    assert other.delivery.event is Event.BLOCKED
    finish(store, taken(store, later(60)), AttemptOutcome.DEAD)
    assert taken(store, later(60)).delivery.event is Event.UNBLOCKED


def test_a_project_is_told_in_order_too(store: Store) -> None:
    def alert(event: Event, project: str) -> OperatorAlert:
        return OperatorAlert(event=event, key=f"{event}/{project}", project=ProjectName(project))

    def work(tx):
        for event in (Event.PROJECT_DOWN, Event.PROJECT_RECOVERED):
            tx.outbox.add_operator(alert(event, "one"), channels=[A], at=NOW)
        tx.outbox.add_operator(alert(Event.PROJECT_DOWN, "two"), channels=[A], at=NOW)

    store.write_now(work)
    finish(store, taken(store), AttemptOutcome.RETRY, due_at=later(60))
    assert taken(store).delivery.project == "two"
    assert claim(store) is None
    assert [taken(store, later(60)).delivery.event] == [Event.PROJECT_DOWN]


def test_an_operator_alert_is_told_once_under_its_key(store: Store) -> None:
    alert = OperatorAlert(event=Event.OVERLOADED, key="overloaded/1", facts={"late": 3.5, "names": ["x"]})
    first = store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A], at=NOW))
    second = store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A, B], at=later(1)))
    assert (first, second) == (1, 1)
    claimed = taken(store)
    assert (claimed.job, claimed.move, claimed.delivery.project) == (None, None, None)
    assert claimed.delivery.facts == {"late": 3.5, "names": ["x"]}


def test_a_held_channel_is_probed_and_freed_by_success(store: Store) -> None:
    ended(store, "job-1", "job-2", "job-3")
    probe = taken(store)
    finish(store, probe, AttemptOutcome.HELD, due_at=later(60))
    assert claim(store, later(59)) is None  # the others wait although due
    assert store.read(lambda tx: tx.outbox.next_due(A)) == later(60)
    again = taken(store, later(60))
    assert again.delivery.id == probe.delivery.id
    finish(store, again, AttemptOutcome.HELD, due_at=later(120))
    assert claim(store, later(61)) is None
    assert claim(store, later(61), channel=B) is not None  # other channels are unaffected
    finish(store, taken(store, later(120)), AttemptOutcome.SENT, at=later(121))
    assert {taken(store, later(121)).delivery.job, taken(store, later(121)).delivery.job} == {2, 3}


def test_success_frees_all_that_is_held(store: Store) -> None:
    ended(store, "job-1", "job-2")
    first, second = taken(store), taken(store)
    finish(store, first, AttemptOutcome.HELD, due_at=later(60))
    finish(store, second, AttemptOutcome.HELD, due_at=later(3600))
    finish(store, taken(store, later(60)), AttemptOutcome.SENT, at=later(61))
    row = delivery(store, second.delivery.id)
    assert (row.status, row.due_at) == (DeliveryStatus.PENDING, later(61))


def test_a_person_releases_a_channel(store: Store) -> None:
    ended(store, "job-1", "job-2")
    finish(store, taken(store), AttemptOutcome.HELD, due_at=later(3600))
    assert store.write_now(lambda tx: tx.outbox.release(B, at=NOW)) == 0
    assert store.write_now(lambda tx: tx.outbox.release(A, at=NOW)) == 1
    assert {taken(store).delivery.job, taken(store).delivery.job} == {1, 2}


def test_retry_revives_the_dead_and_nothing_else(store: Store) -> None:
    ended(store, "job-1", "job-2", "job-3", "job-4")
    sent, dead, held = taken(store), taken(store), taken(store)
    finish(store, sent, AttemptOutcome.SENT)
    finish(store, dead, AttemptOutcome.DEAD)
    finish(store, held, AttemptOutcome.HELD, due_at=later(60))
    ids = [c.delivery.id for c in (sent, dead, held)]
    assert store.write_now(lambda tx: tx.outbox.retry(ids=None, channel=B, at=NOW)) == 0
    assert store.write_now(lambda tx: tx.outbox.retry(ids=None, at=NOW)) == 1
    assert store.write_now(lambda tx: tx.outbox.retry(ids=ids, at=NOW)) == 1  # the held one
    assert store.write_now(lambda tx: tx.outbox.retry(ids=[], at=NOW)) == 0
    assert [delivery(store, number).status for number in ids] == ["sent", "pending", "pending"]
    assert taken(store).delivery.id == dead.delivery.id


def test_a_revived_one_before_a_held_one_is_the_probe(store: Store) -> None:
    frozen_and_thawed(store, "job-1")
    dead = taken(store)
    finish(store, dead, AttemptOutcome.DEAD)
    held = taken(store)
    finish(store, held, AttemptOutcome.HELD, due_at=later(60))
    ended(store, "job-2")
    store.write_now(lambda tx: tx.outbox.retry(ids=[dead.delivery.id], at=later(5)))
    assert store.read(lambda tx: tx.outbox.next_due(A)) == later(5)
    probe = taken(store, later(5))
    assert probe.delivery.id == dead.delivery.id
    assert claim(store, later(60)) is None
    finish(store, probe, AttemptOutcome.SENT, at=later(6))
    assert taken(store, later(6)).delivery.id in {held.delivery.id, 5}


def test_a_crash_while_sending_is_marked(store: Store) -> None:
    ended(store, "job-1", "job-2")
    claimed = taken(store)
    assert store.write_now(lambda tx: tx.outbox.recover(at=later(5))) == 1
    assert store.write_now(lambda tx: tx.outbox.recover(at=later(6))) == 0
    row = delivery(store, claimed.delivery.id)
    assert (row.status, row.due_at, row.possible_repeat, row.last_error) == (
        DeliveryStatus.PENDING,
        later(5),
        True,
        STOPPED_WHILE_SENDING,
    )
    (attempt,) = store.read(lambda tx: tx.outbox.attempts(row.id))
    assert (attempt.outcome, attempt.ended_at) == (AttemptOutcome.UNKNOWN, later(5))
    finish(store, claimed, AttemptOutcome.SENT)  # of the attempt before the crash: ignored
    assert delivery(store, row.id) == row


def test_lists_and_counts(store: Store) -> None:
    jobs = ended(store, "job-1", "job-2")
    finish(store, taken(store), AttemptOutcome.SENT)
    assert store.read(lambda tx: tx.outbox.counts()) == {
        (A, DeliveryStatus.PENDING): 1,
        (A, DeliveryStatus.SENT): 1,
        (B, DeliveryStatus.PENDING): 2,
    }

    def rows(**given):
        return [(d.job, d.channel) for d in store.read(lambda tx: tx.outbox.list(**given))]

    assert rows(status=DeliveryStatus.PENDING, channel=A) == [(jobs[1], A)]
    assert rows(job=jobs[0]) == [(jobs[0], B), (jobs[0], A)]
    assert rows(limit=1) == [(jobs[1], B)]
