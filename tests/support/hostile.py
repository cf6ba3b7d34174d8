"""Names that try to mention people, to link, to inject or to break, and what must hold for the messages that
people see.

The corpus is tests/data/hostile_names.json.
"""

import json
import unicodedata
from pathlib import Path
from typing import Any

from daemon.domain.jobs import Asset
from daemon.notify.message import Cover
from daemon.store import Claimed
from tests.support.alerts import claimed, job
from tests.support.eyes import Seen

CORPUS = Path(__file__).parents[1] / "data/hostile_names.json"
PREVIEW = "https://h.example.com/a_b.mp4?Expires=1893456000&Signature=x%3D"
PICTURE = "https://h.example.com/cover.png?Expires=1893456000&Signature=y%3D"
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\x00" * 60
COVER = Cover(url=PICTURE, data=PIXEL, content_type="image/png")
OURS = ("https://h.example.com/", "cid:cover", "attachment://cover.png")
"""Prefixes of the links in these messages."""
READABLE = 40
"""Letters and digits of a name that must stay readable."""


def names() -> list[str]:
    found = []
    for each in json.loads(CORPUS.read_text()):
        text, count = each.get("repeat", ("", 0))
        found.append(each["name"] if each["name"] is not None else _long(each, text * count))
    return found


def _long(each: dict[str, Any], middle: str) -> str:
    return " ".join(part for part in (each.get("before", ""), middle, each.get("after", "")) if part)


def whole(text: str) -> str:
    """Replace lone surrogates, as is done for the API's answers and the command line before anything is stored."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def done(name: str, number: int = 1) -> Claimed:
    """The alert that a video of this name is ready."""
    links = Asset(asset_name=name, preview_url=PREVIEW, cover_url=PICTURE)
    foreign = whole(name)
    return claimed(
        id=number, of=job(id=number, asset=links, label=foreign, batch=foreign, tags=(foreign,), note=foreign)
    )


def check(name: str, seen: Seen) -> None:
    assert not seen.calls, (name, seen.calls)
    assert not seen.strange, (name, seen.strange)
    foreign = {link for link in seen.links if not link.startswith(OURS)}
    assert not foreign, (name, foreign)
    assert not [char for char in seen.text if _unfit(char)], (name, seen.text)
    wanted = _letters(name)[:READABLE]
    assert wanted in _letters(seen.text), (name, seen.text)
    assert len(seen.text) < 40_000


def _unfit(char: str) -> bool:
    """Return control and bidirectional characters, lone surrogates and noncharacters."""
    kind = unicodedata.category(char)
    turning = unicodedata.bidirectional(char) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    return (kind in {"Cc", "Cs"} and char != "\n") or turning or ord(char) & 0xFFFE == 0xFFFE


def _letters(text: str) -> str:
    """Return the letters and digits of a text, without marks, signs and look-alikes."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


__all__ = ["CORPUS", "COVER", "check", "done", "names", "whole"]
