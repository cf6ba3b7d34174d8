"""What a CSV of jobs holds comes out of it as it went in, but for the guard against formulas."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon import views
from daemon.domain.durations import Eta
from daemon.views.sheets import BOM, COLUMNS, cells, guarded, head, lines
from tests.support.alerts import job as job_row
from tests.support.hostile import names
from tests.support.store import NOW

TEXTS = st.text(max_size=30) | st.sampled_from(names()) | st.text("=+-@\t\r\n '\",;\uff1d \u3000\x00", max_size=5)
BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def view(text: str = "", **more: object) -> views.Job:
    """A job with `text` wherever people or the service put one."""
    made = views.job(job_row(), now=NOW, eta=Eta(low=1.0, median=2.0, high=3.0))
    foreign = dict.fromkeys(("label", "name", "batch", "note", "state", "kind", "error_code", "error_msg"), text)
    return replace(made, **{**foreign, "last_error": text, "tags": (text, "x"), **more})  # type: ignore[arg-type]


def carried(text: str) -> str:
    """The text as UTF-8 and a CSV can carry it."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@given(st.lists(TEXTS, max_size=4))
def test_each_value_comes_back(texts: list[str]) -> None:
    rows = parsed(head() + lines(map(view, texts)))
    assert len(rows) == len(texts)
    for text, row in zip(texts, rows, strict=True):
        assert tuple(row) == COLUMNS
        for key in ("label", "name", "batch", "note", "state", "kind", "error_code", "error_msg", "last_error"):
            assert row[key] == guarded(carried(text)), key
            assert row[key].removeprefix("'") == carried(text).removeprefix("'")
        assert row["tags"] == guarded(f"{carried(text)}; x")


@given(TEXTS)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    for cell in cells(view(text)):
        assert not cell.lstrip(" \u3000\xa0").startswith(BEGINS), cell


@pytest.mark.parametrize("begin", BEGINS)
def test_what_a_spreadsheet_would_execute_gets_an_apostrophe(begin: str) -> None:
    for spaces in ("", " ", "  ", "\xa0", "\u3000"):
        assert guarded(f"{spaces}{begin}cmd|' /C calc'!A0") == f"'{spaces}{begin}cmd|' /C calc'!A0"
    assert guarded(f"a{begin}1") == f"a{begin}1"


def test_numbers_and_times_are_as_in_json() -> None:
    [row] = parsed(head() + lines([view(duration=-1.5, polls=3, batch=None, tags=())]))
    assert (row["duration"], row["polls"], row["batch"], row["tags"]) == ("-1.5", "3", "", "")
    made = view()
    assert made.eta is not None
    assert (row["eta.ends_at"], row["eta.low_at"]) == (made.eta.ends_at, made.eta.low_at)
    [row] = parsed(head() + lines([view(eta=None)]))
    assert row["eta.ends_at"] == ""
    assert head().count("\r\n") == 1
    assert len(BOM) == 1
    assert not any("url" in title for title in COLUMNS)
