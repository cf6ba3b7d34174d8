"""Which channels get which events, in which order, and when: conditions, stop, quiet hours of routes and
channels."""

from datetime import UTC, datetime, time
from typing import Any

import pytest

from daemon.domain.events import DEFAULT_EVENTS, OPERATOR_EVENTS, Event
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Route, Routing, Subject, Target, routing

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)
A, B, C = ChannelName("a"), ChannelName("b"), ChannelName("c")
MAIN = ProjectName("main")


def route(*channels: ChannelName, events: tuple[Event, ...] = DEFAULT_EVENTS, **conditions: Any) -> Route:
    return Route(events=frozenset(events), channels=channels or (A,), **conditions)


def night(start: int = 22, end: int = 8, **options: Any) -> QuietHours:
    return QuietHours(start=time(start), end=time(end), zone=UTC, **options)


def subject(event: Event = Event.SUCCEEDED, **facts: Any) -> Subject:
    return Subject(**{"event": event, "project": MAIN, "kind": "avatar", **facts})


def hear(routed: Routing, event: Event, **facts: Any) -> tuple[str, ...]:
    return tuple(target.channel for target in routed.targets(subject(event, **facts), at=NOON))


def test_without_routes_every_channel_hears_of_the_default_events() -> None:
    plain = routing([], operators=None, channels=[A, B])
    for event in Event:
        if event in OPERATOR_EVENTS or event in DEFAULT_EVENTS:
            assert hear(plain, event) == ("a", "b"), event
        else:
            assert hear(plain, event) == (), event


def test_a_channel_of_two_matching_routes_hears_once_and_operators_by_name_only() -> None:
    routes = [route(B, A, events=(Event.FAILED,)), route(A, events=(Event.FAILED, Event.BLOCKED))]
    routed = routing(routes, operators=[B], channels=[A, B])
    assert hear(routed, Event.FAILED) == ("b", "a")
    assert hear(routed, Event.BLOCKED) == ("a",)
    assert hear(routed, Event.SUCCEEDED) == ()
    for event in OPERATOR_EVENTS:
        assert hear(routed, event) == ("b",)
    assert routed.hears(A, Event.BLOCKED)
    assert not routed.hears(B, Event.BLOCKED)
    assert routed.hears(B, Event.OVERLOADED)
    assert not routed.hears(A, Event.OVERLOADED)


def test_nobody_is_an_operator_where_the_list_is_empty() -> None:
    assert hear(routing([], operators=[], channels=[A]), Event.OVERLOADED) == ()


@pytest.mark.parametrize(
    ("condition", "facts", "mismatch"),
    [
        ({}, {}, None),
        ({"projects": (MAIN, ProjectName("x"))}, {}, None),
        ({"projects": (ProjectName("x"),)}, {}, "project"),
        ({"kinds": ("photo", "avatar")}, {}, None),
        ({"kinds": ("photo",)}, {}, "kind"),
        ({"kinds": ("photo",)}, {"kind": None}, "kind"),
        ({"tags": ("urgent", "vip")}, {"tags": ("x", "vip")}, None),
        ({"tags": ("urgent",)}, {"tags": ("x",)}, "tag"),
        ({"tags": ("urgent",)}, {"tags": ()}, "tag"),
        ({"batches": ("night",)}, {"batch": "night"}, None),
        ({"batches": ("night",)}, {"batch": "Night"}, "batch"),
        ({"batches": ("night",)}, {}, "batch"),
        ({"labels": ("Episode *",)}, {"label": "episode 12"}, None),
        ({"labels": ("episode ?",)}, {"label": "Episode 12"}, "label"),
        ({"labels": ("x", "ep[io]sode*")}, {"label": "EPISODE"}, None),
        ({"labels": ("第*集",)}, {"label": "第12集"}, None),
        ({"labels": ("*",)}, {"label": ""}, None),
        ({"labels": ("*",)}, {}, "label"),
        ({"kinds": ("photo",), "tags": ("x",)}, {}, "kind"),
        ({"kinds": ("avatar",), "tags": ("x",), "labels": ("y",)}, {"tags": ("x",), "label": "z"}, "label"),
    ],
)
def test_all_conditions_must_hold_each_by_any_of_its_values(
    condition: dict[str, Any], facts: dict[str, Any], mismatch: str | None
) -> None:
    one = route(**condition)
    assert one.mismatch(subject(**facts)) == mismatch
    assert one.mismatch(subject(Event.LINK_EXPIRING, **facts)) == "event"


def test_stop_ends_the_search_only_for_what_the_route_takes() -> None:
    routed = routing(
        [route(A), route(B, tags=("vip",), stop=True), route(C)],
        operators=None,
        channels=[A, B, C],
    )
    assert hear(routed, Event.SUCCEEDED) == ("a", "c")
    assert hear(routed, Event.SUCCEEDED, tags=("vip",)) == ("a", "b")
    steps = routed.steps(subject(tags=("vip",)))
    assert [(each.number, each.mismatch, each.skipped, each.taken) for each in steps] == [
        (1, None, False, True),
        (2, None, False, True),
        (3, None, True, False),
    ]


def test_a_routes_quiet_hours_hold_its_alerts_back_but_not_the_urgent_ones() -> None:
    routed = routing([route(A, quiet=night()), route(B)], operators=None, channels=[A, B])
    eight = datetime(2026, 3, 5, 8, tzinfo=UTC)
    assert routed.targets(subject(), at=MIDNIGHT) == (Target(channel=A, held_until=eight), Target(channel=B))
    assert routed.targets(subject(Event.FAILED), at=MIDNIGHT) == (Target(channel=A), Target(channel=B))
    assert routed.targets(subject(), at=NOON) == (Target(channel=A), Target(channel=B))


def test_a_channel_that_two_routes_name_waits_only_where_both_would_have_it_wait() -> None:
    loud = routing([route(A, quiet=night()), route(A)], operators=None, channels=[A])
    assert loud.targets(subject(), at=MIDNIGHT) == (Target(channel=A),)
    both = routing([route(A, quiet=night(22, 8)), route(A, quiet=night(23, 6))], operators=None, channels=[A])
    (target,) = both.targets(subject(), at=MIDNIGHT)
    assert target.held_until == datetime(2026, 3, 5, 6, tzinfo=UTC)


def test_a_channels_own_quiet_hours_hold_whatever_the_route_and_operators_events_too() -> None:
    routed = routing([route(A), route(B)], operators=[A, B], channels=[A, B], quiet={A: night()})
    eight = datetime(2026, 3, 5, 8, tzinfo=UTC)
    assert routed.targets(subject(), at=MIDNIGHT) == (Target(channel=A, held_until=eight), Target(channel=B))
    down = subject(Event.PROJECT_DOWN, kind=None)
    assert routed.targets(down, at=MIDNIGHT) == (Target(channel=A, held_until=eight), Target(channel=B))
    awake = routing([], operators=None, channels=[A], quiet={A: night(urgent=frozenset({Event.PROJECT_DOWN}))})
    assert awake.targets(down, at=MIDNIGHT) == (Target(channel=A),)


def test_what_a_route_lets_go_does_not_fall_into_the_channels_own_quiet_hours() -> None:
    routed = routing([route(A, quiet=night(22, 6))], operators=None, channels=[A], quiet={A: night(5, 8)})
    (target,) = routed.targets(subject(), at=MIDNIGHT)
    assert target.held_until == datetime(2026, 3, 5, 8, tzinfo=UTC)
    (target,) = routed.targets(subject(), at=datetime(2026, 3, 5, 7, tzinfo=UTC))
    assert target.held_until == datetime(2026, 3, 5, 8, tzinfo=UTC)


def test_quiet_hours_that_leave_no_moment_of_the_day_free_still_end() -> None:
    routed = routing([route(A, quiet=night(22, 10))], operators=None, channels=[A], quiet={A: night(9, 23)})
    (target,) = routed.targets(subject(), at=NOON)
    assert target.held_until == datetime(2026, 3, 4, 23, tzinfo=UTC)
