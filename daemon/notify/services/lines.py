"""Lines of Markdown as the Chinese group bots read it: no escapes, so look-alikes; links as words. Pure."""

from collections.abc import Sequence

from daemon.notify.message.model import Field, Link, Row
from daemon.notify.text.escape import is_link, look_alike, quoted
from daemon.notify.text.shrink import Parts


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
