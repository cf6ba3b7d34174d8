"""track, untrack, jobs, show, deliveries with a real database, without a daemon and without any secret."""

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.cli.track import _CHANGES, _WORDS
from daemon.clock import ManualClock
from daemon.domain.events import Event
from daemon.domain.jobs import Asset, ChannelName, JobId, Observation
from daemon.domain.routing import Route, Routing
from daemon.domain.transitions import Moved
from daemon.errors import Exit
from daemon.store import AttemptOutcome, Change, Outcome, Store, TrackResult, Transaction
from tests.support.cli_runner import CONFIG, Runner

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EDITORS = ChannelName("editors")
ROUTING = Routing(
    routes=(Route(events=frozenset({Event.SUCCEEDED, Event.FAILED, Event.LOST}), channels=(EDITORS,)),),
    operators=(EDITORS,),
)
COVER = "https://{endpoint}/cover.png?AccessKeyId=X&Expires=1671241457&Signature=s%3D"
JOB_KEYS = {
    "project",
    "kind",
    "job_id",
    "label",
    "state",
    "tracking",
    "state_since",
    "cover_url",
    "preview_url",
    "error_code",
    "next_poll_at",
}


NO_DAEMON = "No daemon uses this database: they are polled once `wrapd run` is started.\n"
"""Printed by `track` after its output."""


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, capsys)


def rows(runner: Runner, *args: str) -> list[dict[str, object]]:
    result = runner("jobs", "--json", *args)
    assert (result.status, result.err) == (0, "")
    document = json.loads(result.out)
    assert isinstance(document, list)
    return document


def in_store(runner: Runner, work: object) -> object:
    store = Store.open(f"sqlite:///{runner.database}", clock=ManualClock(AT))
    try:
        return store.write_now(work)  # type: ignore[arg-type]
    finally:
        store.close()


def move(runner: Runner, job_id: str, *states: str, seen: Observation | None = None) -> None:
    """Record the steps of a job as the daemon would, a minute for each."""

    def work(transaction: Transaction) -> None:
        (job,) = transaction.jobs.find(JobId(job_id))
        before = job.state
        for step, state in enumerate(states):
            at = AT + timedelta(minutes=step)
            move = Moved(before=before, after=state, observed_at=at, reported_at=None)
            answer = seen if seen is not None and state == states[-1] else Observation(state=state)
            assert transaction.jobs.record_move(job.id, move, answer, routing=ROUTING, due_at=at)
            before = state

    in_store(runner, work)


def fail_once(runner: Runner, outcome: AttemptOutcome, reason: str) -> None:
    def work(transaction: Transaction) -> None:
        claimed = transaction.outbox.claim(EDITORS, now=AT + timedelta(hours=1))
        assert claimed is not None
        due_at = AT + timedelta(hours=2) if outcome is AttemptOutcome.HELD else None
        transaction.outbox.finish(
            claimed,
            Outcome(kind=outcome, reason=reason, status_code=403, due_at=due_at),
            at=AT + timedelta(hours=1),
        )

    in_store(runner, work)


def test_a_new_job_is_listed_with_the_promised_keys(wrapd: Runner) -> None:
    result = wrapd("track", "abc-1", "--label", "Spring promo", "--tag", "a", "--tag", "b", "--batch", "B1")
    assert (result.status, result.out, result.err) == (0, "abc-1: tracked\n", NO_DAEMON)
    (job,) = rows(wrapd)
    assert job.keys() >= JOB_KEYS
    expected = {
        "project": "main",
        "kind": "avatar",
        "job_id": "abc-1",
        "label": "Spring promo",
        "tags": ["a", "b"],
        "batch": "B1",
        "state": None,
        "state_since": None,
        "tracking": "active",
        "cover_url": None,
        "preview_url": None,
        "error_code": None,
        "next_poll_at": None,
    }
    assert {key: job[key] for key in expected} == expected


def test_tracking_again_does_no_harm_and_keeps_what_is_not_given(wrapd: Runner) -> None:
    wrapd("track", "a", "--kind", "photo", "--label", "first", "--tag", "x", "--batch", "b")
    result = wrapd("track", "a")
    assert (result.status, result.out) == (0, "a: already tracked\n")
    (job,) = rows(wrapd)
    assert (job["kind"], job["label"], job["tags"], job["batch"]) == ("photo", "first", ["x"], "b")
    wrapd("track", "a", "--label", "second", "--kind", "avatar")
    (job,) = rows(wrapd)
    assert (job["kind"], job["label"]) == ("avatar", "second")


def test_a_stopped_or_lost_job_is_taken_up_and_a_finished_one_is_not(wrapd: Runner) -> None:
    wrapd("track", "stopped", "done")
    assert wrapd("untrack", "stopped").out == "stopped: no longer tracked\n"
    assert [job["tracking"] for job in rows(wrapd)] == ["active", "stopped"]
    move(wrapd, "done", "PROCESSING", "SUCCEED")
    result = wrapd("track", "stopped", "done")
    assert result.out == "stopped: tracked again\ndone: not tracked: it has ended (SUCCEED)\n"
    assert result.status == 0
    assert wrapd("untrack", "done").out == "done: was not tracked (finished)\n"


def test_ids_from_standard_input_go_in_as_one(wrapd: Runner) -> None:
    ids = [f"job-{number:05}" for number in range(3000)]
    text = "# a list\r\n\n" + "\r\n".join(ids) + "\n  " + ids[0] + "  \n"
    result = wrapd("track", "-", stdin=b"\xef\xbb\xbf" + text.encode())
    assert result.status == 0
    assert result.out.count(": tracked\n") == 3000
    assert len(rows(wrapd)) == 3000
    assert [job["job_id"] for job in rows(wrapd, "--limit", "2")] == ["job-02999", "job-02998"]


def test_very_many_ids_are_stored_together_and_all_told(wrapd: Runner) -> None:
    ids = [f"job-{number}" for number in range(5001)]
    result = wrapd("track", "-", stdin="\n".join(ids).encode())
    assert (result.status, result.err) == (0, NO_DAEMON)
    assert result.out.splitlines() == [f"{job_id}: tracked" for job_id in ids]
    assert [row["job_id"] for row in rows(wrapd)] == ids[::-1]
    again = wrapd("track", "-", stdin="\n".join(ids).encode())
    assert again.out.splitlines() == [f"{job_id}: already tracked" for job_id in ids]


def test_where_one_cannot_be_stored_none_is(wrapd: Runner) -> None:
    in_store(wrapd, lambda transaction: None)
    with closing(sqlite3.connect(wrapd.database)) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON jobs WHEN NEW.job_id = 'd' "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    result = wrapd("track", *"abcdef")
    assert (result.status, result.out) == (Exit.DATABASE, "")
    assert "not this one" in result.err
    assert rows(wrapd) == []


def test_one_wrong_id_stores_nothing_and_all_wrong_ones_are_named(wrapd: Runner) -> None:
    result = wrapd(
        "track", "good", "../../etc/passwd", "x" * 129, "a b", "", "-", stdin=b"fine\nb\xff\n\x1b[31m\n"
    )
    assert result.status == Exit.USAGE
    assert result.out == ""
    for part in (
        "'../../etc/passwd'",
        "(129 characters)",
        "'a b'",
        "''",
        "line 2: 'b\ufffd'",
        "line 3: '\\x1b[31m'",
    ):
        assert part in result.err
    assert "good" not in result.err
    assert not wrapd.database.exists()


def test_many_wrong_ids_are_not_all_listed(wrapd: Runner) -> None:
    result = wrapd("track", "-", stdin=b"a/b\n" * 5000)
    assert "and 4980 more" in result.err
    assert len(result.err.splitlines()) < 30


@pytest.mark.parametrize("stdin", [b"", b"\n# nothing\n\n"])
def test_no_id_at_all_is_said(wrapd: Runner, stdin: bytes) -> None:
    result = wrapd("track", "-", stdin=stdin)
    assert result.status == Exit.USAGE
    assert "no job ids" in result.err


def test_the_project_must_be_clear(wrapd: Runner) -> None:
    wrapd.config.write_text(CONFIG + '[projects.second]\nregion = "cn-east-3"\n')
    result = wrapd("track", "a")
    assert result.status == Exit.USAGE
    assert "--project with one of main, second" in result.err
    assert wrapd("track", "a", "--project", "second").status == 0
    result = wrapd("track", "a", "--project", "secnd")
    assert (result.status, "did you mean 'second'?" in result.err) == (Exit.UNKNOWN, True)
    wrapd("track", "a", "--project", "main")
    assert {job["project"] for job in rows(wrapd)} == {"main", "second"}
    for command in ("show", "untrack"):
        result = wrapd(command, "a")
        assert result.status == Exit.USAGE
        assert "--project with one of second, main" in result.err
    assert json.loads(wrapd("show", "a", "--project", "main", "--json").out)["project"] == "main"


def test_without_a_project_there_is_nothing_to_track(wrapd: Runner) -> None:
    wrapd.config.write_text("")
    result = wrapd("track", "a")
    assert result.status == Exit.USAGE
    assert "[projects.NAME]" in result.err


def test_labels_are_cleaned_and_capped(wrapd: Runner) -> None:
    wrapd("track", "a", "--label", " \x1b]0;title\x07[red]bold[/red]\u202e\nnext\tline\udcff " + "x" * 500)
    (job,) = rows(wrapd)
    label = str(job["label"])
    assert label.startswith("]0;title[red]bold[/red] next line\ufffd xxx")
    assert len(label) == 200
    wrapd("track", "a", "--label", "\x1b\u202e ")
    assert rows(wrapd)[0]["label"] == label, "one that shows nothing says nothing"
    wrapd("track", "b", "--label", "")
    assert [each["label"] for each in rows(wrapd) if each["job_id"] == "b"] == [None]


@pytest.mark.parametrize("option", ["--tag", "--batch"])
def test_tags_and_batches_have_their_bounds(wrapd: Runner, option: str) -> None:
    for word in ("", " ", "x" * 65):
        result = wrapd("track", "a", option, word)
        assert result.status == Exit.USAGE
        assert option in result.err
    assert wrapd("track", "a", *[part for n in range(21) for part in ("--tag", str(n))]).status == Exit.USAGE
    assert not wrapd.database.exists()


def test_jobs_are_found_by_each_filter(wrapd: Runner) -> None:
    wrapd("track", "a", "--tag", "one", "--batch", "b1")
    wrapd("track", "b", "--tag", "one", "--tag", "two")
    wrapd("track", "c")
    move(wrapd, "c", "WAITING", "FAILED")

    def found(*args: str) -> list[object]:
        return [job["job_id"] for job in rows(wrapd, *args)]

    assert found() == ["c", "b", "a"]
    assert found("--tag", "one") == ["b", "a"]
    assert found("--batch", "b1") == ["a"]
    assert found("--state", "failed") == ["c"]
    assert found("--tracking", "active") == ["b", "a"]
    assert found("--limit", "1") == ["c"]
    assert found("--project", "main", "--tag", "two") == ["b"]
    assert wrapd("jobs", "--project", "mian").status == Exit.UNKNOWN
    assert wrapd("jobs", "--limit", "0").status == Exit.USAGE
    assert found("--limit", "9" * 30) == ["c", "b", "a"], "more than SQLite counts"


def test_json_on_a_terminal_has_every_row(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapd("track", *(f"job-{number}" for number in range(51)))
    monkeypatch.setattr("daemon.cli.pages.is_terminal", lambda: True)
    assert len(rows(wrapd)) == 51
    assert wrapd("jobs").out.count("job-") == 50


def test_an_empty_database_lists_nothing(wrapd: Runner) -> None:
    wrapd("db", "upgrade")
    assert rows(wrapd) == []
    assert json.loads(wrapd("deliveries", "--json").out) == []


def test_jobs_in_a_pipe_are_plain_aligned_text(wrapd: Runner) -> None:
    wrapd("track", "a-long-id-that-is-36-characters-long", "--label", "[red]数字人 [bold]x")
    wrapd("track", "b")
    result = wrapd("jobs")
    lines = result.out.splitlines()
    assert lines[0].split() == ["STATE", "FOR", "NEXT", "ENDS", "RANGE", "PROJECT", "JOB", "NAME"]
    assert lines[2].endswith("a-long-id-that-is-36-characters-long  [red]数字人 [bold]x")
    assert len(lines) == 3, "what a person should know is for a terminal"
    assert "\x1b" not in result.out


def test_show_tells_the_whole_story(wrapd: Runner) -> None:
    wrapd("track", "a", "--label", "Promo")
    seen = Observation(
        state="SUCCEED",
        duration=42.5,
        asset=Asset(asset_id="as1", asset_name="promo.mp4", cover_url=COVER, preview_url="https://h/p.mp4"),
    )
    move(wrapd, "a", "WAITING", "PROCESSING", "SUCCEED", seen=seen)
    fail_once(wrapd, AttemptOutcome.DEAD, "the service refuses it")
    document = json.loads(wrapd("show", "a", "--json").out)
    assert document.keys() >= JOB_KEYS | {"transitions", "deliveries"}
    assert document["cover_url"] == COVER
    assert document["cover_expires_at"] == "2022-12-17T01:44:17.000Z"
    assert document["preview_expires_at"] == "2026-03-02T12:02:00.000Z"
    assert document["state_since"] == "2026-03-01T12:02:00.000Z"
    assert [(each["from"], each["to"]) for each in document["transitions"]] == [
        (None, "WAITING"),
        ("WAITING", "PROCESSING"),
        ("PROCESSING", "SUCCEED"),
    ]
    assert document["transitions"][0]["observed_at"] == "2026-03-01T12:00:00.000Z"
    assert document["transitions"][0]["reported_at"] is None
    (delivery,) = document["deliveries"]
    expected = {
        "event": "succeeded",
        "channel": "editors",
        "status": "dead",
        "attempts": 1,
        "last_error": "the service refuses it",
        "job_id": "a",
    }
    assert {key: delivery[key] for key in expected} == expected
    assert [(each["n"], each["outcome"], each["status_code"]) for each in delivery["tries"]] == [(1, "dead", 403)]
    text = wrapd("show", "a").out
    for part in (
        "Promo\n",
        "SUCCEED, since 2026-03-01 12:02:00 UTC",
        COVER,
        "was valid until 2022-12-17 01:44:17 UTC",
        "WAITING -> PROCESSING",
        "(first answer) -> WAITING",
        "succeeded to editors: dead",
        "1. 2026-03-01 13:00:00 UTC  dead: HTTP 403: the service refuses it",
    ):
        assert part in text


def test_a_job_that_is_not_known_is_told_how_to_add_it(wrapd: Runner) -> None:
    wrapd("db", "upgrade")
    whole = "0123456789abcdef0123456789abcdef"
    for command in ("show", "untrack"):
        result = wrapd(command, whole)
        assert (result.status, result.out) == (Exit.UNKNOWN, "")
        assert f"wrapd track {whole}" in result.err
        for short, why in (("zz", "a prefix needs 6 characters"), ("zzzzzzzz", "nor one with that prefix")):
            result = wrapd(command, short)
            assert (result.status, result.out) == (Exit.UNKNOWN, "")
            assert why in result.err
            assert "wrapd jobs" in result.err
            assert "wrapd track" not in result.err
    assert wrapd("show", "../x").status == Exit.USAGE
    assert wrapd("show", "-").status == Exit.USAGE


def test_the_beginning_of_an_id_stands_for_it(wrapd: Runner) -> None:
    wrapd("track", "abcdef-one", "abcdef-two", "abcdef", "ABCDEF-one", "abcdefz", "abcdeg_1")
    for short, whole in (
        ("abcdef", "abcdef"),  # an exact id wins
        ("abcdef-o", "abcdef-one"),
        ("ABCDEF", "ABCDEF-one"),
        ("abcdeg_", "abcdeg_1"),
    ):
        assert json.loads(wrapd("show", short, "--json").out)["job_id"] == whole
    result = wrapd("show", "abcdef-")
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert "several job ids begin with abcdef-" in result.err
    assert "\n  abcdef-one of project main\n  abcdef-two of project main\n" in result.err
    assert wrapd("show", "abcde").status == Exit.UNKNOWN, "too short to stand for another"
    assert wrapd("show", "abcdefg").status == Exit.UNKNOWN, "a dash, a digit or a z is no wildcard"
    assert wrapd("untrack", "abcdeg", "abcdeg_1").out == "abcdeg_1: no longer tracked\n"
    assert wrapd("untrack", "abcdef-t", "abcdef-x").status == Exit.UNKNOWN
    assert json.loads(wrapd("show", "abcdef-two", "--json").out)["tracking"] == "active", "all or nothing"
    assert wrapd("links", "revoke", "abcdef-o").out == "abcdef-one: it has no link\n"
    assert wrapd("track", "abcdef-o").out == "abcdef-o: tracked\n", "track takes ids as they are"


def test_the_beginning_of_ids_in_several_projects_needs_the_project(wrapd: Runner) -> None:
    wrapd.config.write_text(CONFIG + '[projects.second]\nregion = "cn-east-3"\n')
    for project in ("main", "second"):
        wrapd("track", "same-id-1", "--project", project)
    wrapd("track", "other-1", "--project", "second")
    result = wrapd("show", "same-id")
    assert (result.status, "several projects have a job same-id-1; add --project" in result.err) == (2, True)
    assert json.loads(wrapd("show", "same-id", "--project", "second", "--json").out)["project"] == "second"
    assert wrapd("show", "other-", "--project", "main").status == Exit.UNKNOWN


def test_of_very_many_that_begin_alike_some_are_named(wrapd: Runner) -> None:
    wrapd("track", *(f"episode-{number}" for number in range(9)))
    result = wrapd("show", "episode")
    assert result.status == Exit.USAGE
    assert result.err.count("\n  episode-") == 5
    assert result.err.endswith("\n  and more\n")


def test_commands_work_beside_a_daemon_and_it_sees_what_they_changed(wrapd: Runner) -> None:
    store = Store.open(f"sqlite:///{wrapd.database}", clock=ManualClock(AT), daemon=True)
    try:
        assert wrapd("track", "a", "b").status == 0
        changed = store.write_now(lambda transaction: transaction.jobs.take_changes())
        assert [(row.job_id, row.tracking) for row in changed] == [("a", "active"), ("b", "active")]
        assert wrapd("untrack", "a").status == 0
        changed = store.write_now(lambda transaction: transaction.jobs.take_changes())
        assert [(row.job_id, row.tracking) for row in changed] == [("a", "stopped")]
        assert len(rows(wrapd)) == 2
        assert wrapd("db", "backup", str(wrapd.folder / "copy.db")).status == 0
    finally:
        store.close()


def test_untrack_of_several_is_all_or_nothing(wrapd: Runner) -> None:
    wrapd("track", "a", "b")
    assert wrapd("untrack", "a", "zz").status == Exit.UNKNOWN
    assert {job["tracking"] for job in rows(wrapd)} == {"active"}
    assert wrapd("untrack", "-", stdin=b"a\nb\n").status == 0
    assert {job["tracking"] for job in rows(wrapd)} == {"stopped"}


@pytest.mark.parametrize("last", [("untrack", "b"), ("track", "b", "--batch", "summer")])
def test_a_batch_has_ended_when_its_last_job_goes_away(wrapd: Runner, last: tuple[str, ...]) -> None:
    wrapd("track", "a", "b", "--batch", "spring")
    job = in_store(wrapd, lambda tx: tx.jobs.find(JobId("a"))[0].id)
    seen = Observation(state="SUCCEED")
    move = Moved(before=None, after="SUCCEED", observed_at=AT, reported_at=None)
    in_store(wrapd, lambda tx: tx.jobs.record_move(job, move, seen, routing=ROUTING, due_at=AT))
    assert wrapd(*last).status == 0
    told = json.loads(wrapd("deliveries", "--json").out)
    assert [each["event"] for each in told if each["event"] == "batch_finished"] == ["batch_finished"]


def test_hostile_values_of_the_service_reach_no_terminal(wrapd: Runner) -> None:
    wrapd("track", "a")
    hostile = "\x1b[2J\x1b]0;owned\x07\x9b31m[red]evil[/red]\r\n\u202efake"
    seen = Observation(
        state=hostile[:40],
        error_code=hostile,
        error_msg=hostile,
        asset=Asset(asset_id=hostile, asset_name=hostile, cover_url=f"https://h/{hostile}"),
    )
    move(wrapd, "a", seen.state, seen=seen)
    for args in (("jobs",), ("show", "a"), ("jobs", "--json"), ("show", "a", "--json")):
        result = wrapd(*args)
        assert result.status == 0
        assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(result.out)
        assert "[red]evil[/red]" in result.out
    assert json.loads(wrapd("show", "a", "--json").out)["error_msg"] == hostile


def test_deliveries_are_listed_and_sent_again(wrapd: Runner) -> None:
    wrapd("track", "a", "b")
    move(wrapd, "a", "SUCCEED")
    move(wrapd, "b", "FAILED")
    fail_once(wrapd, AttemptOutcome.DEAD, "no such chat")
    listed = json.loads(wrapd("deliveries", "--json").out)
    assert [(each["job_id"], each["event"], each["status"]) for each in listed] == [
        ("b", "failed", "pending"),
        ("a", "succeeded", "dead"),
    ]
    assert [each["job_id"] for each in json.loads(wrapd("deliveries", "--json", "--status", "dead").out)] == ["a"]
    assert len(json.loads(wrapd("deliveries", "--json", "--channel", "editors", "--limit", "1").out)) == 1
    assert wrapd("deliveries", "--channel", "editrs").status == Exit.UNKNOWN
    titles, _, row = wrapd("deliveries").out.splitlines()
    assert titles.split() == ["ID", "EVENT", "CHANNEL", "STATUS", "TRIES", "WRITTEN", "JOB", "NAME", "WHY"]
    assert row.split()[1:5] == ["succeeded", "editors", "dead", "1"]
    assert row.endswith("a    -     no such chat")
    dead = str(listed[1]["id"])
    result = wrapd("deliveries", "retry", dead)
    assert (result.status, result.out) == (0, "1 alert will be sent again\n")
    assert wrapd("deliveries", "retry", dead).out == "nothing to send again\n"
    assert json.loads(wrapd("deliveries", "--json", "--status", "dead").out) == []


def test_dead_and_held_ones_are_sent_again_by_channel(wrapd: Runner) -> None:
    wrapd("track", "a", "b")
    move(wrapd, "a", "SUCCEED")
    fail_once(wrapd, AttemptOutcome.DEAD, "x")
    move(wrapd, "b", "SUCCEED")
    fail_once(wrapd, AttemptOutcome.HELD, "the service refuses the channel")
    assert wrapd("deliveries", "retry", "--channel", "editrs").status == Exit.UNKNOWN
    assert wrapd("deliveries", "retry", "--channel", "editors").out == "2 alerts will be sent again\n"
    assert wrapd("deliveries", "retry", "--dead").out == "nothing to send again\n"


@pytest.mark.parametrize("args", [(), ("1", "--dead"), ("0",), ("x",)])
def test_retry_wants_to_know_which(wrapd: Runner, args: tuple[str, ...]) -> None:
    assert wrapd("deliveries", "retry", *args).status == Exit.USAGE


def test_retry_of_what_is_not_there_changes_nothing(wrapd: Runner) -> None:
    wrapd("track", "a")
    move(wrapd, "a", "SUCCEED")
    fail_once(wrapd, AttemptOutcome.DEAD, "x")
    (row,) = json.loads(wrapd("deliveries", "--json").out)
    result = wrapd("deliveries", "retry", str(row["id"]), "99")
    assert (result.status, "99" in result.err) == (Exit.UNKNOWN, True)
    assert wrapd("deliveries", "retry", "9" * 30).status == Exit.UNKNOWN
    assert json.loads(wrapd("deliveries", "--json").out)[0]["status"] == "dead"


def test_an_unusable_database_is_one_message_with_its_status(wrapd: Runner) -> None:
    wrapd.database.write_bytes(b"not a database" * 100)
    for args in (("jobs",), ("track", "a"), ("show", "a"), ("deliveries",), ("db", "check"), ("db", "upgrade")):
        result = wrapd(*args)
        assert (result.status, result.out) == (Exit.UNUSABLE, "")
        assert result.err.startswith(f"wrapd: {wrapd.database}: ")
        assert result.err.count("\n") == 1
    assert wrapd.database.read_bytes() == b"not a database" * 100
    wrapd.database.unlink()
    wrapd.database.mkdir()
    for args in (("jobs",), ("db", "check"), ("db", "upgrade"), ("db", "backup", "copy.db")):
        result = wrapd(*args)
        assert (result.status, result.err.count("\n")) == (Exit.UNUSABLE, 1)
        assert "Is a directory" in result.err
        assert "change database.url" in result.err


def test_an_older_schema_waits_for_upgrade_where_auto_migrate_is_off(wrapd: Runner) -> None:
    wrapd.config.write_text(CONFIG + "[database]\nauto_migrate = false\n")
    result = wrapd("jobs")
    assert result.status == Exit.DATABASE
    assert "wrapd db upgrade" in result.err
    assert wrapd("db", "upgrade").status == 0
    assert rows(wrapd) == []


def test_db_commands(wrapd: Runner) -> None:
    result = wrapd("db", "check")
    assert (result.status, "no database yet" in result.err) == (Exit.DATABASE, True)
    assert wrapd("db", "backup", str(wrapd.folder / "x")).status == Exit.DATABASE
    assert not wrapd.database.exists()
    assert "now at schema" in wrapd("db", "upgrade").out
    assert "already at schema" in wrapd("db", "upgrade").out
    wrapd("track", "a")
    assert "sound, at schema" in wrapd("db", "check").out
    copy = wrapd.folder / "copy.db"
    assert wrapd("db", "backup", str(copy)).status == 0
    result = wrapd("db", "backup", str(copy))
    assert (result.status, "is not overwritten" in result.err) == (Exit.DATABASE, True)
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT job_id FROM jobs").fetchall() == [("a",)]
    connection.close()


def test_a_damaged_file_is_found_by_db_check(wrapd: Runner) -> None:
    wrapd("track", *(f"job-{number}" for number in range(500)))
    with sqlite3.connect(wrapd.database) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (root,) = connection.execute("SELECT max(rootpage) FROM sqlite_master WHERE tbl_name = 'jobs'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    raw = bytearray(wrapd.database.read_bytes())
    raw[(root - 1) * size : root * size] = b"\x99" * size
    wrapd.database.write_bytes(raw)
    result = wrapd("db", "check")
    assert result.status == Exit.DATABASE
    assert "damaged" in result.err or "malformed" in result.err
    assert "restore a backup" in result.err


def test_what_was_done_to_each_job_is_said(wrapd: Runner) -> None:
    wrapd("track", "known", "done", "gone", "--kind", "photo", "--label", "A", "--tag", "x", "--batch", "b")
    move(wrapd, "known", "PROCESSING")
    move(wrapd, "done", "FAILED")
    wrapd("untrack", "gone")
    more = ("--label", "B", "--tag", "y", "--batch", "c")
    assert wrapd("track", "new", "known", "done", "gone", *more).out.splitlines() == [
        "new: tracked",
        "known: already tracked; label changed, tags replaced, batch changed",
        "done: not tracked: it has ended (FAILED); label changed, tags replaced, batch changed",
        "gone: tracked again; label changed, tags replaced, batch changed",
    ]
    assert wrapd("track", "known", *more).out == "known: already tracked\n"
    assert wrapd("track", "known", "--kind", "avatar").out == (
        "known: already tracked; kind photo kept, confirmed by MetaStudio\n"
    )
    assert wrapd("track", "new", "--kind", "photo").out == "new: already tracked; kind corrected to photo\n"
    assert wrapd("track", "done", "--retrack").out == "done: tracked again: it had ended (FAILED)\n"
    told = json.loads(wrapd("track", "known", "more", "--label", "C", "--json").out)["jobs"]
    assert [(each["job_id"], each["result"], each["changes"], each["kind_source"]) for each in told] == [
        ("known", "already", ["label_changed"], "given"),
        ("more", "added", [], "guessed"),
    ]


def test_a_list_says_more_of_each_job_and_the_options_of_the_rest(wrapd: Runner) -> None:
    csv = "job_id,label,tags,kind\r\na,\xc4,x;y,photo\r\nb,,,\r\n".encode("utf-8-sig")
    assert wrapd("track", "-", "--label", "L", "--kind", "avatar", "--batch", "w", stdin=csv).status == 0
    found = {str(job["job_id"]): job for job in rows(wrapd)}
    assert [found["a"][key] for key in ("label", "tags", "kind", "batch")] == ["\xc4", ["x", "y"], "photo", "w"]
    assert [found["b"][key] for key in ("label", "tags", "kind", "batch")] == ["L", [], "avatar", "w"]
    lines = wrapd.folder / "jobs.jsonl"
    lines.write_text('{"job_id": "c"}\n{"job_id": "d", "kind": "avatr"}\n{"job_id": "e", "project": "mian"}\n')
    result = wrapd("track", "--file", str(lines))
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert "line 2, kind: no kind is called 'avatr'; did you mean 'avatar'?" in result.err
    assert "line 3, project: no project is called 'mian'; did you mean 'main'?" in result.err
    assert {job["job_id"] for job in rows(wrapd)} == {"a", "b"}
    result = wrapd("track", "--file", str(wrapd.folder / "nothing"))
    assert (result.status, "cannot read" in result.err) == (Exit.USAGE, True)


def test_every_word_of_the_store_has_a_sentence() -> None:
    assert set(_WORDS) == {each.value for each in TrackResult}
    assert set(_CHANGES) == {each.value for each in Change}


@pytest.mark.long
def test_fifty_thousand_ids_go_in_as_one_and_quickly(wrapd: Runner) -> None:
    ids = "\n".join(f"job-{number}" for number in range(50_000))
    began = time.process_time()
    result = wrapd("track", "-", stdin=ids.encode())
    assert (result.status, result.out.count(": tracked\n")) == (0, 50_000)
    assert time.process_time() - began < 20


def test_track_says_where_no_daemon_runs_and_only_there(wrapd: Runner) -> None:
    assert wrapd("track", "a").err == NO_DAEMON
    assert wrapd("track", "a").err == NO_DAEMON, "it is tracked already, and not taken up yet"
    assert wrapd("track", "a", "--json").err == ""
    store = Store.open(f"sqlite:///{wrapd.database}", clock=ManualClock(AT), daemon=True)
    try:
        assert wrapd("track", "b").err == ""
    finally:
        store.close()
    for job in "ab":
        move(wrapd, job, "SUCCEED")
    assert wrapd("track", "a", "b").err == "", "they have ended: nobody is to take them up"
