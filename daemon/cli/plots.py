"""Small plots of text: a row of bars, and a range on a line. With block and box characters, or in ASCII. Pure."""

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = ".:-=+*%#"
_LINE = ("├", "─", "●", "┤")
_ASCII_LINE = ("|", "-", "o", "|")
_NONE = "·"
_ASCII_NONE = "_"


def bars(values: Sequence[float], *, blocks: bool) -> str:
    """One character for each value, from 0 to the largest; a dot (or `_`) for 0, which is nothing.

    >>> bars([0, 1, 4, 8], blocks=True)
    '·▁▄█'
    >>> bars([0, 1, 4, 8], blocks=False)
    '_.=#'
    """
    levels, none = (BLOCKS, _NONE) if blocks else (_ASCII, _ASCII_NONE)
    most = max(values, default=0.0)
    return "".join(levels[_level(value / most)] if value > 0 else none for value in values)


def span(low: float, middle: float, high: float, *, most: float, width: int, blocks: bool) -> str:
    """A line from `low` to `high` with a mark at `middle`, where `width` characters stand for 0 to `most`.

    >>> span(20, 50, 100, most=100, width=11, blocks=True)
    '  ├──●────┤'
    >>> span(20, 50, 100, most=100, width=11, blocks=False)
    '  |--o----|'
    >>> span(5, 5, 5, most=100, width=11, blocks=True)
    '●'
    """
    begin, line, mark, end = _LINE if blocks else _ASCII_LINE
    first, at, last = (round(min(1.0, each / most) * (width - 1)) for each in (low, middle, high))
    found = [" "] * first + [line] * (last - first + 1)
    found[first], found[last] = begin, end
    found[at] = mark
    return "".join(found)


def _level(share: float) -> int:
    return max(0, min(len(BLOCKS) - 1, -int(-share * len(BLOCKS) // 1) - 1))
