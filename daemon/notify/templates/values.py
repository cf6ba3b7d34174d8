"""What a template gets of a message: plain values, each text of them escaped for the channel. Pure.

Owns the list of names. Must never hand out an object with methods of ours.
"""

import html
from collections.abc import Callable, Mapping, Sequence

from daemon.domain.events import Json
from daemon.notify.message.facts import NOTHING
from daemon.notify.message.model import Link, Message
from daemon.notify.services.base import Markup, Service
from daemon.notify.text.clean import clean
from daemon.notify.text.escape import as_is, is_link, printable, quoted

NAMES: Mapping[str, str] = {
    "title": "the first line of the built-in message, without the emoji",
    "headline": "its sentence",
    "emoji": "its sign, such as ✅",
    "event": "`succeeded`, `failed`, … or `digest`",
    "severity": "`good`, `bad`, `warning` or `info`",
    "name": "what people call the job, the batch, the project or the channel that it is about",
    "fields": "list of the named values: `name`, `value`",
    "f": "all that a `json://` channel gets, by the names of the table in [channels.md](channels.md): `f.batch`",
    "links": "list of links: `name`, `url`, `note` (until when it works)",
    "notes": "list of sentences about lateness, repeats and other channels; without it they come last",
    "rows": "the alerts of a digest, or the failures of a batch: `emoji`, `name`, `text`, `link` (or none)",
    "language": "`en` or `zh`",
}
"""The names that a template may use."""

_TEXT_LIMIT = 1000
"""Characters of any one text."""
_LIST_LIMIT = 200
_DEPTH = 6
_ADDRESSES = frozenset({"own_url", "cover_url", "preview_url", "download_url"})
Escape = Callable[[str], str]


def values(message: Message, service: Service, *, raw: bool = False) -> dict[str, Json]:
    """The context of a template; with `raw` for a text that no markup is read in."""
    escape = as_is if raw else service.escape
    facts = {key: _fact(key, value, service, escape) for key, value in {**NOTHING, **message.facts}.items()}
    return {
        "title": _text(message.title, escape),
        "headline": _text(message.headline, escape),
        "emoji": message.emoji,
        "event": message.event,
        "severity": message.severity.value,
        "name": _text(_name(message), escape),
        "fields": [
            {"name": _text(field.name, escape), "value": _text(field.value, escape)} for field in message.fields
        ],
        "f": facts,
        "links": [_link(link, service, escape) for link in message.links],
        "notes": [_text(note, escape) for note in message.notes],
        "rows": [
            {
                "emoji": row.emoji,
                "name": _text(row.name, escape),
                "text": _text(row.text, escape),
                "link": _link(row.link, service, escape) if row.link is not None else None,
            }
            for row in message.rows
        ],
        "language": message.language.value,
    }


def _name(message: Message) -> str:
    for key in ("name", "held_channel", "project"):
        value = message.facts.get(key)
        if isinstance(value, str):
            return value
    return message.subject


def _text(text: str, escape: Escape) -> str:
    return escape(clean(text, limit=_TEXT_LIMIT))


def _link(link: Link, service: Service, escape: Escape) -> dict[str, Json]:
    return {
        "name": _text(link.name, escape),
        "url": _address(link.url, service, escape),
        "note": _text(link.note, escape),
    }


def _fact(key: str, value: Json, service: Service, escape: Escape, depth: int = 0) -> Json:
    """A fact with every text in it escaped; what stands under the name of an address stays one."""
    if isinstance(value, str):
        return _address(value, service, escape) if key in _ADDRESSES else _text(value, escape)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _DEPTH:
        return None
    if isinstance(value, Mapping):
        kept = list(value.items())[:_LIST_LIMIT]
        return {_key(name, escape): _fact(name, each, service, escape, depth + 1) for name, each in kept}
    return [_fact(key, each, service, escape, depth + 1) for each in _listed(value)]


def _key(name: str, escape: Escape) -> str:
    return name if name.isidentifier() else _text(name, escape)


def _listed(value: Sequence[Json]) -> Sequence[Json]:
    return list(value)[:_LIST_LIMIT]


def _address(url: str, service: Service, escape: Escape) -> str:
    """A link that opens in the channel's markup; what is none is a text like any other."""
    if not is_link(url):
        return escape(printable(url))
    if service.markup is Markup.HTML and escape is not as_is:
        return html.escape(url, quote=True)
    return quoted(url, besides="".join(char for char in "@<" if escape(char) != char))
