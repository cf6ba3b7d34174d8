"""Batches: the end is announced once, after their last job, and withdrawn when jobs are added in time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from daemon.domain.events import Event, membership
from daemon.domain.jobs import Asset, JobId, Observation, ProjectName
from daemon.domain.routing import Route, Routing, routing
from daemon.store import BATCH_SETTLE, AttemptOutcome, DeliveryRow, Outcome, Store
from tests.support.store import BOTH, NOW, PROJECT, SILENT, A, B, later, move, open_store, record, request, track

SETTLED = BATCH_SETTLE.total_seconds()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def tracked(store: Store, *names: str, batch: str = "b1", **more: object) -> list[int]:
    return store.write_now(lambda tx: [track(tx, name, batch=batch, **more) for name in names])


def told(store: Store) -> list[DeliveryRow]:
    """The alerts of ended batches on one channel, oldest first."""
    rows = store.read(lambda tx: tx.outbox.list(channel=A))[::-1]
    return [row for row in rows if row.event is Event.BATCH_FINISHED]


def end(store: Store, job: int, state: str = "SUCCEED", *, at: float = 0, routes: Routing = BOTH):
    return store.write_now(lambda tx: record(tx, job, state, at=later(at), routes=routes))


def test_the_end_of_a_batch_is_told_after_its_last_job(store: Store) -> None:
    first, second, other = *tracked(store, "job-1", "job-2"), *tracked(store, "job-3", batch="b2")
    end(store, first)
    end(store, other)
    assert [row.facts["batch"] for row in told(store)] == ["b2"]
    recorded = end(store, second, at=5)
    assert (recorded.deliveries, recorded.channels) == (4, (A, B))
    row = told(store)[1]
    assert row.key.startswith("batch/main/b1/batch_finished/")
    assert (row.job, row.project, row.transition) == (None, PROJECT, None)
    assert (row.created_at, row.due_at) == (later(5), later(5 + SETTLED))
    assert row.facts == {
        "batch": "b1",
        "jobs": 2,
        "succeeded": 2,
        **dict.fromkeys(("partial", "failed", "canceled", "lost", "expired", "stopped"), 0),
        "failures": [],
        "began": NOW.isoformat(),
        "ended": later(5).isoformat(),
        "observed_at": later(5).isoformat(),
        "members": membership([(first, 1), (second, 1)]),
    }


def test_a_step_that_is_no_end_tells_nothing_of_the_batch(store: Store) -> None:
    (job,) = tracked(store, "job-1")
    for state in ("WAITING", "PROCESSING", "BLOCK"):
        end(store, job, state)
    assert told(store) == []


def test_every_way_to_end_counts_and_failures_are_named(store: Store) -> None:
    names = ("fine", "partial", "canceled", "failed", "lost", "expired", "stopped")
    jobs = dict(zip(names, tracked(store, *names, label="Spring"), strict=True))

    def work(tx):
        record(tx, jobs["fine"], "SUCCEED")
        record(tx, jobs["partial"], "PARTIAL_SUCCEED")
        record(tx, jobs["canceled"], "CANCELED")
        seen = Observation(state="FAILED", asset=Asset(asset_name="Name"), error_code="E1", error_msg="x" * 999)
        tx.jobs.record_move(jobs["failed"], move(None, seen), seen, routing=BOTH, due_at=NOW)
        tx.jobs.record_end(jobs["lost"], Event.LOST, at=NOW, routing=BOTH, reason="gone")
        tx.jobs.untrack(PROJECT, JobId("stopped"), at=NOW, routing=BOTH)
        assert not [row for row in tx.outbox.list() if row.event is Event.BATCH_FINISHED]
        return tx.jobs.record_end(jobs["expired"], Event.EXPIRED, at=later(9), routing=BOTH, reason="too long")

    recorded = store.write_now(work)
    assert recorded.deliveries == 4
    facts = told(store)[0].facts
    counted = {name: facts[name] for name in ("succeeded", *names[1:])}
    assert (facts["jobs"], counted) == (7, dict.fromkeys(counted, 1))
    assert facts["failures"] == [
        {"job_id": "failed", "name": "Name", "event": "failed", "state": "FAILED", "error": "x" * 300},
        {"job_id": "lost", "name": "Spring", "event": "lost", "state": None, "error": None},
        {"job_id": "expired", "name": "Spring", "event": "expired", "state": None, "error": None},
        {"job_id": "canceled", "name": "Spring", "event": "canceled", "state": "CANCELED", "error": None},
    ]


def test_twenty_failures_are_named(store: Store) -> None:
    jobs = tracked(store, *(f"job-{number}" for number in range(23)))
    for job in jobs:
        end(store, job, "FAILED", routes=BOTH if job == jobs[-1] else SILENT)
    (row,) = told(store)
    assert row.facts["failed"] == 23
    assert [each["job_id"] for each in row.facts["failures"]] == [f"job-{number}" for number in range(20)]


def test_the_services_own_times_are_told(store: Store) -> None:
    (job,) = tracked(store, "job-1")
    seen = Observation(state="SUCCEED", created_at=later(-100), started_at=later(-90), ended_at=later(-10))
    store.write_now(lambda tx: tx.jobs.record_move(job, move(None, seen), seen, routing=BOTH, due_at=NOW))
    (row,) = told(store)
    assert (row.facts["began"], row.facts["ended"]) == (later(-100).isoformat(), later(-10).isoformat())


def test_untracking_the_last_one_ends_the_batch(store: Store) -> None:
    first, _ = tracked(store, "job-1", "job-2")
    end(store, first)
    assert store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId("job-2"), at=later(9), routing=BOTH)) == 1
    (row,) = told(store)
    assert (row.facts["succeeded"], row.facts["stopped"], row.due_at) == (1, 1, later(9 + SETTLED))
    assert row.facts["ended"] == NOW.isoformat()


def test_a_batch_that_people_stopped_wholly_is_not_told(store: Store) -> None:
    tracked(store, "job-1", "job-2")
    for name in ("job-1", "job-2"):
        store.write_now(lambda tx, name=name: tx.jobs.untrack(None, JobId(name), at=NOW, routing=BOTH))
    assert told(store) == []


def test_one_batch_name_in_two_projects_is_two_batches(store: Store) -> None:
    (mine,) = tracked(store, "job-1")
    tracked(store, "job-1", project=ProjectName("other"))
    end(store, mine)
    (row,) = told(store)
    assert (row.project, row.facts["jobs"]) == (PROJECT, 1)


def test_more_jobs_take_the_end_back(store: Store) -> None:
    (first,) = tracked(store, "job-1")
    end(store, first)
    tracked(store, "job-9", batch="b2")
    tracked(store, "job-1", project=ProjectName("other"))
    tracked(store, "job-10", batch="b1/batch_finished/1")
    assert [row.status for row in told(store)] == ["pending"]
    (second,) = tracked(store, "job-2")
    assert [row.status for row in told(store)] == ["canceled"]
    end(store, second, at=5)
    assert [(row.status, row.facts["jobs"]) for row in told(store)] == [("canceled", 1), ("pending", 2)]


@pytest.mark.parametrize("stop", ["lost", "stopped"])
def test_a_job_that_is_taken_up_again_takes_the_end_back(store: Store, stop: str) -> None:
    first, second = tracked(store, "job-1", "job-2")
    end(store, first)

    def leave(tx):
        if stop == "lost":
            tx.jobs.record_end(second, Event.LOST, at=NOW, routing=BOTH, reason="x")
        else:
            tx.jobs.untrack(PROJECT, JobId("job-2"), at=NOW, routing=BOTH)

    store.write_now(leave)
    store.write_now(lambda tx: tx.jobs.track(request("job-2"), at=later(1)))  # of its previous batch
    assert [row.status for row in told(store)] == ["canceled"]
    end(store, second, at=5)
    (before, now) = told(store)
    assert (before.status, now.status) == ("canceled", "pending")
    assert before.key != now.key


def test_a_job_that_moves_into_a_batch_takes_its_end_back(store: Store) -> None:
    (first,) = tracked(store, "job-1")
    (moved,) = tracked(store, "job-2", batch="b2")
    end(store, first)
    store.write_now(lambda tx: tx.jobs.track(request("job-2", batch="b1"), at=later(1)))
    assert [row.status for row in told(store)] == ["canceled"]
    end(store, moved)
    assert [row.facts["jobs"] for row in told(store)] == [1, 2]


def test_the_last_job_that_moves_to_another_batch_ends_the_one_it_leaves(store: Store) -> None:
    first, *_ = tracked(store, "job-1", "job-2", "job-3")

    def moved(name: str, at: float) -> None:
        wish = request(name, batch="b2")
        assert store.write_now(lambda tx: tx.jobs.track(wish, at=later(at), routing=BOTH)) == "already"

    end(store, first)
    moved("job-2", 1)
    assert told(store) == []  # one is still active
    moved("job-3", 2)
    moved("job-3", 3)
    (row,) = told(store)
    assert (row.facts["batch"], row.facts["jobs"], row.facts["succeeded"]) == ("b1", 1, 1)
    assert row.due_at == later(2 + SETTLED)


def test_a_batch_that_all_jobs_left_is_not_told(store: Store) -> None:
    tracked(store, "job-1")
    wish = [request("job-1", batch="b2"), request("job-2", batch="b1"), request("job-2", batch="b2")]
    store.write_now(lambda tx: tx.jobs.track_many(wish, at=later(1), routing=BOTH))
    assert told(store) == []


def test_tracking_what_is_known_again_changes_nothing(store: Store) -> None:
    jobs = tracked(store, "job-1", "job-2")
    requests = [request("job-1", batch="b1"), request("job-2", batch="b1")]
    assert store.write_now(lambda tx: tx.jobs.track_many(requests, at=later(1))) == ["already"] * 2
    for job in jobs:
        end(store, job)
    before = told(store)
    assert store.write_now(lambda tx: tx.jobs.track_many(requests, at=later(1))) == ["finished"] * 2
    assert told(store) == before
    assert len(store.read(lambda tx: tx.jobs.list())) == 2


def test_an_end_that_was_tried_is_not_taken_back(store: Store) -> None:
    (first,) = tracked(store, "job-1")
    end(
        store,
        first,
        routes=routing(
            [Route(events=frozenset({Event.BATCH_FINISHED}), channels=(A,))], operators=None, channels=[A]
        ),
    )
    claimed = store.write_now(lambda tx: tx.outbox.claim(A, now=later(SETTLED)))
    assert claimed is not None
    assert claimed.delivery.event is Event.BATCH_FINISHED
    tracked(store, "job-2")
    assert [row.status for row in told(store)] == ["sending"]
    outcome = Outcome(kind=AttemptOutcome.UNKNOWN, reason="x", due_at=later(99))
    store.write_now(lambda tx: tx.outbox.finish(claimed, outcome, at=NOW))
    tracked(store, "job-3")
    assert [row.status for row in told(store)] == ["pending"]


def test_a_batch_goes_where_all_that_its_jobs_share_goes(store: Store) -> None:
    events = frozenset({Event.BATCH_FINISHED})
    routes = routing(
        [
            Route(events=events, channels=(A,), kinds=("avatar",), tags=("x",), batches=("b1",)),
            Route(events=events, channels=(B,), tags=("y",)),
        ],
        operators=[],
        channels=[A, B],
    )
    jobs = tracked(store, "job-1", tags=("x", "y")) + tracked(store, "job-2", tags=("z", "x"))
    for job in jobs:
        end(store, job, routes=routes)
    assert [row.channel for row in store.read(lambda tx: tx.outbox.list())] == [A]
    mixed = tracked(store, "job-3", batch="b2", tags=("y",)) + tracked(store, "job-4", batch="b2", kind="photo")
    for job in mixed:
        end(store, job, routes=routes)
    assert len(store.read(lambda tx: tx.outbox.list())) == 1


def test_a_job_without_a_batch_costs_no_query_more(store: Store) -> None:
    plain, member, other = store.write_now(
        lambda tx: (track(tx, "job-1"), track(tx, "job-2", batch="b1"), track(tx, "job-3", batch="b1"))
    )
    asked: list[str] = []

    def work(tx):
        event.listen(tx.jobs._connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
        record(tx, plain, "SUCCEED")
        of_plain = len(asked)
        record(tx, member, "SUCCEED")
        return of_plain, len(asked) - of_plain

    of_plain, of_member = store.write_now(work)
    assert of_member == of_plain + 1
    assert not any("batch =" in sql and not sql.startswith("INSERT") for sql in asked[:of_plain])
    # The queries of the test and the program, the job, the transition, two alerts, and what blocks them.
    assert of_plain == 7
    assert other


TAKEN = Outcome(kind=AttemptOutcome.SENT, reason="200")


def sent(store: Store, at: float) -> list[frozenset[str]]:
    """Send what is due; returns the number of jobs of each announced batch, from its facts."""
    while (claimed := store.write_now(lambda tx: tx.outbox.claim(A, now=later(at)))) is not None:
        store.write_now(lambda tx, claimed=claimed: tx.outbox.finish(claimed, TAKEN, at=later(at)))
    return [row.facts["jobs"] for row in told(store) if row.status == "sent"]


def give(store: Store, name: str, batch: str, at: float) -> None:
    store.write_now(lambda tx: tx.jobs.track(request(name, batch=batch), at=later(at), routing=BOTH))


def test_one_that_joins_and_leaves_while_the_end_settles_does_not_swallow_it(store: Store) -> None:
    for job in tracked(store, "job-1", "job-2"):
        end(store, job)
    give(store, "job-3", "b1", 1)
    give(store, "job-3", "b2", 2)
    assert [row.status for row in told(store)] == ["canceled", "pending"]
    assert sent(store, 60) == [2]


def test_one_leaves_and_another_comes_and_ends(store: Store) -> None:
    for job in tracked(store, "job-1", "job-2"):
        end(store, job)
    assert sent(store, 60) == [2]
    give(store, "job-1", "b2", 61)
    (third,) = tracked(store, "job-3")
    end(store, third, at=62)
    assert sent(store, 120)[1:] in ([1, 2], [2, 1])  # that of b2, and the second one of b1


def test_jobs_that_had_ended_before_they_were_a_batch_are_told_once(store: Store) -> None:
    jobs = store.write_now(lambda tx: [track(tx, "job-1"), track(tx, "job-2")])
    for job in jobs:
        end(store, job)
    wish = [request("job-1", batch="b1"), request("job-2", batch="b1")]
    for at in (1, 2, 90):
        store.write_now(lambda tx, at=at: tx.jobs.track_many(wish, at=later(at), routing=BOTH))
        assert sent(store, at + 20) == [2]


def test_what_the_first_release_told_is_not_told_again(store: Store) -> None:
    for job in tracked(store, "job-1", "job-2"):
        end(store, job)
    assert sent(store, 60) == [2]

    def as_written_then(tx) -> None:
        connection = tx.outbox._connection
        connection.exec_driver_sql(
            "UPDATE deliveries SET key = 'batch/main/b1/batch_finished/2/2',"
            " facts = json_remove(facts, '$.members') WHERE event = 'batch_finished'"
        )

    store.write_now(as_written_then)
    give(store, "job-3", "b1", 61)
    give(store, "job-3", "b2", 62)
    assert sent(store, 120) == [2]
    give(store, "job-4", "b1", 121)
    (fourth,) = store.read(lambda tx: tx.jobs.find(JobId("job-4")))
    end(store, fourth.id, at=122)
    assert sent(store, 180) == [2, 3]
