"""Times, lengths and foreign values as people read them."""

import doctest
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.notify import forms, words
from daemon.notify.words import clean, length, moment


@pytest.mark.parametrize("module", [words, forms])
def test_examples_in_the_docstrings_hold(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0


@given(st.text(max_size=400), st.integers(min_value=1, max_value=60))
def test_clean_gives_one_short_line_that_any_encoder_takes(text: str, limit: int) -> None:
    result = clean(text, limit=limit)
    assert len(result) <= limit
    assert len(result.splitlines()) <= 1
    result.encode("utf-8")
    assert not any(char in result for char in "\x00\x1b\u202e\u2066\u200e\ufeff\u2028")


def test_clean_keeps_every_script_and_joined_emoji() -> None:
    text = "视频 مرحبا Grüße 👩‍🚀 नमस्ते"
    assert clean(text, limit=80) == text


@given(st.floats(min_value=0, max_value=10**9))
def test_a_length_has_at_most_two_units(seconds: float) -> None:
    assert len(length(seconds).split()) in {2, 4}


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Shanghai", "2026-03-01 20:00 +08:00"),
        ("America/St_Johns", "2026-03-01 08:30 -03:30"),
        ("Asia/Kathmandu", "2026-03-01 17:45 +05:45"),
        ("Europe/London", "2026-03-01 12:00 UTC"),
    ],
)
def test_a_moment_always_has_its_offset(zone: str, shown: str) -> None:
    assert moment(datetime(2026, 3, 1, 12, tzinfo=UTC), ZoneInfo(zone)) == shown


def test_the_last_moment_of_the_calendar_is_shown_in_utc_rather_than_not_at_all() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert moment(last, timezone(timedelta(hours=8))).endswith("UTC")
