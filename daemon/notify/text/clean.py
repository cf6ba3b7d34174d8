"""Foreign values and lengths of time, as people read them. Pure.

Owns the stripping of everything in a value that could break or disguise a message. Must never know a channel.
"""

import re
import unicodedata
from dataclasses import dataclass

_SPACES = re.compile(r"\s+")
_JOINERS = "\u200c\u200d"
"""Invisible characters that scripts and emoji need."""
_MARKS_IN_A_ROW = 4
"""Combining marks kept on one letter: enough for every script, too few to climb over other lines."""


def clean(text: str, *, limit: int) -> str:
    """`text` on one line of at most `limit` characters, without control, bidirectional, invisible and
    lone-surrogate characters.

    >>> clean("a\\r\\nb\\u202ec", limit=80)
    'a bc'
    >>> clean("abcdef", limit=4)
    'abc…'
    """
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # nearly all texts: nothing to do
    one_line = _SPACES.sub(" ", text[: limit * 8]).strip()
    kept: list[str] = []
    marks = 0
    for char in one_line:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if marks > _MARKS_IN_A_ROW or category in {"Cc", "Cs"} or ord(char) & 0xFFFE == 0xFFFE:
            continue
        if category == "Cf" and char not in _JOINERS:
            continue
        kept.append(char)
    result = "".join(kept).strip()
    return result if len(result) <= limit else result[: limit - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What lengths of time are called; English by default."""

    day: str = "d"
    hour: str = "h"
    minute: str = "min"
    minutes: str = "min"
    """Minutes and nothing else."""
    second: str = "s"
    moment: str = "less than 1 s"
    ages: str = "more than 10 years"
    """What nobody can have measured."""


_LONGEST = 3650 * 86400.0
"""Seconds above which a length is told no more exactly; a number from outside may be anything."""


def length(seconds: float, units: Units = Units()) -> str:
    """A length of time in its two largest units.

    >>> [length(s) for s in (0.2, 5, 65, 607.5, 3600, 7500, 90000, 1e300)]
    ['less than 1 s', '5 s', '1 min 5 s', '10 min 8 s', '1 h', '2 h 5 min', '1 d 1 h', 'more than 10 years']
    """
    if not seconds < _LONGEST:  # nor a number that is none
        return units.ages
    whole = int(seconds + 0.5)
    if whole < 1:
        return units.moment
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    parts = [(d, units.day), (h, units.hour), (m, units.minute), (s, units.second)]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    told = [(number, unit) for number, unit in parts[first : first + 2] if number]
    if told == [(m, units.minute)]:
        return f"{m} {units.minutes}"
    return " ".join(f"{number} {unit}" for number, unit in told)


def rough(seconds: float, units: Units = Units()) -> str:
    """The same for what is only expected: no more exact than anybody can know.

    >>> [rough(s) for s in (3, 58, 101, 192, 400, 2520, 9000)]
    ['5 s', '1 min', '1 min 40 s', '3 min', '6 min 30 s', '42 min', '2 h 30 min']
    """
    if not seconds < _LONGEST:
        return units.ages
    step = 5 if seconds < 120 else 30 if seconds < 600 else 60 if seconds < 7200 else 300
    return length(max(step, round(seconds / step) * step), units)
