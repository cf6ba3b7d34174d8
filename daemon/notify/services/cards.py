"""Shared by the cards: colours, cutting at character boundaries, usable links and pictures, and Markdown lines
as the Chinese group bots read them (no escapes, hence look-alikes). Also the plain form, for services without a
card or that refuse it. Pure."""

import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from daemon.notify.message import Field, Link, Message, Row, Severity
from daemon.notify.message.escape import as_is, clean, is_link, look_alike, markdown, printable, quoted
from daemon.notify.message.shrink import TEXT_LIMIT, Parts, fitted
from daemon.notify.services.base import Markup, Service

COLOURS: Mapping[Severity, str] = {
    Severity.GOOD: "#2E7D32",
    Severity.BAD: "#C62828",
    Severity.WARNING: "#F9A825",
    Severity.INFO: "#1565C0",
}
"""Green, red, amber and blue."""

_MOST_NOTES, _NOTE_LIMIT = 4, 200
_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(?::\d+)?(?:[/?][A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*)?")
"""http(s), a host without user info, then only characters that RFC 3986 allows."""
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff`<>@|\\]")
_ENDING = re.compile(r"[()@]")


def utf8(text: str) -> int:
    """Size of a text in bytes of UTF-8."""
    return len(text.encode("utf-8", "replace"))


def utf16(text: str) -> int:
    """Size of a text in UTF-16 units, which some services count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def json_size(payload: object) -> int:
    """Size of a payload in bytes, as JSON without ASCII escapes."""
    return utf8(json.dumps(payload, ensure_ascii=False))


def json_characters(payload: object) -> int:
    """Size of a payload in characters, as JSON without ASCII escapes."""
    return len(json.dumps(payload, ensure_ascii=False))


def cut(
    text: str, limit: int, *, measure: Callable[[str], int] = len, escape: Callable[[str], str] = as_is
) -> str:
    """`text` escaped, on one line, with at most `limit` units of `measure`. Longer text ends in an ellipsis,
    never inside an escape or a combined character.

    >>> cut("视频视频", 10, measure=utf8)
    '视频…'
    """
    return _cut(text, limit, measure, escape)


@lru_cache(maxsize=256)  # shrinking a card rebuilds it from the same texts for each part dropped
def _cut(text: str, limit: int, measure: Callable[[str], int], escape: Callable[[str], str]) -> str:
    shown = clean(text, limit=TEXT_LIMIT)
    escaped = escape(shown)
    if measure(escaped) <= limit:
        return escaped
    low, high = 0, len(shown)
    while low < high:  # binary search for the longest prefix that fits
        middle = (low + high + 1) // 2
        if measure(escape(f"{shown[:middle]}…")) <= limit:
            low = middle
        else:
            high = middle - 1
    while 0 < low < len(shown) and (_joins(shown[low]) or shown[low - 1] == "\u200d"):
        low -= 1
    kept = shown[:low].rstrip()
    return escape(f"{kept}…") if kept else ""


def _joins(char: str) -> bool:
    """Whether a character combines with the one before it."""
    return (
        unicodedata.category(char) in {"Mn", "Me", "Mc"}
        or char == "\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
    )


def usable(url: str, *, most: int = 3000) -> bool:
    """Whether chats accept `url` for a button or a picture: plain http(s), at most `most` characters."""
    return len(url) <= most and _URL.fullmatch(url) is not None


def shown_url(url: str) -> str:
    """A URL to show as text, unchanged except for characters that could mention people, open a tag or end a
    code span."""
    return _UNSAFE.sub(lambda match: quote(match[0], errors="replace"), url)


def in_markdown(link: Link, parts: Parts) -> str:
    """A link in Markdown with its note: clickable if the chat would accept it, else as code. Only characters
    that would end the link early are percent-encoded."""
    name, note = markdown(link.name), markdown(parts.aside(link.note))
    if not usable(link.url):
        return f"{name}{note}{parts.words.colon}`{shown_url(link.url)}`"
    return f"[{name}]({_ENDING.sub(lambda match: quote(match[0], safe=''), link.url)}){note}"


def row_in_markdown(row: Row, parts: Parts) -> str:
    """One alert of several in Markdown, with its link if that is clickable."""
    link = f" {in_markdown(row.link, parts)}" if row.link is not None and usable(row.link.url) else ""
    return f"{row.emoji} **{markdown(row.name or '?')}** {markdown(row.text)}{link}"


def picture(message: Message, *, most: int = 3000) -> str | None:
    """The cover's address, if the chat service can fetch it (https)."""
    url = message.cover.url if message.cover is not None else None
    return url if url is not None and url.startswith("https://") and usable(url, most=most) else None


def limited(parts: Parts, *, most_rows: int | None = None, most_link: int | None = None) -> Parts:
    """`parts` without rows beyond `most_rows` and links longer than `most_link`, both counted as dropped, and
    with notes shortened to leave room for the rest."""
    rows = parts.rows[:most_rows]
    links = tuple(link for link in parts.links if most_link is None or len(link.url) <= most_link)
    return replace(
        parts,
        rows=rows,
        links=links,
        notes=tuple(clean(note, limit=_NOTE_LIMIT) for note in parts.notes[:_MOST_NOTES]),
        cut_rows=parts.cut_rows + len(parts.rows) - len(rows),
        cut_links=parts.cut_links + len(parts.links) - len(links),
    )


def anchor(name: str, url: str) -> str:
    """A link with a name. The URL is unchanged except for characters that would end it."""
    return f"[{look_alike(name)}]({quoted(url, besides='()')})"


def row_line(row: Row, parts: Parts) -> str:
    """One alert of several, its name linked."""
    linked = row.link is not None and is_link(row.link.url)
    name = anchor(row.name, row.link.url) if row.link is not None and linked else look_alike(row.name)
    line = f"{row.emoji} {parts.pair(name, look_alike(row.text)) if row.text else name}"
    return line if row.link is None or linked else f"{line} {bare(row.link.url)}"


def link_line(link: Link, parts: Parts) -> str:
    """A link in the text: under its name if it can be opened, else written out."""
    note = look_alike(parts.aside(link.note))
    if is_link(link.url):
        return f"{anchor(link.name, link.url)}{note}"
    return parts.pair(f"{look_alike(link.name)}{note}", bare(link.url))


def note_line(link: Link, parts: Parts) -> str:
    """The note of a link that has a button; '' if none."""
    return look_alike(parts.pair(link.name, link.note)) if link.note else ""


def field_line(field: Field, parts: Parts) -> str:
    return parts.pair(f"**{look_alike(field.name)}**", look_alike(field.value))


def bare(url: str) -> str:
    """A URL as text, unchanged except for characters that would mention people or open a tag."""
    return quoted(url, besides="@<")


def remarks(parts: Parts) -> tuple[str, ...]:
    """What was left out, and the notes."""
    return tuple(look_alike(text) for text in (*parts.missing, *parts.notes))


def filled(lines: Iterable[str], joint: str) -> str:
    """Join the lines that are not empty."""
    return joint.join(line for line in lines if line)


def paragraphs(*blocks: Iterable[str]) -> str:
    """Join the non-empty lines of each block, with an empty line between blocks."""
    return filled((filled(lines, "\n") for lines in blocks), "\n\n")


PLAIN_LIMIT = 500
"""Characters that even the most limited service accepts."""
CONSTANT_TITLE = "wrapd"
JOINT = 16
"""Characters reserved for what a plugin puts between title and body."""


class Rendered(Struct, frozen=True, kw_only=True):
    """A message as passed to the channel's plugin."""

    title: str
    body: str
    markup: Markup


def render(message: Message, service: Service) -> Rendered:
    """The plain form of `message` for `service`."""
    writer = _Writer(service)

    def build(parts: Parts) -> Rendered:
        marked = parts.title if service.raw_title else service.escape(parts.title)
        if service.markup is Markup.MARKDOWN:
            marked = writer.strong(marked)
        heading = writer.strong(marked) if service.fixed_title else ""
        title = CONSTANT_TITLE if service.fixed_title else marked
        return Rendered(title=title, body=writer.body(parts, heading), markup=service.markup)

    def fits(built: Rendered) -> bool:
        return service.measure(built.title) + service.measure(built.body) + JOINT <= service.limit

    return fitted(message, build, fits)


def plainest(message: Message) -> Rendered:
    """A minimal text that still states the outcome, for a service that refused the message: no markup
    characters, no emoji, at most one link."""
    lines = [_no_symbols(message.headline, limit=160), _no_symbols(message.subject, limit=150)]
    person = message.facts.get("note")
    lines += [_no_symbols(note, limit=100) for note in (str(person or ""), *message.notes[:1])]
    link = next((link.url for link in message.links if is_link(link.url)), None)
    if link is not None and "@" not in link and len(link) + sum(map(len, lines)) < PLAIN_LIMIT:
        lines.append(link)
    title = _no_symbols(message.title, limit=100)
    body = "\n".join(line for line in lines if line)
    return Rendered(title=title or message.event, body=body or message.event, markup=Markup.TEXT)


def _no_symbols(text: str, *, limit: int) -> str:
    """`text` without anything that could be markup, a link, a mention or an emoji."""
    kept = (char for char in text if char not in "<>@`*[]()#~|\\" and ord(char) < 0x1F000)
    return clean(_NAME_DOT.sub(". ", "".join(kept).replace("://", ": ")), limit=limit)


_NAME_DOT = re.compile(r"(?<=\w)\.(?=[^\W\d_])")
"""The dot in `example.com`: chats turn such names into links."""


class _Writer(Struct, frozen=True):
    """Writes the pieces of a body for one service."""

    service: Service

    @property
    def break_(self) -> str:
        return "<br>" if self.service.markup is Markup.HTML else "\n"

    def body(self, parts: Parts, heading: str) -> str:
        """The complete body: headline, rows, links, fields, notes."""
        text = self.service.escape
        return self.paragraphs(
            [
                [heading, text(parts.headline)],
                [self.row(row, parts) for row in parts.rows],
                [*(self.link(link, parts) for link in parts.links), *map(text, parts.missing)],
                [parts.pair(text(field.name), text(field.value)) for field in parts.fields],
                [*map(text, parts.notes)],
            ]
        )

    def paragraphs(self, paragraphs: Iterable[Sequence[str]]) -> str:
        """Join the non-empty lines into non-empty paragraphs."""
        joined = (self.break_.join(line for line in lines if line) for lines in paragraphs)
        if self.service.markup is Markup.HTML:
            return self.service.gap.join(f"<p>{part}</p>" for part in joined if part)
        return filled(joined, "\n\n")

    def strong(self, escaped: str) -> str:
        match self.service.markup:
            case Markup.HTML:
                return f"<b>{escaped}</b>"
            case Markup.MARKDOWN:
                return f"**{escaped}**"
            case Markup.TEXT:
                return escaped

    def row(self, row: Row, parts: Parts) -> str:
        """One alert of several; its link, if any, is on a separate line."""
        name, text = self.service.escape(row.name), self.service.escape(row.text)
        line = f"{row.emoji} {parts.pair(name, text) if text else name}"
        return line if row.link is None else f"{line}{self.break_}{self.link(row.link, parts)}"

    def link(self, link: Link, parts: Parts) -> str:
        note, colon = self.service.escape(parts.aside(link.note)), parts.words.colon.strip()
        name = self.service.escape(link.name)
        if self.service.markup is not Markup.HTML:
            return f"{name}{note}{colon}\n{self._bare(link.url)}"
        shown = html.escape(printable(link.url), quote=True)
        if not is_link(link.url):  # chats drop the href of an address that they consider invalid, so show it
            return f"{name}{note}{colon}{self.break_}<code>{shown}</code>"
        linked = f'<a href="{shown}">{name}</a>{note}'
        return f"{linked}{self.break_}{shown}" if self.service.shows_urls else linked

    def _bare(self, url: str) -> str:
        """A URL in text. Only characters that would mention people or end the link are percent-encoded."""
        return quoted(url, besides="".join(char for char in "@<" if self.service.escape(char) != char))
