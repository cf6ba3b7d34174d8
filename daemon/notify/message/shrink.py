"""The parts of a message, and how they are reduced until it fits the service's limit. Pure.

Owns the order in which parts are dropped: the least important first, rows from the end, links only as a whole.
Neither cuts links nor escapes: the plain form or card does that with the parts it gets.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from daemon.notify.message import Field, Language, Link, Message, Row
from daemon.notify.message.escape import clean
from daemon.notify.message.language import Catalogue, catalogue

TITLE_LIMIT = 200
TEXT_LIMIT = 1000
"""Maximum characters of any single text."""
_HEADLINE_KEPT = 160
"""Characters of the headline that matter more than a link."""
_ROWS_KEPT = 5
"""Rows that matter more than a field."""

T = TypeVar("T")


class Parts(Struct, frozen=True, kw_only=True):
    """The parts of a message to show. Every text is cleaned (one line, bounded, nothing invisible) but not
    escaped; links are as received. `cut_links` and `cut_rows` count what was dropped."""

    title: str
    headline: str
    fields: tuple[Field, ...]
    links: tuple[Link, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    language: Language
    cut_links: int = 0
    cut_rows: int = 0
    unlinked: frozenset[int] = frozenset()
    """Indexes of the rows that lost their link."""

    @property
    def words(self) -> Catalogue:
        """The texts of the message's language."""
        return catalogue(self.language)

    @property
    def missing(self) -> tuple[str, ...]:
        """Sentences about what was left out."""
        rows = f"… {self.words.rows_left_out.say(self.cut_rows)}" if self.cut_rows else ""
        lost = self.cut_links + sum(index < len(self.rows) for index in self.unlinked)
        links = self.words.links_left_out.say(lost) if lost else ""
        return tuple(sentence for sentence in (rows, links) if sentence)

    def pair(self, name: str, value: str) -> str:
        """Format a name and its value."""
        return f"{name}{self.words.colon}{value}"

    def aside(self, text: str) -> str:
        """Put `text` in brackets, to follow a word; '' for ''."""
        return self.words.brackets.format(text=text) if text else ""


def parts_of(message: Message) -> Parts:
    """All parts of a message."""
    return Parts(
        title=f"{message.emoji} {clean(message.title, limit=TITLE_LIMIT)}".strip(),
        headline=clean(message.headline, limit=TEXT_LIMIT),
        fields=tuple(Field(name=_text(each.name), value=_text(each.value)) for each in message.fields),
        links=tuple(replace(each, name=_text(each.name), note=_text(each.note)) for each in message.links),
        rows=tuple(replace(each, name=_text(each.name), text=_text(each.text)) for each in message.rows),
        notes=tuple(_text(note) for note in message.notes),
        language=message.language,
    )


def _text(text: str) -> str:
    return clean(text, limit=TEXT_LIMIT)


def fitted(message: Message, build: Callable[[Parts], T], fits: Callable[[T], bool]) -> T:
    """The richest `build` of the message that `fits`, or the smallest one if none does."""
    everything = parts_of(message)
    parts, built = _shrunk(everything, build, fits)
    if parts.cut_links > everything.cut_links:
        # Start again without the dropped links, to keep the fields that made room for them: they identify the job.
        less = replace(everything, links=parts.links, cut_links=parts.cut_links)
        return _shrunk(less, build, fits)[1]
    return built


def _shrunk(parts: Parts, build: Callable[[Parts], T], fits: Callable[[T], bool]) -> tuple[Parts, T]:
    """Reduce the parts until what is built from them fits. Returns the parts and the result."""
    built = build(parts)
    while not fits(built):
        less = shorter(parts)
        if less is None:
            break
        parts, built = less, build(less)
    return parts, built


def shorter(parts: Parts) -> Parts | None:  # noqa: PLR0911 - one return for each kind of part
    """`parts` without the least important one, None if nothing more can be dropped."""
    if len(parts.rows) > _ROWS_KEPT:
        some = min(max(1, len(parts.rows) // 8), len(parts.rows) - _ROWS_KEPT)
        return _unlinked(parts, some) or _fewer_rows(parts, some)
    if len(parts.fields) > 1:
        return replace(parts, fields=parts.fields[:-1])
    if len(parts.headline) > _HEADLINE_KEPT:
        return _shorter_headline(parts)
    if parts.fields:
        return replace(parts, fields=())
    if parts.rows:
        return _fewer_rows(parts, 1)
    if parts.links:
        index = _least_important(parts.links)
        links = (*parts.links[:index], *parts.links[index + 1 :])
        return replace(parts, links=links, cut_links=parts.cut_links + 1)
    return _shorter_headline(parts) if len(parts.headline) > 1 else None


def _unlinked(parts: Parts, number: int) -> Parts | None:
    """`parts` without the links of the last `number` rows that can lose theirs: the news that a video is ready
    matters more than a link to it. None if only the first `_ROWS_KEPT` rows have one."""
    linked = [index for index, row in enumerate(parts.rows) if index >= _ROWS_KEPT and row.link is not None]
    chosen = frozenset(linked[-number:])
    if not chosen:
        return None
    rows = tuple(replace(row, link=None) if index in chosen else row for index, row in enumerate(parts.rows))
    return replace(parts, rows=rows, unlinked=parts.unlinked | chosen)


def _fewer_rows(parts: Parts, number: int) -> Parts:
    return replace(parts, rows=parts.rows[:-number], cut_rows=parts.cut_rows + number)


def _shorter_headline(parts: Parts) -> Parts:
    return replace(parts, headline=clean(parts.headline, limit=len(parts.headline) // 2))


def _least_important(links: Sequence[Link]) -> int:
    """Index of the link to drop: one longer than all the others together, else the last."""
    longest = max(range(len(links)), key=lambda index: len(links[index].url))
    dominates = len(links[longest].url) > sum(len(link.url) for link in links) / 2
    return longest if dominates else len(links) - 1
