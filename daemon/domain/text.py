"""What strangers wrote, made fit for a terminal, a label and a log; and times as JSON carries them. Pure.

Job names, labels and error messages come from other people: they may hold escape sequences, characters that turn
the direction of writing, halves of characters.
"""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

MAX_LABEL = 200
"""Characters kept of a label."""
MAX_WORD = 64
"""Characters of a tag or a batch."""
MAX_TAGS = 20
"""Tags of a job."""
_READ = 8
"""How many times as long as what is kept a text may be for its end to be looked at: most of it may not show."""
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
    return clean(text[: MAX_LABEL * _READ]).strip()[:MAX_LABEL].rstrip()


def word(text: str) -> str:
    """`text` as a tag or a batch: clean and trimmed. Raises ValueError unless 1 to `MAX_WORD` characters show."""
    shown = clean(text).strip() if len(text) <= MAX_WORD * _READ else text
    if not 1 <= len(shown) <= MAX_WORD:
        raise ValueError(f"it takes 1 to {MAX_WORD} characters that can be seen, not {len(shown)}")
    return shown


def words(texts: Sequence[str]) -> tuple[str, ...]:
    """`texts` as the tags of a job, each once. Raises ValueError where one is none, or they are too many."""
    if len(texts) <= MAX_TAGS * _READ:
        found = tuple(dict.fromkeys(map(word, texts)))
        if len(found) <= MAX_TAGS:
            return found
    raise ValueError(f"{len(texts)} tags are too many; at most {MAX_TAGS} fit a job")


def stamp(at: datetime | None) -> str | None:
    """A time as JSON carries it: ISO 8601, UTC, milliseconds, `Z`.

    >>> stamp(datetime(2022, 12, 17, 1, 44, 17, tzinfo=UTC))
    '2022-12-17T01:44:17.000Z'
    """
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def folded(text: str) -> str:
    """`text` as searches compare it: small and capital letters, and narrow and wide ones, are the same.

    >>> folded("Größe \\uff21 春节") == folded("GRÖSSE a 春节")
    True
    """
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def in_zone(at: datetime, zone: tzinfo) -> datetime:
    """`at` in `zone`, or in UTC where the calendar ends before."""
    try:
        return at.astimezone(zone)
    except OverflowError:  # the last hours of the year 9999 have no name east of Greenwich
        return at.astimezone(UTC)


def offset(local: datetime) -> str:
    """How far a local time lies off UTC.

    >>> from datetime import timezone
    >>> [offset(datetime(2026, 1, 1, tzinfo=timezone(timedelta(minutes=m)))) for m in (0, 480, 345, -210)]
    ['UTC', 'UTC+8', 'UTC+5:45', 'UTC-3:30']
    """
    off = local.utcoffset() or timedelta()
    if not off:
        return "UTC"
    hours, minutes = divmod(abs(off) // timedelta(minutes=1), 60)
    return f"UTC{'-' if off < timedelta() else '+'}{hours}{f':{minutes:02}' if minutes else ''}"


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
