"""What each transition means to people, and under which key it is told once."""

from datetime import UTC, datetime

import pytest

from daemon.domain.events import OPERATOR_EVENTS, Event, events_of, job_occurrence
from daemon.domain.jobs import ChannelName, Observation
from daemon.domain.routing import Route, routing
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


def test_without_routes_every_channel_hears_of_the_default_events() -> None:
    plain = routing([], operators=None, channels=[ChannelName("a"), ChannelName("b")])
    assert plain.channels_for(Event.SUCCEEDED) == ("a", "b")
    assert plain.channels_for(Event.STARTED) == ()
    assert plain.channels_for(Event.PROJECT_DOWN) == ("a", "b")


def test_a_channel_of_two_matching_routes_hears_once_and_operators_by_name_only() -> None:
    a, b = ChannelName("a"), ChannelName("b")
    routes = [
        Route(events=frozenset({Event.FAILED}), channels=(b, a)),
        Route(events=frozenset({Event.FAILED, Event.BLOCKED}), channels=(a,)),
    ]
    routed = routing(routes, operators=[b], channels=[a, b])
    assert routed.channels_for(Event.FAILED) == ("b", "a")
    assert routed.channels_for(Event.BLOCKED) == ("a",)
    assert routed.channels_for(Event.SUCCEEDED) == ()
    for event in OPERATOR_EVENTS:
        assert routed.channels_for(event) == ("b",)


def test_nobody_is_an_operator_where_the_list_is_empty() -> None:
    assert routing([], operators=[], channels=[ChannelName("a")]).channels_for(Event.OVERLOADED) == ()
