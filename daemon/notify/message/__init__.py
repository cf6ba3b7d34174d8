"""What a message says: built purely from its rows, in the language and the time zone of its channel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from daemon.domain.events import Json


class Severity(StrEnum):
    """How a message looks: its colour, and the `type` of a webhook."""

    GOOD = "good"
    BAD = "bad"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A named value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link exactly as it came, and how long it works ('' where nobody knows)."""

    name: str
    url: str
    note: str = ""


class Language(StrEnum):
    """What a channel's messages are written in."""

    ENGLISH = "en"
    CHINESE = "zh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """The picture of a video, known to be one. `url` is a link to it that works and that the chat service may
    fetch, None where there is none; `data` is the picture itself (`content_type` image/jpeg, png, gif or webp)."""

    url: str | None
    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One alert of a message that tells of many."""

    emoji: str
    name: str
    text: str
    link: Link | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An alert, ready to be given a form. `subject` names what it is about, for lines that stand in for it; `rows`
    are the alerts of a message that tells of many."""

    event: str
    severity: Severity
    emoji: str
    title: str
    headline: str
    subject: str
    fields: tuple[Field, ...] = ()
    links: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    cover: Cover | None = None
    language: Language = Language.ENGLISH
