"""What a message says: built purely from its rows, in the language and the time zone of its channel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

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


_SIGNS = (
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
)


def picture_type(data: bytes) -> str | None:
    """What kind of picture these bytes begin as, whatever they were called; None: none that chats show.

    >>> picture_type(b"GIF89a..."), picture_type(b"<html>")
    ('image/gif', None)
    """
    for sign, at, kind in _SIGNS:
        if data[at : at + len(sign)] == sign and (at == 0 or data[:4] == b"RIFF"):
            return kind
    return None


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a picture says it has, in pixels; None where its first bytes do not say so.

    >>> picture_size(b"GIF89a" + bytes([16, 0, 9, 0]))
    (16, 9)
    """
    if data[:3] == b"GIF":
        return _numbers(data[6:8], data[8:10], "little")
    if data[12:16] == b"IHDR":
        return _numbers(data[16:20], data[20:24], "big")
    if data[12:16] == b"VP8X":
        width, height = _numbers(data[24:27], data[27:30], "little")
        return width + 1, height + 1
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Of a JPEG: its segments are gone through up to the frame's."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            return _numbers(data[at + 7 : at + 9], data[at + 5 : at + 7], "big")
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


_NO_FRAMES = (0xC4, 0xC8, 0xCC)


def _numbers(width: bytes, height: bytes, order: Literal["little", "big"]) -> tuple[int, int]:
    return int.from_bytes(width, order), int.from_bytes(height, order)
