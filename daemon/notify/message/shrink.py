"""The parts of a message, and how they are made fewer until it fits where it goes. Pure.

Owns what is left out first: what matters least, rows from the end, links whole or not at all. Must never cut a
link and never escape: a form or a card does that with the parts it gets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from daemon.notify.message import Field, Language, Link, Message, Row
from daemon.notify.message.escape import clean
from daemon.notify.message.language import Catalogue, catalogue

TITLE_LIMIT = 200
TEXT_LIMIT = 1000
"""Characters of any one text."""
_HEADLINE_KEPT = 160
"""Characters of the headline that are worth more than a link."""
_ROWS_KEPT = 5
"""Rows that are worth more than a field."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What of a message is told: every text cleaned (one line, bounded, nothing invisible), none escaped; links as
    they came. `cut_links` and `cut_rows` count what was left out."""

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
    """Which rows have lost their link."""

    @property
    def words(self) -> Catalogue:
        """The words of the message's language."""
        return catalogue(self.language)

    @property
    def missing(self) -> tuple[str, ...]:
        """Sentences about what was left out."""
        rows = f"… {self.words.rows_left_out.say(self.cut_rows)}" if self.cut_rows else ""
        lost = self.cut_links + sum(index < len(self.rows) for index in self.unlinked)
        links = self.words.links_left_out.say(lost) if lost else ""
        return tuple(sentence for sentence in (rows, links) if sentence)

    def pair(self, name: str, value: str) -> str:
        """A name and its value."""
        return f"{name}{self.words.colon}{value}"

    def aside(self, text: str) -> str:
        """Something said by the way, to stand behind a word; '' for nothing."""
        return self.words.brackets.format(text=text) if text else ""


def parts_of(message: Message) -> Parts:
    """All of a message."""
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
    """The richest `build` of the message that `fits`; the smallest one where none does."""
    whole = parts_of(message)
    parts, built = _shrunk(whole, build, fits)
    if parts.cut_links > whole.cut_links:
        # What made room for links that went all the same comes back: the fields say which job it is.
        less = replace(whole, links=parts.links, cut_links=parts.cut_links)
        return _shrunk(less, build, fits)[1]
    return built


def _shrunk(parts: Parts, build: Callable[[Parts], T], fits: Callable[[T], bool]) -> tuple[Parts, T]:
    """The parts, made fewer until what is built of them fits, and that."""
    built = build(parts)
    while not fits(built):
        less = shorter(parts)
        if less is None:
            break
        parts, built = less, build(less)
    return parts, built


def shorter(parts: Parts) -> Parts | None:  # noqa: PLR0911 - one line for each sort of part
    """`parts` without what matters least of them; None where nothing more can go."""
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
        index = _least(parts.links)
        links = (*parts.links[:index], *parts.links[index + 1 :])
        return replace(parts, links=links, cut_links=parts.cut_links + 1)
    return _shorter_headline(parts) if len(parts.headline) > 1 else None


def _unlinked(parts: Parts, number: int) -> Parts | None:
    """`parts` with the last `number` of those rows' links left out: that a video is ready is worth more than a
    link to it. None where only the rows that are kept longest have one."""
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


def _least(links: Sequence[Link]) -> int:
    """Which link to leave out: one so long that it crowds out the others, else the last."""
    longest = max(range(len(links)), key=lambda index: len(links[index].url))
    crowding = len(links[longest].url) > sum(len(link.url) for link in links) / 2
    return longest if crowding else len(links) - 1
