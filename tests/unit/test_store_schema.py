"""The schema itself refuses wrong rows, whichever program writes them."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.states import TERMINAL
from daemon.store import StoreRefused, rows
from daemon.store.constraints import METADATA
from daemon.store.rows import from_stamp, to_stamp
from daemon.store.tables import (
    ATTEMPTS,
    DELIVERIES,
    JOBS,
    MOST_PICTURE,
    TRANSITIONS,
)
from tests.support.store import NOW, later, open_store

JOB = {"id": 1, "project": "p", "kind": "avatar", "job_id": "j", "tracking": "active", "tracked_at": 1}
MOVE = {"job": 1, "seq": 1, "before": None, "after": "WAITING", "observed_at": 1}
DELIVERY = {
    "id": 1,
    "key": "k",
    "channel": "c",
    "event": "lost",
    "facts": "{}",
    "status": "pending",
    "due_at": 1,
    "created_at": 1,
}
ATTEMPT = {"delivery": 1, "n": 1, "started_at": 1}
STATUS = {"project": "p", "facts": "{}", "at": 1}
PICTURE = {"job": 1, "url": "u", "content_type": "image/png", "data": b"x", "fetched_at": 1}
SIGNATURE = {"digest": "d", "project": "p", "job_id": "j", "used_at": 1}
ADDRESS = {"channel": "editors", "salt": "5a17", "fingerprint": "0f0f"}
LINK = {"id": 1, "job": 1, "token": "t", "created_at": 1, "expires_at": 2}
DISCOVERY = {"id": 1, "project": "p", "filters": "{}", "asked_at": 1}
ACTION = {"at": 1, "who": "cli:ann", "what": "track"}
MUTE = {"scope": "job", "subject": "j", "started_at": 1, "until": 2, "who": "cli:ann"}
PAUSE = {"project": "p", "at": 1, "who": "cli:ann"}
TOKEN = {"id": "a", "name": "n", "digest": "d", "scope": "read", "created_at": 1, "created_by": "cli:ann"}
SESSION = {"id": "a", "digest": "d", "name": "n", "scope": "read", "created_at": 1, "seen_at": 1, "until": 2}
LOGIN = {"digest": "d", "name": "n", "scope": "read", "expires_at": 1}
SHARE = {"digest": "d", "project": "p", "batch": "b", "created_at": 1, "created_by": "cli:ann", "expires_at": 2}
ANSWER = {"job": 1, "at": 1, "body": "{}"}
THUMBNAIL = {"job": 1, "data": b"x", "width": 1, "height": 1}
LOOK = {"job": 1, "polls": 1}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    store = open_store(tmp_path)
    store.close()
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    for table, row in (
        ("jobs", JOB),
        ("transitions", MOVE),
        ("deliveries", DELIVERY),
        ("attempts", ATTEMPT),
        ("project_status", STATUS),
        ("discoveries", DISCOVERY),
        ("links", LINK),
    ):
        insert(connection, table, row)
    yield connection
    connection.close()


def insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


JOB_2 = {**JOB, "id": 2, "job_id": "j2"}
MOVE_2 = {**MOVE, "seq": 2, "before": "WAITING", "after": "BLOCK"}
DELIVERY_2 = {**DELIVERY, "id": 2, "key": "k2"}
ATTEMPT_2 = {**ATTEMPT, "n": 2}
STATUS_2 = {**STATUS, "project": "q"}
DISCOVERY_2 = {**DISCOVERY, "id": 2}
LINK_2 = {**LINK, "id": 2, "job": 2, "token": "t2"}
DONE = {**DISCOVERY_2, "ended_at": 2, "found": 3, "added": 1}
ENDED = {**JOB_2, "tracking": "finished", "state": "PARTIAL_SUCCEED", "state_since": 1}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("jobs", JOB_2),
        ("jobs", ENDED),
        ("jobs", {**JOB_2, "expected_length": 0.0, "asked_by": "ids", "next_poll_at": 1, "next_reason": "price"}),
        ("transitions", MOVE_2),
        ("deliveries", DELIVERY_2),
        ("attempts", ATTEMPT_2),
        ("project_status", STATUS_2),
        ("discoveries", DISCOVERY_2),
        ("discoveries", DONE),
        ("discoveries", {**DONE, "error": "it went wrong", "result": "{}"}),
        ("pictures", PICTURE),
        ("pictures", {**PICTURE, "data": b"x" * MOST_PICTURE}),
        ("pictures", {**PICTURE, "data": None, "content_type": None, "error": "HTTP 404"}),
        ("attempts", {**ATTEMPT_2, "shared": 100}),
        ("jobs", {**JOB_2, "kind_source": "guessed", "named_by": "callback", "kind_tries": 2}),
        ("signatures", SIGNATURE),
        ("addresses", ADDRESS),
        ("looks", {**LOOK, "next_poll_at": 1, "next_reason": "price", "asked_by": "ids", "last_error": "x"}),
    ],
)
def test_right_rows_are_taken(database: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    insert(database, table, row)


@pytest.mark.parametrize(
    ("table", "row", "constraint"),
    [
        ("jobs", {**JOB, "id": 2}, "jobs.job_id, jobs.project"),
        ("jobs", {**JOB_2, "tracking": "paused"}, "tracking_value"),
        ("jobs", {**JOB_2, "tracking": "finished"}, "finished_is_terminal"),
        ("jobs", {**JOB_2, "state": "SUCCEED", "state_since": 1}, "finished_is_terminal"),
        ("jobs", {**JOB_2, "tracking": "lost", "state": "FAILED", "state_since": 1}, "finished_is_terminal"),
        ("jobs", {**JOB_2, "state": "WAITING"}, "state_has_time"),
        ("jobs", {**JOB_2, "state_since": 1}, "state_has_time"),
        ("jobs", {**JOB_2, "state": "", "state_since": 1}, "state_length"),
        ("jobs", {**JOB_2, "state": "X" * 65, "state_since": 1}, "state_length"),
        ("jobs", {**JOB_2, "kind_source": "told"}, "kind_source_value"),
        ("jobs", {**JOB_2, "named_by": "nobody"}, "named_by_value"),
        ("jobs", {**JOB_2, "kind_tries": -1}, "kind_tries_count"),
        ("addresses", {**ADDRESS, "channel": ""}, "channel_length"),
        ("addresses", {**ADDRESS, "salt": ""}, "salt_length"),
        ("addresses", {**ADDRESS, "fingerprint": "f" * 17}, "fingerprint_length"),
        ("signatures", {**SIGNATURE, "digest": ""}, "digest_length"),
        ("signatures", {**SIGNATURE, "project": "p" * 129}, "project_length"),
        ("signatures", {**SIGNATURE, "job_id": ""}, "job_id_length"),
        ("jobs", {**JOB_2, "project": ""}, "project_length"),
        ("jobs", {**JOB_2, "kind": ""}, "kind_length"),
        ("jobs", {**JOB_2, "job_id": ""}, "job_id_length"),
        ("jobs", {**JOB_2, "job_id": "j" * 129}, "job_id_length"),
        ("jobs", {**JOB_2, "label": ""}, "label_length"),
        ("jobs", {**JOB_2, "batch": ""}, "batch_length"),
        ("jobs", {**JOB_2, "tags": ""}, "tags_length"),
        ("jobs", {**JOB_2, "episode": 0}, "episode_counts"),
        ("jobs", {**JOB_2, "polls": -1}, "polls_count"),
        ("jobs", {**JOB_2, "changed": 2}, "changed_flag"),
        ("jobs", {**JOB_2, "tracking": "stopped", "next_poll_at": 1}, "only_active_is_polled"),
        ("jobs", {**JOB_2, "tracked_at": None}, "NOT NULL constraint failed: jobs.tracked_at"),
        ("jobs", {**ENDED, "tracking": "active"}, "finished_is_terminal"),
        ("jobs", {**JOB_2, "expected_length": -0.1}, "expected_length_counts"),
        ("jobs", {**JOB_2, "asked_by": ""}, "asked_by_length"),
        ("jobs", {**JOB_2, "next_poll_at": 1, "next_reason": "x" * 65}, "next_reason_length"),
        ("jobs", {**JOB_2, "next_reason": "price"}, "reason_has_poll"),
        ("transitions", {**MOVE, "after": "BLOCK"}, "transitions.job, transitions.seq"),
        ("transitions", {**MOVE_2, "after": "WAITING"}, "moves"),
        ("transitions", {**MOVE_2, "before": None}, "first_has_no_before"),
        ("transitions", {**MOVE_2, "seq": 0}, "first_has_no_before"),
        ("transitions", {**MOVE_2, "after": ""}, "after_length"),
        ("transitions", {**MOVE_2, "before": "X" * 65}, "before_length"),
        ("transitions", {**MOVE_2, "job": 9}, "FOREIGN KEY"),
        ("deliveries", {**DELIVERY, "id": 2}, "deliveries.key, deliveries.channel"),
        ("deliveries", {**DELIVERY_2, "status": "lost"}, "status_value"),
        ("deliveries", {**DELIVERY_2, "status": "sent", "attempts": 1}, "sent_has_time"),
        ("deliveries", {**DELIVERY_2, "sent_at": 1}, "sent_has_time"),
        ("deliveries", {**DELIVERY_2, "status": "sent", "sent_at": 1}, "tried_before_judged"),
        ("deliveries", {**DELIVERY_2, "status": "dead"}, "tried_before_judged"),
        ("deliveries", {**DELIVERY_2, "attempts": -1}, "attempts_count"),
        ("deliveries", {**DELIVERY_2, "tried_for": -1}, "tried_for_counts"),
        ("deliveries", {**DELIVERY_2, "defects": -1}, "defects_counts"),
        ("deliveries", {**DELIVERY_2, "possible_repeat": 2}, "possible_repeat_flag"),
        ("deliveries", {**DELIVERY_2, "key": ""}, "key_length"),
        ("deliveries", {**DELIVERY_2, "channel": ""}, "channel_length"),
        ("deliveries", {**DELIVERY_2, "event": ""}, "event_length"),
        ("deliveries", {**DELIVERY_2, "project": ""}, "project_length"),
        ("deliveries", {**DELIVERY_2, "facts": ""}, "facts_length"),
        ("deliveries", {**DELIVERY_2, "transition": 1}, "transition_has_job"),
        ("deliveries", {**DELIVERY_2, "job": 9}, "FOREIGN KEY"),
        ("deliveries", {**DELIVERY_2, "job": 1, "transition": 9}, "FOREIGN KEY"),
        ("attempts", ATTEMPT, "attempts.delivery, attempts.n"),
        ("attempts", {**ATTEMPT_2, "n": 0}, "n_counts"),
        ("attempts", {**ATTEMPT_2, "ended_at": 1}, "ended_has_outcome"),
        ("attempts", {**ATTEMPT_2, "outcome": "sent"}, "ended_has_outcome"),
        ("attempts", {**ATTEMPT_2, "ended_at": 1, "outcome": "maybe"}, "outcome_value"),
        ("attempts", {**ATTEMPT_2, "delivery": 9}, "FOREIGN KEY"),
        ("attempts", {**ATTEMPT_2, "shared": 0}, "shared_counts"),
        ("pictures", {**PICTURE, "data": b""}, "data_length"),
        ("pictures", {**PICTURE, "data": b"x" * (MOST_PICTURE + 1)}, "data_length"),
        ("pictures", {**PICTURE, "error": "x"}, "data_or_error"),
        ("pictures", {**PICTURE, "data": None}, "data_or_error"),
        ("pictures", {**PICTURE, "content_type": None}, "data_has_type"),
        ("pictures", {**PICTURE, "job": 9}, "FOREIGN KEY"),
        ("links", {**LINK, "id": 2, "token": "t2"}, "links.job"),
        ("links", {**LINK_2, "token": "t"}, "links.token"),
        ("links", {**LINK_2, "token": ""}, "token_length"),
        ("links", {**LINK_2, "clicks": -1, "last_click_at": 1}, "clicks_count"),
        ("links", {**LINK_2, "clicks": 1}, "click_has_time"),
        ("links", LINK_2, "FOREIGN KEY"),
        ("project_status", STATUS, "project_status.project"),
        ("project_status", {**STATUS_2, "project": None}, "NOT NULL"),
        ("project_status", {**STATUS_2, "project": ""}, "project_length"),
        ("project_status", {**STATUS_2, "facts": ""}, "facts_length"),
        ("discoveries", {**DISCOVERY_2, "project": ""}, "project_length"),
        ("discoveries", {**DISCOVERY_2, "filters": ""}, "filters_length"),
        ("discoveries", {**DONE, "found": -1}, "found_counts"),
        ("discoveries", {**DONE, "added": -1}, "found_counts"),
        ("discoveries", {**DONE, "added": None}, "ended_has_counts"),
        ("discoveries", {**DISCOVERY_2, "found": 1}, "ended_has_counts"),
        ("discoveries", {**DISCOVERY_2, "error": "x"}, "result_has_end"),
        ("discoveries", {**DISCOVERY_2, "result": "{}"}, "result_has_end"),
        ("jobs", {**JOB_2, "note": "x" * 501}, "note_length"),
        ("actions", {**ACTION, "who": ""}, "who_length"),
        ("actions", {**ACTION, "what": ""}, "what_length"),
        ("actions", {**ACTION, "project": ""}, "project_length"),
        ("actions", {**ACTION, "subject": ""}, "subject_length"),
        ("actions", {**ACTION, "count": -1}, "count_counts"),
        ("mutes", {**MUTE, "scope": "world"}, "scope_value"),
        ("mutes", {**MUTE, "then": "forget"}, "then_value"),
        ("mutes", {**MUTE, "ended_at": 2}, "ended_has_who"),
        ("mutes", {**MUTE, "project": ""}, "project_length"),
        ("mutes", {**MUTE, "subject": ""}, "subject_length"),
        ("mutes", {**MUTE, "who": ""}, "who_length"),
        ("mutes", {**MUTE, "comment": "x" * 501}, "comment_length"),
        ("pauses", {**PAUSE, "project": ""}, "project_length"),
        ("pauses", {**PAUSE, "who": ""}, "who_length"),
        ("pauses", {**PAUSE, "comment": ""}, "comment_length"),
        ("tokens", {**TOKEN, "id": ""}, "id_length"),
        ("tokens", {**TOKEN, "name": ""}, "name_length"),
        ("tokens", {**TOKEN, "digest": ""}, "digest_length"),
        ("tokens", {**TOKEN, "scope": "root"}, "scope_value"),
        ("tokens", {**TOKEN, "created_by": ""}, "created_by_length"),
        ("sessions", {**SESSION, "id": ""}, "id_length"),
        ("sessions", {**SESSION, "digest": ""}, "digest_length"),
        ("sessions", {**SESSION, "name": ""}, "name_length"),
        ("sessions", {**SESSION, "proof": ""}, "proof_length"),
        ("sessions", {**SESSION, "scope": "root"}, "scope_value"),
        ("sessions", {**SESSION, "token": "a", "proof": "p"}, "token_or_proof"),
        ("sessions", {**SESSION, "token": "none"}, "FOREIGN KEY"),
        ("logins", {**LOGIN, "digest": ""}, "digest_length"),
        ("logins", {**LOGIN, "name": ""}, "name_length"),
        ("logins", {**LOGIN, "scope": "root"}, "scope_value"),
        ("shares", {**SHARE, "digest": ""}, "digest_length"),
        ("shares", {**SHARE, "project": ""}, "project_length"),
        ("shares", {**SHARE, "batch": "b" * 65}, "batch_length"),
        ("shares", {**SHARE, "created_by": ""}, "created_by_length"),
        ("answers", {**ANSWER, "body": "x" * 16385}, "body_length"),
        ("thumbnails", {**THUMBNAIL, "data": b""}, "data_length"),
        ("thumbnails", {**THUMBNAIL, "width": 0}, "size_counts"),
        ("changes", {"kind": ""}, "kind_length"),
        ("looks", {**LOOK, "polls": -1}, "polls_count"),
        ("looks", {**LOOK, "asked_by": ""}, "asked_by_length"),
        ("looks", {**LOOK, "next_poll_at": 1, "next_reason": "x" * 65}, "next_reason_length"),
        ("looks", {**LOOK, "next_reason": "price"}, "reason_has_poll"),
        ("looks", {**LOOK, "job": 9}, "FOREIGN KEY"),
    ],
)
def test_wrong_rows_are_refused(
    database: sqlite3.Connection, table: str, row: dict[str, object], constraint: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=constraint):
        insert(database, table, row)


def test_every_check_has_its_wrong_row() -> None:
    """The list above covers all constraints of the schema."""
    named = {
        str(constraint.name)
        for table in METADATA.tables.values()
        for constraint in table.constraints
        if type(constraint).__name__ == "CheckConstraint"
    }
    marks = [mark for mark in test_wrong_rows_are_refused.pytestmark if mark.name == "parametrize"]
    assert named == {row[2] for row in marks[0].args[1] if row[2] in named}


def test_the_states_that_end_tracking_are_those_of_the_domain() -> None:
    (check,) = [str(each.sqltext) for each in JOBS.constraints if each.name == "finished_is_terminal"]  # type: ignore[attr-defined]
    assert {word for word in re.findall("[A-Z_]+", check) if word != "IN"} == TERMINAL


def test_row_ids_are_never_given_twice(database: sqlite3.Connection) -> None:
    """A delivery's key contains its job's row id, so a new job must not inherit the id."""
    for table, row in (("jobs", JOB_2), ("deliveries", DELIVERY_2), ("discoveries", DISCOVERY_2)):
        insert(database, table, row)
        database.execute(f"DELETE FROM {table} WHERE id = 2")
        again = {name: value for name, value in row.items() if name != "id"}
        insert(database, table, again)
        assert database.execute(f"SELECT max(id) FROM {table}").fetchone() == (3,)


def test_a_name_of_the_rows_module_is_the_limit_of_the_schema() -> None:
    checks = {
        (table.name, str(constraint.name)): str(getattr(constraint, "sqltext", ""))
        for table in (JOBS, TRANSITIONS, DELIVERIES, ATTEMPTS)
        for constraint in table.constraints
    }
    for name in ("project", "kind", "job_id", "batch"):
        assert checks["jobs", f"{name}_length"].endswith(f"<= {rows.MAX_NAME}")
    for name in ("asked_by", "next_reason"):
        assert checks["jobs", f"{name}_length"].endswith(f"<= {rows.MAX_WORD}")
    assert checks["jobs", "label_length"].endswith(f"<= {rows.MAX_LABEL}")
    assert checks["jobs", "tags_length"].endswith(f"AND {rows.MAX_TAGS}")


def test_a_stored_time_is_exact() -> None:
    assert from_stamp(to_stamp(NOW)) == NOW
    assert to_stamp(later(0.000001)) - to_stamp(NOW) == 1
    with pytest.raises(ValueError, match="without an offset"):
        to_stamp(NOW.replace(tzinfo=None))


def test_wrong_rows_come_as_a_refusal_here_too(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    def work(tx):
        tx.jobs._connection.execute(JOBS.insert(), {"project": "p"})

    with pytest.raises(StoreRefused, match="NOT NULL"):
        store.write_now(work)
    store.close()
