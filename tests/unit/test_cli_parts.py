"""Small parts of the commands: widths of tables and lines, and which process holds the database."""

import io
import json
import os
import re
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import commands, output, wrapd
from daemon.cli.layout import cells
from daemon.cli.output import Column, as_json, fitted, fitting
from daemon.clock import ManualClock
from daemon.store import Store
from daemon.store.health import holder

_WIDTHS = st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=9)


@given(_WIDTHS, st.integers(0, 300))
def test_a_table_is_narrowed_no_more_than_it_must(columns: list[tuple[int, bool]], room: int) -> None:
    natural = [width for width, _ in columns]
    made = [Column(title="", gives=gives) for _, gives in columns]
    gaps = 2 * (len(columns) - 1)
    shown, widths = fitting(made, natural, room=room)
    assert shown == list(range(len(columns)))
    least = 6 if sum(min(width, 6) for width in natural) + gaps <= room else 3
    assert all(new <= old and new >= min(old, least) for new, old in zip(widths, natural, strict=True))
    if sum(natural) + gaps <= room:
        assert widths == natural
    else:
        assert sum(widths) + gaps == max(room, sum(min(width, least) for width in natural) + gaps)
    if any(new < old and not each.gives for new, old, each in zip(widths, natural, made, strict=True)):
        assert all(new <= 6 for new, each in zip(widths, made, strict=True) if each.gives)


def test_a_table_in_too_little_room_keeps_what_does_not_give() -> None:
    columns = (Column(title="A"), Column(title="B", gives=True), Column(title="C"))
    assert fitting(columns, [10, 40, 32], room=64) == ([0, 1, 2], [10, 18, 32])
    assert fitting(columns, [10, 40, 32], room=44) == ([0, 1, 2], [10, 6, 24])


def test_what_is_spare_goes_before_what_gives_has_less_than_its_least() -> None:
    columns = (
        Column(title="A", gives=True, least=20),
        Column(title="B", spare=1),
        Column(title="C", spare=2),
        Column(title="D"),
    )
    natural = [30, 10, 10, 10]
    assert fitting(columns, natural, room=56) == ([0, 1, 2, 3], [20, 10, 10, 10])
    assert fitting(columns, natural, room=55) == ([0, 1, 3], [30, 10, 10])
    assert fitting(columns, natural, room=43) == ([0, 3], [30, 10])
    assert fitting(columns, natural, room=30) == ([0, 3], [18, 10])


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
        # Each command's line of the list fits into 80 columns.
        groups = [wrapd, command] if isinstance(command, click.Group) else [wrapd]
        for group in groups:
            context = click.Context(group, terminal_width=80, info_name="wrapd")
            listed = group.get_help(context).partition("Commands:")[2]
            assert "..." not in listed, (name, listed)


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


class Tty(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_and_errors_break_at_spaces_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    link = "https://wrapd.example.com/v/" + "x" * 40
    text = f"nothing was changed: there is no mute 9; `wrapd mute list --all` lists all\n{link}"
    said = output.fit(text, Tty())
    assert said.split() == text.split()
    assert [line for line in said.split("\n") if len(line) > 40] == [link], "what can be copied stays whole"
    assert output.fit(text, io.StringIO()) == text
    monkeypatch.setenv("TERM", "dumb")
    assert output.fit(text, Tty()) == text


def test_titles_stand_over_their_columns_and_all_fit_a_very_narrow_terminal() -> None:
    columns = [
        Column(title="NAME", gives=True),
        *(Column(title=title) for title in ("SUCCEEDED", "PROJECT", "JOB")),
    ]
    columns += [Column(title="CHANNEL"), Column(title="WRITTEN")]
    rows = [["a long name", "12", "spring-festival", "0123456789", "editors", "1h"]]
    for room in (48, 40, 28):
        lines = list(fitted(columns, rows, room=room))
        assert max(map(cells, lines)) <= room
        starts = [[found.start() for found in re.finditer(r"\S+( \S+)*", line)] for line in lines]
        assert starts[0] == starts[1]
