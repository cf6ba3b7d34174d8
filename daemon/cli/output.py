"""Writes to standard output: tables and lines for people, one JSON document for machines.

A terminal gets colours and output fitted to its width; anything else gets plain aligned text. Every value passes
`text.clean`.
"""

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import click

from daemon.cli.layout import cells, cut, hung, shortened, wrapped
from daemon.cli.session import columns_of, is_screen, is_terminal
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
"""Columns are not narrowed below this many cells, as long as the table then fits."""
_LAST = 3
"""Nor ever below this."""

Facts = dict[str, object]
"""One object of `--json`. docs/cli.md is generated from the comments next to the keys. Keys may be added, but not
removed or changed in meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. In a pipe all columns are complete, with `free` text last so that scripts can count on the others.

    On a terminal, a column that `gives` is shortened if there is too little room, but before it gets narrower than
    `least` cells, `spare` columns are dropped, highest number first. An `alike` column is dropped if all its cells
    are the same. `ids` are shortened to unique prefixes. A `below` column is printed under its row after its
    title, on as many lines as needed, unless it is `-`.
    """

    title: str
    gives: bool = False
    least: int = 6
    coloured: bool = False
    spare: int = 0
    free: bool = False
    alike: bool = False
    ids: bool = False
    below: bool = False


def document(value: object) -> None:
    """Write one JSON document."""
    click.echo(as_json(value, encoding=sys.stdout.encoding or "ascii"))


def as_json(value: object, *, encoding: str, indent: int | None = 2) -> str:
    """`value` as JSON for a stream in `encoding`. Escapes only characters that the stream cannot carry (such as
    lone surrogates) and those that a terminal could interpret: control and bidirectional characters."""

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
    return _BEYOND.sub(safe, json.dumps(value, indent=indent, ensure_ascii=False))


def documents(values: Iterable[object]) -> None:
    """Write one JSON document: a list, written element by element in the format of `document`."""
    encoding = sys.stdout.encoding or "ascii"
    begin = "[\n  "
    for value in values:
        sys.stdout.write(begin + as_json(value, encoding=encoding).replace("\n", "\n  "))
        begin = ",\n  "
    sys.stdout.write("[]\n" if begin.startswith("[") else "\n]\n")


def csv_part(text: str) -> None:
    """Write a part of a CSV, in UTF-8 whatever the locale is. A terminal gets it without control characters."""
    if is_terminal():
        for each in text.splitlines():
            click.echo(clean(each))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())


def json_line(value: object) -> None:
    """Write one JSON value on one line, at once."""
    click.echo(as_json(value, encoding=sys.stdout.encoding or "ascii", indent=None))
    sys.stdout.flush()


def carries(text: str) -> bool:
    """Whether the encoding of standard output has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def line(text: str = "") -> None:
    """Write one line of plain text; on a terminal on as many as it needs, broken at spaces."""
    click.echo(hanging("", clean(text)))


def hint(text: str) -> None:
    """Write one line to standard error in the same way."""
    click.echo(fit(clean(text), sys.stderr), err=True)


def fit(text: str, stream: TextIO) -> str:
    """`text`; for a terminal with its lines broken at spaces to fit it."""
    if not is_screen(stream):
        return text
    columns = columns_of(stream)
    return "\n".join(part for each in text.split("\n") for part in wrapped(each, columns))


def notes(texts: Iterable[str | None]) -> None:
    """Write notes below a list, on a terminal only."""
    for text in texts if is_terminal() else ():
        if text is not None:
            click.echo(hanging("", clean(text)))


def verdict(what: str, word: str, text: str) -> None:
    """Write one line with the verdict on something; `word` in its colour."""
    click.echo(hanging(f"{clean(what)}: {coloured(word)}: ", clean(text), indent=4))


def fact(name: str, value: str) -> str:
    """A line of a name and its value."""
    return hanging(f"  {name:<10} ", value)


def hanging(begin: str, text: str, *, indent: int | None = None) -> str:
    """`begin` and `text`; on a terminal wrapped, with continuation lines indented like the text or by `indent`."""
    if not is_terminal():
        return begin + text
    return "\n".join(hung(begin, text, columns_of(sys.stdout), indent=cells(begin) if indent is None else indent))


def coloured(word: str) -> str:
    """`word` in its colour on a terminal."""
    return styled(word, COLOURS.get(word, ""))


def styled(text: str, style: str) -> str:
    """`text` in a style such as "bold red" on a terminal; without colours if NO_COLOR is set."""
    words = set(style.split())
    if not words or not is_terminal():
        return clean(text)
    tint = None if os.environ.get("NO_COLOR") else next(iter(words - {"bold", "dim"}), None)
    return click.style(clean(text), fg=tint, bold="bold" in words or None, dim="dim" in words or None)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Write rows under titles; if there are none, the sentence `empty`, on a terminal only."""
    tables(columns, [rows], empty=empty)


def tables(columns: Sequence[Column], pages: Iterable[Sequence[Sequence[str]]], *, empty: str) -> None:
    """One table of all pages. A terminal, which is shown few rows, has them all at once, fitted to it. Else each
    page is written before the next one is read: a column is as wide as the widest cell so far."""
    if is_terminal():
        rows = [[clean(cell) for cell in row] for page in pages for row in page]
        if rows:
            for text in fitted(columns, rows, room=columns_of(sys.stdout)):
                click.echo(text)
        else:
            click.echo(hanging("", empty))
        return
    order = sorted(range(len(columns)), key=lambda index: columns[index].free)
    widths = [0] * len(columns)
    titles = [[columns[index].title for index in order]]
    for page in pages:
        widths = _plain_table([*titles, *([clean(row[index]) for index in order] for row in page)], widths)
        titles = []


def _plain_table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[int]:
    """Write rows with columns at least `widths` wide. Returns the widths used."""
    wide = list(widths)
    for row in rows:
        wide = [max(width, cells(cell)) for width, cell in zip(wide, row, strict=True)]
    for row in rows:
        padded = (cell + " " * (width - cells(cell)) for cell, width in zip(row, wide, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")
    return wide


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, room: int) -> Iterator[str]:
    """The lines of a table of clean texts that fits a terminal of `room` columns, titles first."""
    across, taken = _across(columns, rows)
    shown, widths = fitting(across, [max(map(cells, each)) for each in zip(*taken, strict=True)], room=room)
    titles = (cut(across[i].title, width) for i, width in zip(shown, widths, strict=True))
    yield _row([styled(each, "bold") for each in titles], widths)
    for row, taken_row in zip(rows, taken[1:], strict=True):
        texts = [cut(taken_row[i], width) for i, width in zip(shown, widths, strict=True)]
        styles = [COLOURS.get(taken_row[i].split(" ")[0], "") if across[i].coloured else "" for i in shown]
        yield _row(map(styled, texts, styles), widths)
        for column, text in zip(columns, row, strict=True):
            if column.below and text not in ("", "-"):
                yield hanging(styled(f"    {column.title.lower()}: ", "dim"), text)


def _row(texts: Iterable[str], widths: Sequence[int]) -> str:
    padded = (text + " " * (width - cells(text)) for text, width in zip(texts, widths, strict=True))
    return (" " * _GAP).join(padded).rstrip()


def _across(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> tuple[list[Column], list[list[str]]]:
    """The columns shown side by side, and their cells, titles first."""
    across, taken = [], []
    for column, *texts in zip(columns, *rows, strict=True):
        if column.below or (column.alike and len(set(texts)) < 2):
            continue
        across.append(column)
        taken.append([column.title, *(shortened(texts) if column.ids else texts)])
    return across, [list(row) for row in zip(*taken, strict=True)]


def fitting(columns: Sequence[Column], natural: Sequence[int], *, room: int) -> tuple[list[int], list[int]]:
    """The indexes of the columns that fit into `room` cells, and their widths; `natural` are their full widths.
    Once all giving columns are at their minimum and no spare ones are left, the others are narrowed too, widest
    first, and in the end all."""
    shown = list(range(len(columns)))
    least = [
        min(width, column.least) if column.gives else width for column, width in zip(columns, natural, strict=True)
    ]

    def over(widths: Sequence[int]) -> int:
        return sum(widths[i] for i in shown) + _GAP * (len(shown) - 1) - room

    spare = sorted((i for i in shown if columns[i].spare), key=lambda i: columns[i].spare)
    while spare and over(least) > 0:
        shown.remove(spare.pop())
    widths = list(natural)
    gives = [i for i in shown if columns[i].gives]
    usual, last = [_LEAST] * len(widths), [_LAST] * len(widths)
    for able, floors in ((gives, least), (gives, usual), (shown, usual), (shown, last)):
        while over(widths) > 0 and (wider := [i for i in able if widths[i] > floors[i]]):
            widths[max(wider, key=lambda i: widths[i])] -= 1
    return shown, [widths[i] for i in shown]
