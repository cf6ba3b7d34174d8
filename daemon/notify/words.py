"""Times, lengths and foreign values as people read them. Pure.

Owns the stripping of everything in a value that could break or disguise a message. Must never know a channel.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, tzinfo

_SPACES = re.compile(r"\s+")
_JOINERS = "\u200c\u200d"
"""Invisible characters that scripts and emoji need."""
_MARKS_IN_A_ROW = 4
"""Combining marks kept on one letter: enough for every script, too few to climb over other lines."""

_KINDS = {
    "avatar": "avatar video",
    "photo": "photo video",
    "business_card": "business card",
    "photo_detection": "photo detection",
    "picture_modeling": "picture modelling",
}
_VIDEOS = frozenset({"avatar", "photo"})
_STATES = {
    "WAITING": "waiting in the queue",
    "PROCESSING": "in production",
    "SUCCEED": "finished",
    "PARTIAL_SUCCEED": "finished in part",
    "FAILED": "failed",
    "CANCELED": "canceled",
    "BLOCK": "frozen",
}


def clean(text: str, *, limit: int) -> str:
    """`text` on one line of at most `limit` characters, without control, bidirectional, invisible and
    lone-surrogate characters.

    >>> clean("a\\r\\nb\\u202ec", limit=80)
    'a bc'
    >>> clean("abcdef", limit=4)
    'abc…'
    """
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


def length(seconds: float) -> str:
    """A length of time in its two largest units.

    >>> [length(s) for s in (0.2, 5, 65, 607.5, 3600, 7500, 90000)]
    ['less than 1 s', '5 s', '1 min 5 s', '10 min 8 s', '1 h', '2 h 5 min', '1 d 1 h']
    """
    whole = int(seconds + 0.5)
    if whole < 1:
        return "less than 1 s"
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    parts = [(d, "d"), (h, "h"), (m, "min"), (s, "s")]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def rough(seconds: float) -> str:
    """The same for what is only expected: no more exact than anybody can know.

    >>> [rough(s) for s in (3, 58, 101, 192, 400, 2520, 9000)]
    ['5 s', '1 min', '1 min 40 s', '3 min', '6 min 30 s', '42 min', '2 h 30 min']
    """
    step = 5 if seconds < 120 else 30 if seconds < 600 else 60 if seconds < 7200 else 300
    return length(max(step, round(seconds / step) * step))


def moment(at: datetime, zone: tzinfo, *, seconds: bool = False) -> str:
    """A moment in `zone`, always with the offset.

    >>> moment(datetime(2022, 12, 17, 1, 44, 17, tzinfo=UTC), UTC, seconds=True)
    '2022-12-17 01:44:17 UTC'
    """
    local = _in_zone(at, zone)
    offset = local.utcoffset() or timedelta()
    text = local.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    if not offset:
        return f"{text} UTC"
    sign = "-" if offset < timedelta() else "+"
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"{text} {sign}{hours:02}:{minutes:02}"


def span(first: datetime, last: datetime, zone: tzinfo) -> str:
    """From when to when, in `zone`: the end without its day where that is the same, and without its offset.

    >>> span(datetime(2022, 12, 17, 1, 44, tzinfo=UTC), datetime(2022, 12, 17, 2, 5, tzinfo=UTC), UTC)
    '2022-12-17 01:44 UTC to 02:05'
    """
    day, end = f"{_in_zone(first, zone):%Y-%m-%d}", _in_zone(last, zone)
    return (
        f"{moment(first, zone)} to {end:%H:%M}"
        if f"{end:%Y-%m-%d}" == day
        else (f"{moment(first, zone)} to {end:%Y-%m-%d %H:%M}")
    )


def _in_zone(at: datetime, zone: tzinfo) -> datetime:
    try:
        return at.astimezone(zone)
    except OverflowError:  # the last hours of the year 9999 have no name east of Greenwich
        return at.astimezone(UTC)


def kind_word(kind: str) -> str:
    """A kind of job, as people say it."""
    return _KINDS.get(kind, clean(kind, limit=40))


def product_word(kind: str) -> str:
    """What comes of a kind of job."""
    return "video" if kind in _VIDEOS else "business card" if kind == "business_card" else "result"


def state_word(state: str | None) -> str:
    """A state, as people say it; an unknown one as the service named it."""
    if state is None:
        return "not known yet"
    return _STATES.get(state, clean(state, limit=64))
