"""The content of alerts, built from rows and worded for people."""

import json
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.events import OPERATOR_EVENTS, Event
from daemon.domain.jobs import Asset
from daemon.notify.message import Cover, Language, Message
from daemon.notify.message.compose import MessageContext, compose, compose_digest
from daemon.notify.message.escape import length, rough
from daemon.notify.message.facts import FACTS
from daemon.notify.message.language import voice
from daemon.store import Claimed
from tests.support import alerts
from tests.support.alerts import AT, COVER

SOON = AT + timedelta(seconds=3)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def told(claimed: Claimed, *, now: datetime = SOON, zone: tzinfo = UTC, **look: Any) -> Message:
    return compose(claimed, MessageContext(zone=zone, now=now, **look))


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
        ("Preview", asset.preview_url, "valid until 2 Mar 20:00 (UTC+8)"),
        ("Cover", asset.cover_url, ""),
    ]
    assert field(message, "Finished") == "1 Mar 20:00 (UTC+8)"
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
    assert link.note == "expired 17 Dec 2022 01:44 (UTC)"
    assert message.facts["cover_url"] == COVER
    assert message.facts["cover_valid_until"] == "2022-12-17T01:44:17Z"


def test_times_that_cannot_be_are_replaced_by_what_was_seen() -> None:
    """The document's own example starts ten months before it was created."""
    row = alerts.job(created_at=AT, started_at=AT - timedelta(days=300), ended_at=AT - timedelta(days=299))
    message = told(alerts.claimed(of=row))
    assert message.headline == "Made in about 5 min."
    assert field(message, "Finished") == "1 Mar 12:00 (UTC)"


def test_a_job_that_had_ended_when_first_seen_tells_no_work() -> None:
    claimed = alerts.claimed()
    first = told(
        alerts.Claimed(delivery=claimed.delivery, job=claimed.job, move=alerts.move(before=None), attempt=1)
    )
    assert first.headline == "The video is finished."


def test_a_link_without_a_signature_lives_a_day_from_when_it_was_fetched() -> None:
    row = alerts.job(asset=Asset(download_url="https://h.example.com/v.mp4"), links_at=AT - timedelta(hours=23))
    (link,) = told(alerts.claimed(of=row)).links
    assert (link.name, link.note) == ("Download", "valid until 1 Mar 13:00 (UTC)")
    (link,) = told(alerts.claimed(of=row), now=AT + timedelta(hours=2)).links
    assert link.note == "expired 1 Mar 13:00 (UTC)"


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


def test_a_message_that_comes_late_says_since_when_and_why() -> None:
    late = AT + timedelta(hours=4, minutes=28)
    assert told(alerts.claimed(attempts=9), now=late).notes == (
        "Late: finished 12:00, reported 16:28: chat was unreachable.",
    )
    assert told(alerts.claimed(attempts=9), now=late + timedelta(days=3)).notes == (
        "Late: finished 1 Mar 12:00, reported 4 Mar 16:28: chat was unreachable.",
    )
    assert told(alerts.claimed(), now=AT + timedelta(minutes=10)).notes == ()


def test_what_waited_behind_a_failure_is_late_for_the_same_reason() -> None:
    late = AT + timedelta(hours=3)
    assert told(alerts.claimed(), now=late).notes == ("Late: finished 12:00, reported 15:00.",)
    behind = told(alerts.claimed(), now=late, failed_at=late - timedelta(minutes=1))
    assert behind.notes == ("Late: finished 12:00, reported 15:00: chat was unreachable.",)
    before = told(alerts.claimed(), now=late, failed_at=AT - timedelta(minutes=1))
    assert before.notes == ("Late: finished 12:00, reported 15:00.",)


def test_what_waited_for_quiet_hours_says_so_unless_the_chat_took_longer() -> None:
    claimed = alerts.claimed(held_until=AT + timedelta(hours=8))
    assert told(claimed, now=AT + timedelta(hours=8)).notes == (
        "Late: finished 12:00, reported 20:00: held until the end of quiet hours.",
    )
    tried = alerts.claimed(held_until=AT + timedelta(hours=1), attempts=4)
    assert told(tried, now=AT + timedelta(hours=8)).notes[0].endswith("chat was unreachable.")


def test_an_end_that_was_told_or_seen_late_says_when() -> None:
    row = alerts.job(tracked_at=AT - timedelta(hours=6), ended_at=AT - timedelta(hours=5))
    claimed = alerts.claimed(of=row)
    assert told(claimed).notes == ("Late: finished 07:00, reported 12:00: wrapd could not see it until 12:00.",)
    move = alerts.move(reported_at=AT - timedelta(minutes=1))
    (note,) = told(Claimed(delivery=claimed.delivery, job=row, move=move, attempt=1)).notes
    assert note == "Late: finished 07:00, reported 12:00: MetaStudio did not report it until 11:59."


def test_a_job_tracked_long_after_its_end_says_so() -> None:
    row = alerts.job(tracked_at=AT, started_at=AT - timedelta(days=3, hours=1), ended_at=AT - timedelta(days=3))
    message = told(alerts.claimed(of=row))
    assert message.notes == (
        "Late: finished 26 Feb 12:00, reported 1 Mar 12:00: wrapd did not know of the job until 12:00.",
    )
    assert field(message, "Finished") == "26 Feb 12:00 (UTC)"


def test_an_alert_told_elsewhere_says_whose_it_was() -> None:
    message = told(alerts.claimed(facts={"state": "SUCCEED", "diverted_from": "studio"}))
    assert message.notes == ("Sent here because channel studio does not accept messages.",)
    assert message.facts["diverted_from"] == "studio"


def test_wrapds_own_link_stands_alone() -> None:
    asset = Asset(preview_url="https://h.example.com/p.mp4", download_url="https://h.example.com/v.mp4")
    own = "https://wrapd.example.com/v/TOKEN"
    message = told(alerts.claimed(of=alerts.job(asset=asset)), links={1: own, 2: "https://other.example.com"})
    assert [(link.name, link.url, link.note) for link in message.links] == [("Watch", own, "")]
    assert message.facts["own_url"] == own
    revoked = told(alerts.claimed(of=alerts.job(asset=asset)), links={1: ""})
    assert (revoked.links, revoked.facts["own_url"]) == ((), None)
    assert message.facts["preview_url"] == asset.preview_url
    assert "h.example.com" not in str((message.fields, message.headline, message.notes))
    card = told(alerts.claimed(of=alerts.job(asset=asset, kind="business_card")), links={1: own})
    assert [link.name for link in card.links] == ["Open"]
    failed = told(alerts.claimed(Event.FAILED, of=alerts.job(asset=asset)), links={1: own})
    assert failed.links == ()


def test_a_link_that_dies_soon_says_until_when_and_what_to_do() -> None:
    until = AT + timedelta(hours=4)
    asset = Asset(asset_name="Film", preview_url=f"https://h.example.com/p.mp4?Expires={int(until.timestamp())}")
    row = alerts.job(asset=asset, link_until=until, ended_at=AT - timedelta(hours=20))
    claimed = Claimed(delivery=alerts.delivery(Event.LINK_EXPIRING), job=row, move=None, attempt=1)
    message = told(claimed)
    assert message.title == "Link expires soon: Film"
    assert message.headline == (
        "The link to the video works until 1 Mar 16:00 (UTC), for another 4 h. Save it before then."
    )
    assert [link.note for link in message.links] == ["valid until 1 Mar 16:00 (UTC)"]
    assert message.notes == ()
    assert message.facts["link_until"] == "2026-03-01T16:00:00Z"
    own = told(claimed, links={1: "https://wrapd.example.com/v/T"})
    assert own.headline == (
        "Nobody has opened the video yet. MetaStudio's own link to it expires 1 Mar 16:00 (UTC), in 4 h."
    )
    gone = told(claimed, now=until)
    assert gone.headline == "MetaStudio's link to it expired 1 Mar 16:00 (UTC)."


def test_the_cover_goes_along() -> None:
    cover = Cover(url=None, data=b"\x89PNG", content_type="image/png")
    assert told(alerts.claimed(), cover=cover).cover is cover


def batch(**facts: Any) -> Claimed:
    counts = dict.fromkeys(("succeeded", "partial", "failed", "canceled", "lost", "expired", "stopped"), 0)
    times = {
        "began": (AT - timedelta(hours=2)).isoformat(),
        "ended": AT.isoformat(),
        "observed_at": AT.isoformat(),
    }
    whole = {"batch": "spring", **counts, "failures": [], **times, **facts}
    return alerts.operator(Event.BATCH_FINISHED, whole)


def test_a_batch_that_went_well_says_so() -> None:
    message = told(batch(jobs=50, succeeded=50))
    assert (message.title, message.headline) == ("Batch spring: 50 of 50 done", "All 50 are finished.")
    assert (message.severity, message.rows) == ("good", ())
    assert [(one.name, one.value) for one in message.fields] == [
        ("Began", "1 Mar 10:00 (UTC)"),
        ("Ended", "1 Mar 12:00 (UTC)"),
        ("Took", "2 h"),
        ("Project", "main"),
    ]
    assert told(batch(jobs=1, succeeded=1), now=AT + timedelta(hours=1)).notes == (
        "Late: finished 12:00, reported 13:00.",
    )


def test_a_batch_names_what_did_not_succeed() -> None:
    failures = [{"job_id": f"j{n}", "name": f"Cut {n}", "event": "failed", "error": "No\nvoice"} for n in range(7)]
    lost = {"job_id": "j9", "name": "Cut 9", "event": "lost", "state": "PROCESSING", "error": None}
    message = told(
        batch(jobs=60, succeeded=50, partial=1, failed=7, lost=1, stopped=1, failures=[*failures, lost])
    )
    assert message.title == (
        "Batch spring: 50 of 60 done, 1 partly finished, 7 failed, 1 not found, 1 no longer watched"
    )
    assert message.headline == (
        "1 partly finished, 7 failed, 1 not found, 1 no longer watched: "
        "Cut 0; Cut 1; Cut 2; Cut 3; Cut 4; and 5 more."
    )
    assert message.severity == "bad"
    assert [(row.emoji, row.name, row.text) for row in message.rows[-2:]] == [
        ("❌", "Cut 6", "failed: No voice"),
        ("❓", "Cut 9", "not found"),
    ]
    counts = message.facts["counts"]
    assert isinstance(counts, dict)
    assert counts["failed"] == 7
    assert message.facts["began_at"] == "2026-03-01T10:00:00Z"


@pytest.mark.parametrize(
    "facts", [{}, {"failures": "x", "jobs": "9", "began": 3, "ended": ""}, {"failures": [1, {}]}]
)
def test_a_batch_of_odd_facts_is_told_as_far_as_it_can_be(facts: dict[str, Any]) -> None:
    message = told(alerts.operator(Event.BATCH_FINISHED, facts))
    assert message.title
    assert json.loads(json.dumps(message.facts)) == message.facts


def test_a_possible_repeat_says_so() -> None:
    message = told(alerts.claimed(possible_repeat=True))
    assert message.notes[0].startswith("This may be a repeat:")
    assert message.facts["possible_repeat"] is True


def test_what_was_asked_for_again_says_so_and_is_not_late() -> None:
    facts = {"resent_from": 3, "first_sent_at": (AT + timedelta(minutes=1)).isoformat()}
    message = told(alerts.claimed(facts=facts), now=AT + timedelta(hours=5))
    assert message.notes == ("Sent again on request: it was first sent 1 Mar 12:01 (UTC).",)
    assert message.facts["resent_from"] == 3
    chinese = told(alerts.claimed(facts=facts), language="zh")
    (note,) = chinese.notes
    assert note.startswith("应要求重新发送")
    assert "3月1日 12:01" in note
    assert told(alerts.claimed()).facts["resent_from"] is None


def test_an_alert_of_no_change_of_state_that_is_sent_again_keeps_its_time() -> None:
    facts = {"resent_from": 3, "observed_at": AT.isoformat()}
    row = alerts.delivery(Event.LOST, transition=None, facts=facts, created_at=AT + timedelta(hours=5))
    message = told(Claimed(delivery=row, job=alerts.job(), move=None, attempt=1), now=AT + timedelta(hours=5))
    assert message.facts["observed_at"] == "2026-03-01T12:00:00Z"
    assert field(message, "Seen") == "1 Mar 12:00 (UTC)"


@pytest.mark.parametrize(
    "event", [event for event in Event if event not in OPERATOR_EVENTS and event is not Event.BATCH_FINISHED]
)
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
        "MetaStudio is working on it. It should take about 3 min more (8 out of 10 take 1 min 40 s to 6 min 30 s)."
    )
    assert field(message, "Expected") == "1 Mar 20:01 (UTC+8) to 20:06"
    assert [message.facts[f"eta_{name}"] for name in ("median", "low", "high")] == [192, 101, 400]
    late = told(alerts.claimed(Event.STARTED, facts={"eta": {"median": 9e4, "low": 8e4, "high": 1e5}}))
    assert field(late, "Expected") == "2 Mar 10:13 (UTC) to 15:46"


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
    assert message.headline == "MetaStudio is working on it."
    assert json.loads(json.dumps(message.facts, allow_nan=False)) == message.facts
    assert field(message, "Expected") is None


def test_a_stuck_job_tells_what_is_normal() -> None:
    facts = {"state": "PROCESSING", "elapsed": 2520.0, "normal_median": 180.0, "normal_high": 540.0}
    message = told(alerts.claimed(Event.STUCK, facts=facts))
    assert message.title == "Taking too long: job-1"
    assert message.headline == (
        "It has been in production for 42 min. Jobs like it usually take 3 min, 99 out of 100 less than 9 min. "
        "You will hear when it ends."
    )
    assert {name: message.facts[name] for name in facts} == facts
    bare = told(alerts.claimed(Event.STUCK))
    assert bare.headline.startswith("It has been in production for much longer than jobs like it.")


def test_a_job_that_succeeds_in_part_says_so() -> None:
    row = alerts.job(kind="picture_modeling", state="PARTIAL_SUCCEED")
    message = told(alerts.claimed(of=row, facts={"state": "PARTIAL_SUCCEED"}))
    assert message.title == "Partly ready: job-1"
    assert message.severity == "warning"
    assert message.headline.startswith("Only part of what was ordered is ready. ")
    assert field(message, "Project") == "main (picture modelling)"
    whole = told(alerts.claimed(of=alerts.job(kind="picture_modeling"), facts={"state": "SUCCEED"}))
    assert whole.title == "Ready: job-1"


@pytest.mark.parametrize(
    ("kind", "word"),
    [("avatar", "video"), ("business_card", "business card"), ("photo_detection", "result"), ("new", "result")],
)
def test_what_a_kind_makes_has_a_word(kind: str, word: str) -> None:
    message = told(alerts.claimed(Event.CANCELED, of=alerts.job(kind=kind)))
    assert message.headline == f"It was canceled, so there is no {word}."


def test_an_unblocked_job_tells_where_it_is_now() -> None:
    claimed = alerts.claimed(Event.UNBLOCKED, facts={"state": "PROCESSING"})
    assert told(claimed).headline == "It was frozen and is now in production."


@pytest.mark.parametrize("event", sorted(OPERATOR_EVENTS))
def test_every_operator_event_says_what_to_do(event: Event) -> None:
    facts = {"channel": "editors", "reason": "HTTP 404", "state": "THAWING", "job_id": "j", "jobs": 9}
    message = told(alerts.operator(event, {**facts, "late_seconds": 75.0, "observed_at": AT.isoformat()}))
    of_wrapd = event in (Event.DEFECT, Event.CONFIG_REFUSED)
    assert of_wrapd or any(name in message.title for name in ("main", "editors"))
    assert len(message.headline) > 40
    assert field(message, "Reason") == "HTTP 404"
    assert field(message, "Since") == "1 Mar 12:00 (UTC)"
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
    batches = told(batch(jobs=2, succeeded=2)).facts
    chinese = told(alerts.claimed(of=alerts.job(tags=("a",))), language=Language.CHINESE).facts
    assert chinese == jobs
    for facts in (jobs, operators, batches):
        assert json.loads(json.dumps(facts)) == facts
        assert list(facts) == list(FACTS)  # exactly the facts that the docs list
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
    assert "has no avatar video with this id" in lost.headline
    assert "--kind" in lost.headline
    gone = told(alerts.claimed(Event.LOST, of=alerts.job(state="PROCESSING")))
    assert "no longer finds it" in gone.headline


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(AT.isoformat()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    *(
        "state",
        "eta",
        "elapsed",
        "normal_median",
        "normal_high",
        "reason",
        "diverted_from",
        "link_until",
        "channel",
    ),
    *("late_seconds", "jobs", "observed_at", "batch", "succeeded", "failed", "failures", "began", "ended"),
)


@settings(max_examples=150, deadline=None)
@given(
    facts=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8),
    event=st.sampled_from(list(Event)),
    language=st.sampled_from(list(Language)),
    times=st.lists(st.datetimes(timezones=st.just(UTC)), min_size=4, max_size=4),
)
def test_an_alert_of_any_facts_and_times_is_told(
    facts: dict[str, Any], event: Event, language: Language, times: list[datetime]
) -> None:
    """Facts written by another version, or by a service, never prevent a message."""
    about = event not in OPERATOR_EVENTS and event is not Event.BATCH_FINISHED
    row = alerts.job(ended_at=times[0], started_at=times[1], link_until=times[2]) if about else None
    delivery = alerts.delivery(event, facts=facts, held_until=times[3])
    claimed = Claimed(delivery=delivery, job=row, move=None, attempt=1)
    for message in (told(claimed, language=language), digest([claimed, claimed], language)):
        assert message.title
        for text in (message.title, message.headline, *message.notes, *(one.value for one in message.fields)):
            assert len(text.splitlines()) <= 1
            text.encode()


def digest(claimed: list[Claimed], language: Language) -> Message:
    return compose_digest(claimed, MessageContext(now=SOON, language=language))


def test_a_canceled_job_with_links_is_not_told_to_have_no_video() -> None:
    canceled = {"event": Event.CANCELED}
    bare = told(alerts.claimed(of=alerts.job(asset=Asset()), **canceled))
    assert bare.headline == "It was canceled, so there is no video."
    asset = Asset(preview_url="https://h.example.com/p.mp4", cover_url="https://h.example.com/c.png")
    message = told(alerts.claimed(of=alerts.job(asset=asset), **canceled))
    assert message.headline == "It was canceled, but MetaStudio has links to a video anyway."
    assert [link.url for link in message.links] == [asset.preview_url, asset.cover_url]
    chinese = told(alerts.claimed(of=alerts.job(asset=asset), **canceled), language=Language.CHINESE)
    assert chinese.headline == voice(Language.CHINESE, zone=UTC, now=SOON).texts.canceled_made.format(
        product="视频"
    )


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JavaScript:x", "data:text/html,x", "file:///etc/passwd", "vbscript:x", "ftp://h/x"],
)
def test_what_no_browser_should_load_is_no_link(url: str) -> None:
    asset = Asset(preview_url=url, download_url=url, cover_url="HTTPS://h.example.com/c.png")
    for event in (Event.SUCCEEDED, Event.CANCELED, Event.LINK_EXPIRING):
        message = told(alerts.claimed(of=alerts.job(asset=asset), event=event))
        assert url not in [link.url for link in message.links]
    many = [alerts.claimed(of=alerts.job(asset=asset), event=Event.SUCCEEDED) for _ in range(3)]
    rows = compose_digest(many, MessageContext(now=SOON)).rows
    assert [row.link.url for row in rows if row.link is not None] == ["HTTPS://h.example.com/c.png"] * 3


@pytest.mark.parametrize("duration", [1e300, 1e18, 3650 * 86400.0, float("inf"), float("nan")])
@pytest.mark.parametrize("language", Language)
def test_a_length_that_nobody_can_believe_is_told_in_few_words(duration: float, language: Language) -> None:
    asset = Asset(preview_url="https://h.example.com/p.mp4")
    message = told(alerts.claimed(of=alerts.job(asset=asset, duration=duration)), language=language)
    assert len(message.headline) < 60
    assert rough(duration) == length(duration) == "more than 10 years"
