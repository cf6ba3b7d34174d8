"""The message model: what an alert says, in its channel's language and time zone, before a service formats it.
Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

from daemon.domain.events import Json


class Severity(StrEnum):
    """How serious a message is. Sets its colour, and the `type` of a webhook."""

    GOOD = "good"
    BAD = "bad"
    WARNING = "warning"
    INFO = "info"


class Field(Struct, frozen=True, kw_only=True):
    """A named value."""

    name: str
    value: str


class Link(Struct, frozen=True, kw_only=True):
    """A link exactly as it was received. `note` says how long it works, '' if unknown."""

    name: str
    url: str
    note: str = ""


class Language(StrEnum):
    """The language of a channel's messages."""

    ENGLISH = "en"
    CHINESE = "zh"


class Cover(Struct, frozen=True, kw_only=True):
    """The cover picture of a video, verified to be a picture. `url` is a working link that the chat service may
    fetch, or None; `data` holds the picture itself (`content_type` image/jpeg, png, gif or webp)."""

    url: str | None
    data: bytes
    content_type: str


class Row(Struct, frozen=True, kw_only=True):
    """One alert in a message that reports several."""

    emoji: str
    name: str
    text: str
    link: Link | None = None


class Message(Struct, frozen=True, kw_only=True):
    """An alert, ready to be formatted. `subject` names what it is about, for lines that stand in for it. `rows`
    holds the individual alerts of a message that reports several."""

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
    """The content type that the first bytes indicate, whatever the picture was declared as. None if it is not a
    type that chats show.

    >>> picture_type(b"GIF89a..."), picture_type(b"<html>")
    ('image/gif', None)
    """
    for sign, at, kind in _SIGNS:
        if data[at : at + len(sign)] == sign and (at == 0 or data[:4] == b"RIFF"):
            return kind
    return None


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels as stated in the picture's header, None if the first bytes do not contain it.

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
    """Walk a JPEG's segments up to the frame header."""
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
