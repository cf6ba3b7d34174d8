"""Untrusted text on a terminal, and times for people."""

import doctest
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import text as text_module
from daemon.cli.deliveries import STATUSES
from daemon.cli.text import MAX_LABEL, about, ago, clean, label, moment, stamp
from daemon.domain import text as domain_text
from daemon.domain.text import word
from daemon.store import DeliveryStatus

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(st.text(alphabet=st.characters(), max_size=200))
def test_nothing_that_moves_a_terminal_survives(text: str) -> None:
    cleaned = clean(text)
    assert not {unicodedata.category(char) for char in cleaned} & {"Cc", "Cs", "Zl", "Zp"}
    cleaned.encode()
    assert clean(cleaned) == cleaned
    assert len(label(text)) <= MAX_LABEL


@pytest.mark.parametrize(
    "text", ["", "  ", "\u3000", "\u200b", "\u2060\u200d", "\u3164", "\u2800", "\U000e0041", "\ufe0f"]
)
def test_a_name_that_nobody_can_see_is_none(text: str) -> None:
    assert label(text) == ""
    with pytest.raises(ValueError, match="must have 1 to 64 visible characters, not 0"):
        word(text)
    assert label(f"{text}数") != ""
    assert word(f"a{text}") in (f"a{text}", "a")


def test_ordinary_text_stays() -> None:
    for text in ("plain", "数字人 视频", "é e\u0301", "👩\u200d💻 emoji", "[red]markup[/red]"):
        assert clean(text) == text


def test_lines_are_joined_and_turning_marks_dropped() -> None:
    assert clean("a\r\nb\u2028c\td\u202e") == "a  b c d"
    assert clean("\x1b[31mred\x9b0m") == "[31mred0m"
    assert clean("half \ud83d") == "half \ufffd"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (AT - timedelta(seconds=5), "5s ago"),
        (AT - timedelta(minutes=3, seconds=2), "3m2s ago"),
        (AT - timedelta(days=2, hours=7, minutes=5), "2d7h ago"),
        (AT + timedelta(hours=1, minutes=30), "in 1h30m"),
        (AT, "0s ago"),
        (None, "-"),
    ],
)
def test_how_long_ago(at: datetime | None, text: str) -> None:
    assert ago(at, AT) == text


def test_times() -> None:
    assert about(0.4) == "0s"
    assert moment(AT) == "2026-03-01 12:00:00 UTC"
    assert moment(None) == "-"
    assert stamp(None) is None
    assert stamp(AT + timedelta(microseconds=1500)) == "2026-03-01T12:00:00.001Z"


def test_the_statuses_that_can_be_asked_for_are_those_of_the_store() -> None:
    assert set(STATUSES) == {status.value for status in DeliveryStatus}


def test_examples_in_the_docstrings_hold() -> None:
    for module, least in ((text_module, 5), (domain_text, 2)):
        found = doctest.testmod(module)
        assert found.attempted >= least
        assert found.failed == 0
