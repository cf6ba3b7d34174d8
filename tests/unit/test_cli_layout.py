"""Fitting texts to a terminal."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import layout
from daemon.cli.layout import SHORT, cells, cut, shortened, wrapped
from daemon.cli.text import clean

_TEXT = st.text(alphabet="ab -:/\u3002\uff08\uff09数字人\U0001f3ac\u0301\u200d", max_size=60)


def test_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(layout)
    assert (found.attempted, found.failed) == (5, 0)


def test_cells_are_those_of_a_terminal() -> None:
    assert cells("plain") == 5
    assert cells("数字人") == 6
    assert cells("e\u0301") == 1
    assert cells("مرحبا") == 5
    assert cells("\x1b[1m\x1b[31mred\x1b[0m") == 3
    assert cells("👩\u200d💻 🏳\ufe0f\u200d🌈") == 5


@given(_TEXT | st.text(max_size=40), st.integers(1, 30))
def test_what_is_cut_fits_and_what_fits_is_not_cut(text: str, room: int) -> None:
    text = clean(text)
    assert cells(cut(text, room)) <= room
    assert (cut(text, room) == text) is (cells(text) <= room)


@given(_TEXT, st.integers(2, 30), st.integers(2, 30))
def test_lines_fit_but_for_long_words_and_lose_nothing(text: str, room: int, first: int) -> None:
    lines = wrapped(text, room, first=first)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for number, line in enumerate(lines):
        assert cells(line) <= (room if number else first) or len(line.split()) == 1


def test_lines_end_where_a_reader_expects_it() -> None:
    url = "https://h/a-path-that-is-longer-than-the-line"
    assert wrapped(f"see {url} for more", 12) == ["see", url, "for more"]
    assert wrapped("机器人已被移除，请重新添加", 14) == ["机器人已被移", "除，请重新添加"]  # noqa: RUF001
    assert wrapped("", 10) == [""]
    assert wrapped("数", 1) == ["数"]


@given(st.lists(st.text(alphabet="ab-", min_size=1, max_size=24), min_size=1, max_size=12))
def test_a_short_id_stands_for_one(ids: list[str]) -> None:
    for whole, short in zip(ids, shortened(ids), strict=True):
        assert whole.startswith(short)
        assert len(short) >= min(SHORT, len(whole))
        others = [each for each in ids if each != whole and each.startswith(short)]
        assert not others or short == whole, "an exact id wins"
