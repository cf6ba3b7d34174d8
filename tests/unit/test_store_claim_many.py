"""Many deliveries in one message: what waits, what is claimed together, and what becomes of all of it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from daemon.domain import damping
from daemon.domain.digests import Waiting
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Routing, routing
from daemon.store import AttemptOutcome, Claimed, DeliveryStatus, Outcome, Store
from tests.support.store import NOW, PROJECT, A, B, later, open_store, record, track

NOTHING = Waiting(recent=0, due=0, oldest=None, from_quiet=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def ended(
    store: Store, count: int, *, due: float = 0.0, at: datetime = NOW, routes: Routing | None = None
) -> None:
    """Add that many ended jobs, each with a delivery for A and B."""

    def work(tx):
        first = len(tx.jobs.list())
        for number in range(first, first + count):
            job = track(tx, f"job-{number}")
            more = {} if routes is None else {"routes": routes}
            record(tx, job, "SUCCEED", at=at, due_at=later(due), **more)

    store.write_now(work)


def together(store: Store, now: datetime = NOW, most: int = 100) -> tuple[Claimed, ...]:
    return store.write_now(lambda tx: tx.outbox.claim_together(A, now=now, most=most))


def finish(
    store: Store, claimed: Sequence[Claimed], kind: AttemptOutcome, *, at: datetime = NOW, due: float = 60
) -> None:
    outcome = Outcome(kind=kind, reason=f"because {kind}", due_at=later(due), status_code=200)
    store.write_now(lambda tx: tx.outbox.finish_all([(each, outcome, at) for each in claimed]))


def waiting(store: Store, now: datetime = NOW) -> Waiting:
    return store.read(lambda tx: tx.outbox.waiting(A, now=now, window=60))


def operator_alert(store: Store, key: str = "x") -> None:
    alert = OperatorAlert(event=Event.PROJECT_DOWN, key=key, project=PROJECT)
    store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A], at=NOW))


def statuses(store: Store) -> list[str]:
    return [row.status for row in store.read(lambda tx: tx.outbox.list(channel=A))[::-1]]


def test_all_that_is_due_goes_together_with_what_it_is_about(store: Store) -> None:
    ended(store, 3)
    ended(store, 1, due=30)
    group = together(store)
    assert [each.job.job_id for each in group if each.job] == ["job-0", "job-1", "job-2"]
    assert {each.move.after for each in group if each.move} == {"SUCCEED"}
    for each in group:
        (attempt,) = store.read(lambda tx, n=each.delivery.id: tx.outbox.attempts(n))
        assert (attempt.n, attempt.started_at, attempt.shared, attempt.outcome) == (1, NOW, 3, None)
        assert each.delivery == store.read(lambda tx, n=each.delivery.id: tx.outbox.get(n))
    assert together(store) == ()
    assert store.write_now(lambda tx: tx.outbox.claim(B, now=NOW)) is not None


def test_one_that_is_alone_is_a_group_of_one(store: Store) -> None:
    ended(store, 1)
    (only,) = together(store)
    (attempt,) = store.read(lambda tx: tx.outbox.attempts(only.delivery.id))
    assert attempt.shared == 1


def test_several_alerts_about_one_job_go_together_in_order(store: Store) -> None:
    def work(tx):
        job = track(tx)
        for state in ("BLOCK", "WAITING", "BLOCK"):
            record(tx, job, state)

    store.write_now(work)
    again = later(damping.FIRST.total_seconds())
    assert [each.delivery.event for each in together(store, again)] == ["blocked", "unblocked", "blocked"]


def test_what_stands_before_comes_along_though_it_is_due_later(store: Store) -> None:
    first, other = store.write_now(lambda tx: (track(tx, "job-1"), track(tx, "job-2")))
    store.write_now(lambda tx: record(tx, first, "BLOCK"))
    finish(store, together(store), AttemptOutcome.RETRY, due=20)
    store.write_now(lambda tx: record(tx, first, "WAITING", due_at=later(5)))
    store.write_now(lambda tx: record(tx, other, "SUCCEED", due_at=later(10)))
    # By due time the thaw comes first, but the freeze is ahead of it in the line.
    assert [each.delivery.event for each in together(store, later(30), most=1)] == ["blocked"]
    finish(store, together(store, later(30), most=0), AttemptOutcome.SENT)
    assert [each.delivery.event for each in together(store, later(30), most=2)] == ["succeeded"]


def test_what_stands_behind_one_that_waits_does_not_go(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "BLOCK"))
    finish(store, together(store), AttemptOutcome.RETRY, due=20)
    store.write_now(lambda tx: record(tx, job, "WAITING"))
    assert (together(store), waiting(store).due) == ((), 0)
    assert len(together(store, later(20))) == 2


def test_at_most_so_many_go_and_the_rest_goes_next(store: Store) -> None:
    ended(store, 7)
    groups = [together(store, most=3) for _ in range(4)]
    assert [len(group) for group in groups] == [3, 3, 1, 0]
    assert len({each.delivery.id for group in groups for each in group}) == 7


def test_operators_events_never_merge_nor_count(store: Store) -> None:
    operator_alert(store)
    assert (waiting(store), together(store)) == (NOTHING, ())
    ended(store, 2)
    assert waiting(store) == Waiting(recent=2, due=2, oldest=NOW, from_quiet=0)
    apart = store.write_now(lambda tx: tx.outbox.claim(A, now=NOW, apart=True))
    assert apart is not None
    assert apart.delivery.event is Event.PROJECT_DOWN
    assert store.write_now(lambda tx: tx.outbox.claim(A, now=NOW, apart=True)) is None
    assert len(together(store)) == 2


def test_a_group_that_was_sent_is_sent(store: Store) -> None:
    ended(store, 3)
    group = together(store)
    finish(store, group, AttemptOutcome.SENT, at=later(1))
    for each in group:
        row = store.read(lambda tx, n=each.delivery.id: tx.outbox.get(n))
        assert row is not None
        assert (row.status, row.sent_at, row.possible_repeat) == (DeliveryStatus.SENT, later(1), False)
        (attempt,) = store.read(lambda tx, n=row.id: tx.outbox.attempts(n))
        assert (attempt.outcome, attempt.ended_at, attempt.status_code) == ("sent", later(1), 200)
    finish(store, group, AttemptOutcome.DEAD)
    assert statuses(store) == ["sent"] * 3
    finish(store, (), AttemptOutcome.SENT)


@pytest.mark.parametrize(
    ("kind", "after", "repeat"),
    [
        (AttemptOutcome.RETRY, "pending", False),
        (AttemptOutcome.UNKNOWN, "pending", True),
        (AttemptOutcome.HELD, "held", False),
        (AttemptOutcome.DEAD, "dead", False),
    ],
)
def test_a_group_shares_its_outcome(store: Store, kind: AttemptOutcome, after: str, repeat: bool) -> None:
    ended(store, 3)
    finish(store, together(store), kind)
    rows = store.read(lambda tx: tx.outbox.list(channel=A))
    assert {(row.status, row.possible_repeat, row.last_error) for row in rows} == {
        (after, repeat, f"because {kind}")
    }
    assert {row.due_at for row in rows} == {NOW if kind is AttemptOutcome.DEAD else later(60)}


def test_a_held_channel_takes_no_groups_and_its_success_frees_all(store: Store) -> None:
    ended(store, 3)
    finish(store, together(store), AttemptOutcome.HELD)
    ended(store, 2)
    assert (together(store, later(60)), waiting(store, later(60))) == ((), NOTHING)
    probe = store.write_now(lambda tx: tx.outbox.claim(A, now=later(60)))
    assert probe is not None
    outcome = Outcome(kind=AttemptOutcome.SENT, reason="200")
    store.write_now(lambda tx: tx.outbox.finish(probe, outcome, at=later(61)))
    assert waiting(store, later(61)).due == 4
    assert len(together(store, later(61))) == 4


def test_a_crash_marks_the_whole_group(store: Store) -> None:
    ended(store, 3)
    group = together(store)
    assert store.write_now(lambda tx: tx.outbox.recover(at=later(5))) == 3
    rows = store.read(lambda tx: tx.outbox.list(channel=A))
    assert {(row.status, row.due_at, row.possible_repeat) for row in rows} == {("pending", later(5), True)}
    finish(store, group, AttemptOutcome.SENT)  # of before the crash: ignored
    assert statuses(store) == ["pending"] * 3
    again = together(store, later(5))
    assert [each.attempt for each in again] == [2, 2, 2]


def test_of_a_group_some_may_have_been_taken_up_again(store: Store) -> None:
    ended(store, 2)
    group = together(store)
    store.write_now(lambda tx: tx.outbox.recover(at=NOW))
    (first,) = together(store, most=1)
    finish(store, group, AttemptOutcome.SENT)
    assert statuses(store) == ["sending", "pending"]
    finish(store, (first, group[1]), AttemptOutcome.SENT)
    assert statuses(store) == ["sent", "pending"]


def test_what_was_written_of_late_counts_though_it_is_sent(store: Store) -> None:
    ended(store, 2, at=later(-61))
    ended(store, 3, at=later(-59))
    finish(store, together(store, most=4), AttemptOutcome.SENT)
    assert waiting(store) == Waiting(recent=3, due=1, oldest=NOW, from_quiet=0)
    store.write_now(lambda tx: tx.outbox.cancel([9], at=NOW))
    assert waiting(store) == Waiting(recent=2, due=0, oldest=None, from_quiet=0)


def test_one_that_was_tried_has_waited_since_it_was_written(store: Store) -> None:
    ended(store, 2)
    finish(store, together(store), AttemptOutcome.RETRY, due=300)
    assert waiting(store, later(299)).oldest is None
    assert waiting(store, later(300)).oldest == NOW


def test_what_quiet_hours_kept_is_counted_apart(store: Store) -> None:
    night = QuietHours(start=time(11), end=time(20), zone=UTC)
    routes = routing([], operators=None, channels=[A], quiet={A: night})
    ended(store, 2, routes=routes)
    morning = datetime(2026, 3, 1, 20, tzinfo=UTC)
    assert waiting(store) == NOTHING  # a single alert does not wait for these
    assert waiting(store, morning) == Waiting(recent=0, due=2, oldest=morning, from_quiet=2)


def test_messages_are_counted_not_deliveries(store: Store) -> None:
    ended(store, 5)
    finish(store, together(store, most=3), AttemptOutcome.RETRY, due=0)
    ended(store, 1)
    assert store.write_now(lambda tx: tx.outbox.claim(B, now=NOW)) is not None
    for _ in range(2):
        claimed = store.write_now(lambda tx: tx.outbox.claim(A, now=later(9)))
        assert claimed is not None

    def count(since: float, channel: object = A) -> int:
        return store.read(lambda tx: len(tx.outbox.sent_since(channel, later(since))))

    assert (count(-1), count(0), count(1), count(9), count(10)) == (3, 3, 2, 2, 0)
    assert (count(0, B), count(0, "nobody")) == (1, 0)
