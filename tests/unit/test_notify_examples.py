"""The built-in examples: one of each event, as real alerts would be."""

import dataclasses
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from daemon.domain.events import OPERATOR_EVENTS, Event
from daemon.notify.message import Message
from daemon.notify.message.compose import MessageContext, compose, compose_digest
from daemon.notify.templates.examples import EXAMPLES, HOSTILE_NAME, example

NOW = datetime(2026, 11, 22, 4, 40, tzinfo=UTC)


def told(name: str, now: datetime = NOW) -> Message:
    return compose_digest(example(name, now=now), MessageContext(zone=ZoneInfo("Asia/Shanghai"), now=now))


def test_there_is_one_of_each_event_and_of_what_else_a_message_can_be() -> None:
    assert {event.value for event in Event} < set(EXAMPLES)
    for event in Event:
        assert told(event.value).event == event
    assert told("digest").event == "digest"


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"late", "quiet", "muted"}))
def test_an_example_is_of_now(name: str) -> None:
    """At any time: nothing is late, no link has expired."""
    message = told(name, NOW + timedelta(days=400))
    assert not any("Late" in note for note in message.notes)
    assert not any("expired" in link.note for link in message.links)


def test_an_example_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        example("nothing", now=NOW)


def test_what_is_special_about_an_example_is_told() -> None:
    assert told("late").notes == ("Late: finished 08:11, reported 12:40: chat was unreachable.",)
    assert told("quiet").notes == ("Late: finished 07:39, reported 12:40: held until the end of quiet hours.",)
    assert told("muted").notes == ("Late: finished 10:39, reported 12:40: held while muted.",)
    assert told("repeat").notes[0].startswith("This may be a repeat")
    assert told("diverted").notes == ("Sent here because channel studio does not accept messages.",)
    assert told("partial").title.startswith("Partly ready")
    assert HOSTILE_NAME in told("hostile").title


# ------------------------------------------------------------------------------------------- digests


def test_a_digest_tells_failures_first_and_then_in_the_order_of_time() -> None:
    message = told("digest")
    assert message.title == "12 finished, 2 failed"
    assert message.headline == "14 alerts from 22 Nov 12:38 (UTC+8) to 12:39, sent together."
    assert message.severity == "bad"
    assert [row.emoji for row in message.rows] == ["❌"] * 2 + ["✅"] * 12
    names = [row.name for row in message.rows]
    assert names == [
        f"Interview, take {n}" for n in (5, 9, *(each for each in range(1, 15) if each not in {5, 9}))
    ]
    assert message.rows[0].text == "failed 12:39: The script is longer than the voice allows."
    assert message.rows[2].text == "finished 12:38, 1 min 5 s of video"
    assert message.rows[0].link is None
    assert message.rows[2].link is not None
    assert message.rows[2].link.name == "Preview"


def test_a_digest_tells_machines_each_alert() -> None:
    facts = told("digest").facts
    assert facts["event"] == "digest"
    assert facts["shared"] == 14
    assert facts["counts"] == {"succeeded": 12, "failed": 2}
    alerts = facts["alerts"]
    assert isinstance(alerts, list)
    assert [alert["delivery_id"] for alert in alerts] == [100 + number for number in range(1, 15)]
    assert alerts[4]["error_code"] == "MSS.10031004"
    assert list(alerts[0]) == list(facts)


def test_a_digest_of_one_is_the_message_itself() -> None:
    (claimed,) = example("failed", now=NOW)
    look = MessageContext(now=NOW)
    assert compose_digest([claimed], look) == compose(claimed, look)


def test_a_row_has_wrapds_own_link_where_there_is_one() -> None:
    look = MessageContext(now=NOW, links={1: "https://wrapd.example.com/v/T"})
    message = compose_digest(example("digest", now=NOW), look)
    rows = {row.name: row.link.url for row in message.rows if row.link is not None}
    assert rows["Interview, take 1"] == "https://wrapd.example.com/v/T"
    assert "metastudio.example.com" in rows["Interview, take 2"]


def test_a_row_has_a_link_that_works_where_there_is_one() -> None:
    first, second = example("digest", now=NOW)[:2]
    assert first.job is not None
    dead = f"https://h.example.com/p.mp4?Expires={int(NOW.timestamp()) - 1}"
    alive = f"https://h.example.com/v.mp4?Expires={int(NOW.timestamp()) + 9}"
    asset = dataclasses.replace(first.job.asset, preview_url=dead, download_url=alive, cover_url=None)
    message = compose_digest(
        [replace(first, job=first.job._replace(asset=asset)), second], MessageContext(now=NOW)
    )
    assert message.rows[0].link is not None
    assert message.rows[0].link.url == alive


def test_a_digest_says_what_its_alerts_would_have_said() -> None:
    """Repeats, other channels, quiet hours, lateness: once for all of them."""
    repeat, diverted, quiet = (example(name, now=NOW)[0] for name in ("repeat", "diverted", "quiet"))
    message = compose_digest([quiet, repeat, diverted, diverted], MessageContext(now=NOW))
    assert message.notes == (
        "Some of these may be repeats: an earlier attempt may have arrived.",
        "Sent here because channel studio does not accept messages.",
        "Late: the first was 21 Nov 23:39, reported 22 Nov 04:40: held until the end of quiet hours.",
    )
    assert message.headline.endswith("held until the end of quiet hours.")
    assert message.facts["possible_repeat"] is True
    message = compose_digest([quiet, *example("muted", now=NOW)], MessageContext(now=NOW))
    assert message.headline.endswith("held while they were muted.")


def test_a_digest_says_that_some_were_asked_for_again() -> None:
    again, fresh = example("resent", now=NOW)[0], example("succeeded", now=NOW)[0]
    message = compose_digest([again, fresh], MessageContext(now=NOW))
    assert message.notes == ("Some of these were sent before, and are sent again on request.",)


def test_every_kind_of_alert_can_stand_in_a_digest() -> None:
    every = [claimed for event in Event for claimed in example(event.value, now=NOW)]
    message = compose_digest(every, MessageContext(now=NOW))
    assert len(message.rows) == len(Event)
    counts = message.facts["counts"]
    assert isinstance(counts, dict)
    assert list(counts) == [event.value for event in Event]
    assert message.title.startswith("1 finished, 1 failed, 1 canceled, 1 frozen")
    assert message.title.endswith(f", {len(OPERATOR_EVENTS)} other alerts")
    assert "Batch spring-launch: 48 of 50 done, 2 failed" in [row.name for row in message.rows]
