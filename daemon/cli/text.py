"""What strangers wrote, made fit for a terminal and for a label. Pure.

Job names, labels and error messages come from other people: they may hold escape sequences, characters that turn
the direction of writing, halves of characters. Everything that a command prints passes `clean`.
"""

import unicodedata
from datetime import UTC, datetime

from daemon.config.forms import spoken

MAX_LABEL = 200
"""Characters kept of a label."""
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")


def clean(text: str) -> str:
    """`text` on one line, without control characters, turning marks and lone surrogates.

    >>> clean("a\\x1b[31mb\\nc")
    'a[31mb c'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_fit(char) for char in text)


def label(text: str) -> str:
    """`text` as a label: clean, trimmed, at most `MAX_LABEL` characters."""
    return clean(text[: MAX_LABEL * 8]).strip()[:MAX_LABEL].rstrip()


def stamp(at: datetime | None) -> str | None:
    """A time as JSON carries it: ISO 8601, UTC, milliseconds, `Z`.

    >>> stamp(datetime(2022, 12, 17, 1, 44, 17, tzinfo=UTC))
    '2022-12-17T01:44:17.000Z'
    """
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(at: datetime | None) -> str:
    """A time for people: to the second, with its zone."""
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def about(seconds: float) -> str:
    """A duration for people, its two largest units.

    >>> [about(each) for each in (0.2, 61, 3725, 200000)]
    ['0s', '1m1s', '1h2m', '2d7h']
    """
    whole = max(0, int(seconds))
    for unit, smaller in ((86400, 3600), (3600, 60)):
        if whole >= unit:
            return spoken(whole - whole % smaller)
    return spoken(whole)


def brief(seconds: float) -> str:
    """A duration that is only expected, in one unit.

    >>> [brief(each) for each in (3, 89, 192, 4000, 9000, 200000)]
    ['3s', '89s', '3m', '67m', '2h', '2d']
    """
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 1.5 * unit:
            return f"{round(seconds / unit)}{name}"
    return f"{max(1, round(seconds))}s"


def figure(number: float) -> str:
    """A number for people: three digits.

    >>> [figure(each) for each in (0, 0.0333333, 1, 12.345, 1234.5)]
    ['0', '0.0333', '1', '12.3', '1234']
    """
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def percent(share: float) -> str:
    """
    >>> [percent(each) for each in (0, 0.0004, 0.0421, 0.5, 0.9996, 1)]
    ['0 %', 'less than 0.1 %', '4.2 %', '50 %', 'more than 99.9 %', '100 %']
    """
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{round(share * 100, 1):g} %"


def count(number: int, noun: str) -> str:
    """
    >>> [count(each, "project") for each in (0, 1, 2)]
    ['0 projects', '1 project', '2 projects']
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago `at` was, or in how long it is."""
    if at is None:
        return "-"
    seconds = (now - at).total_seconds()
    return f"{about(seconds)} ago" if seconds >= 0 else f"in {about(-seconds)}"


def _fit(char: str) -> str:
    if char in _SPACES:
        return " "
    if char in _TURNING:
        return ""
    match unicodedata.category(char):
        case "Cc":
            return ""
        case "Cs":
            return "\ufffd"
        case _:
            return char
