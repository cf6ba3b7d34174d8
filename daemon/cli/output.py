"""What commands write to standard output: tables and lines for people, one document for machines.

A terminal gets colours (rich, imported only then); anything else gets plain aligned text. Every value passes
`text.clean`, and none is read as markup.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click

from daemon.cli.session import is_terminal
from daemon.cli.text import clean

COLOURS = {
    "SUCCEED": "green",
    "PARTIAL_SUCCEED": "yellow",
    "FAILED": "bold red",
    "CANCELED": "yellow",
    "BLOCK": "bold magenta",
    "PROCESSING": "cyan",
    "WAITING": "blue",
    "lost": "red",
    "expired": "red",
    "stopped": "dim",
    "sent": "green",
    "pending": "blue",
    "sending": "cyan",
    "held": "bold magenta",
    "dead": "bold red",
    "canceled": "yellow",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
}
"""Colours of states, statuses and verdicts on a terminal."""

_BEYOND = re.compile(r"[^\n -~]")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_GAP = 2
_LEAST = 6
"""Cells below which no column is narrowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. One that `gives` is shortened where the terminal is narrow; one that is `spare` is left out where
    that does not help."""

    title: str
    gives: bool = False
    coloured: bool = False
    spare: bool = False


def document(value: object) -> None:
    """One JSON document."""
    click.echo(as_json(value, encoding=sys.stdout.encoding or "ascii"))


def as_json(value: object, *, encoding: str) -> str:
    """`value` as JSON for a stream in `encoding`. Characters stand as they are; escaped is what the stream cannot
    carry, lone surrogates among it, and what a terminal could take for a command or for a turn of direction."""

    def safe(found: re.Match[str]) -> str:
        char = found[0]
        if unicodedata.category(char) not in _UNSEEN:
            try:
                char.encode(encoding)
            except UnicodeEncodeError:
                pass
            else:
                return char
        return json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"

    # Outside its strings JSON is ASCII.
    return _BEYOND.sub(safe, json.dumps(value, indent=2, ensure_ascii=False))


def documents(values: Iterable[object]) -> None:
    """One JSON document: a list, written element by element as `document` would write it."""
    encoding = sys.stdout.encoding or "ascii"
    begin = "[\n  "
    for value in values:
        sys.stdout.write(begin + as_json(value, encoding=encoding).replace("\n", "\n  "))
        begin = ",\n  "
    sys.stdout.write("[]\n" if begin.startswith("[") else "\n]\n")


def line(text: str = "") -> None:
    """One line of plain text."""
    click.echo(clean(text))


def verdict(what: str, word: str, text: str) -> None:
    """One line that says how it stands with something; `word` in its colour."""
    click.echo(f"{clean(what)}: {coloured(word)}: {clean(text)}")


def coloured(word: str) -> str:
    """`word` in its colour on a terminal."""
    colour = COLOURS.get(word)
    if colour is None or not is_terminal():
        return clean(word)
    *bold, tint = colour.split()
    return click.style(word, fg=None if tint == "dim" else tint, bold="bold" in bold, dim=tint == "dim" or None)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Rows under titles; where there are none the sentence `empty`, on a terminal only."""
    fit = [[clean(cell) for cell in row] for row in rows]
    if is_terminal():
        if fit:
            _rich_table(columns, fit)
        else:
            click.echo(empty)
        return
    _plain_table([[column.title for column in columns], *fit], [0] * len(columns))


def tables(columns: Sequence[Column], pages: Iterable[Sequence[Sequence[str]]], *, empty: str) -> None:
    """One table of all pages. A terminal, which is shown few rows, has it as `table` does. Else each page is
    written before the next one is read: a column is as wide as the widest cell so far."""
    if is_terminal():
        table(columns, [row for page in pages for row in page], empty=empty)
        return
    widths = [0] * len(columns)
    titles = [[column.title for column in columns]]
    for page in pages:
        widths = _plain_table([*titles, *([clean(cell) for cell in row] for row in page)], widths)
        titles = []


def _plain_table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[int]:
    """Write rows, the columns at least `widths` wide. Returns how wide they are."""
    wide = list(widths)
    for row in rows:
        wide = [max(width, _width(cell)) for width, cell in zip(wide, row, strict=True)]
    for row in rows:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, wide, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")
    return wide


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - for terminals only
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    columns, rows, natural = without_spare(columns, rows, room=console.width)
    widths = fitting(natural, [column.gives for column in columns], room=console.width - _GAP * (len(columns) - 1))
    shown = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        shown.add_column(
            column.title,
            width=width,
            overflow="ellipsis" if column.gives else "fold",
            no_wrap=column.gives,
        )
    for row in rows:
        cells = zip(columns, row, strict=True)
        shown.add_row(
            *(
                Text(cell, style=COLOURS.get(cell.split(" ")[0], "") if column.coloured else "")
                for column, cell in cells
            )
        )
    console.print(shown)


def without_spare(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, room: int
) -> tuple[Sequence[Column], Sequence[Sequence[str]], list[int]]:
    """The columns that a terminal of `room` cells shows, and their natural widths."""
    natural = [max(map(_width, cells)) for cells in zip([c.title for c in columns], *rows, strict=True)]
    shortest = [min(width, _LEAST) if c.gives else width for c, width in zip(columns, natural, strict=True)]
    if sum(shortest) + _GAP * (len(columns) - 1) <= room or not any(column.spare for column in columns):
        return columns, rows, natural
    kept = [index for index, column in enumerate(columns) if not column.spare]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows], [natural[i] for i in kept]


def fitting(natural: Sequence[int], gives: Sequence[bool], *, room: int) -> list[int]:
    """Widths that fit into `room` cells: the columns that give are narrowed first, the widest of them first, none
    below `_LEAST`; only then the others."""
    widths = list(natural)
    for these in (gives, [True] * len(widths)):
        while sum(widths) > room:
            able = [index for index, may in enumerate(these) if may and widths[index] > _LEAST]
            if not able:
                break
            widest = max(able, key=lambda index: widths[index])
            widths[widest] -= 1
    return widths


def _width(text: str) -> int:
    """Cells of a terminal that `text` takes: two for each wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
