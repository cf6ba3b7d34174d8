"""Untrusted text, cleaned for terminals, labels and logs, and times formatted for JSON.

Job names, labels and error messages come from third parties and may contain escape sequences, bidirectional
controls and lone surrogates.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

MAX_LABEL = 200
"""Maximum length of a label in characters."""
MAX_WORD = 64
"""Maximum length of a tag or batch name in characters."""
MAX_TAGS = 20
"""Maximum number of tags of a job."""
MAX_NOTE = 500
"""Maximum length of a note in characters."""
_READ = 8
"""Input beyond this multiple of the maximum is not read: invisible characters leave room for some excess."""
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Me"})
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and a symbol without ink."""
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")


def clean(text: str) -> str:
    """Return `text` on one line, without control characters, bidirectional controls and lone surrogates.

    >>> clean("a\\x1b[31mb\\nc")
    'a[31mb c'
    """
    if text.isprintable():  # all that is changed below is not
        return text
    return "".join(_fit(char) for char in text)


def closest(wrong: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of the `known` words that was probably meant by a wrong one, or None. `cutoff` is the required
    similarity, 1 for equal.

    >>> closest("chanels", ["projects", "channels"])
    'channels'
    """
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes only

    return next(iter(get_close_matches(wrong, list(known), n=1, cutoff=cutoff)), None)


def label(text: str) -> str:
    """Return `text` as a label: clean, trimmed, at most `MAX_LABEL` characters; empty if none can be seen."""
    shown = clean(text[: MAX_LABEL * _READ]).strip()[:MAX_LABEL].rstrip()
    return shown if is_visible(shown) else ""


def is_visible(text: str) -> bool:
    """Return whether any character of `text` can be seen by itself. A name of which none can is no name: there
    would be nothing to read or to click.

    >>> [is_visible(text) for text in ("视", "", " \u3000", "\u200b\u2060", "\u3164\ufe0f", "a\u200d")]
    [True, False, False, False, False, True]
    """
    return any(char not in _BLANK and unicodedata.category(char) not in _UNSEEN for char in text)


def note(text: str) -> str:
    """Return `text` as a note on one line: clean and trimmed. Raises ValueError for more than `MAX_NOTE`
    characters."""
    shown = clean(text).strip() if len(text) <= MAX_NOTE * _READ else text
    if len(shown) > MAX_NOTE:
        raise ValueError(f"it has {len(shown)} characters; a note has at most {MAX_NOTE}")
    return shown


def word(text: str) -> str:
    """Return `text` as a clean tag or batch name. Raises ValueError unless 1 to `MAX_WORD` characters are
    visible."""
    shown = clean(text).strip() if len(text) <= MAX_WORD * _READ else text
    visible = len(shown) if len(shown) > MAX_WORD or is_visible(shown) else 0
    if not 1 <= visible <= MAX_WORD:
        raise ValueError(f"it must have 1 to {MAX_WORD} visible characters, not {visible}")
    return shown


def words(texts: Sequence[str]) -> tuple[str, ...]:
    """Return `texts` as distinct tags of a job. Raises ValueError if one is invalid or there are too many."""
    if len(texts) <= MAX_TAGS * _READ:
        found = tuple(dict.fromkeys(map(word, texts)))
        if len(found) <= MAX_TAGS:
            return found
    raise ValueError(f"{len(texts)} tags are too many; a job can have at most {MAX_TAGS}")


def stamp(at: datetime | None) -> str | None:
    """Format a time for JSON: ISO 8601, UTC, milliseconds, `Z`.

    >>> stamp(datetime(2022, 12, 17, 1, 44, 17, tzinfo=UTC))
    '2022-12-17T01:44:17.000Z'
    """
    if at is None:
        return None
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return f"{at.isoformat('T', 'milliseconds')[:-6]}Z"  # some hundred in a list


def folded(text: str) -> str:
    """Fold `text` for searches, which ignore case and the difference of narrow and wide characters.

    >>> folded("Größe \\uff21 春节") == folded("GRÖSSE a 春节")
    True
    """
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def in_zone(at: datetime, zone: tzinfo) -> datetime:
    """Convert `at` to `zone`, or to UTC if `zone` cannot represent it."""
    try:
        return at.astimezone(zone)
    except OverflowError:  # the last hours of the year 9999 overflow east of Greenwich
        return at.astimezone(UTC)


def offset(local: datetime) -> str:
    """Format the UTC offset of a local time.

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
    category = unicodedata.category(char)
    if char in _TURNING or category == "Cc":
        return ""
    return "\ufffd" if category == "Cs" else char
