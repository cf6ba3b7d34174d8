"""Foreign text made harmless for each kind of chat, and links that stay what they are. Pure.

Owns what is done to a value before a service sees it: a name stays readable, calls nobody, links nowhere, marks
nothing up. What each service does with hostile values was seen on the wire
(tests/contract/test_channels_services.py). Must never know a message or a channel.
"""

import html
import re
from urllib.parse import quote

from daemon.domain.events import Json

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
