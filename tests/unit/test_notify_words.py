"""Times, lengths and external values as shown to people."""

import doctest
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.notify.message import Language
from daemon.notify.message import escape as words
from daemon.notify.message import language as voices
from daemon.notify.message.escape import clean, length
from daemon.notify.message.language import Voice, voice


@pytest.mark.parametrize("module", [words, voices])
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


def speaking(zone: tzinfo, *, language: Language = Language.ENGLISH, year: int = 2026) -> Voice:
    return voice(language, zone=zone, now=datetime(year, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "english", "chinese"),
    [
        ("Asia/Shanghai", "1 Mar 20:00 (UTC+8)", "3月1日 20:00 (UTC+8)"),
        ("America/St_Johns", "1 Mar 08:30 (UTC-3:30)", "3月1日 08:30 (UTC-3:30)"),
        ("Asia/Kathmandu", "1 Mar 17:45 (UTC+5:45)", "3月1日 17:45 (UTC+5:45)"),
        ("Europe/London", "1 Mar 12:00 (UTC)", "3月1日 12:00 (UTC)"),
    ],
)
def test_a_moment_always_has_its_offset(zone: str, english: str, chinese: str) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert speaking(ZoneInfo(zone)).moment(at) == english
    assert speaking(ZoneInfo(zone), language=Language.CHINESE).moment(at) == chinese


def test_a_moment_of_another_year_tells_it() -> None:
    at = datetime(2022, 12, 17, 1, 44, 17, tzinfo=UTC)
    assert speaking(UTC).moment(at) == "17 Dec 2022 01:44 (UTC)"
    assert speaking(UTC, language=Language.CHINESE).moment(at) == "2022年12月17日 01:44 (UTC)"
    assert speaking(UTC, year=2022).moment(at) == "17 Dec 01:44 (UTC)"


def test_the_last_moment_of_the_calendar_is_shown_in_utc_rather_than_not_at_all() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert speaking(timezone(timedelta(hours=8))).moment(last).endswith("(UTC)")


def test_times_of_one_day_need_no_day() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    english = speaking(UTC)
    assert english.clocks((noon, noon + timedelta(hours=3))) == ("12:00", "15:00")
    assert english.clocks((noon, noon + timedelta(hours=13))) == ("1 Mar 12:00", "2 Mar 01:00")


@pytest.mark.parametrize(
    ("seconds", "chinese"),
    [
        (0.2, "不到 1 秒"),
        (5, "5 秒"),
        (192, "3 分 12 秒"),
        (2520, "42 分钟"),
        (7500, "2 小时 5 分"),
        (90000, "1 天 1 小时"),
    ],
)
def test_lengths_in_chinese(seconds: float, chinese: str) -> None:
    assert speaking(UTC, language=Language.CHINESE).length(seconds) == chinese
