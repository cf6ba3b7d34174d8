"""The event of each transition, and the key that makes it alerted once."""

from datetime import UTC, datetime

import pytest

from daemon.domain.events import Event, batch_occurrence, events_of, job_occurrence, membership
from daemon.domain.jobs import Observation, ProjectName
from daemon.domain.transitions import UNCHANGED, Moved, judge

AT = datetime(2026, 1, 1, tzinfo=UTC)


def move(before: str | None, after: str) -> Moved:
    verdict = judge(before, Observation(state=after), at=AT)
    assert isinstance(verdict, Moved)
    return verdict


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        (None, "WAITING", ()),
        (None, "SUCCEED", (Event.SUCCEEDED,)),
        ("WAITING", "PROCESSING", (Event.STARTED,)),
        ("PROCESSING", "WAITING", ()),
        ("PROCESSING", "FAILED", (Event.FAILED,)),
        ("WAITING", "CANCELED", (Event.CANCELED,)),
        ("PROCESSING", "BLOCK", (Event.BLOCKED,)),
        ("BLOCK", "WAITING", (Event.UNBLOCKED,)),
        ("BLOCK", "PROCESSING", (Event.UNBLOCKED, Event.STARTED)),
        ("BLOCK", "SUCCEED", (Event.SUCCEEDED,)),
        ("BLOCK", "THAWING", (Event.UNBLOCKED,)),
        ("THAWING", "BLOCK", (Event.BLOCKED,)),
        ("WAITING", "THAWING", ()),
    ],
)
def test_what_a_transition_tells(before: str | None, after: str, events: tuple[Event, ...]) -> None:
    assert events_of(move(before, after)) == events


def test_the_same_state_is_no_transition() -> None:
    assert judge("BLOCK", Observation(state="BLOCK"), at=AT) is UNCHANGED


def test_only_an_end_ends() -> None:
    assert move(None, "FAILED").ends
    assert not move(None, "BLOCK").ends
    assert not move(None, "THAWING").ends


def test_an_end_has_one_key_for_the_whole_life_of_a_job() -> None:
    first = job_occurrence(7, Event.SUCCEEDED, transition=1, episode=0)
    assert first == job_occurrence(7, Event.SUCCEEDED, transition=9, episode=3)
    assert first != job_occurrence(8, Event.SUCCEEDED)


def test_each_freeze_and_each_taking_up_is_told_anew() -> None:
    assert job_occurrence(7, Event.BLOCKED, transition=1) != job_occurrence(7, Event.BLOCKED, transition=2)
    assert job_occurrence(7, Event.LOST, episode=0) != job_occurrence(7, Event.LOST, episode=1)


def test_a_batch_is_told_again_where_its_jobs_are_others_or_were_taken_up() -> None:
    main = ProjectName("main")
    jobs = membership([(1, 1), (2, 1)])
    assert jobs == membership([(2, 1), (1, 1)])
    assert len({jobs, membership([(1, 1)]), membership([(1, 1), (2, 2)]), membership([(1, 1), (12, 1)])}) == 4
    first = batch_occurrence(main, "night", members=jobs, after=0)
    assert first == batch_occurrence(main, "night", members=jobs, after=0)
    others = [
        batch_occurrence(main, "night", members=membership([(1, 1), (3, 1)]), after=0),
        batch_occurrence(main, "night", members=jobs, after=7),
        batch_occurrence(main, "day", members=jobs, after=0),
        batch_occurrence(ProjectName("other"), "night", members=jobs, after=0),
    ]
    assert len({first.key, *(each.key for each in others)}) == 5
    assert len(batch_occurrence(ProjectName("p" * 128), "b" * 128, members=jobs, after=10**12).key) <= 300
