"""How texts fit a terminal: their cells, where they are cut and broken, how much of an id tells it apart. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise, takewhile

SHORT = 8
"""Characters of an id that are shown, if they tell it apart."""
_PIECES = re.compile(r"\x1b\[[0-9;]*m|.", re.DOTALL)
"""A change of colour, or a character."""
_WITHOUT_CELL = frozenset({"Mn", "Me", "Cf"})


def shortened(ids: Sequence[str]) -> list[str]:
    """The beginnings of ids that tell them apart, each at least `SHORT` characters.

    >>> shortened(["0123456789", "0123456700", "ab", "0123456789"])
    ['012345678', '012345670', 'ab', '012345678']
    """
    ordered = sorted(set(ids))
    alike = [_common(*pair) for pair in pairwise(ordered)]
    most = {
        each: max(SHORT, before + 1, after + 1)
        for each, before, after in zip(ordered, [0, *alike], [*alike, 0], strict=False)
    }
    return [each[: most[each]] for each in ids]


def wrapped(text: str, room: int, *, whole: bool = False) -> list[str]:
    """`text` in lines of at most `room` cells, broken at a space where that leaves no line short; with `whole`
    nowhere else."""
    lines = []
    while cells(text) > room:
        fits = _fitting_in(text, room)
        at = text.rfind(" ", 1, fits + 1)
        if whole and at < 1:
            at = text.find(" ", 1)
        elif not whole and at < fits // 2:
            at = fits
        if at < 1:
            break
        lines.append(text[:at].rstrip())
        text = text[at:].lstrip()
    return [*lines, text]


def cut(text: str, room: int) -> str:
    """`text` in at most `room` cells; what is cut ends in a mark.

    >>> [cut("数字人", room) for room in (6, 5, 4, 1)]
    ['数字人', '数字…', '数…', '…']
    """
    return text if cells(text) <= room else f"{text[: _fitting_in(text, room - 1)]}…"


def cells(text: str) -> int:
    """Cells of a terminal that `text` takes: two for each wide character, none for one that joins another, and
    none for colours."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    return sum(map(_cells_of, _PIECES.findall(text)))


def _fitting_in(text: str, room: int) -> int:
    """How many characters of `text` take at most `room` cells."""
    end = taken = 0
    for piece in _PIECES.findall(text):
        taken += _cells_of(piece)
        if taken > room:
            break
        end += len(piece)
    return end


def _cells_of(piece: str) -> int:
    if len(piece) > 1 or unicodedata.category(piece) in _WITHOUT_CELL:
        return 0
    return 2 if unicodedata.east_asian_width(piece) in "WF" else 1


def _common(one: str, other: str) -> int:
    """How many characters at their beginning are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
