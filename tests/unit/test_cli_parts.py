"""Small parts of the commands: widths of tables, and who holds the database."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import commands, wrapd
from daemon.cli.output import Column, as_json, fitting, without_spare
from daemon.clock import ManualClock
from daemon.store import Store
from daemon.store.health import holder

_WIDTHS = st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=9)


@given(_WIDTHS, st.integers(0, 300))
def test_a_table_is_narrowed_no_more_than_it_must(columns: list[tuple[int, bool]], room: int) -> None:
    natural = [width for width, _ in columns]
    gives = [may for _, may in columns]
    widths = fitting(natural, gives, room=room)
    assert all(new <= old and new >= min(old, 6) for new, old in zip(widths, natural, strict=True))
    if sum(natural) <= room:
        assert widths == natural
    else:
        assert sum(widths) == max(room, sum(min(width, 6) for width in natural))
    if any(new < old and not may for new, old, may in zip(widths, natural, gives, strict=True)):
        assert all(new <= 6 for new, may in zip(widths, gives, strict=True) if may)


def test_a_table_in_too_little_room_keeps_what_does_not_give() -> None:
    assert fitting([10, 40, 32], [False, True, False], room=60) == [10, 18, 32]
    assert fitting([10, 40, 32], [False, True, False], room=40) == [10, 6, 24]


def test_a_spare_column_goes_before_any_that_does_not_give_is_narrowed() -> None:
    columns = (Column(title="A"), Column(title="SPARE", spare=True), Column(title="B", gives=True))
    rows = [["a" * 10, "s" * 10, "b" * 30]]
    shown, cells, natural = without_spare(columns, rows, room=30)
    assert ([each.title for each in shown], natural) == (["A", "SPARE", "B"], [10, 10, 30])
    shown, cells, natural = without_spare(columns, rows, room=29)
    assert ([each.title for each in shown], natural) == (["A", "B"], [10, 30])
    assert cells == [["a" * 10, "b" * 30]]


def test_the_holder_is_who_has_the_lock_not_who_had_it(tmp_path: Path) -> None:
    database = tmp_path / "wrapd.db"
    assert holder(database) is None
    store = Store.open(f"sqlite:///{database}", clock=ManualClock(), daemon=True)
    try:
        assert holder(database) == os.getpid()
        assert holder(database, locks=tmp_path / "none") == os.getpid()
    finally:
        store.close()
    assert holder(database) is None
    database.with_name("wrapd.db.lock").write_text("4194305\n")  # above the largest pid of Linux
    assert holder(database, locks=tmp_path / "none") is None


def test_every_command_is_there_and_is_explained() -> None:
    for name in commands:
        command = wrapd.get_command(wrapd.make_context("wrapd", ["--help"], resilient_parsing=True), name)
        assert command is not None
        assert command.name == name
        assert command.help


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("utf-8", '春节 "A"\t😀\u3000é', '"春节 \\"A\\"\\t😀\u3000é"'),
        ("utf-8", "春\x1b\x7f\x9b\u202e\u2028\ud800", r'"春\u001b\u007f\u009b\u202e\u2028\ud800"'),
        ("ascii", "a春😀", r'"a\u6625\ud83d\ude00"'),
        ("latin-1", "é春", r'"é\u6625"'),
        ("gb18030", "春\ud800", r'"春\ud800"'),
    ],
)
def test_json_escapes_only_what_the_stream_or_a_terminal_cannot_take(encoding: str, text: str, shown: str) -> None:
    assert as_json(text, encoding=encoding) == shown


@given(st.dictionaries(st.text(), st.text() | st.none()))
def test_json_says_the_same_in_every_encoding(value: dict[str, str | None]) -> None:
    for encoding in ("utf-8", "gbk", "ascii"):
        assert json.loads(as_json(value, encoding=encoding).encode(encoding).decode(encoding)) == value
