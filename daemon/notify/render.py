"""A message in the form that a channel takes: escaped, and cut so that no link is ever broken. Pure."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from daemon.notify.forms import Form, Markup
from daemon.notify.message import Field, Link, Message
from daemon.notify.words import clean

PLAIN_LIMIT = 500
"""Characters of the plainest form."""
CONSTANT_TITLE = "wrapd"
_JOINT = 16
"""Room for what a plugin puts between title and body."""
_TEXT_LIMIT = 1000
"""Characters of any one text."""
_HEADLINE_KEPT = 160
"""Characters of the headline that are worth more than a link."""

_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(?::\d+)?(?:/[!-;=?-~]*)?(?:\?[!-;=?-~]*)?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A message as it is handed to the channel's plugin."""

    title: str
    body: str
    markup: Markup


def render(message: Message, form: Form) -> Rendered:
    """`message` as `form` wants it."""
    writer = _Writer(form)
    plain = f"{message.emoji} {clean(message.title, limit=200)}".strip()
    marked = plain if form.raw_title else form.escape(plain)
    if form.markup is Markup.MARKDOWN:
        marked = writer.strong(marked)
    heading = writer.strong(marked) if form.fixed_title else ""
    room = form.limit - form.measure(marked) - _JOINT
    body = _fit(message, writer, heading, room)
    return Rendered(title=CONSTANT_TITLE if form.fixed_title else marked, body=body, markup=form.markup)


def plainest(message: Message) -> Rendered:
    """The least that tells the outcome, for a service that refused the message as it was: ASCII marks only, no
    emoji, at most one link."""
    lines = [_no_symbols(message.headline, limit=160), _no_symbols(message.subject, limit=150)]
    lines += [_no_symbols(note, limit=100) for note in message.notes[:1]]
    link = next((link.url for link in message.links if _URL.fullmatch(link.url)), None)
    if link is not None and "@" not in link and len(link) + sum(map(len, lines)) < PLAIN_LIMIT:
        lines.append(link)
    title = _no_symbols(message.title, limit=100)
    body = "\n".join(line for line in lines if line)
    return Rendered(title=title or message.event, body=body or message.event, markup=Markup.TEXT)


def _no_symbols(text: str, *, limit: int) -> str:
    """`text` without what could be markup, a link, a mention or an emoji."""
    kept = (char for char in text if char not in "<>@`*[]()#~|\\" and ord(char) < 0x1F000)
    return clean("".join(kept).replace("://", ": "), limit=limit)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the pieces of a body in one form."""

    form: Form

    @property
    def break_(self) -> str:
        return "<br>" if self.form.markup is Markup.HTML else "\n"

    def paragraphs(self, paragraphs: Iterable[Sequence[str]]) -> str:
        """The lines that are not empty, in the paragraphs that are not empty."""
        joined = (self.break_.join(line for line in lines if line) for lines in paragraphs)
        filled = [part for part in joined if part]
        if self.form.markup is Markup.HTML:
            return self.form.gap.join(f"<p>{part}</p>" for part in filled)
        return "\n\n".join(filled)

    def strong(self, escaped: str) -> str:
        match self.form.markup:
            case Markup.HTML:
                return f"<b>{escaped}</b>"
            case Markup.MARKDOWN:
                return f"**{escaped}**"
            case Markup.TEXT:
                return escaped

    def text(self, text: str) -> str:
        """Foreign text: cleaned and escaped."""
        return self.form.escape(clean(text, limit=_TEXT_LIMIT))

    def field(self, field: Field) -> str:
        return f"{self.text(field.name)}: {self.text(field.value)}"

    def link(self, link: Link) -> str:
        note = f" ({self.text(link.note)})" if link.note else ""
        name = self.text(link.name)
        if self.form.markup is not Markup.HTML:
            return f"{name}{note}:\n{self._bare(link.url)}"
        shown = html.escape(_UNPRINTABLE.sub("", link.url), quote=True)
        if not _URL.fullmatch(link.url):  # a chat drops an address that it takes for wrong: show it
            return f"{name}{note}:{self.break_}<code>{shown}</code>"
        linked = f'<a href="{shown}">{name}</a>{note}'
        return f"{linked}{self.break_}{shown}" if self.form.shows_urls else linked

    def _bare(self, url: str) -> str:
        """A URL in text, as it came; only what would call people or end the link is percent-encoded."""
        url = _UNPRINTABLE.sub(lambda match: quote(match[0], errors="replace"), url)
        for char in "@<":
            if self.form.escape(char) != char:
                url = url.replace(char, quote(char))
        return url


@dataclass(slots=True)
class _Draft:
    """What of a message is told, while it is made to fit."""

    message: Message
    writer: _Writer
    heading: str
    headline_limit: int
    fields: list[Field]
    links: list[Link]
    left_out: int = 0

    def body(self) -> str:
        writer, message = self.writer, self.message
        many = "s" if self.left_out > 1 else ""
        missing = f"{self.left_out} link{many} too long for this chat: `wrapd show` has all of them"
        paragraphs = [
            [self.heading, writer.text(clean(message.headline, limit=self.headline_limit))],
            [*map(writer.link, self.links), writer.text(missing) if self.left_out else ""],
            [writer.field(field) for field in self.fields],
            [writer.text(note) for note in message.notes],
        ]
        return writer.paragraphs(paragraphs)

    def shorten(self) -> bool:
        """Leave out what matters least of what is left; False where nothing more can go."""
        if len(self.fields) > 1:
            self.fields.pop()
        elif self.headline_limit > _HEADLINE_KEPT:
            self.headline_limit //= 2
        elif self.fields:
            self.fields.pop()
        elif self.links:
            self.links.pop(_least(self.links))
            self.left_out += 1
        elif self.headline_limit > 1:
            self.headline_limit //= 2
        else:
            return False
        return True


def _fit(message: Message, writer: _Writer, heading: str, room: int) -> str:
    """The richest body that fits into `room`: what matters least is left out first, links whole or not at all."""
    draft = _Draft(
        message=message,
        writer=writer,
        heading=heading,
        headline_limit=_TEXT_LIMIT,
        fields=list(message.fields),
        links=list(message.links),
    )
    body = draft.body()
    while writer.form.measure(body) > room and draft.shorten():
        body = draft.body()
    return body


def _least(links: Sequence[Link]) -> int:
    """Which link to leave out: one so long that it crowds out the others, else the last."""
    longest = max(range(len(links)), key=lambda index: len(links[index].url))
    crowding = len(links[longest].url) > sum(len(link.url) for link in links) / 2
    return longest if crowding else len(links) - 1
