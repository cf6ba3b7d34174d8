"""Answers that the service sends, and that it should not: the tolerance table, item by item."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.jobs import Asset, link_expiry
from daemon.domain.states import State, is_terminal
from daemon.masks import MASKS
from daemon.metastudio import wire
from daemon.metastudio.kinds import AVATAR, BUSINESS_CARD, KINDS, PHOTO, Kind, kind_named
from daemon.metastudio.wire import MOST_KEPT, UnusableAnswer, kept_answer, read_number, read_task, read_time
from daemon.metastudio.wire_task import read_details

DATA = Path(__file__).parent.parent / "data"
EXAMPLE = (DATA / "document_example.json").read_bytes()
JOB = "26f06524-4f75-4b3a-a853-b649a21aaf66"


def body(**fields: Any) -> bytes:
    return json.dumps({"job_id": "j1", "state": "PROCESSING"} | fields).encode()


def test_the_documents_example_byte_for_byte() -> None:
    seen = read_task(EXAMPLE, job_id=JOB)
    assert seen.state == "SUCCEED"
    assert seen.created_at == datetime(2022, 11, 30, 6, 59, 56, tzinfo=UTC)
    assert seen.reported_at == datetime(2022, 11, 30, 7, 0, 9, tzinfo=UTC)
    assert seen.started_at == datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)
    assert seen.ended_at == datetime(2022, 1, 18, 16, 30, 36, tzinfo=UTC)
    assert seen.duration == 60.0
    assert (seen.error_code, seen.error_msg) == (None, None)
    assert seen.asset.asset_id == "942e65a5fd219a2e01fb08d881cfadb9"
    assert seen.asset.asset_name == "One Day"
    assert seen.asset.preview_url is None
    cover = seen.asset.cover_url
    assert cover == (
        "https://{endpoint}/0d697589d98091f12f92c0073501cd79/942e65a5fd219a2e01fb08d881cfadb9/"
        "20d367508e62d3d4ad608cedbe81bd35.png?AccessKeyId=XCQKTA8IWQPCAUQS4SDA&Expires=1671241457"
        "&Signature=zVGMVbI5ji9rr8epD1Cir5OGIRk%3D"
    )
    assert link_expiry(cover, fetched_at=datetime(2026, 1, 1, tzinfo=UTC)) == datetime(
        2022, 12, 17, 1, 44, 17, tzinfo=UTC
    )


def test_the_example_typed_on_demand() -> None:
    task = read_details(EXAMPLE)
    assert task.state == "SUCCESS"  # unchanged: the wire does not interpret it
    assert task.duration == 60
    assert task.error_info is None
    assert task.voice_config is not None
    assert (task.voice_config.speed, task.voice_config.volume) == (100, 140)
    assert task.video_config is not None
    assert task.video_config.frame_rate == 30
    (scene,) = task.shoot_scripts
    assert scene.shoot_script is not None
    assert scene.shoot_script.text_config is not None
    assert scene.shoot_script.text_config.text == "Hello, everyone. I'm Yunling."
    (background,) = scene.shoot_script.background_config  # an object there, an array in the document
    assert background.background_type == "IMAGE"
    (layer,) = scene.shoot_script.layer_config
    assert layer.position is not None
    assert (layer.position.dx, layer.position.dy, layer.position.layer_index) == (656, 0, 1)
    assert layer.size is not None
    assert (layer.size.width, layer.size.height) == (607.5, 1080)


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ("SUCCESS", "SUCCEED"),
        ("SUCCEED", "SUCCEED"),
        ("BLOCKED", "BLOCK"),
        ("BLOCK", "BLOCK"),
        ("THAWING", "THAWING"),
        (" processing ", "PROCESSING"),
    ],
)
def test_states_under_any_spelling(written: str, state: str) -> None:
    assert read_task(body(state=written)).state == state


@pytest.mark.parametrize(
    ("job_type", "asked", "kind"),
    [
        ("PHOTO_DIGITAL_HUMAN_VIDEO", AVATAR, PHOTO),
        ("DIGITAL_HUMAN_PHOTO_VIDEO", AVATAR, PHOTO),
        ("2D_DIGITAL_HUMAN_VIDEO", PHOTO, AVATAR),
        (None, PHOTO, PHOTO),
        ("SOMETHING_NEW", AVATAR, AVATAR),
    ],
)
def test_job_types_in_both_spellings(job_type: str | None, asked: Kind, kind: Kind) -> None:
    assert (kind_named(job_type) or asked) is kind


def test_the_documented_job_type_is_the_one_sent() -> None:
    assert PHOTO.job_type == "PHOTO_DIGITAL_HUMAN_VIDEO"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("656,", 656),
        ("0,", 0),
        (" -12 , ", -12),
        ("607.5", 607.5),
        (607.5, 607.5),
        (1080, 1080),
        ("wide", None),
        ("", None),
        (True, None),
        (None, None),
        ({}, None),
        ("inf", None),
        (float("inf"), None),
    ],
)
def test_numbers_where_the_document_says_integer(value: object, number: float | None) -> None:
    found = read_number(value)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize("rate", [30, "30", 29.97])
def test_frame_rate_as_text_or_number(rate: object) -> None:
    task = read_details(body(video_config={"frame_rate": rate}))
    assert task.video_config is not None
    assert task.video_config.frame_rate == rate


def test_object_for_array_is_wrapped_and_array_for_object_opened() -> None:
    task = read_details(
        body(
            shoot_scripts={
                "sequence_no": "3",
                "shoot_script": [{"background_config": {"background_type": "COLOR"}}],
            },
        )
    )
    (scene,) = task.shoot_scripts
    assert scene.sequence_no == 3
    assert scene.shoot_script is not None
    assert [item.background_type for item in scene.shoot_script.background_config] == ["COLOR"]
    seen = read_task(body(output_asset_config=[{"cover_url": "https://h/c.png"}]))
    assert seen.asset.cover_url == "https://h/c.png"


def test_script_is_optional_either_way() -> None:
    assert read_details(body()).shoot_scripts == []
    assert read_task(body(shoot_scripts=[{"shoot_script": {"text_config": {"text": "Hi"}}}])).state == "PROCESSING"


def test_no_order_of_times_is_required() -> None:
    seen = read_task(body(create_time="2022-11-30T06:59:56Z", start_time="2022-01-18T16:29:36Z"))
    assert seen.created_at is not None
    assert seen.started_at is not None
    assert seen.started_at < seen.created_at


def test_integer_duration_and_null_error() -> None:
    seen = read_task(body(duration=60, error_info=None))
    assert seen.duration == 60.0
    assert isinstance(seen.duration, float)
    assert seen.error_code is None


def test_a_success_without_preview() -> None:
    seen = read_task(body(state="SUCCEED", output_asset_config={"asset_id": "a", "cover_url": "https://h/c"}))
    assert seen.asset == Asset(asset_id="a", cover_url="https://h/c")


@pytest.mark.parametrize("page", [b"<html><body>Sign in</body></html>", b"  <!DOCTYPE html><html></html>"])
def test_a_page_is_never_a_state(page: bytes) -> None:
    with pytest.raises(UnusableAnswer):
        read_task(page)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"duration": "abc"}, "duration"),
        ({"duration": -1}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": [60]}, "duration"),
        ({"duration": 10**400}, "duration"),
        ({"start_time": "yesterday"}, "started_at"),
        ({"start_time": {"at": 1}}, "started_at"),
        ({"lastupdate_time": ""}, "reported_at"),
        ({"create_time": False}, "created_at"),
        ({"error_info": "broken"}, "error_code"),
        ({"error_info": {"error_code": "", "error_msg": []}}, "error_code"),
    ],
)
def test_one_bad_field_is_none_and_the_rest_stands(fields: dict[str, Any], name: str) -> None:
    seen = read_task(body(state="SUCCEED", output_asset_config={"cover_url": "https://h/c"}, **fields))
    assert getattr(seen, name) is None
    assert seen.state == "SUCCEED"
    assert seen.asset.cover_url == "https://h/c"


def test_a_numeric_duration_in_a_text_is_taken() -> None:
    assert read_task(body(duration="60.5")).duration == 60.5


@pytest.mark.parametrize(
    "raw",
    [
        b'{"job_id":"j1","state":"FAILED","script_id":"\xff\xfe","error_info":{"error_code":"E"}}',
        b'{"job_id":"j1","state":"FAILED","script_id":"\\ud800","error_info":{"error_code":"E"}}',
        b'\xef\xbb\xbf{"job_id":"j1","state":"FAILED","error_info":{"error_code":"E"}}',
        b'{"job_id":"j1","state":"FAILED","x":NaN,"error_info":{"error_code":"E"}}',
        b'{"job_id":"j1","state":"FAILED","x":' + b"9" * 5000 + b',"error_info":{"error_code":"E"}}',
    ],
)
def test_odd_bytes_in_a_field_that_is_not_needed(raw: bytes) -> None:
    seen = read_task(raw, job_id="j1")
    assert (seen.state, seen.error_code) == ("FAILED", "E")


def test_repaired_texts_can_be_stored() -> None:
    seen = read_task(b'{"state":"FAILED","error_info":{"error_msg":"a\\ud800b"}}')
    assert seen.error_msg == "a?b"
    assert seen.error_msg.encode()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"state":"WAI', "not JSON"),
        (b'{"state":"WAITING"} and more', "not JSON"),
        (b"{}", "no state"),
        (b'{"state":null}', "no state"),
        (b'{"state":5}', "not a string"),
        (b'{"state":["WAITING"]}', "not a string"),
        (b'{"state":"  "}', "state is empty"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_only_these_are_errors(raw: bytes, why: str) -> None:
    with pytest.raises(UnusableAnswer, match=why):
        read_task(raw)


def test_an_answer_about_another_job_is_no_answer() -> None:
    with pytest.raises(UnusableAnswer, match="another job"):
        read_task(body(job_id="j2"), job_id="j1")
    assert read_task(b'{"state":"WAITING"}', job_id="j1").state == "WAITING"


def test_a_state_that_sits_deeper_is_a_row_not_a_class() -> None:
    card = BUSINESS_CARD
    raw = json.dumps(
        {
            "job_info": {
                "job_id": "j1",
                "state": "SUCCEED",
                "create_time": "2026-01-01T00:00:00Z",
                "output_asset_config": {"asset_id": "a", "cover_url": "https://h/c"},
            },
            "gender": "FEMALE",
        }
    ).encode()
    seen = read_task(raw, at=card.body_at, job_id="j1")
    assert (seen.state, seen.asset.cover_url) == ("SUCCEED", "https://h/c")
    assert read_details(raw, at=card.body_at).job_id == "j1"
    with pytest.raises(UnusableAnswer, match="another job"):
        read_task(raw, at=card.body_at, job_id="j2")
    with pytest.raises(UnusableAnswer, match="no state"):
        read_task(body(), at=card.body_at)


@pytest.mark.parametrize("name", ["", " \u3000", "\u200b", "\u3164"])
def test_a_name_of_which_nothing_can_be_seen_is_none(name: str) -> None:
    asset = {"asset_name": name, "cover_url": "https://h/c"}
    assert read_task(body(output_asset_config=asset), job_id="j1").asset == Asset(cover_url="https://h/c")
    assert read_task(body(name=name, model_cover_url="https://h/c"), job_id="j1").asset.asset_name is None


def test_a_model_tells_its_name_and_cover() -> None:
    raw = body(state="PARTIAL_SUCCEED", name="Anna", model_cover_url="https://h/c", model_asset_id="m1")
    seen = read_task(raw, job_id="j1")
    assert seen.state == State.PARTIAL_SUCCEED
    assert is_terminal(seen.state)
    assert seen.asset == Asset(asset_name="Anna", cover_url="https://h/c")
    assert read_task(raw.replace(b'"Anna"', b"[5]"), job_id="j1").asset == Asset(cover_url="https://h/c")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("avatar", "/v1/p1/2d-digital-human-videos/j1"),
        ("photo", "/v1/p1/photo-digital-human-videos/j1"),
        ("business_card", "/v1/p1/digital-human-business-cards/j1"),
        ("photo_detection", "/v1/p1/photo-detection/j1"),
        ("picture_modeling", "/v1/p1/digital-human/stylized/picture-modelings/j1"),
    ],
)
def test_where_each_kind_is_asked_about(name: str, path: str) -> None:
    assert KINDS[name].path("p1", "j1") == path


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2022-01-18T16:29:36Z", datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)),
        ("2022-01-18T18:29:36+02:00", datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)),
        ("2022-01-18T16:29:36", datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)),
        ("2022-01-18T16:29:36.123456789Z", datetime(2022, 1, 18, 16, 29, 36, 123456, tzinfo=UTC)),
        (" 2022-01-18 16:29:36 ", datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)),
        (1642523376000, datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)),
        ("1642523376000", datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)),
        (1642523376, datetime(2022, 1, 18, 16, 29, 36, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+08:00", None),
        ("9999-12-31T23:59:59-05:00", None),
        (0, None),
        (1e300, None),
        (float("nan"), None),
        ("soon", None),
        (None, None),
        ([], None),
    ],
)
def test_times(written: object, moment: datetime | None) -> None:
    assert read_time(written) == moment


@pytest.mark.parametrize(
    ("files", "url"),
    [
        (
            [
                {"asset_file_category": "COVER", "download_url": "https://h/c"},
                {"asset_file_category": "MAIN", "download_url": "https://h/v"},
            ],
            "https://h/v",
        ),
        ({"asset_file_category": "MAIN", "download_url": "https://h/v"}, "https://h/v"),
        ([{"asset_file_category": "MAIN", "download_url": ""}], None),
        ([{"asset_file_category": "COVER", "download_url": "https://h/c"}, 5, None], None),
        ([], None),
        ("none", None),
    ],
)
def test_the_main_file_of_an_asset(files: object, url: str | None) -> None:
    assert wire.read_main_file(json.dumps({"files": files}).encode()) == url


def test_a_kept_answer_has_neither_script_nor_photo_nor_secrets() -> None:
    whole = body(
        state="FAILED",
        human_image="aGVsbG8=",
        shoot_scripts=[{"shoot_script": {"text_config": {"text": "the whole script"}}}],
        unheard_of="the whole script",
        output_asset_config={"cover_url": "https://h/c.png?Expires=1&Signature=s3cr3t-s1gn"},
        error_info={"error_code": "MSS.1", "error_msg": "refused for key-of-the-test-1"},
    )
    MASKS.add(["key-of-the-test-1"])
    kept = kept_answer(whole)
    for secret in ("script", "aGVsbG8", "s3cr3t", "key-of-the-test-1"):
        assert secret not in kept
    assert json.loads(kept)["error_info"] == {"error_code": "MSS.1", "error_msg": "refused for ***"}
    assert kept_answer(whole, at=("no", "such")) == "{}"


@given(st.text(), st.integers(1, 60_000))
def test_a_kept_answer_is_never_too_long(text: str, times: int) -> None:
    names = ("job_id", "job_type", "start_time", "end_time", "script_id", "model_asset_id", "create_time")
    long = body(**dict.fromkeys(names, (text * times)[:60_000]), error_info={"error_msg": "\x01" * 60_000})
    assert 2 <= len(kept_answer(long)) <= MOST_KEPT
