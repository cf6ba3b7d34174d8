"""Secrets are masked before a text is cut, wherever external text comes in."""

import json

import pytest

from daemon import transport
from daemon.config import values
from daemon.logs import MASKS
from daemon.masks import MASK
from daemon.metastudio import wire
from daemon.metastudio.errors import _text
from daemon.metastudio.wire import read_task

SECRET = "SKcanary0000000000000000000000000000000A"


@pytest.mark.parametrize("before", range(150, 310))
def test_a_secret_that_the_cut_would_go_through_does_not_show(before: int) -> None:
    MASKS.add([SECRET])
    text = f"{'x' * before} {SECRET} {'y' * 500}"
    for shown in (_text(text), str(transport._translated(OSError(text), "h:1"))):
        assert shown is not None
        assert SECRET[:8] not in shown


def test_the_words_of_a_failed_job_are_masked() -> None:
    MASKS.add([SECRET])
    body = json.dumps(
        {"job_id": "a", "state": "FAILED", "error_info": {"error_code": "1", "error_msg": f"key {SECRET}"}}
    )
    assert read_task(body.encode()).error_msg == f"key {MASK}"


@pytest.mark.parametrize("before", [0, 90, 120, 970, 3970, 3995, 4_000_000])
def test_texts_of_megabytes_are_cut_before_they_are_kept_and_masked_before_they_are_cut(before: int) -> None:
    MASKS.add([SECRET])
    text = f"{'x' * before} {SECRET} {'y' * 5_000_000}"
    seen = read_task(
        json.dumps(
            {
                "state": "FAILED",
                "error_info": {"error_code": text, "error_msg": text},
                "output_asset_config": {
                    "asset_id": text,
                    "asset_name": text,
                    "cover_url": f"https://h.example.com/{text}",
                    "preview_video_url": f"https://h.example.com/{text}",
                },
            }
        ).encode()
    )
    for kept, most in (
        (seen.error_code, wire.MOST_CODE),
        (seen.asset.asset_name, wire.MOST_NAME),
        (seen.error_msg, wire.MOST_WORDS),
    ):
        assert kept is not None
        assert len(kept) == most
        assert SECRET[:8] not in kept
    assert (seen.asset.asset_id, seen.asset.cover_url, seen.asset.preview_url) == (None, None, None)
    file = {"asset_file_category": "MAIN", "download_url": f"https://h.example.com/{text}"}
    assert wire.read_main_file(json.dumps({"files": [file]}).encode()) is None


def test_the_words_of_an_error_can_be_stored() -> None:
    MASKS.add([SECRET])
    kept = _text(f"\0{SECRET[:20]}\0{SECRET[20:]} \ud800 no")
    assert kept == f"{MASK} ? no"


def test_a_text_that_is_cut_stays_as_long_as_it_may_be() -> None:
    MASKS.add([SECRET])
    assert MASKS.cut(f"a  {SECRET}\n{'b' * 400}", 300) == f"a {MASK} {'b' * 294}"
    assert MASKS.cut("short", 300) == "short"
    assert MASKS.cut("z" * 5_000_000, 10) == "z" * 10


def test_passwords_in_addresses_are_not_repeated() -> None:
    for read in (values.endpoint, values.public_url):
        with pytest.raises(ValueError, match=r"HOST") as caught:
            read("https://admin:hunter2hunter2@no host")
        assert "hunter2" not in str(caught.value)
