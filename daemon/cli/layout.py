"""Fits text to a terminal: measures cells, cuts and wraps text, and shortens ids to unique prefixes. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise, takewhile

SHORT = 8
"""Characters shown of an id, if they identify it."""
_COMMAND = re.compile(r"`(?:wrapd|systemctl) [^`\n]{1,48}`")
_JOINED = "\x1f"
"""Stands for a space within a command: no clean text contains it."""
_EMOJI = "[\u2600-\u27bf\U0001f000-\U0001faff]\ufe0f?"
_PIECES = re.compile(rf"\x1b\[[0-9;]*m|{_EMOJI}(?:\u200d{_EMOJI})+|.", re.DOTALL)
"""A colour sequence, a joined emoji sequence, or a single character."""
_ROOM = 12
"""Cells that text which hangs gets at least, however narrow the terminal is."""
_WITHOUT_CELL = frozenset({"Mn", "Me", "Cf"})
_OPENING = frozenset({"Ps", "Pi"})
"""Categories of characters that do not end a line."""
_ENDING = frozenset({"Pe", "Pf", "Po"}) | _WITHOUT_CELL
"""Categories of characters that do not begin a line."""


def shortened(ids: Sequence[str]) -> list[str]:
    """The shortest unique prefixes of the ids, each at least `SHORT` characters long.

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


def wrapped(text: str, room: int, *, first: int | None = None) -> list[str]:
    """`text` in lines of at most `room` cells (the first: `first`). Lines break at spaces or between wide
    characters. A word longer than a line is not broken, because it may be a URL, nor is a command that fits.

    >>> wrapped("数字人《视频》。 https://h/v", 8)
    ['数字人', '《视', '频》。', 'https://h/v']
    >>> wrapped("none yet; `wrapd db upgrade` creates it", 20)
    ['none yet;', '`wrapd db upgrade`', 'creates it']
    """
    lines: list[str] = []
    text = _COMMAND.sub(lambda found: found[0].replace(" ", _JOINED if cells(found[0]) <= room else " "), text)
    while cells(text) > (fits := room if lines or first is None else first):
        end = _fitting_in(text, fits)
        at = next((i for i in range(end, 0, -1) if _may_break(text, i)), None)
        at = at or next((i for i in range(end + 1, len(text)) if _may_break(text, i)), None)
        if at is None:
            break
        lines.append(text[:at].rstrip())
        text = text[at:].lstrip()
    return [line.replace(_JOINED, " ") for line in (*lines, text)]


def hung(begin: str, text: str, columns: int, *, indent: int) -> list[str]:
    """`begin` and `text` in lines of `columns` cells, the next lines indented by `indent` cells, or by less if a
    word needs the room. Only what cannot be broken and is longer than a line exceeds it.

    >>> hung("  job  ", "0001f0c9-3d1e of main", 16, indent=7)
    ['  job', '   0001f0c9-3d1e', '   of main']
    """
    pieces = [cells(each) for each in wrapped(text, 1)]
    widest = max((each for each in pieces if each <= columns), default=0)
    behind = max(0, min(indent, columns - max(widest, min(_ROOM, columns))))
    first = columns - cells(begin)
    if first < pieces[0] <= columns - behind:
        return [begin.rstrip(), *(f"{' ' * behind}{each}" for each in wrapped(text, columns - behind))]
    begun, *rest = wrapped(text, columns - behind, first=first)
    return [begin + begun, *(f"{' ' * behind}{each}" for each in rest)]


def _may_break(text: str, at: int) -> bool:
    """Whether a line may break before the character at `at`."""
    before, after = text[at - 1], text[at]
    if after == " ":
        return True
    if 2 not in (_cells_of(before), _cells_of(after)):
        return False
    return unicodedata.category(after) not in _ENDING and unicodedata.category(before) not in _OPENING


def cut(text: str, room: int) -> str:
    """`text` cut to at most `room` cells, with an ellipsis if cut.

    >>> [cut("数字人", room) for room in (6, 5, 4, 1)]
    ['数字人', '数字…', '数…', '…']
    """
    return text if cells(text) <= room else f"{text[: _fitting_in(text, room - 1)]}…"


def cells(text: str) -> int:
    """Terminal cells that `text` takes: two for a wide character, none for combining characters and colours."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    return sum(map(_cells_of, _PIECES.findall(text)))


def _fitting_in(text: str, room: int) -> int:
    """The number of leading characters of `text` that fit into `room` cells."""
    end = taken = 0
    for piece in _PIECES.findall(text):
        taken += _cells_of(piece)
        if taken > room:
            break
        end += len(piece)
    return end


def _cells_of(piece: str) -> int:
    first = piece[0]
    if first == "\x1b" or unicodedata.category(first) in _WITHOUT_CELL:
        return 0
    return 2 if len(piece) > 1 or unicodedata.east_asian_width(first) in "WF" else 1


def _common(one: str, other: str) -> int:
    """The length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
