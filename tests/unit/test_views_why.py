"""Why an alert is not sent: the strongest reason, in words."""

from datetime import datetime
from typing import Any

import pytest

from daemon import views
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName
from daemon.store import DeliveryStatus, Refusal, Standing
from tests.support.alerts import AT, delivery
from tests.support.store import later

EDITORS = ChannelName("editors")
NOW = later(0)
PENDING = {"status": DeliveryStatus.PENDING, "attempts": 0, "due_at": NOW, "created_at": NOW}
REFUSED = {"refusals": {EDITORS: Refusal(since=AT, reason="HTTP 404")}}


def clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}"


def why(row: dict[str, Any], standing: dict[str, Any] | None = None, **situation: Any) -> str | None:
    event = row.pop("event", Event.SUCCEEDED)
    how = Standing(**{"refusals": {}, "after": {}, "due": {EDITORS: 1}, **(standing or {})})
    return views.why(
        delivery(event, **{**PENDING, **row}),
        views.Situation(standing=how, now=NOW, telling=views.Telling(moment=clock), **situation),
    )


FAILED = {"attempts": 2, "last_error": "HTTP 500", "due_at": later(60)}


@pytest.mark.parametrize(
    ("row", "standing", "said"),
    [
        ({"status": DeliveryStatus.SENT}, {}, None),
        ({"status": DeliveryStatus.DEAD, "last_error": "gone"}, {}, "gone"),
        ({"status": DeliveryStatus.CANCELED}, {}, None),
        ({"status": DeliveryStatus.SENDING}, {}, "it is being sent"),
        (
            {"status": DeliveryStatus.HELD, "last_error": "HTTP 401", "due_at": later(60)},
            REFUSED,
            "channel refused: HTTP 401 (since 12:00:00, next attempt 12:01:00)",
        ),
        ({}, REFUSED, "channel refused: HTTP 404 (since 12:00:00)"),
        (FAILED, REFUSED, "channel refused: HTTP 404 (since 12:00:00)"),
        (
            {"held_until": later(3600), "due_at": later(3600)},
            {"after": {7: 3}},
            "kept for quiet hours until 13:00:00",
        ),
        ({"held_until": later(3600)}, {}, "it is next"),  # something released it before
        (FAILED, {"after": {7: 3}}, "HTTP 500; next attempt 12:01:00"),
        ({}, {"after": {7: 3}}, "after #3, an earlier one of its job"),
        ({"job": None, "transition": None}, {"after": {7: 3}}, "after #3, an earlier one of its project"),
        ({"due_at": later(60), "event": Event.BLOCKED}, {}, "it changes often: the latest is sent 12:01:00"),
        (
            {"due_at": later(10), "event": Event.BATCH_FINISHED},
            {},
            "due 12:00:10, unless jobs are added to its batch",
        ),
        ({"due_at": later(10)}, {}, "due 12:00:10"),
        ({**FAILED, "due_at": NOW}, {}, "HTTP 500"),
        ({}, {"due": {EDITORS: 2}}, "due, with another on its channel: sent in turn or in one message"),
        ({}, {"due": {EDITORS: 42}}, "due, with 41 others on its channel: sent in turn or in one message"),
        (
            {},
            {"due": {EDITORS: 1000}},
            "due, with 999 others or more on its channel: sent in turn or in one message",
        ),
    ],
)
def test_the_strongest_cause_is_given(row: dict[str, Any], standing: dict[str, Any], said: str | None) -> None:
    assert why(dict(row), standing, channels={"editors"}) == said


def test_without_a_daemon_or_a_channel_nothing_is_sent() -> None:
    assert why({}, running=False) == "no daemon runs"
    assert why({"status": DeliveryStatus.SENDING}, running=False) == "wrapd stopped while it was being sent"
    assert why({}, REFUSED, channels={"others"}) == "the config has no such channel"
    assert why({}, channels=None) == "it is next"
