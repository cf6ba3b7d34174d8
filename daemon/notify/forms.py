"""Which form each chat service takes: markup, escape, limit. One row for each service; pure data and functions.

What each service does with hostile values was seen on the wire (docs/channels.md); a service without a row takes
plain text. Must never send.
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
    """For services that show text as it comes."""
    return text


def no_angle(text: str) -> str:
    """For services that read tags such as `<at user_id="all">` in plain text: a look-alike instead of `<`."""
    return text.replace("<", "\uff1c")


def quiet_mentions(text: str) -> str:
    """For services that read `@all` in plain text: the `@` stays readable and calls nobody."""
    return text.replace("@", f"@{ZERO_WIDTH_SPACE}")


_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>:])")


def markdown(text: str) -> str:
    """For services that read Markdown and mentions in plain content.

    >>> markdown("*a* <!here>")
    '\\\\*a\\\\* \\\\<\\\\!here\\\\>'
    """
    return _MARKDOWN.sub(r"\\\1", text).replace("@", f"@{ZERO_WIDTH_SPACE}")


def _html(text: str) -> str:
    return html.escape(text, quote=True)


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
    fixed_title: bool = False
    """The service would read markup in the title: it gets a constant one, and the real one opens the body."""

    def measure(self, text: str) -> int:
        """The size of `text` as the service counts."""
        return len(text) if self.unit is Unit.CHARACTERS else len(text.encode("utf-8", "replace"))


FORMS: tuple[Form, ...] = (
    Form(schemes=("json", "jsons", "form", "forms", "xml", "xmls"), limit=32768),
    Form(schemes=("console",), limit=32768),
    Form(schemes=("feishu", "lark"), escape=no_angle, limit=18000, unit=Unit.UTF8_BYTES),
    Form(schemes=("dingtalk",), escape=quiet_mentions, limit=18000, unit=Unit.UTF8_BYTES),
    Form(schemes=("wecombot",), escape=quiet_mentions, limit=2048, unit=Unit.UTF8_BYTES),
    Form(schemes=("slack",), limit=35000),
    Form(schemes=("discord",), markup=Markup.MARKDOWN, escape=markdown, limit=2000),
    Form(schemes=("mmost", "mmosts"), markup=Markup.MARKDOWN, escape=markdown, limit=4000),
    Form(schemes=("tgram",), markup=Markup.HTML, escape=_html, limit=4096),
    Form(schemes=("workflow", "workflows"), markup=Markup.HTML, escape=_html, limit=1000, fixed_title=True),
    Form(schemes=("gchat",), markup=Markup.HTML, escape=_html, limit=4000),
    Form(schemes=("rocket", "rockets"), markup=Markup.HTML, escape=_html, limit=1000),
    Form(schemes=("mailto", "mailtos"), markup=Markup.HTML, escape=_html, limit=32768, shows_urls=True),
    Form(schemes=("matrix", "matrixs"), limit=30000),
    Form(schemes=("ntfy", "ntfys"), limit=4096, unit=Unit.UTF8_BYTES),
    Form(schemes=("gotify", "gotifys"), limit=32768),
    Form(schemes=("pover",), limit=1024),
)

_BY_SCHEME = {scheme: form for form in FORMS for scheme in form.schemes}


def form_for(scheme: str, *, limit: int) -> Form:
    """The form of a service; a service without a row takes text of at most `limit` characters."""
    return _BY_SCHEME.get(scheme) or Form(schemes=(scheme,), limit=limit)
