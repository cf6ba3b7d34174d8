"""Foreign text as people may read it: cleaned of what could break or disguise a message, and made harmless
for each kind of chat; lengths of time; links that stay what they are. Pure.

Owns what is done to a value before a service sees it: a name stays readable, calls nobody, links nowhere, marks
nothing up. What each service does with hostile values was seen on the wire
(tests/contract/test_channels_services.py). Must never know a message or a channel.
"""

import html
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

from daemon.domain.events import Json

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


ZERO_WIDTH_SPACE = "\u200b"


def as_is(text: str) -> str:
    """For machines, and for programs that show text as it comes."""
    return text


def sound(value: Json) -> Json:
    r"""For machines, a value of any depth: as it is, but for halves of surrogate pairs, which no UTF-8 can carry.

    >>> sound({"name": ["a\ud800b"]})
    {'name': ['a\ufffdb']}
    """
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_HALVES.sub("\ufffd", name): sound(inner) for name, inner in value.items()}
    return [sound(inner) for inner in value] if isinstance(value, list) else value


def chat(text: str) -> str:
    """For chats that read links and mentions in plain text: a name stays readable, calls nobody and links nowhere.

    >>> chat("@all see www.example.com").replace(ZERO_WIDTH_SPACE, "|")
    '@|all see www|.example|.com'
    """
    return _LINK.sub(_apart, text).replace("@", f"@{ZERO_WIDTH_SPACE}")


def _apart(match: re.Match[str]) -> str:
    return f"{match[0][:-1]}{ZERO_WIDTH_SPACE}{match[0][-1]}"


def no_tags(text: str) -> str:
    """The same for chats that read tags such as `<at user_id="all">`: a look-alike instead of `<`."""
    return chat(text).replace("<", "\uff1c")


def markdown(text: str) -> str:
    r"""The same for chats that read Markdown in plain content.

    >>> markdown("*a* <!here>")
    '\\*a\\* \\<!here\\>'
    """
    return chat(text.translate(_MARKDOWN))


def look_alike(text: str) -> str:
    """The same for chats whose Markdown knows no escape: wide look-alikes instead of the signs of markup. A name
    such as `cut_2` keeps its underscore: within a word it marks nothing.

    >>> look_alike("*a* [b](c) cut_2 _d_")
    '＊a＊ ［b］(c) cut_2 ＿d＿'
    """  # noqa: RUF002 - the look-alikes themselves
    return _AMBIGUOUS.sub(lambda match: match[0].translate(_WIDE), chat(text))


def html_text(text: str) -> str:
    """For mail: the text in HTML."""
    return html.escape(text, quote=True)


def html_chat(text: str) -> str:
    """For chats that read HTML, links and mentions."""
    return html_text(chat(text))


_HALVES = re.compile(r"[\ud800-\udfff]")
_LINK = re.compile(r":/(?=/)|\bwww\.|(?<=\w)\.(?=[^\W\d_]{2,63}(?!\w))", re.IGNORECASE)
"""What chats make a link of: a scheme, a `www.`, and a bare name such as `example.com`."""
_MARKDOWN = {ord(char): f"\\{char}" for char in "\\`*_[]#|~<>"}
_AMBIGUOUS = re.compile(r"[\\`*\[\]~<]|(?<![^\W_])_|_(?![^\W_])|^[#>]+")
_WIDE = {ord(char): ord(char) + 0xFEE0 for char in "\\`*_[]#~<>"}
"""Each sign of ASCII has a wide form, 0xFEE0 further on."""

_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(?::\d+)?(?:/[!-;=?-~]*)?(?:\?[!-;=?-~]*)?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_web(url: str | None) -> bool:
    """Whether `url` is meant for a browser to load (http or https). Anything else that calls itself a link is told
    to nobody: `javascript:` and the like act on a click."""
    return url is not None and url[:8].lower().startswith(("http://", "https://"))


def is_link(url: str) -> bool:
    """Whether `url` is an address of the web that a chat can open; the documents' examples are not."""
    return _URL.fullmatch(url) is not None


def printable(url: str) -> str:
    """`url` without what cannot be shown."""
    return _UNPRINTABLE.sub("", url)


def quoted(url: str, *, besides: str = "") -> str:
    """`url` as it came, but for what cannot be shown and the characters of `besides`: those percent-encoded."""
    url = _UNPRINTABLE.sub(lambda match: quote(match[0], errors="replace"), url)
    for char in besides:
        url = url.replace(char, f"%{ord(char):02X}")
    return url
