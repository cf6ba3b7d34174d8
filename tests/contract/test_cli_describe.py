"""untrack, label, tag: for jobs named by ids, and for all that match a batch, a tag or a state."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import choosing
from daemon.clock import ManualClock
from daemon.domain.jobs import JobId, Observation, ProjectName
from daemon.errors import Exit
from daemon.store import Store, TrackRequest, Transaction
from tests.support.cli_runner import CONFIG, Runner
from tests.support.store import NOW, SILENT, move, url_of

MAIN = ProjectName("main")
BEFORE = {
    "label": {"one": None, "two": None, "done": None, "alone": None},
    "tags": {"one": ["x", "y"], "two": ["y"], "done": ["x"], "alone": []},
    "tracking": {"one": "active", "two": "active", "done": "finished", "alone": "active"},
}


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    """`one` and `two` (in production) of batch b, `done` of the same batch has ended, `alone` has no batch."""
    runner = Runner(tmp_path, capsys)

    def work(tx: Transaction) -> None:
        for name, tags, batch in (
            ("one", ("x", "y"), "b"),
            ("two", ("y",), "b"),
            ("done", ("x",), "b"),
            ("alone", (), None),
        ):
            wanted = TrackRequest(project=MAIN, kind="avatar", job_id=JobId(name), tags=tags, batch=batch)
            tx.jobs.track(wanted, at=NOW)
        for name, state in (("two", "PROCESSING"), ("done", "FAILED")):
            (job,) = tx.jobs.find(JobId(name))
            seen = Observation(state=state)
            tx.jobs.record_move(job.id, move(None, seen), seen, routing=SILENT, due_at=NOW)

    store = Store.open(url_of(runner.database), clock=ManualClock(NOW))
    store.write_now(work)
    store.close()
    return runner


def many(count: int) -> tuple[str, ...]:
    """Return options that add this many tags."""
    return tuple(part for number in range(count) for part in ("--add", f"t{number}"))


def jobs(runner: Runner, key: str) -> dict[str, object]:
    return {each["job_id"]: each[key] for each in json.loads(runner("jobs", "--json").out)}


def unchanged(runner: Runner) -> bool:
    return all(jobs(runner, key) == value for key, value in BEFORE.items())


# --------------------------------------------------------------------------------------------------- by ids


def test_a_label_is_set_and_taken_away(wrapd: Runner) -> None:
    assert wrapd("label", "one", "第九集 🎬").out == "one: label 第九集 🎬\n"
    assert wrapd("label", "one", "第九集 🎬").out == "one: label 第九集 🎬 (unchanged)\n"
    assert jobs(wrapd, "label") == {**BEFORE["label"], "one": "第九集 🎬"}
    assert wrapd("label", "one", "two", "").out == "one: no label\ntwo: no label (unchanged)\n"
    assert unchanged(wrapd)


def test_a_label_is_cleaned_and_cut_as_that_of_track_is(wrapd: Runner) -> None:
    for text in (" \x1b[31mred\u202e \n", "L" * 900):
        wrapd("track", "alone", "--label", text)
        wanted = jobs(wrapd, "label")["alone"]
        wrapd("label", "one", text)
        assert jobs(wrapd, "label")["one"] == wanted


def test_tags_are_added_and_taken_away_and_the_others_stay(wrapd: Runner) -> None:
    result = wrapd("tag", "one", "alone", "--add", "z", "--add", "春", "--remove", "y")
    assert (result.status, result.out) == (0, "one: tags x, z, 春\nalone: tags z, 春\n")
    assert wrapd("tag", "two", "--remove", "y").out == "two: no tags\n"
    assert wrapd("tag", "done", "--add", "x", "--remove", "nope").out == "done: tags x (unchanged)\n"
    assert jobs(wrapd, "tags") == {"one": ["x", "z", "春"], "two": [], "done": ["x"], "alone": ["z", "春"]}


def test_ids_come_from_standard_input_too(wrapd: Runner) -> None:
    assert wrapd("tag", "-", "--add", "z", stdin=b"one\ntwo\n").out == "one: tags x, y, z\ntwo: tags y, z\n"
    assert wrapd("label", "-", "L", stdin=b"one\n").out == "one: label L\n"


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("label", "one", "nope", "L"), Exit.UNKNOWN, "no job nope is known"),
        (("tag", "one", "nope", "--add", "z"), Exit.UNKNOWN, "no job nope is known"),
        (("untrack", "one", "nope"), Exit.UNKNOWN, "no job nope is known"),
        (("label", "one", "\u200f\u202e"), Exit.USAGE, "TEXT: it has no visible character"),
        (("label", "one"), Exit.USAGE, "which jobs?"),
        (("tag", "one"), Exit.USAGE, "which tags?"),
        (("tag", "one", "--tag", "z"), Exit.USAGE, "give either ids, or"),
        (("tag", "one", "--add", "z", "--remove", "z"), Exit.USAGE, "--add and --remove both name 'z'"),
        (("tag", "one", "--add", "w" * 65), Exit.USAGE, "--add: it must have 1 to 64 visible characters"),
        (("tag", "one", "--remove", " "), Exit.USAGE, "--remove: it must have 1 to 64 visible characters"),
        (("tag", "alone", "one", *many(19)), Exit.USAGE, "nothing was changed: one: it would have 21 tags"),
        (("tag", "one", *many(21)), Exit.USAGE, "--add: 21 tags are too many"),
        (("untrack",), Exit.USAGE, "which jobs?"),
        (("untrack", "--project", "main"), Exit.USAGE, "which jobs?"),
        (("untrack", "one", "--batch", "b"), Exit.USAGE, "give either ids, or"),
        (("untrack", "--state", " "), Exit.USAGE, "--state: the state is empty"),
        (("untrack", "--batch", "b", "--project", "mian"), Exit.UNKNOWN, "did you mean 'main'"),
        (("untrack", "a/b"), Exit.USAGE, "'a/b' is not a job id"),
    ],
)
def test_what_is_wrong_is_one_message_and_changes_nothing(
    wrapd: Runner, args: tuple[str, ...], status: Exit, says: str
) -> None:
    result = wrapd(*args)
    assert (result.status, result.out) == (status, "")
    assert says in result.err
    assert unchanged(wrapd)


def test_the_project_says_which_where_two_have_an_id(wrapd: Runner) -> None:
    second = CONFIG.split("[channels", maxsplit=1)[0].replace("projects.main", "projects.other")
    wrapd.config.write_text(second + CONFIG.lstrip())
    wrapd("track", "one", "--project", "other", "--batch", "b")
    assert "several projects have a job one" in wrapd("label", "one", "L").err
    assert wrapd("label", "one", "L", "--project", "other").status == 0
    assert wrapd("untrack", "--batch", "b", "--project", "other").out == "no longer tracked: 1 job\n"
    found = {(each["project"], each["job_id"]): each for each in json.loads(wrapd("jobs", "--json").out)}
    assert (found["main", "one"]["label"], found["main", "one"]["tracking"]) == (None, "active")
    assert (found["other", "one"]["label"], found["other", "one"]["tracking"]) == ("L", "stopped")


# ------------------------------------------------------------------------------------------------ by filter


def test_all_that_fit_every_filter_are_changed_ended_ones_too(wrapd: Runner) -> None:
    assert wrapd("label", "--batch", "b", "Spring", "--yes").out == "label Spring: changed 3 of 3 jobs\n"
    assert jobs(wrapd, "label") == {"one": "Spring", "two": "Spring", "done": "Spring", "alone": None}
    assert wrapd("tag", "--batch", "b", "--tag", "x", "--add", "z", "--yes").out == "tags changed: 2 of 2 jobs\n"
    assert wrapd("tag", "--tag", "z", "--state", "failed", "--remove", "z").out == "tags changed: 1 of 1 job\n"
    assert jobs(wrapd, "tags") == {"one": ["x", "y", "z"], "two": ["y"], "done": ["x"], "alone": []}
    assert wrapd("label", "--batch", "nope", "L").out == "no job matches\n"
    assert wrapd("tag", "--state", "nope", "--add", "z").out == "no job matches\n"


def test_untrack_by_a_filter_means_those_that_are_watched(wrapd: Runner) -> None:
    assert wrapd("untrack", "--state", "PROCESSING").out == "no longer tracked: 1 job\n"
    assert jobs(wrapd, "tracking") == {**BEFORE["tracking"], "two": "stopped"}
    assert wrapd("untrack", "--batch", "b").out == "no longer tracked: 1 job\n"
    result = wrapd("untrack", "--batch", "b")
    assert (result.status, result.out) == (0, "no tracked job matches\n")
    assert jobs(wrapd, "tracking") == {"one": "stopped", "two": "stopped", "done": "finished", "alone": "active"}


BULK = [
    (("untrack", "--batch", "b"), "stop watching 2 jobs"),
    (("label", "--batch", "b", "L"), "set the label of 3 jobs"),
    (("label", "--batch", "b", ""), "remove the label of 3 jobs"),
    (("tag", "--tag", "x", "--add", "z"), "change the tags of 2 jobs"),
]


@pytest.mark.parametrize(("args", "doing"), BULK)
def test_without_a_terminal_more_than_one_is_changed_only_with_yes(
    wrapd: Runner, args: tuple[str, ...], doing: str
) -> None:
    result = wrapd(*args, stdin=b"y\n")
    assert (result.status, result.out) == (Exit.USAGE, "")
    assert f"this would {doing}; add --yes" in result.err
    assert unchanged(wrapd)
    assert wrapd(*args, "--yes").status == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("answer", "said", "label"),
    [("n", "nothing was changed\n", None), ("y", "label L: changed 3 of 3 jobs\n", "L")],
)
def test_on_a_terminal_it_says_how_many_and_asks(wrapd: Runner, answer: str, said: str, label: str | None) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli", "--config", str(wrapd.config), "label", "--batch", "b", "L"],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Set the label of 3 jobs?" in done.stderr
    assert done.stdout == said
    assert jobs(wrapd, "label")["one"] == label


@pytest.mark.parametrize(("args", "doing"), BULK)
def test_what_comes_while_somebody_thinks_is_left_alone(
    wrapd: Runner, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], doing: str
) -> None:
    asked = []

    def agreed(question: str) -> bool:
        asked.append(question)
        store = Store.open(url_of(wrapd.database), clock=ManualClock(NOW))
        late = TrackRequest(project=MAIN, kind="avatar", job_id=JobId("late"), tags=("x",), batch="b", label="me")
        store.write_now(lambda tx: tx.jobs.track(late, at=NOW))
        store.close()
        return True

    monkeypatch.setattr(choosing, "agreed", agreed)
    assert wrapd(*args).status == 0
    assert asked == [doing]
    assert (jobs(wrapd, "label")["late"], jobs(wrapd, "tags")["late"]) == ("me", ["x"])
    assert jobs(wrapd, "tracking")["late"] == "active"
