"""What cards share: colours, cutting at characters, links and pictures that can be used, lines of Markdown as the
Chinese group bots read it (no escapes, so look-alikes; links as words); and the plain form for whoever has no card
or refuses it. Pure.
"""

import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import quote

from daemon.notify.message import Field, Link, Message, Row, Severity
from daemon.notify.message.escape import as_is, clean, is_link, look_alike, markdown, printable, quoted
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.base import Markup, Service

COLOURS: Mapping[Severity, str] = {
    Severity.GOOD: "#2E7D32",
    Severity.BAD: "#C62828",
    Severity.WARNING: "#F9A825",
    Severity.INFO: "#1565C0",
}
"""By what an alert means: green, red, amber, blue."""

TEXT_LIMIT = 1000
"""Characters of any one text."""

_MOST_NOTES, _NOTE_LIMIT = 4, 200
_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(?::\d+)?(?:[/?][A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*)?")
"""http(s), a host without a user, and after it only what RFC 3986 allows."""
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff`<>@|\\]")
_ENDING = re.compile(r"[()@]")


def utf8(text: str) -> int:
    """The bytes that a text takes on the wire."""
    return len(text.encode("utf-8", "replace"))


def utf16(text: str) -> int:
    """The UTF-16 units of a text, which is what some services count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def json_size(payload: object) -> int:
    """The bytes that a payload takes as JSON with its characters written out."""
    return utf8(json.dumps(payload, ensure_ascii=False))


def json_characters(payload: object) -> int:
    """The characters that a payload takes as JSON."""
    return len(json.dumps(payload, ensure_ascii=False))


def cut(
    text: str, limit: int, *, measure: Callable[[str], int] = len, escape: Callable[[str], str] = as_is
) -> str:
    """`text` escaped, of at most `limit` as `measure` counts it, on one line. What does not fit ends in an
    ellipsis, never within an escape or a combined character.

    >>> cut("视频视频", 10, measure=utf8)
    '视频…'
    """
    return _cut(text, limit, measure, escape)


@lru_cache(maxsize=256)  # a card is built again, of the same texts, for each part that is left out
def _cut(text: str, limit: int, measure: Callable[[str], int], escape: Callable[[str], str]) -> str:
    shown = clean(text, limit=TEXT_LIMIT)
    whole = escape(shown)
    if measure(whole) <= limit:
        return whole
    low, high = 0, len(shown)
    while low < high:  # the longest beginning that fits
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
    """Whether a character belongs to the one before it."""
    return (
        unicodedata.category(char) in {"Mn", "Me", "Mc"}
        or char == "\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
    )


def usable(url: str, *, most: int = 3000) -> bool:
    """Whether a chat takes `url` for the address of a button or a picture: plain http(s), at most `most` long."""
    return len(url) <= most and _URL.fullmatch(url) is not None


def shown_url(url: str) -> str:
    """A URL to be shown as text: as it came, but for what could call people, open a tag or end a code span."""
    return _UNSAFE.sub(lambda match: quote(match[0], errors="replace"), url)


def in_markdown(link: Link, parts: Parts) -> str:
    """A link in Markdown with its note: clickable where the chat would take it, else as code. Only what would end
    the link early is percent-encoded."""
    name, note = markdown(link.name), markdown(parts.aside(link.note))
    if not usable(link.url):
        return f"{name}{note}{parts.words.colon}`{shown_url(link.url)}`"
    return f"[{name}]({_ENDING.sub(lambda match: quote(match[0], safe=''), link.url)}){note}"


def picture(message: Message, *, most: int = 3000) -> str | None:
    """The address of the cover, where the chat service can fetch it by itself (https)."""
    url = message.cover.url if message.cover is not None else None
    return url if url is not None and url.startswith("https://") and usable(url, most=most) else None


def limited(parts: Parts, *, most_rows: int | None = None, most_link: int | None = None) -> Parts:
    """`parts` without rows beyond `most_rows` and links longer than `most_link`, which are counted; notes of a
    length that leaves room for the rest."""
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
    """A link behind a name; the URL as it came, but for the signs that would end it."""
    return f"[{look_alike(name)}]({quoted(url, besides='()')})"


def row_line(row: Row, parts: Parts) -> str:
    """One alert of many: its name leads to it."""
    linked = row.link is not None and is_link(row.link.url)
    name = anchor(row.name, row.link.url) if row.link is not None and linked else look_alike(row.name)
    told = f"{row.emoji} {parts.pair(name, look_alike(row.text)) if row.text else name}"
    return told if row.link is None or linked else f"{told} {bare(row.link.url)}"


def link_line(link: Link, parts: Parts) -> str:
    """A link in the text: behind its name where it can be opened, else as it came."""
    note = look_alike(parts.aside(link.note))
    if is_link(link.url):
        return f"{anchor(link.name, link.url)}{note}"
    return parts.pair(f"{look_alike(link.name)}{note}", bare(link.url))


def note_line(link: Link, parts: Parts) -> str:
    """What there is to say about a link that has a button; '' for nothing."""
    return look_alike(parts.pair(link.name, link.note)) if link.note else ""


def field_line(field: Field, parts: Parts) -> str:
    """A named value."""
    return parts.pair(f"**{look_alike(field.name)}**", look_alike(field.value))


def bare(url: str) -> str:
    """A URL as text, as it came, but for what would call people or open a tag."""
    return quoted(url, besides="@<")


def remarks(parts: Parts) -> tuple[str, ...]:
    """What was left out, and the notes."""
    return tuple(look_alike(text) for text in (*parts.missing, *parts.notes))


def filled(lines: Sequence[str], joint: str) -> str:
    """The lines that are not empty."""
    return joint.join(line for line in lines if line)


PLAIN_LIMIT = 500
"""Characters of the plainest service."""
CONSTANT_TITLE = "wrapd"
_JOINT = 16
"""Room for what a plugin puts between title and body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A message as it is handed to the channel's plugin."""

    title: str
    body: str
    markup: Markup


def render(message: Message, service: Service) -> Rendered:
    """`message` as `form` wants it."""
    writer = _Writer(service)

    def build(parts: Parts) -> Rendered:
        marked = parts.title if service.raw_title else service.escape(parts.title)
        if service.markup is Markup.MARKDOWN:
            marked = writer.strong(marked)
        heading = writer.strong(marked) if service.fixed_title else ""
        title = CONSTANT_TITLE if service.fixed_title else marked
        return Rendered(title=title, body=writer.body(parts, heading), markup=service.markup)

    def fits(built: Rendered) -> bool:
        return service.measure(built.title) + service.measure(built.body) + _JOINT <= service.limit

    return fitted(message, build, fits)


def plainest(message: Message) -> Rendered:
    """The least that tells the outcome, for a service that refused the message as it was: ASCII marks only, no
    emoji, at most one link."""
    lines = [_no_symbols(message.headline, limit=160), _no_symbols(message.subject, limit=150)]
    lines += [_no_symbols(note, limit=100) for note in message.notes[:1]]
    link = next((link.url for link in message.links if is_link(link.url)), None)
    if link is not None and "@" not in link and len(link) + sum(map(len, lines)) < PLAIN_LIMIT:
        lines.append(link)
    title = _no_symbols(message.title, limit=100)
    body = "\n".join(line for line in lines if line)
    return Rendered(title=title or message.event, body=body or message.event, markup=Markup.TEXT)


def _no_symbols(text: str, *, limit: int) -> str:
    """`text` without what could be markup, a link, a mention or an emoji."""
    kept = (char for char in text if char not in "<>@`*[]()#~|\\" and ord(char) < 0x1F000)
    apart = _NAME_DOT.sub(". ", "".join(kept).replace("://", ": "))
    return clean(apart, limit=limit)


_NAME_DOT = re.compile(r"(?<=\w)\.(?=[^\W\d_])")
"""The dot in `example.com`: chats make a link of such a name by itself."""


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the pieces of a body in one service."""

    service: Service

    @property
    def break_(self) -> str:
        return "<br>" if self.service.markup is Markup.HTML else "\n"

    def body(self, parts: Parts, heading: str) -> str:
        """The whole of it: the headline, what it tells of, links, fields, notes."""
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
        """The lines that are not empty, in the paragraphs that are not empty."""
        joined = (self.break_.join(line for line in lines if line) for lines in paragraphs)
        filled = [part for part in joined if part]
        if self.service.markup is Markup.HTML:
            return self.service.gap.join(f"<p>{part}</p>" for part in filled)
        return "\n\n".join(filled)

    def strong(self, escaped: str) -> str:
        match self.service.markup:
            case Markup.HTML:
                return f"<b>{escaped}</b>"
            case Markup.MARKDOWN:
                return f"**{escaped}**"
            case Markup.TEXT:
                return escaped

    def row(self, row: Row, parts: Parts) -> str:
        """One alert of many; its link, where it has one, on a line of its own."""
        name, text = self.service.escape(row.name), self.service.escape(row.text)
        told = f"{row.emoji} {parts.pair(name, text) if text else name}"
        return told if row.link is None else f"{told}{self.break_}{self.link(row.link, parts)}"

    def link(self, link: Link, parts: Parts) -> str:
        note, colon = self.service.escape(parts.aside(link.note)), parts.words.colon.strip()
        name = self.service.escape(link.name)
        if self.service.markup is not Markup.HTML:
            return f"{name}{note}{colon}\n{self._bare(link.url)}"
        shown = html.escape(printable(link.url), quote=True)
        if not is_link(link.url):  # a chat drops an address that it takes for wrong: show it
            return f"{name}{note}{colon}{self.break_}<code>{shown}</code>"
        linked = f'<a href="{shown}">{name}</a>{note}'
        return f"{linked}{self.break_}{shown}" if self.service.shows_urls else linked

    def _bare(self, url: str) -> str:
        """A URL in text, as it came; only what would call people or end the link is percent-encoded."""
        return quoted(url, besides="".join(char for char in "@<" if self.service.escape(char) != char))
