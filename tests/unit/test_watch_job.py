"""A watched job: its phases, the result of each event, and that no other module writes it."""

import ast
import re
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest

import daemon
from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.metastudio.kinds import KINDS
from daemon.watch.job import Phase, Watched

NOW = 1000.0
WATCH = Path(daemon.__file__).parent / "watch"
OWN = {name for name, value in vars(Watched).items() if not (name.startswith("__") or callable(value))}
NOT_A_JOB = {"case"}
"""Other names in daemon/watch with attributes of the same names: a `KindCase` in identify.py."""


def watched() -> Watched:
    """Return a job in production, due now."""
    return Watched(
        job=1,
        job_id=JobId("j1"),
        kind=KINDS["avatar"],
        state="PROCESSING",
        since=NOW - 60,
        start=NOW - 50,
        expires=NOW + 500,
        due=NOW,
    )


# Only its module writes it


def written(source: str) -> Iterator[str]:
    """Return the attributes of a `Watched` that the source assigns on anything except `self`."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store | ast.Del)
            and node.attr in OWN
            and ast.unparse(node.value) not in {"self"} | NOT_A_JOB
        ):
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("setattr", "delattr", "setattr__", "delattr__")
        ):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_only_its_own_module_writes_a_watched_job() -> None:
    found = {path.name: list(written(path.read_text())) for path in sorted(WATCH.glob("**/*.py"))}
    assert len(found) > 15
    found.pop("job.py")
    assert {name: writes for name, writes in found.items() if writes} == {}


def test_nothing_outside_of_the_watch_has_one_in_its_hands() -> None:
    others = [path for path in WATCH.parent.rglob("*.py") if WATCH not in path.parents]
    assert len(others) > 100
    assert [path for path in others if re.search(r"watch\.(job|agenda)\b", path.read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        "watched.due = 1.0",
        "each.due += 1.0",
        "a, (job.state, b) = c",
        "self.answered_last.phase = None",
        "for watched.due in range(3): pass",
        "with x() as watched.due: pass",
        "watched.length: float = 1.0",
        "del found.watched.kind",
        "setattr(watched, name, 1)",
        "object.__setattr__(watched, name, 1)",
    ],
)
def test_such_a_write_is_found_in_whatever_form(source: str) -> None:
    assert list(written(source))


# Its phases


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [
        ("ask", Phase.PLANNED, Phase.ASKED),
        ("ask", Phase.RECORDING, Phase.ASKED_RECORDING),
        ("release", Phase.ASKED, Phase.PLANNED),
        ("release", Phase.ASKED_RECORDING, Phase.RECORDING),
        ("begin_recording", Phase.PLANNED, Phase.RECORDING),
        ("begin_recording", Phase.ASKED, Phase.ASKED_RECORDING),
        ("end_recording", Phase.RECORDING, Phase.PLANNED),
        ("end_recording", Phase.ASKED_RECORDING, Phase.ASKED),
    ],
)
def test_a_question_and_a_recording_begin_and_end_without_each_other(
    event: str, before: Phase, after: Phase
) -> None:
    job = watched()
    assert job.phase is Phase.PLANNED
    if before in (Phase.ASKED, Phase.ASKED_RECORDING):
        job.ask()
    if before in (Phase.RECORDING, Phase.ASKED_RECORDING):
        job.begin_recording()
    assert job.phase is before
    getattr(job, event)()
    assert job.phase is after
    getattr(job, event)()
    assert job.phase is after, "what goes on already does not begin twice, nor end"


# When and how it is polled next


def test_who_wants_it_asked_again_is_heard_when_what_is_under_way_has_ended() -> None:
    job = watched()
    job.ask()
    job.begin_recording()
    job.want(NOW + 5)
    job.want(NOW + 7)
    job.settle(NOW + 60)
    assert (job.due, job.reason) == (NOW + 60, Reason.FIRST), "its move is being stored"
    job.end_recording()
    job.settle(NOW + 60)
    assert (job.due, job.reason, job.singly) == (NOW + 5, Reason.HINT, True)
    job.settle(NOW + 60)
    assert job.due == NOW + 60, "the wish is fulfilled once"


def test_a_wish_for_later_than_it_is_due_is_dropped() -> None:
    job = watched()
    job.want(NOW + 90)
    job.settle(NOW + 60)
    assert (job.due, job.reason, job.singly, job.wanted_at) == (NOW + 60, Reason.FIRST, False, inf)


def test_hints_are_taken_at_their_pace() -> None:
    job = watched()
    assert job.hint(NOW, pace=1.0)
    assert job.hinted == NOW
    assert job.hint(NOW + 0.2, pace=1.0)
    assert job.hinted == NOW + 1
    assert not job.hint(NOW + 0.4, pace=1.0), "that question is still to come"
    assert job.hint(NOW + 5, pace=1.0)
    assert job.hinted == NOW + 5


def test_an_answer_ends_what_only_the_next_question_was_for() -> None:
    job = watched()
    job.ask_singly(NOW + 1, Reason.DETAIL)
    assert job.not_found(NOW) == NOW
    assert job.not_found(NOW + 9) == NOW, "it is missing since the first time"
    job.unanswered("no such job", "single")
    assert (job.singly, job.last_error, job.looked) == (True, "no such job", None)
    job.answered(NOW + 1, "single")
    assert (job.singly, job.missing_since, job.last_error) == (False, None, None)
    assert (job.looked, job.asked_by, job.polls) == (NOW + 1, "single", 2)
    job.checkpointed()
    assert job.polls == 0


def test_what_lists_do_not_hold_is_asked_singly_whatever_was_answered() -> None:
    job = watched()
    job.set_unlisted(unlisted=True)
    job.answered(NOW, "single")
    assert job.singly
    job.set_unlisted(unlisted=False)
    assert not job.singly


def test_a_doubtful_list_that_lacks_it_is_asked_once_more() -> None:
    job = watched()
    job.lacked(NOW + 1, doubtful=True)
    assert (job.singly, job.due, job.reason) == (False, NOW + 1, Reason.MISSING)
    job.lacked(NOW + 2, doubtful=True)
    assert (job.singly, job.missed) == (True, 2)


def test_what_could_not_be_stored_is_kept_until_it_is_asked_again() -> None:
    job = watched()
    job.count_failure(failed=True)
    job.put_off(NOW + 800)
    job.not_stored()
    assert (job.unstored, job.expires) == (True, NOW + 800)
    job.count_failure(failed=False)
    assert not job.unstored


def test_the_first_defect_is_no_failure_yet() -> None:
    job, failures = watched(), []
    for _ in range(3):
        job.count_defect()
        failures.append(job.failures)
    assert failures == [0, 1, 2]


# Its state


def test_time_for_which_it_was_frozen_is_no_production() -> None:
    job = watched()
    job.enter("BLOCK", now=NOW, start=None)
    assert job.start == NOW - 50
    job.enter("PROCESSING", now=NOW + 30, start=NOW)
    assert job.start == NOW - 20
    job.set_stuck(stuck=True)
    job.enter("WAITING", now=NOW + 40, start=None)
    assert (job.start, job.since, job.stuck) == (None, NOW + 40, False)
    job.answered(NOW + 45, "ids")
    assert (job.waited, job.elapsed) == (5.0, 0.0)


def test_the_service_s_time_goes_back_with_a_move_only() -> None:
    job = watched()
    job.note_reported(50.0)
    job.note_reported(40.0)
    job.note_reported(None)
    assert job.reported == 50.0
    job.confirm(guessed=False, reported=None)
    assert job.reported == 50.0
    job.confirm(guessed=False, reported=45.0)
    assert job.reported == 45.0


def test_the_service_names_the_kind() -> None:
    job, other = watched(), next(kind for name, kind in KINDS.items() if name != "avatar")
    job.set_guessed(guessed=True)
    assert not job.learn_kind(KINDS["avatar"])
    assert not job.guessed
    assert job.learn_kind(other)
    assert job.kind is other


def test_a_watched_job_stays_small() -> None:
    assert not hasattr(watched(), "__dict__")
    assert len(Watched.__struct_fields__) <= 16, "100,000 of them are held in memory, 8 bytes for each"


def test_its_flags_fit_into_a_number_that_python_shares() -> None:
    job = watched()
    job.set_unlisted(unlisted=True)
    job.ask_singly()
    job.set_guessed(guessed=True)
    job.set_script_asked(asked=True)
    job.set_stuck(stuck=True)
    job.report_stuck(reported=True)
    job.ask()
    job.begin_recording()
    assert job._flags == 255


def test_what_few_jobs_have_is_kept_aside_and_forgotten_when_it_is_over() -> None:
    job, other = watched(), watched()
    none = job._rare
    assert other._rare is none
    job.unanswered("no route", "ids")
    job.not_found(NOW)
    job.lacked(NOW, doubtful=False)
    job.count_defect()
    assert (job.last_error, job.missing_since, job.missed, job.defects) == ("no route", NOW, 1, 1)
    assert (other.last_error, other.missing_since, other.missed, other.defects) == (None, None, 0, 0)
    job.clear_defects()
    job.set_missed(0)
    job.count_failure(failed=True)
    job.count_failure(failed=False)
    job.answered(NOW, "ids")
    assert job._rare is none


@pytest.mark.parametrize("name", ["unlisted", "singly_next", "guessed", "script_asked", "stuck", "stuck_reported"])
def test_each_flag_stands_for_itself(name: str) -> None:
    names = ("unlisted", "singly_next", "guessed", "script_asked", "stuck", "stuck_reported")
    job = watched()
    turn = {
        "unlisted": lambda: job.set_unlisted(unlisted=True),
        "singly_next": job.ask_singly,
        "guessed": lambda: job.set_guessed(guessed=True),
        "script_asked": lambda: job.set_script_asked(asked=True),
        "stuck": lambda: job.set_stuck(stuck=True),
        "stuck_reported": lambda: job.report_stuck(reported=True),
    }
    turn[name]()
    assert [each for each in names if getattr(job, each)] == [name]
