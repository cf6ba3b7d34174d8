"""Which form each chat service takes: markup, escape, limit. One row for each service; pure data and functions.

What each service does with hostile values was seen on the wire (tests/contract/test_channels_services.py); a
service without a row takes plain text. Must never send.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

ZERO_WIDTH_SPACE = "\u200b"


class Markup(StrEnum):
    """How a message is written."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"


class Unit(StrEnum):
    """What a service counts."""

    CHARACTERS = "characters"
    UTF8_BYTES = "bytes"


def as_is(text: str) -> str:
    """For machines, and for programs that show text as it comes."""
    return text


def chat(text: str) -> str:
    """For chats that read links and mentions in plain text: a name stays readable, calls nobody and links nowhere.

    >>> chat("@all see www.example.com").replace(ZERO_WIDTH_SPACE, "|")
    '@|all see www|.example.com'
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
    return chat(_MARKDOWN.sub(r"\\\1", text))


def html_text(text: str) -> str:
    """For mail: the text in HTML."""
    return html.escape(text, quote=True)


def html_chat(text: str) -> str:
    """For chats that read HTML, links and mentions."""
    return html_text(chat(text))


_LINK = re.compile(r":/(?=/)|\bwww\.", re.IGNORECASE)
_MARKDOWN = re.compile(r"([\\`*_\[\]#|~<>])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How messages for a service are written. `limit` counts title and body together."""

    schemes: tuple[str, ...]
    markup: Markup = Markup.TEXT
    escape: Callable[[str], str] = as_is
    limit: int
    unit: Unit = Unit.CHARACTERS
    shows_urls: bool = False
    """In HTML: write each link's URL as well, because the text part is made from the words alone."""
    gap: str = ""
    """In HTML: what stands between paragraphs, where the service's conversion would drop the empty line."""
    raw_title: bool = False
    """The title is a field of its own that is shown as it is, whatever the body's markup."""
    fixed_title: bool = False
    """The service would read markup in the title: it gets a constant one, and the real one opens the body."""

    def measure(self, text: str) -> int:
        """The size of `text` as the service counts."""
        return len(text) if self.unit is Unit.CHARACTERS else len(text.encode("utf-8", "replace"))


FORMS: tuple[Form, ...] = (
    Form(schemes=("json", "jsons", "form", "forms", "xml", "xmls"), limit=32768),
    Form(schemes=("console",), limit=32768),
    Form(schemes=("feishu", "lark"), escape=no_tags, limit=18000, unit=Unit.UTF8_BYTES),
    Form(schemes=("dingtalk",), escape=chat, limit=18000, unit=Unit.UTF8_BYTES),
    Form(schemes=("wecombot",), escape=chat, limit=2048, unit=Unit.UTF8_BYTES),
    Form(schemes=("slack",), escape=chat, limit=35000),
    Form(schemes=("discord",), markup=Markup.MARKDOWN, escape=markdown, limit=2000),
    Form(schemes=("mmost", "mmosts"), markup=Markup.MARKDOWN, escape=markdown, limit=4000),
    Form(schemes=("tgram",), markup=Markup.HTML, escape=html_chat, limit=4096, gap=f"<p>{ZERO_WIDTH_SPACE}</p>"),
    Form(schemes=("workflow", "workflows"), markup=Markup.HTML, escape=html_chat, limit=1000, fixed_title=True),
    Form(schemes=("gchat",), markup=Markup.HTML, escape=html_chat, limit=4000),
    Form(schemes=("rocket", "rockets"), markup=Markup.HTML, escape=html_chat, limit=1000),
    Form(
        schemes=("mailto", "mailtos"),
        markup=Markup.HTML,
        escape=html_text,
        limit=32768,
        shows_urls=True,
        raw_title=True,
    ),
    Form(schemes=("matrix", "matrixs"), escape=chat, limit=30000),
    Form(schemes=("ntfy", "ntfys"), limit=4096, unit=Unit.UTF8_BYTES),
    Form(schemes=("gotify", "gotifys"), limit=32768),
    Form(schemes=("pover",), limit=1024),
)

_BY_SCHEME = {scheme: form for form in FORMS for scheme in form.schemes}


def form_for(scheme: str, *, limit: int) -> Form:
    """The form of a service; a service without a row takes text of at most `limit` characters."""
    return _BY_SCHEME.get(scheme) or Form(schemes=(scheme,), escape=chat, limit=limit)
