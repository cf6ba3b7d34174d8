"""Jobs: tracking is idempotent, a move is written once with its alerts, and known values are not erased."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import Asset, ChannelName, JobId, KindSource, NamedBy, Observation, Tracking
from daemon.domain.routing import Route, routing
from daemon.store import NO_GROUP, ActivePage, Bookkeeping, Store, StoreRefused, TrackResult, to_stamp
from tests.support.store import BOTH, NOW, PROJECT, SILENT, A, B, later, move, open_store, record, request, track


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def test_tracking_twice_is_once(store: Store) -> None:
    first = store.write_now(lambda tx: tx.jobs.track(request(label="Spring", tags=("x",), batch="b1"), at=NOW))
    second = store.write_now(lambda tx: tx.jobs.track(request(), at=later(9)))
    assert (first, second) == (TrackResult.ADDED, TrackResult.ALREADY)
    (job,) = store.read(lambda tx: tx.jobs.list())
    assert (job.project, job.kind, job.job_id) == ("main", "avatar", "job-1")
    assert (job.label, job.tags, job.batch) == ("Spring", ("x",), "b1")
    assert (job.tracking, job.state, job.tracked_at, job.episode) == (Tracking.ACTIVE, None, NOW, 1)


def test_what_is_given_replaces_what_is_stored(store: Store) -> None:
    store.write_now(lambda tx: tx.jobs.track(request(label="old", tags=("x",), batch="b1"), at=NOW))
    store.write_now(lambda tx: tx.jobs.track(request(label="new", tags=("y", "z")), at=NOW))
    (job,) = store.read(lambda tx: tx.jobs.list())
    assert (job.label, job.tags, job.batch) == ("new", ("y", "z"), "b1")


def test_the_same_id_in_two_projects_is_two_jobs(store: Store) -> None:
    store.write_now(lambda tx: tx.jobs.track(request(project="one"), at=NOW))
    assert store.write_now(lambda tx: tx.jobs.track(request(project="two"), at=NOW)) is TrackResult.ADDED
    assert [job.project for job in store.read(lambda tx: tx.jobs.find(JobId("job-1")))] == ["one", "two"]
    assert store.write_now(lambda tx: tx.jobs.untrack(None, JobId("job-1"), at=NOW)) == 2


def test_a_stopped_job_is_taken_up_where_it_was(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "PROCESSING"))
    assert store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId("job-1"), at=NOW)) == 1
    assert store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId("job-1"), at=NOW)) == 0
    assert store.write_now(lambda tx: tx.jobs.track(request(), at=later(60))) is TrackResult.TAKEN_UP
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert (row.tracking, row.state, row.episode, row.tracked_at) == (Tracking.ACTIVE, "PROCESSING", 2, later(60))


def test_an_ended_job_stays_ended(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "SUCCEED"))
    assert store.write_now(lambda tx: tx.jobs.track(request(label="late"), at=later(60))) is TrackResult.FINISHED
    assert store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId("job-1"), at=NOW)) == 0
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert (row.tracking, row.label, row.episode) == (Tracking.FINISHED, "late", 1)


def test_many_are_tracked_at_once_each_as_it_stands(store: Store) -> None:
    def prepare(tx):
        for job_id in ("known", "other-kind", "stopped", "lost", "ended"):
            track(tx, job_id, label="old", tags=("x",), batch="b1")
        rows = {row.job_id: row.id for row in tx.jobs.list()}
        record(tx, rows["ended"], "SUCCEED")
        tx.jobs.record_end(rows["lost"], Event.LOST, at=NOW, routing=SILENT, reason="gone")
        tx.jobs.untrack(PROJECT, JobId("stopped"), at=NOW)
        tx.jobs.take_changes()

    store.write_now(prepare)
    requests = [
        request("known"),
        request("new", kind="photo", label="first", tags=("y",)),
        request("stopped", label="back"),
        request("other-kind", kind="photo"),
        request("lost", batch="b2"),
        request("ended", label="late"),
        request("known", project="other"),
    ]
    results = store.write_now(lambda tx: tx.jobs.track_many(requests, at=later(60)))
    assert results == ["already", "added", "taken_up", "already", "taken_up", "finished", "added"]
    rows = {(row.project, row.job_id): row for row in store.read(lambda tx: tx.jobs.list())}
    assert {key: (row.kind, row.label, row.tags, row.batch) for key, row in rows.items()} == {
        ("main", "known"): ("avatar", "old", ("x",), "b1"),
        ("main", "new"): ("photo", "first", ("y",), None),
        ("main", "stopped"): ("avatar", "back", ("x",), "b1"),
        ("main", "other-kind"): ("photo", "old", ("x",), "b1"),
        ("main", "lost"): ("avatar", "old", ("x",), "b2"),
        ("main", "ended"): ("avatar", "late", ("x",), "b1"),
        ("other", "known"): ("avatar", None, (), None),
    }
    assert {key[1] for key, row in rows.items() if row.episode == 2 and row.tracked_at == later(60)} == {
        "stopped",
        "lost",
    }
    assert rows["main", "ended"].tracking is Tracking.FINISHED
    changed = store.write_now(lambda tx: tx.jobs.take_changes())
    assert {(row.project, row.job_id) for row in changed} == {
        ("main", "new"),
        ("main", "stopped"),
        ("main", "other-kind"),
        ("main", "lost"),
        ("other", "known"),
    }


def test_one_job_several_times_in_one_call_is_tracked_once(store: Store) -> None:
    requests = [
        request("job-1", label="one", tags=("x",)),
        request("job-2"),
        request("job-1", label="two"),
        request("job-1", kind="photo", batch="b1"),
    ]
    results = store.write_now(lambda tx: tx.jobs.track_many(requests, at=NOW))
    assert results == ["added", "added", "already", "already"]
    first, second = store.read(lambda tx: tx.jobs.list())[::-1]
    assert (first.job_id, first.kind, first.label, first.tags, first.batch) == (
        *("job-1", "photo", "two"),
        ("x",),
        "b1",
    )
    assert (second.job_id, second.label, second.episode) == ("job-2", None, 1)


def test_more_than_one_statement_takes_are_tracked_and_looked_up(store: Store) -> None:
    ids = [JobId(f"job-{number}") for number in range(1203)]
    requests = [request(job_id) for job_id in ids]
    assert store.write_now(lambda tx: tx.jobs.track_many(requests, at=NOW)) == ["added"] * 1203
    assert store.write_now(lambda tx: tx.jobs.track_many(iter(requests), at=NOW)) == ["already"] * 1203
    store.write_now(lambda tx: tx.jobs.track(request("job-5", project="other"), at=NOW))
    known = store.read(lambda tx: tx.jobs.known(PROJECT, [*ids, JobId("nobody")]))
    assert set(known) == set(ids)
    assert {(job.kind, job.tracking, job.state) for job in known.values()} == {("avatar", Tracking.ACTIVE, None)}
    names = store.read(lambda tx: tx.jobs.names([*(job.id for job in known.values()), 99999]))
    assert names == {job.id: (job_id, None) for job_id, job in known.items()}


def test_many_are_stored_together_or_not_at_all(store: Store) -> None:
    requests = [*(request(f"job-{number}") for number in range(700)), request("bad", label="x" * 501)]
    with pytest.raises(StoreRefused, match="label_length"):
        store.write_now(lambda tx: tx.jobs.track_many(requests, at=NOW))
    assert store.read(lambda tx: tx.jobs.list()) == []
    assert store.write_now(lambda tx: tx.jobs.track_many([], at=NOW)) == []


def test_tracking_again_without_news_writes_nothing(store: Store) -> None:
    store.write_now(lambda tx: tx.jobs.track(request(label="x"), at=NOW))

    def count(tx):
        tx.jobs.track(request(), at=NOW)
        return tx.jobs._connection.exec_driver_sql("SELECT total_changes()").scalar_one()

    before = store.write_now(lambda tx: tx.jobs._connection.exec_driver_sql("SELECT total_changes()").scalar_one())
    assert store.write_now(count) == before


def test_changes_are_given_once(store: Store) -> None:
    store.write_now(lambda tx: [track(tx, f"job-{n}") for n in range(5)])
    taken = store.write_now(lambda tx: tx.jobs.take_changes(limit=3))
    rest = store.write_now(lambda tx: tx.jobs.take_changes(limit=3))
    assert [row.job_id for row in taken + rest] == [f"job-{n}" for n in range(5)]
    assert store.write_now(lambda tx: tx.jobs.take_changes()) == []
    store.write_now(lambda tx: tx.jobs.track(request("job-1", label="same"), at=NOW))
    assert store.write_now(lambda tx: tx.jobs.take_changes()) == []
    store.write_now(lambda tx: tx.jobs.track(request("job-1", kind="photo"), at=NOW))
    store.write_now(lambda tx: tx.jobs.untrack(None, JobId("job-2"), at=NOW))
    changed = store.write_now(lambda tx: tx.jobs.take_changes())
    assert [(row.job_id, row.kind, row.tracking) for row in changed] == [
        ("job-1", "photo", Tracking.ACTIVE),
        ("job-2", "avatar", Tracking.STOPPED),
    ]


AHEAD = 1_700_000_000.25
"""Seconds by which epoch time is ahead of the reader's clock."""
KINDS_OF_JOBS = ("avatar", "avatar", "photo", "photo", "avatar")


def active(
    store: Store, *, after: int = 0, limit: int = 5000, ahead: float = 0.0, usual: str = NO_GROUP
) -> ActivePage:
    return store.read(lambda tx: tx.jobs.active(after=after, limit=limit, ahead=ahead, usual=usual))


def test_active_jobs_come_in_pages(store: Store) -> None:
    ids = store.write_now(lambda tx: [track(tx, f"job-{n}") for n in range(7)])
    store.write_now(lambda tx: record(tx, ids[2], "FAILED"))
    store.write_now(lambda tx: [record(tx, ids[n], "PROCESSING") for n in (1, 5)])
    first = active(store, limit=4)
    second = active(store, after=first.last, limit=4)
    assert [row.id for page in (first, second) for row in page.others] == [ids[n] for n in (0, 3, 4, 6)]
    assert [row[0] for page in (first, second) for row in page.rows] == [ids[n] for n in (1, 5)]
    assert first.others[0].tracked_at == NOW
    assert active(store, after=second.last) == ([], [], 0, NO_GROUP, NO_GROUP)


def test_a_group_that_is_usual_is_not_named(store: Store) -> None:
    ids = store.write_now(lambda tx: [track(tx, f"job-{n}", kind=kind) for n, kind in enumerate(KINDS_OF_JOBS)])
    store.write_now(lambda tx: [record(tx, job, "PROCESSING") for job in ids])
    avatar, photo = "main\navatar\nPROCESSING", "main\nphoto\nPROCESSING"
    first = active(store, limit=3)
    assert ([row[2] for row in first.rows], first.following) == ([avatar, avatar, photo], photo)
    second = active(store, after=first.last, usual=first.following)
    assert ([row[2] for row in second.rows], second.following) == ([None, avatar], avatar)
    third = active(store, after=ids[2], limit=1, usual=photo)
    assert ([row[2] for row in third.rows], third.following) == ([None], photo)


@pytest.mark.parametrize(
    ("special", "ordinary"),
    [
        ({}, True),
        ({"kind_source": KindSource.FOUND}, True),
        ({"named_by": NamedBy.CALLBACK}, True),
        ({"kind_source": KindSource.GUESSED}, False),
        ({"again": True}, False),
        ({"state": None}, False),
    ],
)
def test_an_ordinary_job_comes_as_the_watch_needs_it_and_another_with_all_columns(
    store: Store, special: dict[str, Any], ordinary: bool
) -> None:
    state, again = special.pop("state", "PROCESSING"), special.pop("again", False)
    job = store.write_now(lambda tx: track(tx, "job-1", **special))
    seen = Observation(state="PROCESSING", created_at=later(1), started_at=later(2), reported_at=later(3))
    if state is not None:
        store.write_now(lambda tx: tx.jobs.record_move(job, move(None, seen), seen, routing=BOTH, due_at=NOW))
    if again:
        store.write_now(lambda tx: tx.jobs.untrack(None, JobId("job-1"), at=NOW))
        store.write_now(lambda tx: track(tx, "job-1"))
    [row] = store.write_now(lambda tx: tx.jobs.take_changes())
    page = active(store, ahead=AHEAD)
    assert page.last == job
    if not ordinary:
        assert (page.rows, page.others) == ([], [row])
        return
    assert not page.others
    since, started, reported = (each.timestamp() for each in (NOW, later(2), later(3)))
    group = f"{row.project}\n{row.kind}\nPROCESSING"
    assert page.rows == [
        (
            *(job, row.job_id, group, since - AHEAD, row.tracked_stamp, started - AHEAD, reported),
            row.expected_length,
        )
    ]


def test_an_active_job_is_read_as_it_is_stored_and_converted_on_access(store: Store) -> None:
    jobs = store.write_now(lambda tx: [track(tx, f"job-{n}", kind_source=KindSource.GUESSED) for n in range(2)])
    seen = Observation(state="PROCESSING", reported_at=later(3), created_at=later(1), started_at=later(2))
    for job in jobs:
        store.write_now(
            lambda tx, job=job: tx.jobs.record_move(job, move(None, seen), seen, routing=BOTH, due_at=NOW)
        )
    known = store.read(lambda tx: tx.jobs.get(jobs[0]))
    first, second = active(store).others
    assert known is not None
    for name in (
        *("id", "project", "kind", "job_id", "state", "state_since", "tracked_at", "episode", "tracking"),
        *("created_at", "started_at", "reported_at", "expected_length", "kind_source", "named_by", "kind_tries"),
    ):
        assert getattr(first, name) == getattr(known, name), name
    assert {type(value) for value in first} <= {int, str, float, type(None)}, (
        "nothing is converted that nobody reads"
    )
    assert first.state is second.state, "one object, however many rows"


def test_a_move_is_written_once_with_its_alerts(store: Store) -> None:
    job = store.write_now(track)
    seen = Observation(
        state="SUCCEED",
        reported_at=later(-5),
        duration=607.5,
        asset=Asset(asset_id="v1", cover_url="https://h/c", preview_url="https://h/p"),
    )
    moved = move(None, seen)

    def work(tx):
        return tx.jobs.record_move(job, moved, seen, routing=BOTH, due_at=later(3))

    recorded = store.write_now(work)
    assert recorded is not None
    assert (recorded.deliveries, recorded.channels) == (2, (A, B))
    assert store.write_now(work) is None
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert (row.state, row.state_since, row.tracking, row.duration) == ("SUCCEED", NOW, Tracking.FINISHED, 607.5)
    assert (row.asset, row.links_at) == (seen.asset, NOW)
    (transition,) = store.read(lambda tx: tx.history.transitions(job))
    assert (transition.id, transition.seq, transition.before, transition.after) == (
        recorded.transition,
        1,
        None,
        "SUCCEED",
    )
    assert (transition.observed_at, transition.reported_at) == (NOW, later(-5))
    deliveries = store.read(lambda tx: tx.outbox.list(job=job))
    assert {(d.channel, d.event, d.due_at, d.key) for d in deliveries} == {
        (A, Event.SUCCEEDED, later(3), f"job/{job}/succeeded"),
        (B, Event.SUCCEEDED, later(3), f"job/{job}/succeeded"),
    }
    assert deliveries[0].facts == {
        "state": "SUCCEED",
        "before": None,
        "observed_at": NOW.isoformat(),
        "reported_at": later(-5).isoformat(),
    }


@pytest.mark.parametrize("known", ["WAITING", "PROCESSING"])
def test_a_move_from_another_state_writes_nothing(store: Store, known: str) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, known))
    seen = Observation(state="SUCCEED")
    stale = move(None, seen)
    assert store.write_now(lambda tx: tx.jobs.record_move(job, stale, seen, routing=BOTH, due_at=NOW)) is None
    assert len(store.read(lambda tx: tx.history.transitions(job))) == 1
    assert store.read(lambda tx: tx.outbox.list()) == []


def test_a_job_that_is_not_tracked_does_not_move(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId("job-1"), at=NOW))
    assert store.write_now(lambda tx: record(tx, job, "SUCCEED")) is None
    seen = Observation(state="FAILED")
    assert (
        store.write_now(lambda tx: tx.jobs.record_move(99, move(None, seen), seen, routing=BOTH, due_at=NOW))
        is None
    )


def test_a_freeze_is_told_each_time_and_an_end_once(store: Store) -> None:
    job = store.write_now(track)
    for state in ("PROCESSING", "BLOCK", "PROCESSING", "BLOCK", "WAITING", "SUCCEED"):
        store.write_now(lambda tx, state=state: record(tx, job, state))
    events = [d.event for d in store.read(lambda tx: tx.outbox.list(channel=A))]
    assert events == ["succeeded", "unblocked", "blocked", "unblocked", "blocked"]
    assert [t.seq for t in store.read(lambda tx: tx.history.transitions(job))] == [1, 2, 3, 4, 5, 6]


def test_without_a_route_nothing_is_told(store: Store) -> None:
    job = store.write_now(track)
    recorded = store.write_now(lambda tx: record(tx, job, "SUCCEED", routes=SILENT))
    assert recorded is not None
    assert (recorded.deliveries, recorded.channels) == (0, ())


def test_what_an_answer_lacks_erases_nothing(store: Store) -> None:
    job = store.write_now(track)
    full = Observation(
        state="PROCESSING",
        created_at=later(-9),
        duration=3.0,
        asset=Asset(cover_url="https://h/c1", preview_url="https://h/p1"),
        error_code="E1",
    )
    bare = Observation(state="FAILED", asset=Asset(cover_url="https://h/c2"), error_msg="why")

    def work(tx):
        tx.jobs.record_move(job, move(None, full), full, routing=SILENT, due_at=NOW)
        tx.jobs.record_move(job, move("PROCESSING", bare, at=later(60)), bare, routing=SILENT, due_at=NOW)
        return tx.jobs.get(job)

    row = store.write_now(work)
    assert (row.created_at, row.duration, row.error_code, row.error_msg) == (later(-9), 3.0, "E1", "why")
    assert (row.asset.cover_url, row.asset.preview_url) == ("https://h/c2", "https://h/p1")
    assert row.links_at == NOW  # the preview is that old


def test_new_links_bring_their_time(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "PROCESSING", asset=Asset(cover_url="https://h/c1")))
    store.write_now(lambda tx: record(tx, job, "SUCCEED", at=later(60), asset=Asset(cover_url="https://h/c2")))
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert row.links_at == later(60)


def test_a_moves_alerts_tell_what_else_is_known(store: Store) -> None:
    job = store.write_now(track)
    seen = Observation(state="PROCESSING")
    routes = routing([Route(events=frozenset({Event.STARTED}), channels=(A,))], operators=[B], channels=[A, B])
    facts = {"eta": {"median": 90.5, "low": 60.0}, "state": "not this"}
    alert = OperatorAlert(event=Event.UNKNOWN_STATE, key="x", facts={"mine": 1})

    def work(tx):
        return tx.jobs.record_move(
            job, move(None, seen), seen, routing=routes, due_at=NOW, operator_alerts=[alert], facts=facts
        )

    recorded = store.write_now(work)
    assert recorded is not None
    assert recorded.channels == (A, B)
    operators, started = store.read(lambda tx: tx.outbox.list())
    assert (started.event, started.facts["eta"]) == (Event.STARTED, {"median": 90.5, "low": 60.0})
    assert started.facts["state"] == "PROCESSING"  # what is stored takes precedence
    assert operators.facts == {"mine": 1}


def test_a_job_that_takes_too_long_is_told_once_in_its_life(store: Store) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "PROCESSING", routes=SILENT))

    def stuck(tx):
        return tx.jobs.record_stuck(job, at=later(5), routing=BOTH, facts={"normal": 300.0})

    first = store.write_now(stuck)
    assert first is not None
    assert (first.transition, first.deliveries, first.channels) == (None, 2, (A, B))
    assert store.write_now(stuck) is None
    rows = store.read(lambda tx: tx.outbox.list())
    assert {(row.event, row.key, row.job, row.due_at) for row in rows} == {
        (Event.STUCK, f"job/{job}/stuck", job, later(5))
    }
    assert rows[0].facts == {
        "state": "PROCESSING",
        "before": None,
        "observed_at": later(5).isoformat(),
        "reported_at": None,
        "normal": 300.0,
    }
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert (row.state, row.tracking) == ("PROCESSING", Tracking.ACTIVE)
    # A channel added later gets nothing of it, and a new episode does not repeat the alert.
    more = routing([], operators=None, channels=[A, B, ChannelName("c")])
    store.write_now(lambda tx: tx.jobs.untrack(None, JobId("job-1"), at=NOW))
    assert store.write_now(lambda tx: tx.jobs.record_stuck(job, at=NOW, routing=more)) is None
    store.write_now(lambda tx: tx.jobs.track(request(), at=later(6)))
    assert store.write_now(lambda tx: tx.jobs.record_stuck(job, at=NOW, routing=more)) is None
    assert len(store.read(lambda tx: tx.outbox.list())) == 2


@pytest.mark.parametrize("state", ["SUCCEED", "PARTIAL_SUCCEED", "FAILED", "CANCELED"])
def test_a_job_that_has_ended_is_not_stuck(store: Store, state: str) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, state, routes=SILENT))
    assert store.write_now(lambda tx: tx.jobs.record_stuck(job, at=NOW, routing=BOTH)) is None
    assert store.write_now(lambda tx: tx.jobs.record_stuck(99, at=NOW, routing=BOTH)) is None
    assert store.read(lambda tx: tx.outbox.list()) == []


def test_a_stuck_job_without_a_route_writes_nothing(store: Store) -> None:
    job = store.write_now(track)
    recorded = store.write_now(lambda tx: tx.jobs.record_stuck(job, at=NOW, routing=SILENT))
    assert recorded is not None
    assert (recorded.deliveries, recorded.channels) == (0, ())


def test_a_partial_success_ends_tracking_and_is_told(store: Store) -> None:
    job = store.write_now(track)
    recorded = store.write_now(lambda tx: record(tx, job, "PARTIAL_SUCCEED"))
    assert recorded is not None
    assert recorded.channels == (A, B)
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert row.tracking is Tracking.FINISHED
    assert store.write_now(lambda tx: tx.jobs.track(request(), at=later(60))) is TrackResult.FINISHED


def test_operators_hear_in_the_same_transaction(store: Store) -> None:
    job = store.write_now(track)
    seen = Observation(state="THAWING")
    alert = OperatorAlert(
        event=Event.UNKNOWN_STATE, key="unknown/THAWING", project=PROJECT, facts={"state": "THAWING"}
    )

    def work(tx):
        return tx.jobs.record_move(
            job, move(None, seen), seen, routing=BOTH, due_at=later(9), operator_alerts=[alert]
        )

    recorded = store.write_now(work)
    assert recorded is not None
    assert (recorded.deliveries, recorded.channels) == (2, (A, B))
    first = store.read(lambda tx: tx.outbox.list())[0]
    assert (first.event, first.job, first.project, first.due_at) == (Event.UNKNOWN_STATE, None, PROJECT, NOW)
    assert first.facts == {"state": "THAWING"}


@pytest.mark.parametrize(("event", "tracking"), [(Event.LOST, Tracking.LOST), (Event.EXPIRED, Tracking.EXPIRED)])
def test_the_end_of_tracking_is_told_once_for_each_episode(store: Store, event: Event, tracking: Tracking) -> None:
    job = store.write_now(track)
    store.write_now(lambda tx: record(tx, job, "PROCESSING", routes=SILENT))

    def end(tx):
        return tx.jobs.record_end(job, event, at=later(5), routing=BOTH, reason="not found for 10 min")

    first = store.write_now(end)
    assert first is not None
    assert (first.transition, first.deliveries, first.channels) == (None, 2, (A, B))
    assert store.write_now(end) is None
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert (row.tracking, row.state) == (tracking, "PROCESSING")
    store.write_now(lambda tx: tx.jobs.track(request(), at=later(6)))
    second = store.write_now(end)
    assert second is not None
    assert second.deliveries == 2
    delivery = store.read(lambda tx: tx.outbox.list())[0]
    assert delivery.facts["reason"] == "not found for 10 min"
    assert delivery.facts["state"] == "PROCESSING"


def test_only_lost_and_expired_end_tracking(store: Store) -> None:
    job = store.write_now(track)
    with pytest.raises(ValueError, match="succeeded does not end"):
        store.write_now(lambda tx: tx.jobs.record_end(job, Event.SUCCEEDED, at=NOW, routing=BOTH, reason="x"))


def test_the_download_link_hastens_the_waiting_alerts(store: Store) -> None:
    job = store.write_now(track)
    other = store.write_now(lambda tx: track(tx, "job-2"))
    store.write_now(lambda tx: record(tx, job, "SUCCEED", due_at=later(3)))
    store.write_now(lambda tx: record(tx, other, "SUCCEED", due_at=later(3)))
    store.write_now(lambda tx: tx.jobs.set_download_url(job, "https://h/file", at=later(1)))
    assert [d.due_at for d in store.read(lambda tx: tx.outbox.list(job=job))] == [later(1)] * 2
    assert [d.due_at for d in store.read(lambda tx: tx.outbox.list(job=other))] == [later(3)] * 2
    store.write_now(lambda tx: tx.jobs.set_download_url(job, None, at=later(2)))
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    assert (row.asset.download_url, row.links_at) == ("https://h/file", later(1))


def test_checkpoints_add_up_and_leave_ended_jobs_without_a_next_poll(store: Store) -> None:
    job, ended = store.write_now(lambda tx: (track(tx, "job-1"), track(tx, "job-2")))
    store.write_now(lambda tx: record(tx, ended, "FAILED"))
    look = Bookkeeping(
        job=job, last_polled_at=to_stamp(NOW), next_poll_at=to_stamp(later(5)), polls=3, last_error="HTTP 503"
    )
    store.write_now(lambda tx: tx.jobs.checkpoint([look, replace(look, job=ended)]))
    store.write_now(lambda tx: tx.jobs.checkpoint([replace(look, last_polled_at=None, polls=1, last_error=None)]))
    store.write_now(lambda tx: tx.jobs.checkpoint([]))
    row, other = store.read(lambda tx: (tx.jobs.get(job), tx.jobs.get(ended)))
    assert row is not None
    assert other is not None
    assert (row.polls, row.last_polled_at, row.next_poll_at, row.last_error) == (4, NOW, later(5), None)
    assert (other.polls, other.next_poll_at, other.last_error) == (3, None, "HTTP 503")


def test_a_checkpoint_says_how_and_why_a_job_is_asked(store: Store) -> None:
    job, ended = store.write_now(lambda tx: (track(tx, "job-1"), track(tx, "job-2")))
    store.write_now(lambda tx: record(tx, ended, "FAILED"))
    look = Bookkeeping(
        job=job,
        last_polled_at=to_stamp(NOW),
        next_poll_at=to_stamp(later(5)),
        polls=1,
        last_error=None,
        asked_by="ids",
        next_reason="price",
    )

    def known(*looks):
        store.write_now(lambda tx: tx.jobs.checkpoint(looks))
        return [
            (row.asked_by, row.next_reason, row.next_poll_at)
            for row in store.read(lambda tx: (tx.jobs.get(job), tx.jobs.get(ended)))
        ]

    assert known(look, replace(look, job=ended)) == [("ids", "price", later(5)), ("ids", None, None)]
    assert known(replace(look, asked_by=None, next_reason=None))[0] == ("ids", None, later(5))
    assert known(replace(look, asked_by="feed"))[0] == ("feed", "price", later(5))
    assert known(replace(look, next_poll_at=None))[0] == ("ids", None, None)


def test_looks_are_apart_only_while_a_job_is_tracked(store: Store) -> None:
    """A job's own row, as an earlier version left it or as its looks were added to it, counts on from there."""

    def apart(tx):
        return tx.jobs._connection.exec_driver_sql("SELECT job, polls FROM looks").all()

    def looked(tx, **values):
        tx.jobs.checkpoint([replace(look, **values)])
        row = tx.jobs.get(job)
        assert [row] == tx.jobs.list() == tx.following.rows([job])
        return row.polls, row.last_polled_at, row.asked_by, row.last_error, row.next_poll_at, row.next_reason

    def work(tx):
        tx.jobs._connection.exec_driver_sql("UPDATE jobs SET polls = 5, asked_by = 'feed', last_error = 'x'")
        assert looked(tx, asked_by=None) == (7, NOW, "feed", None, later(5), "price")
        assert looked(tx) == (9, NOW, "ids", None, later(5), "price")
        assert apart(tx) == [(job, 4)]
        record(tx, job, "FAILED")
        assert apart(tx) == []
        assert looked(tx, last_polled_at=to_stamp(later(1)), last_error="HTTP 503") == (
            *(11, later(1), "ids", "HTTP 503"),
            *(None, None),
        )
        assert apart(tx) == [], "a look that is written after the end is added at once"
        tx.jobs._connection.exec_driver_sql(
            "UPDATE jobs SET tracking = 'active', state = NULL, state_since = NULL"
        )
        assert tx.jobs.get(job).next_poll_at is None, "what was planned before holds no longer"
        assert looked(tx)[0] == 13
        tx.jobs.checkpoint([replace(look, job=job + 1)])  # is not known
        assert apart(tx) == [(job, 2)]
        tx.jobs._connection.exec_driver_sql("DELETE FROM jobs")
        assert apart(tx) == []

    job = store.write_now(track)
    look = Bookkeeping(job, 2, to_stamp(NOW), to_stamp(later(5)), None, "ids", "price")
    store.write_now(work)


@pytest.mark.parametrize("end", ["record_move", "record_end", "untrack"])
def test_a_job_that_is_no_longer_asked_has_no_reason_to_be(store: Store, end: str) -> None:
    job = store.write_now(track)
    look = Bookkeeping(
        job=job,
        last_polled_at=to_stamp(NOW),
        next_poll_at=to_stamp(later(5)),
        polls=1,
        last_error=None,
        next_reason="price",
    )
    ends = {
        "record_move": lambda tx: record(tx, job, "FAILED"),
        "record_end": lambda tx: tx.jobs.record_end(job, Event.LOST, at=NOW, routing=BOTH, reason="x"),
        "untrack": lambda tx: tx.jobs.untrack(PROJECT, JobId("job-1"), at=NOW),
    }

    def work(tx):
        tx.jobs.checkpoint([look])
        assert tx.jobs.get(job).next_reason == "price"
        assert ends[end](tx)
        return tx.jobs.get(job)

    row = store.write_now(work)
    assert row.tracking is not Tracking.ACTIVE
    assert (row.next_reason, row.next_poll_at) == (None, None)


def test_the_watch_gets_the_times_of_the_service(store: Store) -> None:
    plain, known = store.write_now(lambda tx: (track(tx, "job-1"), track(tx, "job-2")))
    seen = Observation(
        state="PROCESSING", created_at=later(-9), started_at=later(-8), reported_at=later(-0.000001)
    )
    store.write_now(lambda tx: tx.jobs.record_move(known, move(None, seen), seen, routing=SILENT, due_at=NOW))
    store.write_now(lambda tx: tx.jobs.set_expected_length(known, 30.0))
    rows = store.write_now(lambda tx: tx.jobs.take_changes())
    assert [(r.id, r.created_at, r.started_at, r.reported_at, r.expected_length) for r in rows] == [
        (plain, None, None, None, None),
        (known, later(-9), later(-8), later(-0.000001), 30.0),
    ]
    assert (rows[1].state, rows[1].state_since, rows[1].tracked_at) == ("PROCESSING", NOW, NOW)


def test_lists_fit_all_that_is_given(store: Store) -> None:
    def fill(tx):
        for number, tags in enumerate([("red",), ("Red", 'a"b'), ('x,"red"',), ("redder", "blue"), ()]):
            track(tx, f"job-{number}", tags=tags, batch="b1" if number % 2 else None)
        record(tx, tx.jobs.find(JobId("job-1"))[0].id, "SUCCEED")

    store.write_now(fill)

    def ids(**given):
        return [job.job_id for job in store.read(lambda tx: tx.jobs.list(**given))]

    assert ids() == ["job-4", "job-3", "job-2", "job-1", "job-0"]
    assert ids(limit=2) == ["job-4", "job-3"]
    assert ids(tag="red") == ["job-0"]
    assert ids(tag='a"b') == ["job-1"]
    assert ids(tag="blue") == ["job-3"]
    assert ids(tag='x,"red"') == ["job-2"]
    assert ids(batch="b1", tracking=Tracking.ACTIVE) == ["job-3"]
    assert ids(state="SUCCEED", project="main") == ["job-1"]
    assert ids(project="other") == []
    assert store.read(lambda tx: tx.jobs.counts()) == {
        ("main", Tracking.ACTIVE): 4,
        ("main", Tracking.FINISHED): 1,
    }


def test_a_text_that_is_too_long_is_refused(store: Store) -> None:
    with pytest.raises(StoreRefused, match="label_length"):
        store.write_now(lambda tx: tx.jobs.track(request(label="x" * 501), at=NOW))
    with pytest.raises(StoreRefused, match="without an offset"):
        store.write_now(lambda tx: tx.jobs.track(request(), at=NOW.replace(tzinfo=None)))
    assert store.read(lambda tx: tx.jobs.list()) == []
