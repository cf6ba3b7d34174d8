"""Jobs and alerts of projects and channels missing from the config: found, counted, and reported once for as long
as the name is missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.domain.orphans import What, move_command
from daemon.domain.routing import Routing, routing
from daemon.store import AttemptOutcome, DeliveryRow, Outcome, Store
from tests.support.store import NOW, A, B, later, open_store, record, track

OPS = routing([], operators=[A], channels=[A, B])
KNOWN: dict[What, list[str]] = {"project": ["main"], "channel": [A, B]}
GONE = ChannelName("gone")
OLD: tuple[What, str] = ("project", "old")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def found(store: Store) -> list[tuple[str, str, int]]:
    return [(each.what, each.name, each.count) for each in store.read(lambda tx: tx.orphans.count(KNOWN))]


def look(store: Store, *back: tuple[What, str], at: float = 0, routes: Routing = OPS) -> list[ChannelName]:
    """Do what a daemon does after a start or a reload; `back` are names that the config had in between."""
    return store.write_now(
        lambda tx: tx.orphans.tell(tx.orphans.count(KNOWN), KNOWN, back=back, routing=routes, at=later(at))
    )


def told(store: Store, channel: ChannelName = A) -> list[DeliveryRow]:
    rows = store.read(lambda tx: tx.outbox.list(channel=channel))[::-1]
    return [row for row in rows if row.event is Event.ORPHANED]


def waiting(store: Store, key: str = "waits", channel: ChannelName = GONE) -> None:
    alert = OperatorAlert(event=Event.PROJECT_DOWN, key=key)
    store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[channel], at=NOW))


def send(store: Store, channel: ChannelName, *, outcome: AttemptOutcome = AttemptOutcome.SENT) -> None:
    def work(tx):
        claimed = tx.outbox.claim(channel, now=later(1000))
        tx.outbox.finish(claimed, Outcome(kind=outcome, reason="x", due_at=later(2000)), at=NOW)

    store.write_now(work)


def stop(store: Store, job: str = "job-1", project: str = "old") -> None:
    store.write_now(lambda tx: tx.jobs.untrack(ProjectName(project), JobId(job), at=NOW))


# ------------------------------------------------------------------------------------------------- counting


def test_active_jobs_of_missing_projects_are_counted(store: Store) -> None:
    def work(tx) -> None:
        for job in ("job-1", "job-2", "job-3"):
            track(tx, job, project="old")
            track(tx, job)
        record(tx, track(tx, "job-4", project="old"), "SUCCEED")
        record(tx, track(tx, "job-1", project="ended"), "FAILED")
        track(tx, "job-1", project="ünï 项目 🎬")

    store.write_now(work)
    stop(store, "job-3")
    assert found(store) == [("project", "old", 2), ("project", "ünï 项目 🎬", 1)]


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (None, True),
        (AttemptOutcome.RETRY, True),
        (AttemptOutcome.HELD, True),
        (AttemptOutcome.SENT, False),
        (AttemptOutcome.DEAD, False),
    ],
)
def test_unsent_alerts_of_missing_channels_are_counted(
    store: Store, outcome: AttemptOutcome | None, counted: bool
) -> None:
    waiting(store)
    waiting(store, channel=A)
    if outcome is not None:
        send(store, GONE, outcome=outcome)
    assert found(store) == ([("channel", GONE, 1)] if counted else [])


def test_what_is_being_sent_is_counted(store: Store) -> None:
    waiting(store)
    store.write_now(lambda tx: tx.outbox.claim(GONE, now=NOW))
    assert found(store) == [("channel", GONE, 1)]


# ------------------------------------------------------------------------------------------------- alerting


def test_the_alert_says_what_and_how_many_and_which_command_moves_them(store: Store) -> None:
    store.write_now(lambda tx: [track(tx, job, project="old") for job in ("job-1", "job-2")])
    waiting(store)
    assert look(store) == [A, A]
    project, channel = told(store)
    facts = {"observed_at": NOW.isoformat()}
    command = "wrapd jobs move --project old main"
    assert project.facts == {"project": "old", "jobs": 2, "command": command, **facts}
    assert (project.project, project.job) == ("old", None)
    command = "wrapd deliveries move --channel gone NEW"
    assert channel.facts == {"channel": "gone", "deliveries": 1, "command": command, **facts}
    assert channel.project is None
    assert told(store, B) == []


def test_it_is_told_once_however_often_wrapd_looks(store: Store) -> None:
    store.write_now(lambda tx: track(tx, project="old"))
    waiting(store)
    look(store)
    for at in range(30):
        assert look(store, at=at) == []
    assert len(told(store)) == 2


def test_once_it_is_sent_and_the_rows_have_changed_it_is_not_told_again(store: Store) -> None:
    store.write_now(lambda tx: [track(tx, job, project="old") for job in ("job-1", "job-2")])
    look(store)
    send(store, A)
    stop(store)
    store.write_now(lambda tx: track(tx, "job-3", project="old"))
    stop(store, "job-2")
    assert found(store) == [("project", "old", 1)]
    assert look(store) == []


def test_a_name_that_came_back_and_went_again_is_told_again(store: Store) -> None:
    store.write_now(lambda tx: track(tx, project="old"))
    for number in range(1, 4):
        assert look(store, OLD, at=number) == [A]
        send(store, A)
        assert look(store, at=number) == []
        assert len(told(store)) == number
    assert len({row.key for row in told(store)}) == 3


def test_what_is_back_before_it_was_told_is_not_told(store: Store) -> None:
    store.write_now(lambda tx: track(tx, project="old"))
    look(store)
    store.write_now(lambda tx: tx.orphans.tell([], KNOWN, back=[OLD], routing=OPS, at=later(1)))
    assert [row.status for row in told(store)] == ["canceled"]
    assert not store.read(lambda tx: tx.orphans.are_told())


def test_what_is_found_after_nothing_was_left_is_told_again(store: Store) -> None:
    store.write_now(lambda tx: track(tx, project="old"))
    look(store)
    send(store, A)
    stop(store)
    assert look(store) == []
    store.write_now(lambda tx: track(tx, "job-2", project="old"))
    assert look(store) == [A]
    assert [row.facts.get("over") for row in told(store)] == [True, None]


def test_each_name_has_a_life_of_its_own(store: Store) -> None:
    """One name may be the prefix of another, and a channel may have the name of a project."""
    store.write_now(lambda tx: [track(tx, project=name) for name in ("old", "old/1", "old~", "项目", "gone")])
    waiting(store)
    assert len(look(store)) == 6
    assert look(store, OLD) == [A]
    assert look(store) == []
    again = [row.facts["project"] for row in told(store) if row.facts.get("project") == "old"]
    assert len(again) == 2


def test_a_channel_that_comes_to_the_operators_hears_of_what_stands_open(store: Store) -> None:
    store.write_now(lambda tx: track(tx, project="old"))
    look(store)
    both = routing([], operators=[A, B], channels=[A, B])
    assert look(store, routes=both) == [B]
    assert look(store, routes=both) == []


def test_once_its_alert_is_pruned_what_is_still_missing_is_told_again(store: Store) -> None:
    store.write_now(lambda tx: track(tx, project="old"))
    look(store)
    send(store, A)
    store.write_now(lambda tx: tx.retention.prune(before=later(10_000)))
    assert told(store) == []
    assert look(store, at=10_000) == [A]


def test_nothing_is_written_where_nothing_is_missing(store: Store) -> None:
    store.write_now(track)
    waiting(store, channel=A)
    assert found(store) == []
    assert look(store) == []


def test_the_command_names_the_only_one_that_there_is_and_quotes_what_a_shell_would_read() -> None:
    assert move_command("project", "a b;$(c)", ["main"]) == "wrapd jobs move --project 'a b;$(c)' main"
    assert move_command("channel", "x", ["a", "b"]) == "wrapd deliveries move --channel x NEW"
    assert move_command("channel", "x", []) == "wrapd deliveries move --channel x NEW"
