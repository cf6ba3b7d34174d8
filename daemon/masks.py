"""Masks secrets in texts: in every encoding in which they travel, and in fragments.

Owns this process's list of secrets, and is pure apart from it. Never shows what it masks.
"""

import base64
import binascii
import contextlib
import html
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
LEAST = 6
"""Minimum length of a secret in characters; masking shorter ones would hide common words."""
PIECE = 8
"""Characters of a secret that identify it where a text was cut."""

_HEAD = 64
"""Characters by which an escaped secret is recognized; whatever follows without a gap is masked with it."""
_SHORT = 512
"""Maximum length of a form whose pieces are all indexed."""
_ROUNDS = 5
"""Passes over a text: masking can produce a new secret if one consists of asterisks."""
_ROOM = 12
"""Maximum characters that one character takes when escaped."""
_QUERY = re.compile(r"(https?://[^\s?#'\"<>]+)\?[^\s'\"<>]+")
_USERINFO = re.compile(r"//[^\s/@'\"]+@")
_ESCAPED = re.compile(r"[%\\&]")
_CODE = re.compile(r"\\+(?:U(00[01][0-9a-fA-F]{5})|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_CUT_END = re.compile(r"[…\s\"'`.,;:()\[\]{}<>]*$")
_CUT_START = re.compile(r"[…\s\"'`.,;:()\[\]{}<>]*")
_PACKED = re.compile(r"(?:[\w+/-]{60,}+(?:\r?\n|(?:\\r)?\\n))++[\w+/-]*+|[\w+/-]{16,}+", re.ASCII)
"""Candidates for base64 or hexadecimal; long ones may span several lines."""
_BREAKS = re.compile(r"\r?\n|(?:\\r)?\\n")
_GARBAGE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffd]+")
_LAYERS = 3
"""Levels of nested encodings that are decoded."""
_MARKS = 5
"""Maximum characters of the ellipsis or quotes around a text that was cut."""
_PUBLIC = re.compile(r"(?:https?|jsons?|forms?|xmls?)://[^/?#@]*(?:[/?#]|$)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

Span = tuple[int, int]


class Masks:
    """The secrets to mask; each resolved secret is added once. Thread-safe."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._escapable: list[_AnyEscape] = []
        self._heads: dict[str, tuple[_Form, ...]] = {}
        self._tails: dict[str, tuple[str, ...]] = {}
        self._inside: frozenset[str] = frozenset()
        """Everything that a piece of a form can begin with, except for forms in `_long`, which are too long."""
        self._long = ""
        self._longest = 0
        self._spaces = False

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these from now on, except those shorter than `LEAST` characters."""
        new = {secret for secret in secrets if len(secret) >= LEAST} - self._secrets
        if not new:
            return
        self._secrets |= new
        forms = {form: _least_piece(form, secret) for secret in new for form in _forms(secret)}
        heads, tails = dict(self._heads), dict(self._tails)
        for form, least in forms.items():
            heads[form[:LEAST]] = (*heads.get(form[:LEAST], ()), _Form(form, least))
            tails[form[-PIECE:]] = (*tails.get(form[-PIECE:], ()), form)
        self._longest = max(self._longest, *map(len, forms))
        self._escapable = [*self._escapable, *map(_AnyEscape, sorted(new))]
        self._spaces = self._spaces or any(" " in secret for secret in new)
        short = [form for form in forms if len(form) <= _SHORT]
        self._long = "\n".join([self._long, *(form for form in forms if len(form) > _SHORT)])
        self._inside |= {form[at : at + PIECE] for form in short for at in range(len(form) - PIECE + 1)}
        self._heads, self._tails = heads, tails

    def apply(self, text: str) -> str:
        """Return `text` without secrets, URL queries and URL passwords. Call this before cutting a text; if
        another program has cut it, the fragment of a secret at its start or end is masked too."""
        if self._heads and len(text) >= LEAST:
            for _ in range(_ROUNDS):
                spans = sorted([*self._found(text), *self._tail(text)])
                if not spans:
                    break
                text = _covered(text, spans)
        if "?" in text:
            text = _QUERY.sub(rf"\1?{MASK}", text)
        return _USERINFO.sub(rf"//{MASK}@", text) if "//" in text else text

    def cut(self, text: str, most: int) -> str:
        """Join `text` into one line, mask it, and only then cut it to `most` characters."""
        line = " ".join(text.replace("\0", "").split())
        # Masking far beyond the cut is a waste. A secret that starts before the cut is still seen completely.
        return self.apply(line[: most + _ROOM * self._longest])[:most]

    def _found(self, text: str, layers: int = _LAYERS) -> Iterator[Span]:
        """Spans of secrets in any form; of an encoded text that contains one, its complete span."""
        yield from self._whole(text)
        yield from self._escaped(text)
        if layers:
            for packed in _PACKED.finditer(text):
                if any(any(self._found(inner, layers - 1)) for inner in _unpacked(packed[0])):
                    yield packed.span()

    def _whole(self, text: str) -> Iterator[Span]:
        """Spans of unescaped secrets, including one cut off at the end of the text."""
        heads = self._heads
        for at in [at for at in range(len(text) - LEAST + 1) if text[at : at + LEAST] in heads]:
            for form in heads[text[at : at + LEAST]]:
                if text.startswith(form.text, at):
                    yield at, at + len(form.text)
                elif len(text) - at < len(form.text) + _MARKS:
                    yield from ((at, end) for end in _ends(text) if form.begins(text, at, end))

    def _escaped(self, text: str) -> Iterator[Span]:
        if _ESCAPED.search(text) is None and not (self._spaces and "+" in text):
            return
        plain = _plain(text)
        for secret in self._escapable:
            if secret.may_be_in(plain):
                yield from secret.spans(text)

    def _tail(self, text: str) -> Iterator[Span]:
        """Spans of secrets whose beginning was cut off, at the start of the text."""
        for start in _starts(text):
            begin = text[start : start + PIECE]
            if begin in self._inside or begin in self._long:
                for at in range(start + PIECE, min(len(text), start + self._longest) + 1):
                    for form in self._tails.get(text[at - PIECE : at], ()):
                        if form.endswith(text[start:at]):
                            yield start, at


def _unpacked(text: str) -> Iterator[str]:
    """Decode a text as base64, starting at any offset, or as hexadecimal, and yield the readable parts."""
    text = _BREAKS.sub("", text).replace("-", "+").replace("_", "/")
    ways = [base64.b64decode(text[at : at + (len(text) - at) // 4 * 4]) for at in range(4)]
    if len(text) % 4 > 1:  # without its padding
        ways[0] = base64.b64decode(text + "=" * (-len(text) % 4))
    with contextlib.suppress(binascii.Error):
        ways.append(binascii.unhexlify(text))
    for way in ways:
        yield from (part for part in _GARBAGE.split(way.decode("utf-8", "replace")) if len(part) >= LEAST)


def _ends(text: str) -> range:
    """Positions where the text proper may end, before the marks of a cut."""
    mark = _CUT_END.search(text)
    return range(len(text) if mark is None else max(mark.start(), len(text) - _MARKS), len(text) + 1)


def _starts(text: str) -> range:
    """Positions where the text proper may begin after the marks of a cut, with enough left to find a secret."""
    mark = _CUT_START.match(text)
    return range(min(0 if mark is None else mark.end(), _MARKS, len(text) - PIECE) + 1)


class _Form:
    """One encoding of a secret, and how much of its beginning identifies it."""

    __slots__ = ("least", "text")

    def __init__(self, text: str, least: int) -> None:
        self.text = text
        self.least = least

    def begins(self, text: str, at: int, end: int) -> bool:
        """Whether that part of `text` is a beginning of this form that identifies it."""
        return end - at >= self.least and self.text.startswith(text[at:end])


class _AnyEscape:
    """One secret with any of its characters escaped in any of the usual ways."""

    __slots__ = ("_head", "_more", "_pattern", "_plain")

    def __init__(self, secret: str) -> None:
        self._head = secret[:_HEAD]
        self._more = "" if len(secret) <= _HEAD else r"[^\s\"'<>]*"
        self._pattern: re.Pattern[str] | None = None
        self._plain = _plain(secret)[: _HEAD // 2]

    def may_be_in(self, plain: str) -> bool:
        """Whether `spans` may find anything. Much cheaper than the pattern."""
        return self._plain in plain

    def spans(self, text: str) -> Iterator[Span]:
        """The spans where it occurs in `text`."""
        if self._pattern is None:  # compiled on demand: it takes milliseconds, and few are ever needed
            self._pattern = re.compile("".join(_characters(self._head)) + self._more)
        return (found.span() for found in self._pattern.finditer(text))


def _covered(text: str, spans: list[Span]) -> str:
    """Replace each of the sorted spans by a mask; adjacent ones share a mask."""
    parts, done = [], 0
    start, end = spans[0]
    for begin, stop in spans[1:]:
        if begin > end:
            parts += [text[done:start], MASK]
            done, start = end, begin
        end = max(end, stop)
    return "".join([*parts, text[done:start], MASK, text[end:]])


def _forms(secret: str) -> set[str]:
    """The secret itself, and as programs write it into URLs, JSON, headers and logs."""
    raw = secret.encode("utf-8", "surrogatepass")
    forms = {secret, raw.hex(), raw.hex().upper(), repr(secret)[1:-1], json.dumps(secret)[1:-1]}
    for safe in ("", "/"):
        with_percent = quote(raw, safe=safe)
        forms |= {with_percent, re.sub(r"%..", lambda found: found[0].lower(), with_percent)}
    forms.add(quote_plus(raw))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms |= {_inner(encode(bytes(before) + raw).decode(), before, len(raw)) for before in range(3)}
    return {form for form in forms if len(form) >= LEAST}


def _inner(encoded: str, before: int, length: int) -> str:
    """The part of a base64 text that encodes only the secret, whatever surrounds it."""
    return encoded[-(-before * 8 // 6) : (before + length) * 8 // 6]


def _least_piece(form: str, secret: str) -> int:
    """Characters of a cut form that identify it. A URL's scheme and a well-known host are not secret."""
    public = _PUBLIC.match(secret) or _SCHEME.match(secret)
    if form != secret or public is None:
        return PIECE
    return public.end() + PIECE


def _plain(text: str) -> str:
    """Undo the escapes of `text` repeatedly. Texts that then look the same may be the same secret."""
    for _ in range(_ROUNDS):
        undone = _CODE.sub(_character, html.unescape(unquote(text)))
        undone = undone.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\\", "")
        if undone == text:
            break
        text = undone
    return text.replace("+", " ")


def _character(found: re.Match[str]) -> str:
    code = int(found[1] or found[2] or found[3], 16)
    return chr(code) if code <= sys.maxunicode else found[0]


def _characters(secret: str) -> Iterator[str]:
    """A pattern for each character of a secret, plain or escaped. Alternatives are exclusive: no backtracking."""
    for is_backslash, run in itertools.groupby(secret, key="\\".__eq__):
        if is_backslash:
            yield r"(?:\\|%(?:25)*+5[cC]|u005[cC]|x5[cC])++"
            continue
        for character in run:
            yield rf"\\*+(?:{'|'.join(_ways(character))})"


def _ways(character: str) -> Iterator[str]:
    yield re.escape(character)
    if character == "%":
        yield "%(?:25)+"
    else:
        yield "".join(f"%(?:25)*+{_hex(byte, 2)}" for byte in character.encode("utf-8", "surrogatepass"))
    code = ord(character)
    if code < 0x100:
        yield f"x{_hex(code, 2)}"
    if code < 0x10000:
        yield f"u{_hex(code, 4)}"
    else:
        units = character.encode("utf-16-be")
        yield r"\\*+".join(f"u{_hex(int.from_bytes(units[at : at + 2]), 4)}" for at in (0, 2))
        yield f"U{_hex(code, 8)}"
    if character == " ":
        yield r"\+"
    if (named := html.escape(character)) != character:
        yield re.escape(named)
        yield f"&#(?:{code}|[xX]{_hex(code, 2)});"


def _hex(value: int, width: int) -> str:
    return "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in f"{value:0{width}x}")


MASKS = Masks()
