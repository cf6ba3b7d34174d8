"""Quiet hours in the outbox: what waits for their end, what does not, and what goes along with it."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import Observation
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Route, Routing, Target, routing
from daemon.store import FAR, AttemptOutcome, Claimed, DeliveryRow, Outcome, Store
from tests.support.store import BOTH, NOW, PROJECT, A, B, later, move, open_store, record, track

MORNING = datetime(2026, 3, 1, 20, tzinfo=UTC)
HOURS = QuietHours(start=time(11), end=time(20), zone=UTC)
"""NOW is within these hours."""
SENT = Outcome(kind=AttemptOutcome.SENT, reason="200")
QUIET = routing([], operators=None, channels=[A, B], quiet={A: HOURS})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def row_of(store: Store, event: Event, channel=A) -> DeliveryRow:
    (row,) = [row for row in store.read(lambda tx: tx.outbox.list(channel=channel)) if row.event is event]
    return row


def claim(store: Store, now: datetime, channel=A) -> Claimed | None:
    return store.write_now(lambda tx: tx.outbox.claim(channel, now=now))


def go(store: Store, *states: str, name: str = "job-1", due: float = 0, routes: Routing = QUIET) -> int:
    def work(tx):
        job = track(tx, name)
        for state in states:
            record(tx, job, state, due_at=later(due), routes=routes)
        return job

    return store.write_now(work)


def test_an_alert_waits_for_the_end_of_quiet_hours(store: Store) -> None:
    go(store, "SUCCEED", due=3)
    row, other = row_of(store, Event.SUCCEEDED), row_of(store, Event.SUCCEEDED, B)
    assert (row.due_at, row.held_until, row.created_at) == (MORNING, MORNING, NOW)
    assert (other.due_at, other.held_until) == (later(3), None)
    assert claim(store, MORNING - timedelta(seconds=1)) is None
    assert store.read(lambda tx: tx.outbox.next_due(A, now=NOW)) == MORNING
    claimed = claim(store, MORNING)
    assert claimed is not None
    assert claimed.delivery.held_until == MORNING


def test_what_is_urgent_passes_and_takes_along_what_is_before_it(store: Store) -> None:
    go(store, "SUCCEED", name="other")
    go(store, "BLOCK", "WAITING")  # the thaw waits
    thaw = row_of(store, Event.UNBLOCKED)
    assert (thaw.due_at, row_of(store, Event.BLOCKED).held_until) == (MORNING, None)
    job = thaw.job
    store.write_now(lambda tx: record(tx, job, "FAILED", due_at=later(3), routes=QUIET))
    assert row_of(store, Event.UNBLOCKED).due_at == later(3)
    assert row_of(store, Event.SUCCEEDED).due_at == MORNING
    told = []
    while (claimed := claim(store, later(3))) is not None:
        told.append(claimed.delivery.event)
        store.write_now(lambda tx, claimed=claimed: tx.outbox.finish(claimed, SENT, at=later(3)))
    assert told == [Event.BLOCKED, Event.UNBLOCKED, Event.FAILED]


def test_one_that_was_tried_keeps_its_own_time(store: Store) -> None:
    go(store, "BLOCK", "WAITING")
    blocked = claim(store, NOW)
    assert blocked is not None
    store.write_now(lambda tx: tx.outbox.finish(blocked, SENT, at=NOW))
    thaw = claim(store, MORNING)
    assert thaw is not None
    put_off = Outcome(kind=AttemptOutcome.RETRY, reason="503", due_at=MORNING + timedelta(minutes=5))
    store.write_now(lambda tx: tx.outbox.finish(thaw, put_off, at=MORNING))
    store.write_now(lambda tx: record(tx, thaw.delivery.job, "FAILED", at=MORNING, routes=QUIET))
    assert row_of(store, Event.UNBLOCKED).due_at == MORNING + timedelta(minutes=5)


def test_operators_hear_after_their_quiet_hours_too(store: Store) -> None:
    def alert(key: str, event: Event = Event.PROJECT_DOWN) -> OperatorAlert:
        return OperatorAlert(event=event, key=key, project=PROJECT)

    def work(tx):
        kept = Target(channel=A, held_until=MORNING)
        return tx.outbox.add_operator(alert("down"), channels=[kept, B], at=NOW)

    assert store.write_now(work) == 2
    assert row_of(store, Event.PROJECT_DOWN).due_at == MORNING
    assert row_of(store, Event.PROJECT_DOWN, B).due_at == NOW
    # An alert of the same project that may not wait takes it along.
    up = alert("up", Event.PROJECT_RECOVERED)
    store.write_now(lambda tx: tx.outbox.add_operator(up, channels=[A], at=later(5)))
    assert row_of(store, Event.PROJECT_DOWN).due_at == later(5)


def test_operators_hear_by_the_routing_of_a_move(store: Store) -> None:
    job = store.write_now(track)
    seen = Observation(state="THAWING")
    alert = OperatorAlert(event=Event.UNKNOWN_STATE, key="x", project=PROJECT)

    def work(tx):
        moved = move(None, seen)
        return tx.jobs.record_move(job, moved, seen, routing=QUIET, due_at=NOW, operator_alerts=[alert])

    assert store.write_now(work).channels == (A, B)
    assert [row_of(store, Event.UNKNOWN_STATE, channel).due_at for channel in (A, B)] == [MORNING, NOW]


def test_a_download_link_does_not_end_quiet_hours(store: Store) -> None:
    job = go(store, "SUCCEED", due=3)
    store.write_now(lambda tx: tx.jobs.set_download_url(job, "https://h/file", at=later(1)))
    assert row_of(store, Event.SUCCEEDED).due_at == MORNING
    assert row_of(store, Event.SUCCEEDED, B).due_at == later(1)


@pytest.mark.parametrize(("back", "waits"), [(3, True), (17, True), (20, False)])
def test_a_clock_set_back_does_not_end_quiet_hours_unless_by_a_day(store: Store, back: int, waits: bool) -> None:
    go(store, "SUCCEED")
    now = NOW - timedelta(hours=back)
    assert (claim(store, now) is None) == waits


def test_what_is_put_off_after_quiet_hours_shows_a_clock_set_back(store: Store) -> None:
    go(store, "SUCCEED")
    claimed = claim(store, MORNING)
    assert claimed is not None
    due = MORNING + timedelta(hours=3)
    outcome = Outcome(kind=AttemptOutcome.RETRY, reason="503", due_at=due)
    store.write_now(lambda tx: tx.outbox.finish(claimed, outcome, at=MORNING))
    assert claim(store, due - FAR) is None
    assert claim(store, due - FAR - timedelta(seconds=1)) is not None


def test_a_start_without_quiet_hours_lets_go_what_was_kept(store: Store) -> None:
    go(store, "SUCCEED")
    assert store.write_now(lambda tx: tx.outbox.recover(at=later(5))) == 0
    store.write_now(lambda tx: tx.outbox.recover(at=later(5), routing=QUIET))
    assert row_of(store, Event.SUCCEEDED).due_at == MORNING
    store.write_now(lambda tx: tx.outbox.recover(at=later(5), routing=BOTH))
    assert row_of(store, Event.SUCCEEDED).due_at == later(5)


def test_without_quiet_hours_an_alert_costs_no_query_more(store: Store) -> None:
    jobs = store.write_now(lambda tx: [track(tx, "job-1"), track(tx, "job-2")])

    def count(tx, job, routes):
        asked: list[str] = []
        driver = tx.jobs._connection.connection.dbapi_connection
        driver.set_trace_callback(asked.append)
        record(tx, job, "FAILED", routes=routes)
        driver.set_trace_callback(None)
        return len(asked)

    assert store.write_now(lambda tx: count(tx, jobs[0], BOTH)) == 7
    assert store.write_now(lambda tx: count(tx, jobs[1], QUIET)) == 8


def hours(start: int, end: int, *, urgent: frozenset[Event] = frozenset({Event.FAILED})) -> QuietHours:
    return QuietHours(start=time(start), end=time(end), zone=UTC, urgent=urgent)


def start_with(store: Store, routes: Routing) -> None:
    store.write_now(lambda tx: tx.outbox.recover(at=later(5), routing=routes))


def quiet_by_route(start: int, end: int, **conditions: tuple[str, ...]) -> Routing:
    route = Route(events=frozenset(Event), channels=(A,), quiet=hours(start, end), **conditions)
    return routing([route, Route(events=frozenset(Event), channels=(B,))], operators=None, channels=[A, B])


@pytest.mark.parametrize(
    ("quiet", "due", "until"),
    [
        (hours(11, 18), MORNING - timedelta(hours=2), MORNING - timedelta(hours=2)),  # they end sooner
        (hours(21, 6), later(5), MORNING),  # they are not in force now
        (hours(11, 20, urgent=frozenset({Event.SUCCEEDED})), later(5), MORNING),  # not held back
        (hours(11, 22), MORNING, MORNING),  # never longer than before
    ],
)
def test_a_start_with_other_quiet_hours_keeps_no_alert_longer_than_they_ask(
    store: Store, quiet: QuietHours, due: datetime, until: datetime
) -> None:
    go(store, "SUCCEED")
    start_with(store, routing([], operators=None, channels=[A, B], quiet={A: quiet}))
    row = row_of(store, Event.SUCCEEDED)
    assert (row.due_at, row.held_until) == (due, until)
    assert claim(store, due - timedelta(seconds=1)) is None
    assert claim(store, due) is not None


def test_what_a_start_lets_go_takes_along_what_is_before_it(store: Store) -> None:
    go(store, "BLOCK", "WAITING", "SUCCEED")
    passing = hours(11, 20, urgent=frozenset({Event.SUCCEEDED}))
    start_with(store, routing([], operators=None, channels=[A, B], quiet={A: passing}))
    assert {row_of(store, event).due_at for event in (Event.UNBLOCKED, Event.SUCCEEDED)} == {later(5)}


def test_a_start_asks_the_routes_about_each_job_and_batch(store: Store) -> None:
    def work(tx):
        for name, tags in (("job-1", ("a", "b")), ("job-2", ("b",))):
            record(tx, track(tx, name, batch=name, tags=tags), "SUCCEED", routes=quiet_by_route(11, 20))
        alert = OperatorAlert(event=Event.PROJECT_DOWN, key="x", project=PROJECT)
        tx.outbox.add_operator(alert, channels=[Target(channel=A, held_until=MORNING)], at=NOW)

    store.write_now(work)
    start_with(store, quiet_by_route(11, 18, tags=("a",)))
    rows = store.read(lambda tx: tx.outbox.list(channel=A))[::-1]
    sooner = MORNING - timedelta(hours=2)
    assert [(row.event, row.due_at) for row in rows] == [
        (Event.SUCCEEDED, sooner),
        (Event.BATCH_FINISHED, later(5)),
        (Event.SUCCEEDED, MORNING),  # no longer routed here: it keeps its own time
        (Event.BATCH_FINISHED, later(5)),
        (Event.PROJECT_DOWN, later(5)),  # a route's quiet hours do not apply to operators
    ]
