"""Plots of text."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import stats as plots
from daemon.cli.layout import cells

NUMBERS = st.one_of(st.just(0.0), st.floats(1e-9, 1e12))


def test_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(plots)
    assert (found.attempted, found.failed) == (5, 0)


@given(st.lists(NUMBERS, max_size=40), st.booleans())
def test_each_value_has_a_cell_and_a_larger_one_is_never_lower(values: list[float], blocks: bool) -> None:
    drawn = plots.bars(values, blocks=blocks)
    assert cells(drawn) == len(values)
    assert blocks or drawn.isascii()
    order = "·▁▂▃▄▅▆▇█" if blocks else "_.:-=+*%#"
    heights = [order.index(char) for char in drawn]
    ordered = sorted(zip(values, heights, strict=True))
    assert [height for _, height in ordered] == sorted(heights)
    assert all((height == 0) == (value == 0) for value, height in ordered)
    assert not any(values) or max(heights) == 8


@given(st.lists(NUMBERS, min_size=4, max_size=4), st.integers(1, 60), st.booleans())
def test_a_range_stays_within_its_width(values: list[float], width: int, blocks: bool) -> None:
    low, middle, high, most = sorted(values)
    if most > 0:
        drawn = plots.span(low, middle, high, most=most, width=width, blocks=blocks)
        assert 1 <= cells(drawn) <= width
        assert drawn.count("●" if blocks else "o") == 1
