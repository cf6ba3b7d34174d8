"""What alerts say: built from rows, told as people talk."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.domain.events import OPERATOR_EVENTS, Event
from daemon.domain.jobs import Asset
from daemon.notify.facts import FACTS
from daemon.notify.message import Message, compose
from tests.support import alerts
from tests.support.alerts import AT, COVER

SOON = AT + timedelta(seconds=3)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def told(claimed: object, *, now: datetime = SOON, zone: object = UTC) -> Message:
    return compose(claimed, zone=zone, now=now)  # type: ignore[arg-type]


def field(message: Message, name: str) -> str | None:
    return next((one.value for one in message.fields if one.name == name), None)


def test_a_finished_video_tells_its_length_its_work_and_its_links() -> None:
    asset = Asset(
        asset_id="a1",
        asset_name="Launch film",
        preview_url="https://h.example.com/p.mp4?Expires=1772452800",
        cover_url="https://h.example.com/c.png",
    )
    row = alerts.job(
        asset=asset, duration=65, started_at=AT - timedelta(seconds=252), ended_at=AT, tags=("spring", "de")
    )
    message = told(alerts.claimed(of=row), zone=SHANGHAI)
    assert message.title == "Ready: Launch film"
    assert message.headline == "1 min 5 s of video, made in 4 min 12 s."
    assert [(link.name, link.url, link.note) for link in message.links] == [
        ("Preview", asset.preview_url, "valid until 2026-03-02 20:00 +08:00"),
        ("Cover", asset.cover_url, ""),
    ]
    assert field(message, "Finished") == "2026-03-01 20:00 +08:00"
    assert field(message, "Project") == "main (avatar video)"
    assert field(message, "Asset") == "a1"
    assert field(message, "Tags") == "spring, de"
    assert message.notes == ()


def test_the_documents_example_tells_the_dead_cover_as_it_came() -> None:
    answer = json.loads((Path(__file__).parents[1] / "data/document_example.json").read_text())
    cover = answer["output_asset_config"]["cover_url"]
    assert cover == COVER
    row = alerts.job(
        asset=Asset(cover_url=cover),
        created_at=datetime(2022, 11, 17, 1, 44, tzinfo=UTC),
        started_at=datetime(2022, 1, 17, 1, 43, tzinfo=UTC),
        ended_at=datetime(2022, 1, 17, 1, 44, tzinfo=UTC),
    )
    message = told(alerts.claimed(of=row))
    (link,) = message.links
    assert link.url == COVER
    assert link.note == "was valid until 2022-12-17 01:44:17 UTC"
    assert message.facts["cover_url"] == COVER
    assert message.facts["cover_valid_until"] == "2022-12-17T01:44:17Z"


def test_times_that_cannot_be_are_replaced_by_what_was_seen() -> None:
    """The document's own example starts ten months before it was created."""
    row = alerts.job(created_at=AT, started_at=AT - timedelta(days=300), ended_at=AT - timedelta(days=299))
    message = told(alerts.claimed(of=row))
    assert message.headline == "Made in about 5 min."
    assert field(message, "Finished") == "2026-03-01 12:00 UTC"


def test_a_job_that_had_ended_when_first_seen_tells_no_work() -> None:
    claimed = alerts.claimed()
    first = told(
        alerts.Claimed(delivery=claimed.delivery, job=claimed.job, move=alerts.move(before=None), attempt=1)
    )
    assert first.headline == "The video is finished."


def test_a_link_without_a_signature_lives_a_day_from_when_it_was_fetched() -> None:
    row = alerts.job(asset=Asset(download_url="https://h.example.com/v.mp4"), links_at=AT - timedelta(hours=23))
    (link,) = told(alerts.claimed(of=row)).links
    assert (link.name, link.note) == ("Download", "valid until 2026-03-01 13:00 UTC")
    (link,) = told(alerts.claimed(of=row), now=AT + timedelta(hours=2)).links
    assert link.note == "was valid until 2026-03-01 13:00:00 UTC"


def test_a_failure_tells_the_services_words_and_no_links() -> None:
    row = alerts.job(
        state="FAILED",
        error_code="MSS.10031004",
        error_msg="The script\nis empty.",
        asset=Asset(cover_url=COVER, asset_id="a1"),
    )
    message = told(alerts.claimed(Event.FAILED, of=row))
    assert message.title == "Failed: job-1"
    assert message.headline == "MetaStudio says: The script is empty."
    assert field(message, "Error") == "MSS.10031004"
    assert message.links == ()
    assert told(alerts.claimed(Event.FAILED)).headline == "MetaStudio gave no reason."


@pytest.mark.parametrize(
    ("label", "asset_name", "name"),
    [(None, None, "job-1"), ("Trailer", None, "Trailer"), ("Trailer", "Film", "Film"), (" \n", "\u202e", "job-1")],
)
def test_the_name_is_the_best_one_there_is(label: str | None, asset_name: str | None, name: str) -> None:
    row = alerts.job(label=label, asset=Asset(asset_name=asset_name))
    message = told(alerts.claimed(of=row))
    assert message.title == f"Ready: {name}"
    assert field(message, "Label") == (label if asset_name == "Film" else None)


def test_a_message_that_comes_late_says_so() -> None:
    late = AT + timedelta(hours=4, minutes=28)
    message = told(alerts.claimed(attempts=9), now=late)
    (note,) = message.notes
    assert note.startswith(
        "This comes late: it happened at 2026-03-01 12:00 UTC and is told at 2026-03-01 16:28 UTC."
    )
    assert note.endswith(" This channel could not be reached before.")
    assert told(alerts.claimed(), now=AT + timedelta(minutes=10)).notes == ()


def test_a_job_tracked_long_after_its_end_is_not_late() -> None:
    row = alerts.job(tracked_at=AT, started_at=AT - timedelta(days=3, hours=1), ended_at=AT - timedelta(days=3))
    message = told(alerts.claimed(of=row))
    assert message.notes == ()
    assert field(message, "Finished") == "2026-02-26 12:00 UTC"


def test_a_possible_repeat_says_so() -> None:
    message = told(alerts.claimed(possible_repeat=True))
    assert message.notes[0].startswith("This may be a repeat:")
    assert message.facts["possible_repeat"] is True


@pytest.mark.parametrize("event", [event for event in Event if event not in OPERATOR_EVENTS])
def test_every_job_event_has_words(event: Event) -> None:
    message = told(alerts.claimed(event, facts={"state": "BLOCK"}))
    assert "job-1" in message.title
    assert message.emoji
    assert message.headline
    assert field(message, "Job") == "job-1"


def test_a_job_that_begins_tells_how_long_it_should_take() -> None:
    facts = {"state": "PROCESSING", "eta": {"median": 192.0, "low": 101, "high": 400}}
    message = told(alerts.claimed(Event.STARTED, facts=facts), zone=SHANGHAI)
    assert message.headline == (
        "MetaStudio works on it now. It should take about 3 min more, in 8 of 10 cases 1 min 40 s to 6 min 30 s."
    )
    assert field(message, "Expected") == "2026-03-01 20:01 +08:00 to 20:06"
    assert [message.facts[f"eta_{name}"] for name in ("median", "low", "high")] == [192, 101, 400]
    late = told(alerts.claimed(Event.STARTED, facts={"eta": {"median": 9e4, "low": 8e4, "high": 1e5}}))
    assert field(late, "Expected") == "2026-03-02 10:13 UTC to 15:46"


@pytest.mark.parametrize(
    "eta",
    [
        None,
        {},
        3,
        {"median": 1.0, "low": 1.0},
        {"median": "1", "low": 1, "high": 2},
        {"median": -1, "low": 1, "high": 1},
    ]
    + [{"median": 1, "low": 1, "high": bad} for bad in (float("nan"), float("inf"), 1e12, True)],
)
def test_without_an_estimate_a_job_that_begins_tells_none(eta: object) -> None:
    message = told(alerts.claimed(Event.STARTED, facts={"eta": eta}))
    assert message.headline == "MetaStudio works on it now."
    assert json.loads(json.dumps(message.facts, allow_nan=False)) == message.facts
    assert field(message, "Expected") is None


def test_a_stuck_job_tells_what_is_normal() -> None:
    facts = {"state": "PROCESSING", "elapsed": 2520.0, "normal_median": 180.0, "normal_high": 540.0}
    message = told(alerts.claimed(Event.STUCK, facts=facts))
    assert message.title == "Takes too long: job-1"
    assert message.headline == (
        "It has been in production for 42 min. Jobs like it take 3 min, 99 of 100 less than 9 min. You will hear "
        "when it ends."
    )
    assert {name: message.facts[name] for name in facts} == facts
    bare = told(alerts.claimed(Event.STUCK))
    assert bare.headline.startswith("It has been in production for much longer than jobs like it.")


def test_a_job_that_succeeds_in_part_says_so() -> None:
    row = alerts.job(kind="picture_modeling", state="PARTIAL_SUCCEED")
    message = told(alerts.claimed(of=row, facts={"state": "PARTIAL_SUCCEED"}))
    assert message.title == "Ready in part: job-1"
    assert message.severity == "warning"
    assert message.headline.startswith("Only a part of what was ordered is there. ")
    assert field(message, "Project") == "main (picture modelling)"
    whole = told(alerts.claimed(of=alerts.job(kind="picture_modeling"), facts={"state": "SUCCEED"}))
    assert whole.title == "Ready: job-1"


@pytest.mark.parametrize(
    ("kind", "word"),
    [("avatar", "video"), ("business_card", "business card"), ("photo_detection", "result"), ("new", "result")],
)
def test_what_a_kind_makes_has_a_word(kind: str, word: str) -> None:
    message = told(alerts.claimed(Event.CANCELED, of=alerts.job(kind=kind)))
    assert message.headline == f"Somebody canceled it, so there is no {word}."


def test_an_unblocked_job_tells_where_it_is_now() -> None:
    claimed = alerts.claimed(Event.UNBLOCKED, facts={"state": "PROCESSING"})
    assert told(claimed).headline == "It was frozen and is now in production."


@pytest.mark.parametrize("event", sorted(OPERATOR_EVENTS))
def test_every_operator_event_says_what_to_do(event: Event) -> None:
    facts = {"channel": "editors", "reason": "HTTP 404", "state": "THAWING", "job_id": "j", "jobs": 9}
    message = told(alerts.operator(event, {**facts, "late_seconds": 75.0, "observed_at": AT.isoformat()}))
    assert any(name in message.title for name in ("main", "editors"))
    assert len(message.headline) > 40
    assert field(message, "Reason") == "HTTP 404"
    assert field(message, "Since") == "2026-03-01 12:00 UTC"
    assert "{" not in message.title + message.headline


def test_a_held_channel_names_the_command_that_mends_it() -> None:
    message = told(alerts.operator(Event.CHANNEL_HELD, {"channel": "editors", "reason": "HTTP 401"}))
    assert "`wrapd channels test editors`" in message.headline


def test_braces_in_an_operators_fact_stay_text() -> None:
    message = told(alerts.operator(Event.UNKNOWN_STATE, {"state": "{project.__class__}"}))
    assert "{project.__class__}" in message.headline


def test_facts_are_plain_json_under_the_same_names_for_every_event() -> None:
    jobs = told(alerts.claimed(of=alerts.job(tags=("a",)))).facts
    operators = told(alerts.operator(Event.PROJECT_DOWN, {"reason": "x"})).facts
    for facts in (jobs, operators):
        assert json.loads(json.dumps(facts)) == facts
        assert list(facts) == list(FACTS)  # what the docs list, and nothing else
        for key in ("event", "project", "job_id", "state", "cover_url", "preview_url", "error_code"):
            assert key in facts
        assert facts["delivery_id"] == 7
        assert facts["possible_repeat"] is False
    assert jobs["tags"] == ["a"]


@pytest.mark.parametrize("name", alerts.HOSTILE, ids=range(len(alerts.HOSTILE)))
def test_hostile_values_leave_one_line_each(name: str) -> None:
    row = alerts.job(
        label=name, asset=Asset(asset_name=name, asset_id=name), batch=name, tags=(name,), error_msg=name
    )
    for event in (Event.SUCCEEDED, Event.FAILED):
        message = told(alerts.claimed(event, of=row))
        texts = [message.title, message.headline, *(one.value for one in message.fields)]
        for text in texts:
            assert len(text.splitlines()) == 1
            assert len(text) <= 700
            text.encode()


def test_an_id_that_was_never_known_may_be_of_another_kind() -> None:
    lost = told(alerts.claimed(Event.LOST, of=alerts.job(state=None)))
    assert "knows no avatar video with this id" in lost.headline
    assert "--kind" in lost.headline
    gone = told(alerts.claimed(Event.LOST, of=alerts.job(state="PROCESSING")))
    assert "no longer knows it" in gone.headline
