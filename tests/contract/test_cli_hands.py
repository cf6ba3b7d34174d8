"""note, pause and resume: what they say and keep, and who did it."""

import json
from pathlib import Path

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import JobId, ProjectName
from daemon.errors import Exit
from daemon.store import ActionRow, Store, TrackRequest, Transaction
from tests.support.cli_runner import Runner
from tests.support.store import NOW, url_of

MAIN = ProjectName("main")


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    """A database with the jobs `one` and `two`."""
    runner = Runner(tmp_path, capsys)

    def work(tx: Transaction) -> None:
        for name in ("one", "two"):
            tx.jobs.track(TrackRequest(project=MAIN, kind="avatar", job_id=JobId(name)), at=NOW)

    store = Store.open(url_of(runner.database), clock=ManualClock(NOW))
    store.write_now(work)
    store.close()
    return runner


def actions(runner: Runner) -> list[ActionRow]:
    """All actions, latest first."""
    store = Store.open(url_of(runner.database), clock=ManualClock(NOW))
    try:
        return list(store.read(lambda tx: tx.actions.page(limit=100)).rows)
    finally:
        store.close()


def note_of(runner: Runner, job: str) -> object:
    return json.loads(runner("show", job, "--json").out)["note"]


def test_a_note_is_set_replaced_and_removed(wrapd: Runner) -> None:
    assert wrapd("note", "one", "retake,\nwrong\x1b[31m logo").out == "one: note retake, wrong[31m logo\n"
    assert note_of(wrapd, "one") == "retake, wrong[31m logo"
    assert "retake" in wrapd("show", "one").out
    assert wrapd("note", "one", " retake, wrong[31m logo").out.endswith("(unchanged)\n")
    assert wrapd("note", "one", "x" * 500).status == 0
    assert wrapd("note", "one", "--remove").out == "one: no note\n"
    assert note_of(wrapd, "one") is None
    assert wrapd("note", "one", "").out == "one: no note (unchanged)\n"
    assert note_of(wrapd, "two") is None


def test_each_change_of_a_note_is_an_action_without_its_text(wrapd: Runner) -> None:
    for text in ("wrong logo", "wrong logo", ""):
        wrapd("note", "one", text)
    found = actions(wrapd)
    assert [(each.what, each.subject, each.project, each.details) for each in found] == [
        ("note", "one", "main", {"removed": True}),
        ("note", "one", "main", {"removed": False}),
    ]
    assert all(each.who.startswith("cli:") for each in found)


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("one", "x" * 501), Exit.USAGE, "TEXT: it has 501 characters; a note has at most 500"),
        (("one", "\x00\u202e"), Exit.USAGE, "no visible character"),
        (("one",), Exit.USAGE, "give either the TEXT of the note or --remove"),
        (("one", "text", "--remove"), Exit.USAGE, "give either the TEXT of the note or --remove"),
        (("three", "text"), Exit.UNKNOWN, "no job three is known"),
    ],
)
def test_a_wrong_note_changes_nothing(wrapd: Runner, args: tuple[str, ...], status: int, says: str) -> None:
    wrapd("note", "one", "kept")
    ended = wrapd("note", *args)
    assert (ended.status, says in ended.err, note_of(wrapd, "one")) == (status, True, "kept")


# -------------------------------------------------------------------------------------------- pause and resume


def test_a_project_is_paused_and_resumed(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(NOW)
    for name in ("pause", "resume"):
        monkeypatch.setattr(f"daemon.cli.{name}.CLOCK", clock)
    assert wrapd("pause", "main", "--comment", "quota\nmoved").out == "main: paused; `wrapd resume main` ends it\n"
    [stats] = json.loads(wrapd("stats", "--json").out)
    assert stats["paused"]["comment"] == "quota moved"
    assert stats["paused"]["who"].startswith("cli:")
    assert "paused" in wrapd("stats").out
    assert "none: the project is paused since" in wrapd("show", "one").out
    assert "none: the project is paused since" in wrapd("explain", "one").out
    assert "(unchanged)" in wrapd("pause", "main", "--comment", "another").out
    clock.advance(90)
    assert wrapd("resume", "main").out == "main: resumed after 1m30s\n"
    assert wrapd("resume", "main").out == "main: was not paused\n"
    assert json.loads(wrapd("stats", "--json").out)[0]["paused"] is None
    found = actions(wrapd)
    assert [(each.what, each.subject, each.project) for each in found] == [
        ("resume", "main", "main"),
        ("pause", "main", "main"),
    ]
    assert found[1].details == {"comment": "quota moved"}


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("pause", "nain"), Exit.UNKNOWN, "did you mean 'main'?"),
        (("resume", "nain"), Exit.UNKNOWN, "no project is called 'nain', and none of that name is paused"),
        (("pause", "main", "--comment", "x" * 501), Exit.USAGE, "--comment: it has 501 characters"),
    ],
)
def test_a_wrong_pause_changes_nothing(wrapd: Runner, args: tuple[str, ...], status: int, says: str) -> None:
    ended = wrapd(*args)
    assert (ended.status, says in ended.err, actions(wrapd)) == (status, True, [])


def test_the_pause_of_a_project_that_left_the_config_can_be_ended(wrapd: Runner) -> None:
    wrapd("pause", "main")
    wrapd.config.write_text(wrapd.config.read_text().replace("[projects.main]", "[projects.other]"))
    assert wrapd("resume", "main").status == 0


def test_a_list_is_not_read_while_its_project_is_paused(wrapd: Runner) -> None:
    wrapd("pause", "main")
    ended = wrapd("track", "--from-api", "--project", "main")
    assert (ended.status, "main is paused since" in ended.err) == (Exit.FAILED, True)


# ---------------------------------------------------------------------------------------------------------- ask


def test_without_a_daemon_a_job_is_asked_about_at_its_start(wrapd: Runner) -> None:
    ended = wrapd("ask", "one", "two")
    assert (ended.status, ended.out.splitlines()) == (
        0,
        [f"{name}: no daemon runs: it is asked at its start" for name in ("one", "two")],
    )
    assert [(each.what, each.subject, each.count) for each in actions(wrapd)] == [("ask", None, 2)]
    assert wrapd("untrack", "one").status == 0
    assert wrapd("ask", "one").out == "one: not asked about: it is stopped (never answered)\n"


def test_asking_about_many_needs_their_number_or_a_yes(wrapd: Runner) -> None:
    assert wrapd("track", "--batch", "b", "one", "two").status == 0
    ended = wrapd("ask", "--batch", "b")
    assert (ended.status, "this would ask about 2 jobs; add --yes" in ended.err) == (Exit.USAGE, True)
    ended = wrapd("ask", "--batch", "b", "--expect", "3")
    assert (ended.status, "nothing was changed: 2 jobs match, not 3" in ended.err) == (Exit.USAGE, True)
    said = "2 jobs: no daemon runs: it is asked at its start\n"
    assert wrapd("ask", "--batch", "b", "--expect", "2").out == said
    assert wrapd("ask", "--batch", "b", "--yes").out == said
    assert wrapd("ask", "--batch", "none").out == "no watched job matches\n"
    assert wrapd("ask", "one", "--expect", "1").status == Exit.USAGE


def test_untracking_many_holds_to_the_number_that_was_expected(wrapd: Runner) -> None:
    wrapd("track", "--batch", "b", "one", "two")
    assert wrapd("untrack", "--batch", "b", "--expect", "1").status == Exit.USAGE
    assert wrapd("untrack", "--batch", "b", "--expect", "2").out == "no longer tracked: 2 jobs\n"
    assert wrapd("untrack", "--batch", "b", "--expect", "2").status == Exit.USAGE, "none is left"
