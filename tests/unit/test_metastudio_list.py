"""The list's query on the wire, and its answers: complete, odd, and with one broken entry."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from daemon.domain.jobs import JobId
from daemon.metastudio.auth import canonical_query
from daemon.metastudio.kinds import AVATAR, KINDS, PHOTO, PICTURE_MODELING
from daemon.metastudio.listing import ListQuery
from daemon.metastudio.wire import UnusableAnswer, read_task
from daemon.metastudio.wire_list import read_list

ENTRY = {
    "job_id": "26f06524-4f75-4b3a-a853-b649a21aaf66",
    "state": "SUCCESS",
    "job_type": "DIGITAL_HUMAN_PHOTO_VIDEO",
    "start_time": "2022-11-30T06:59:57Z",
    "end_time": "2022-11-30T07:00:08Z",
    "duration": 60,
    "output_asset_config": {"asset_id": "a1", "cover_url": "https://h/c", "preview_video_url": "https://h/p"},
    "error_info": None,
    "create_time": "2022-11-30T06:59:56Z",
    "lastupdate_time": "2022-11-30T07:00:09Z",
}
UPDATED = datetime(2022, 11, 30, 7, 0, 9, tzinfo=UTC).timestamp()


def page(*jobs: object, **fields: Any) -> bytes:
    return json.dumps({"count": len(jobs), "jobs": jobs} | fields).encode()


def ids(count: int) -> tuple[JobId, ...]:
    return tuple(JobId(f"job-{number:03}") for number in reversed(range(count)))


def test_the_whole_query_as_it_is_signed() -> None:
    query = ListQuery(
        states=("SUCCEED", "FAILED"),
        job_ids=(JobId("b"), JobId("a")),
        kind=PHOTO,
        created_since=datetime(2021, 1, 10, 18, 43, 17, 900_000, tzinfo=timezone(timedelta(hours=8))),
        newest_update_first=True,
        offset=100,
        limit=50,
    )
    pairs = [
        ("create_since", "2021-01-10T10:43:17Z"),
        ("job_ids", "b"),
        ("job_ids", "a"),
        ("job_type", "PHOTO_DIGITAL_HUMAN_VIDEO"),
        ("limit", "50"),
        ("offset", "100"),
        ("sort_dir", "desc"),
        ("sort_key", "update_time"),
        ("state", "SUCCEED,FAILED"),
    ]
    assert query.wire() == canonical_query(pairs)


def test_the_plain_query_names_its_limit() -> None:
    assert ListQuery().wire() == "limit=100&offset=0"  # the service's default limit is 10


def test_a_hundred_ids_as_they_are_signed() -> None:
    wire = ListQuery(job_ids=ids(100)).wire()
    assert wire == canonical_query([*(("job_ids", each) for each in ids(100)), ("limit", "100"), ("offset", "0")])
    assert wire.count("job_ids=") == 100


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": 0},
        {"limit": 101},
        {"offset": -1},
        {"job_ids": ids(101)},
        {"kind": PICTURE_MODELING},
    ],
)
def test_what_the_service_would_refuse(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="list"):
        ListQuery(**fields)


def test_an_entry_says_what_a_single_answer_says() -> None:
    listed = read_list(page(ENTRY), server_time=datetime(2026, 1, 1, tzinfo=UTC))
    (entry,) = listed.entries
    assert (listed.count, listed.skipped) == (1, 0)
    assert listed.server_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert (entry.job_id, entry.state, entry.kind) == (ENTRY["job_id"], "SUCCEED", PHOTO)
    assert entry.reported_at == UPDATED
    assert entry.observation() == read_task(json.dumps(ENTRY).encode())
    assert "https:" not in repr(entry)


def test_the_services_order_is_kept_and_repeats_too() -> None:
    jobs = [ENTRY | {"job_id": name} for name in ("c", "a", "b", "a")]
    assert [entry.job_id for entry in read_list(page(*jobs)).entries] == ["c", "a", "b", "a"]


@pytest.mark.parametrize(
    "spoiled",
    [
        None,
        5,
        "job",
        [],
        {},
        {"job_id": "j", "state": 5},
        {"job_id": "j", "state": " "},
        {"job_id": "j"},
        {"state": "SUCCEED"},
        {"job_id": "", "state": "SUCCEED"},
        {"job_id": "../x", "state": "SUCCEED"},
        {"job_id": "j" * 129, "state": "SUCCEED"},
        {"job_id": ["j"], "state": "SUCCEED"},
        {"job_id": "j\n", "state": "SUCCEED"},
    ],
)
def test_an_unusable_entry_is_left_out_and_counted(spoiled: object) -> None:
    listed = read_list(page(ENTRY, spoiled, ENTRY | {"job_id": "after"}))
    assert [entry.job_id for entry in listed.entries] == [ENTRY["job_id"], "after"]
    assert (listed.skipped, listed.count) == (1, 3)


@pytest.mark.parametrize(
    "odd",
    [
        {"duration": "60,"},
        {"output_asset_config": [ENTRY["output_asset_config"]]},
        {"error_info": "none"},
        {"start_time": 5},
        {"asset_name": [1]},
        {"create_time": {}},
        {"end_time": False},
    ],
)
def test_an_odd_field_spoils_nothing(odd: dict[str, Any]) -> None:
    listed = read_list(page(ENTRY, ENTRY | {"job_id": "odd"} | odd))
    first, second = listed.entries
    assert second.job_id == "odd"
    assert (second.state, second.reported_at, second.kind) == ("SUCCEED", UPDATED, PHOTO)
    assert second.observation().asset == first.observation().asset
    assert listed.skipped == 0


@pytest.mark.parametrize(
    ("written", "epoch"),
    [
        ("2022-11-30T07:00:09Z", UPDATED),
        ("2022-11-30T15:00:09+08:00", UPDATED),
        ("2022-11-30T07:00:09", UPDATED),
        (" 2022-11-30 07:00:09 ", UPDATED),
        (int(UPDATED * 1000), UPDATED),
        (str(int(UPDATED * 1000)), UPDATED),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+08:00", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_when_it_was_updated(written: object, epoch: float | None) -> None:
    (entry,) = read_list(page(ENTRY | {"lastupdate_time": written})).entries
    assert entry.reported_at == epoch


@pytest.mark.parametrize(
    ("job_type", "kind"),
    [
        ("2D_DIGITAL_HUMAN_VIDEO", AVATAR),
        (" photo_digital_human_video", PHOTO),
        ("SOMETHING_NEW", None),
        (None, None),
        (7, None),
    ],
)
def test_of_what_kind_it_is(job_type: object, kind: object) -> None:
    (entry,) = read_list(page(ENTRY | {"job_type": job_type})).entries
    assert entry.kind is kind


@pytest.mark.parametrize(
    ("count", "known"), [(250, 250), ("250", 250), (2.0, 2), (None, None), (-1, None), ([], None), ("many", None)]
)
def test_how_many_there_are_in_all(count: object, known: int | None) -> None:
    listed = read_list(page(ENTRY, count=count))
    assert (listed.count, len(listed.entries)) == (known, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"",
        b'{"count":3}',
        b'{"count":3,"jobs":null}',
        b'{"jobs":"none"}',
        b'{"jobs":[{"job_id":"a","state":"FAI',
        b"<html></html>",
    ],
)
def test_without_jobs_it_is_no_list(body: bytes) -> None:
    with pytest.raises(UnusableAnswer):
        read_list(body)


@pytest.mark.parametrize(
    "body", [b'{"count":0,"jobs":[]}', b'{"jobs":[]}', b'{"count":0,"jobs":null}', b'{"count":0}']
)
def test_an_empty_list(body: bytes) -> None:
    assert read_list(body).entries == []


def test_one_object_where_an_array_belongs() -> None:
    (entry,) = read_list(json.dumps({"jobs": ENTRY}).encode()).entries
    assert entry.state == "SUCCEED"


def test_odd_bytes_in_one_entry() -> None:
    bad = b'{"job_id":"bad","state":"FAILED","error_info":{"error_msg":"a\xff\\ud800b"},"lastupdate_time":null}'
    for extra in (b"", b',{"job_id":"nan","state":"WAITING","duration":NaN}'):
        listed = read_list(b'{"jobs":[' + json.dumps(ENTRY).encode() + b"," + bad + extra + b"]}")
        found = {str(entry.job_id): entry for entry in listed.entries}
        assert found["bad"].state == "FAILED"
        message = found["bad"].observation().error_msg
        assert message is not None
        assert message.encode()
        assert found[str(ENTRY["job_id"])].reported_at == UPDATED
        assert listed.skipped == 0


def test_which_kinds_are_listed_and_have_scripts() -> None:
    assert {name for name, kind in KINDS.items() if kind.listed} == {"avatar", "photo"}
    assert {name for name, kind in KINDS.items() if kind.scripted} == {"avatar", "photo"}
    assert all(kind.job_type for kind in KINDS.values() if kind.listed)
