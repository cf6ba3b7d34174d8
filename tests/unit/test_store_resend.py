"""What people revive or resend: canceled alerts come back as they were, sent ones are written anew."""

from collections.abc import Iterator
from datetime import UTC, time
from pathlib import Path

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import routing
from daemon.store import REPLACED, AttemptOutcome, DeliveryRow, DeliveryStatus, Outcome, Store, Transaction
from tests.support.store import NOW, PROJECT, A, B, later, open_store, record, track

ONLY_A = routing([], operators=None, channels=[A])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def ended(store: Store, name: str = "job-1", **more: object) -> int:
    """Add an ended job with an alert for A; returns its row id."""

    def work(tx: Transaction) -> int:
        job = track(tx, name, **more)
        record(tx, job, "SUCCEED", routes=ONLY_A)
        return job

    return store.write_now(work)


def send(store: Store, *, channel: ChannelName = A, seconds: float = 1, kind=AttemptOutcome.SENT) -> DeliveryRow:
    """Try the next one; returns it as claimed."""

    def work(tx: Transaction) -> DeliveryRow:
        claimed = tx.outbox.claim(channel, now=later(seconds))
        assert claimed is not None
        outcome = Outcome(kind=kind, reason="x", due_at=later(seconds + 300))
        tx.outbox.finish(claimed, outcome, at=later(seconds))
        return claimed.delivery

    return store.write_now(work)


def rows(store: Store) -> list[DeliveryRow]:
    return sorted(store.read(lambda tx: tx.outbox.list()), key=lambda row: row.id)


def revive(store: Store, *ids: int, seconds: float = 10) -> int:
    return store.write_now(lambda tx: tx.again.revive(ids, at=later(seconds)))


def resend(store: Store, *ids: int, to: ChannelName | None = None, seconds: float = 10) -> int:
    def work(tx: Transaction) -> int:
        return tx.again.resend([row for row in rows(store) if row.id in ids], to=to, at=later(seconds))

    return store.write_now(work)


# ------------------------------------------------------------------------------------------------ revive


def test_what_was_canceled_comes_back_in_the_order_in_which_it_was_written(store: Store) -> None:
    for name in ("job-1", "job-2"):
        ended(store, name)
    store.write_now(lambda tx: tx.outbox.cancel([1, 2], at=later(5)))
    ended(store, "job-3")
    assert revive(store, 2, 1, 3, 99) == 2
    assert [(row.status, row.due_at, row.last_error) for row in rows(store)[:2]] == [
        ("pending", later(10), None)
    ] * 2
    assert [send(store, seconds=20).id for _ in range(3)] == [3, 1, 2]
    assert revive(store, 1, 2, 3) == 0  # sent ones stay sent


def test_it_may_be_canceled_and_brought_back_again_and_again(store: Store) -> None:
    ended(store)
    send(store, kind=AttemptOutcome.UNKNOWN)
    for turn in range(3):
        assert store.write_now(lambda tx: tx.outbox.cancel([1], at=later(5))) == 1
        assert revive(store, 1, seconds=10 + turn) == 1
    (row,) = rows(store)
    assert (row.status, row.attempts, row.possible_repeat) == ("pending", 1, True)
    assert (row.tried_for, row.tried_at, row.defects, row.last_error) == (0, None, 0, "x")


def test_what_comes_back_to_a_refused_channel_waits_with_it(store: Store) -> None:
    for name in ("job-1", "job-2"):
        ended(store, name)
    store.write_now(lambda tx: tx.outbox.cancel([2], at=NOW))
    send(store, kind=AttemptOutcome.HELD)
    revive(store, 2)
    assert store.write_now(lambda tx: tx.outbox.claim(A, now=later(20))) is None


def test_what_wrapd_has_replaced_by_a_later_alert_is_not_among_what_people_canceled(store: Store) -> None:
    def comes_and_goes(tx: Transaction) -> None:
        job = track(tx)
        for state in ("BLOCK", "WAITING", "BLOCK", "WAITING"):
            record(tx, job, state, routes=ONLY_A)

    store.write_now(comes_and_goes)
    (replaced,) = [row for row in rows(store) if row.status is DeliveryStatus.CANCELED]
    assert replaced.last_error == REPLACED
    store.write_now(lambda tx: tx.outbox.cancel([1], at=later(5)))
    assert store.read(lambda tx: tx.again.canceled(since=NOW)) == [1]
    assert store.read(lambda tx: tx.again.canceled(since=NOW, channel=B)) == []
    assert store.read(lambda tx: tx.again.canceled(since=later(6))) == []
    assert store.read(lambda tx: tx.again.canceled_before(later(6))) == 1
    assert revive(store, replaced.id) == 1  # a person naming it wants it
    assert rows(store)[replaced.id - 1].last_error is None


# ------------------------------------------------------------------------------------------------ resend


def test_what_was_sent_is_told_again_by_a_delivery_of_its_own(store: Store) -> None:
    job = ended(store)
    send(store)
    assert resend(store, 1) == 1
    first, second = rows(store)
    assert (first.status, first.sent_at) == ("sent", later(1))
    assert (second.status, second.channel, second.job, second.transition) == ("pending", A, job, first.transition)
    assert (second.due_at, second.created_at, second.held_until) == (later(10), later(10), None)
    assert second.facts == first.facts | {"resent_from": 1, "first_sent_at": later(1).isoformat()}
    assert send(store, seconds=11).id == second.id


def test_one_that_was_told_again_is_told_again_and_names_the_first(store: Store) -> None:
    ended(store)
    send(store)
    for turn in range(1, 4):
        assert resend(store, turn) == 1
        send(store, seconds=10 + turn)
    assert [row.facts.get("resent_from") for row in rows(store)] == [None, 1, 1, 1]
    assert {row.facts["first_sent_at"] for row in rows(store)[1:]} == {later(1).isoformat()}
    assert resend(store, 1, 2, 3, 4) == 1  # one event, one channel


def test_another_channel_is_told_each_event_once(store: Store) -> None:
    store.write_now(lambda tx: record(tx, track(tx), "SUCCEED"))
    for channel in (A, B):
        send(store, channel=channel)
    assert resend(store, 1, 2, to=ChannelName("c")) == 1
    assert (rows(store)[-1].channel, rows(store)[-1].facts["resent_from"]) == ("c", 1)


def test_a_repeat_is_no_news_it_damps_nothing_and_voids_nothing(store: Store) -> None:
    job = store.write_now(track)

    def moves(state: str, at: float) -> None:
        store.write_now(lambda tx: record(tx, job, state, at=later(at), routes=ONLY_A))

    moves("BLOCK", 0)
    send(store)
    resend(store, 1)
    resend(store, 1, seconds=11)
    moves("WAITING", 20)
    assert rows(store)[-1].due_at == later(20)  # the second of its kind, not the fourth
    for _ in range(3):
        send(store, seconds=30)
    moves("BLOCK", 40)
    waiting = rows(store)[-1]
    assert waiting.due_at > later(40)

    def an_end_was_told(tx: Transaction) -> None:
        sent = rows(store)[0]
        tx.again.resend([sent.__class__(**{**_values(sent), "event": Event.SUCCEEDED})], to=None, at=later(50))

    store.write_now(an_end_was_told)
    assert rows(store)[waiting.id - 1].status is DeliveryStatus.PENDING
    assert [send(store, seconds=60).id for _ in range(2)] == [waiting.id, waiting.id + 1]


def _values(row: DeliveryRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def test_what_quiet_hours_keep_before_it_goes_out_with_it(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "BLOCK", routes=ONLY_A))
    send(store)
    night = QuietHours(start=time(0), end=time(23), zone=UTC, urgent=frozenset())
    quiet = routing([], operators=None, channels=[A], quiet={A: night})
    store.write_now(lambda tx: record(tx, job, "SUCCEED", routes=quiet))
    assert rows(store)[1].due_at == rows(store)[1].held_until
    resend(store, 1)
    assert [send(store, seconds=11).id for _ in range(2)] == [2, 3]


def test_an_operators_alert_keeps_its_time(store: Store) -> None:
    alert = OperatorAlert(event=Event.PROJECT_DOWN, key="k", project=PROJECT)
    store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A], at=NOW))
    send(store)
    resend(store, 1)
    assert rows(store)[1].facts["observed_at"] == NOW.isoformat()
    assert rows(store)[1].project == PROJECT


@pytest.mark.parametrize(
    ("fit", "found"),
    [
        ({"job": 1}, [1]),
        ({"batch": "夜 🎬"}, [2, 3]),
        ({"batch": "夜%"}, []),
        ({"since": later(2)}, [2, 3]),
        ({"since": later(1), "channel": A}, [1, 2, 3]),
        ({"since": NOW, "channel": B}, []),
        ({"project": "other"}, []),
    ],
)
def test_what_was_sent_is_found(store: Store, fit: dict[str, object], found: list[int]) -> None:
    ended(store, "job-1")
    send(store, seconds=1)
    ended(store, "job-2", batch="夜 🎬")
    for _ in range(2):
        send(store, seconds=20)  # the job's end and the batch's
    ended(store, "job-3")
    wanted = store.read(lambda tx: [row.id for row in tx.again.sent(most=9, **fit)])  # type: ignore[arg-type]
    assert wanted == found
    assert len(store.read(lambda tx: tx.again.sent(most=1, **fit))) == min(1, len(found))  # type: ignore[arg-type]
