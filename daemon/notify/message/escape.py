"""Foreign text made safe to show: cleaning, escaping for each kind of chat, lengths of time, links. Pure.

Owns what happens to a value before a service sees it: a name stays readable but mentions nobody, links nowhere
and formats nothing. How each service treats hostile values was observed on the wire
(tests/contract/test_channels_services.py). Knows neither messages nor channels.
"""

import html
import re
import unicodedata
from urllib.parse import quote

from msgspec import Struct

from daemon.domain.events import Json

_SPACES = re.compile(r"\s+")
_JOINERS = "\u200c\u200d"
"""Invisible characters that some scripts and emoji need."""
_MARKS_IN_A_ROW = 4
"""Combining marks kept on one letter: enough for every script, too few to overlap other lines."""


def clean(text: str, *, limit: int) -> str:
    """`text` on one line of at most `limit` characters, without control, bidirectional, invisible and lone
    surrogate characters.

    >>> clean("a\\r\\nb\\u202ec", limit=80)
    'a bc'
    >>> clean("abcdef", limit=4)
    'abc…'
    """
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # fast path for nearly all texts
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


class Units(Struct, frozen=True, kw_only=True):
    """Names of the units of time; English by default."""

    day: str = "d"
    hour: str = "h"
    minute: str = "min"
    minutes: str = "min"
    """Used when there are only minutes."""
    second: str = "s"
    moment: str = "less than 1 s"
    ages: str = "more than 10 years"
    """Stands in for lengths that cannot be real."""


_UNITS = Units()
_LONGEST = 3650 * 86400.0
"""Seconds from which a length is no longer given exactly, because numbers from outside can be anything."""


def length(seconds: float, units: Units = _UNITS) -> str:
    """A length of time in its two largest units.

    >>> [length(s) for s in (0.2, 5, 65, 607.5, 3600, 7500, 90000, 1e300)]
    ['less than 1 s', '5 s', '1 min 5 s', '10 min 8 s', '1 h', '2 h 5 min', '1 d 1 h', 'more than 10 years']
    """
    if not seconds < _LONGEST:  # also true for NaN
        return units.ages
    total = int(seconds + 0.5)
    if total < 1:
        return units.moment
    minutes, s = divmod(total, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    parts = [(d, units.day), (h, units.hour), (m, units.minute), (s, units.second)]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    shown = [(number, unit) for number, unit in parts[first : first + 2] if number]
    if shown == [(m, units.minute)]:
        return f"{m} {units.minutes}"
    return " ".join(f"{number} {unit}" for number, unit in shown)


def rough(seconds: float, units: Units = _UNITS) -> str:
    """Like `length`, for estimates: rounded to a plausible precision.

    >>> [rough(s) for s in (3, 58, 101, 192, 400, 2520, 9000)]
    ['5 s', '1 min', '1 min 40 s', '3 min', '6 min 30 s', '42 min', '2 h 30 min']
    """
    if not seconds < _LONGEST:
        return units.ages
    step = 5 if seconds < 120 else 30 if seconds < 600 else 60 if seconds < 7200 else 300
    return length(max(step, round(seconds / step) * step), units)


ZERO_WIDTH_SPACE = "\u200b"


def as_is(text: str) -> str:
    """Return the text unchanged, for machines and for programs that show text literally."""
    return text


def sound(value: Json) -> Json:
    r"""Replace lone surrogates, which UTF-8 cannot encode, in a value of any depth.

    >>> sound({"name": ["a\ud800b"]})
    {'name': ['a\ufffdb']}
    """
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_SURROGATES.sub("\ufffd", name): sound(inner) for name, inner in value.items()}
    return [sound(inner) for inner in value] if isinstance(value, list) else value


def chat(text: str) -> str:
    """For chats that detect links and mentions in plain text: the name stays readable, mentions nobody, links
    nowhere.

    >>> chat("@all see www.example.com").replace(ZERO_WIDTH_SPACE, "|")
    '@|all see www|.example|.com'
    """
    return _LINK.sub(_broken_up, text).replace("@", f"@{ZERO_WIDTH_SPACE}")


def _broken_up(match: re.Match[str]) -> str:
    return f"{match[0][:-1]}{ZERO_WIDTH_SPACE}{match[0][-1]}"


def no_tags(text: str) -> str:
    """Like `chat`, for chats that read tags such as `<at user_id="all">`: a look-alike replaces `<`."""
    return chat(text).replace("<", "\uff1c")


def markdown(text: str) -> str:
    r"""Like `chat`, for chats that read Markdown in plain content.

    >>> markdown("*a* <!here>")
    '\\*a\\* \\<!here\\>'
    """
    return chat(text.translate(_MARKDOWN))


def look_alike(text: str) -> str:
    """Like `chat`, for chats whose Markdown has no escapes: full-width look-alikes replace the markup
    characters. A name such as `cut_2` keeps its underscore, which formats nothing inside a word.

    >>> look_alike("*a* [b](c) cut_2 _d_")
    '＊a＊ ［b］(c) cut_2 ＿d＿'
    """  # noqa: RUF002 - these are the look-alikes
    return _AMBIGUOUS.sub(lambda match: match[0].translate(_WIDE), chat(text))


def html_text(text: str) -> str:
    """The text as HTML, for mail."""
    return html.escape(text, quote=True)


def html_chat(text: str) -> str:
    """For chats that read HTML, links and mentions."""
    return html_text(chat(text))


_SURROGATES = re.compile(r"[\ud800-\udfff]")
_LINK = re.compile(r":/(?=/)|\bwww\.|(?<=\w)\.(?=[^\W\d_]{2,63}(?!\w))", re.IGNORECASE)
"""What chats turn into a link: a scheme, a `www.`, and a bare name such as `example.com`."""
_MARKDOWN = {ord(char): f"\\{char}" for char in "\\`*_[]#|~<>"}
_AMBIGUOUS = re.compile(r"[\\`*\[\]~<]|(?<![^\W_])_|_(?![^\W_])|^[#>]+")
_WIDE = {ord(char): ord(char) + 0xFEE0 for char in "\\`*_[]#~<>"}
"""Every ASCII character has a full-width form at an offset of 0xFEE0."""

_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(?::\d+)?(?:/[!-;=?-~]*)?(?:\?[!-;=?-~]*)?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_web(url: str | None) -> bool:
    """Whether `url` is http or https. Other schemes are never shown: `javascript:` and the like run code on a
    click."""
    return url is not None and url[:8].lower().startswith(("http://", "https://"))


def is_link(url: str) -> bool:
    """Whether `url` is a web address that a chat can open. The API document's example URLs are not."""
    return _URL.fullmatch(url) is not None


def printable(url: str) -> str:
    """`url` without unprintable characters."""
    return _UNPRINTABLE.sub("", url)


def quoted(url: str, *, besides: str = "") -> str:
    """`url` unchanged, except that unprintable characters and those of `besides` are percent-encoded."""
    url = _UNPRINTABLE.sub(lambda match: quote(match[0], errors="replace"), url)
    for char in besides:
        url = url.replace(char, f"%{ord(char):02X}")
    return url
