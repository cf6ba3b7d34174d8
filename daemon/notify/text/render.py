"""A message in the plain form that a channel takes: escaped, and cut so that no link is ever broken. Pure."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.notify.message.model import Link, Message, Row
from daemon.notify.services.base import Markup, Service
from daemon.notify.text.escape import clean, is_link, printable, quoted
from daemon.notify.text.shrink import Parts, fitted

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
