"""Operator-defined messages: Jinja2 templates from the operator's files, run in a sandbox.

Owns the choice of the template for an event, the values it gets (plain values, never our objects), and the use
of its result. Every text is escaped for the channel before a template gets it, so that no name can format, link
or mention. If a template fails, the built-in message is sent instead.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from daemon.domain.events import Event, Json
from daemon.domain.text import closest
from daemon.errors import ConfigFault
from daemon.logs import LogEvent, logger
from daemon.notify.message import Link, Message
from daemon.notify.message.escape import as_is, clean, is_link, printable, quoted
from daemon.notify.message.facts import FACTS, NOTHING
from daemon.notify.message.shrink import TEXT_LIMIT
from daemon.notify.services.base import Markup, Service
from daemon.notify.services.cards import CONSTANT_TITLE, JOINT, Rendered
from daemon.notify.templates.effort import OutOfBounds
from daemon.notify.templates.sandbox import Program, Sandbox, Wrong

NAMES: Mapping[str, str] = {
    "title": "first line of the built-in message, without the emoji",
    "headline": "its sentence",
    "emoji": "its emoji, such as ✅",
    "event": "`succeeded`, `failed`, … or `digest`",
    "severity": "`good`, `bad`, `warning` or `info`",
    "name": "display name of the job, batch, project or channel that it is about",
    "fields": "list of the named values: `name`, `value`",
    "f": "everything a `json://` channel gets, by the keys of the table in [channels.md](channels.md): `f.batch`",
    "links": "list of links: `name`, `url`, `note` (until when it works)",
    "notes": "list of sentences about lateness, repeats and other channels; if unused, they are added at the end",
    "rows": "the alerts of a digest, or the failures of a batch: `emoji`, `name`, `text`, `link` (or none)",
    "language": "`en` or `zh`",
}
"""The names available in a template."""

_LIST_LIMIT = 200
_DEPTH = 6
_ADDRESSES = frozenset({"own_url", "cover_url", "preview_url", "download_url"})
Escape = Callable[[str], str]


def values(message: Message, service: Service, *, raw: bool = False) -> dict[str, Json]:
    """The context of a template; unescaped with `raw`, for text in which no markup is read."""
    escape = as_is if raw else service.escape
    facts = {key: _fact(key, value, service, escape) for key, value in {**NOTHING, **message.facts}.items()}
    return {
        "title": _value(message.title, escape),
        "headline": _value(message.headline, escape),
        "emoji": message.emoji,
        "event": message.event,
        "severity": message.severity.value,
        "name": _value(_name(message), escape),
        "fields": [
            {"name": _value(field.name, escape), "value": _value(field.value, escape)} for field in message.fields
        ],
        "f": facts,
        "links": [_link(link, service, escape) for link in message.links],
        "notes": [_value(note, escape) for note in message.notes],
        "rows": [
            {
                "emoji": row.emoji,
                "name": _value(row.name, escape),
                "text": _value(row.text, escape),
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


def _value(text: str, escape: Escape) -> str:
    return escape(clean(text, limit=TEXT_LIMIT))


def _link(link: Link, service: Service, escape: Escape) -> dict[str, Json]:
    return {
        "name": _value(link.name, escape),
        "url": _address(link.url, service, escape),
        "note": _value(link.note, escape),
    }


def _fact(key: str, value: Json, service: Service, escape: Escape, depth: int = 0) -> Json:
    """A fact with every text in it escaped; links stay links."""
    if isinstance(value, str):
        return _address(value, service, escape) if key in _ADDRESSES else _value(value, escape)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _DEPTH:
        return None
    if isinstance(value, Mapping):
        kept = list(value.items())[:_LIST_LIMIT]
        return {_key(name, escape): _fact(name, each, service, escape, depth + 1) for name, each in kept}
    return [_fact(key, each, service, escape, depth + 1) for each in list(value)[:_LIST_LIMIT]]


def _key(name: str, escape: Escape) -> str:
    return name if name.isidentifier() else _value(name, escape)


def _address(url: str, service: Service, escape: Escape) -> str:
    """A link that opens in the channel's markup; anything else is escaped as text."""
    if not is_link(url):
        return escape(printable(url))
    if service.markup is Markup.HTML and escape is not as_is:
        return html.escape(url, quote=True)
    return quoted(url, besides="".join(char for char in "@<" if escape(char) != char))


log = logger(__name__)

ANY = "*"
"""Key of the template for every event without its own."""
DIGEST = "digest"
_SOURCE_LIMIT = 65536
"""Maximum bytes of a template file."""


class TemplateFault(Struct, frozen=True, kw_only=True):
    """Why a template could not be used for a message: one sentence that names the file."""

    reason: str


class _Loaded(Struct, frozen=True, kw_only=True):
    path: Path
    source: str
    program: Program
    tells_notes: bool
    """Whether the template places the notes about lateness and repeats itself."""


class Templates:
    """The templates of one channel, by event. Created by `load`; thread-safe."""

    def __init__(self, loaded: Mapping[str, _Loaded]) -> None:
        self._loaded = dict(loaded)

    @classmethod
    def load(cls, files: Mapping[str, Path]) -> "Templates":
        """Load the templates from these files: by event name, `digest`, or `*` for every event without its own.

        Raises ConfigFault with file, line, fault and remedy if a file cannot be read, its syntax is wrong, or
        it uses an unknown name or filter.
        """
        sandbox = Sandbox()
        return cls({event: _load(sandbox, event, path) for event, path in files.items()})

    @property
    def sources(self) -> Mapping[str, tuple[Path, str]]:
        """File and text of each template."""
        return {event: (each.path, each.source) for event, each in self._loaded.items()}

    def __bool__(self) -> bool:
        return bool(self._loaded)

    def path(self, event: str) -> Path | None:
        """The file of the template for an event; None if the built-in message is used. For a test message, `*`
        does not apply."""
        found = self._find(event)
        return found.path if found is not None else None

    def render(self, message: Message, service: Service) -> Rendered | None:
        """Render `message` with its template, in the channel's plain form. None if there is no template or it
        fails, which is logged. Never raises."""
        made = self.attempt(message, service)
        if isinstance(made, TemplateFault):
            log.warning(LogEvent.TEMPLATE_FAILED, told=message.event, reason=made.reason)
            return None
        return made

    def attempt(self, message: Message, service: Service) -> Rendered | TemplateFault | None:
        """Like `render`, but returns the fault."""
        found = self._find(message.event)
        if found is None:
            return None
        try:
            return _rendered(found, message, service)
        except OutOfBounds as error:
            return TemplateFault(reason=f"{found.path.name}: {error}"[:300])

    def _find(self, event: str) -> _Loaded | None:
        return self._loaded.get(event) or (self._loaded.get(ANY) if event != "test" else None)


def _load(sandbox: Sandbox, event: str, path: Path) -> _Loaded:
    _check_event(event)
    source = _read(path)
    try:
        program = sandbox.program(source)
    except Wrong as error:
        raise ConfigFault(f"{path}:{error.line}: {error.what}") from None
    for name, line in program.names:
        if name not in NAMES:
            raise ConfigFault(f"{path}:{line}: there is no {name!r}; {_nearest(name, NAMES)}")
    for name, line in program.facts:
        if name not in FACTS:
            raise ConfigFault(f"{path}:{line}: f has no {name!r}; {_nearest(name, FACTS)}")
    used = {name for name, _ in program.names}
    return _Loaded(path=path, source=source, program=program, tells_notes="notes" in used)


def _check_event(event: str) -> None:
    known = [*(each.value for each in Event), DIGEST, ANY]
    if event not in known:
        raise ConfigFault(f"templates: no event is called {event!r}; {_nearest(event, known)}")


def _read(path: Path) -> str:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigFault(f"{path}: the template is not a regular file")
        with path.open("rb") as file:
            data = file.read(_SOURCE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigFault(f"{path}: the template cannot be read: {reason}") from None
    if len(data) > _SOURCE_LIMIT:
        raise ConfigFault(f"{path}: the template is too large: at most {_SOURCE_LIMIT} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigFault(f"{path}:{line}: the template is not UTF-8") from None


def _nearest(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = closest(name, known)
    return f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(known))}"


def _rendered(found: _Loaded, message: Message, service: Service) -> Rendered:
    title, rest = _text(found, message, service)
    notes = [] if found.tells_notes else [service.escape(note) for note in message.notes]
    body = _body(rest, notes, service)
    if service.fixed_title:
        heading = f"<b>{title}</b>" if service.markup is Markup.HTML else title
        body = f"<p>{heading}</p>{service.gap}{body}" if service.markup is Markup.HTML else f"{heading}\n\n{body}"
        title = CONSTANT_TITLE
    else:
        # Apprise sends nothing without a body, so a single line becomes the body.
        single_line = not body
        if single_line:
            body = f"<p>{title}</p>" if service.markup is Markup.HTML else title
        if service.raw_title:  # shown literally: render the same line from unescaped values
            title, _ = _text(found, message, service, raw=True)
        elif single_line and not service.machine:
            title = ""
    size = service.measure(title) + service.measure(body) + JOINT
    if size > service.limit:
        raise OutOfBounds(f"the result is too long: {size} {service.unit.value}, of {service.limit}")
    return Rendered(title=title, body=body, markup=service.markup)


def _text(found: _Loaded, message: Message, service: Service, *, raw: bool = False) -> tuple[str, str]:
    """The first line of a result, and the rest."""
    text = found.program.run(values(message, service, raw=raw)).strip()
    title, _, rest = text.partition("\n")
    title = " ".join(title.split())
    if not title:
        raise OutOfBounds("the result is empty; its first line becomes the title")
    return title, rest.strip()


def _body(rest: str, notes: Sequence[str], service: Service) -> str:
    """The rest of a result in the channel's markup: line breaks are kept, empty lines separate paragraphs."""
    paragraphs: list[list[str]] = [[]]
    for line in rest.splitlines():
        if line.strip():
            paragraphs[-1].append(line.rstrip())
        elif paragraphs[-1]:
            paragraphs.append([])
    if notes:
        paragraphs.append(list(notes))
    filled = [lines for lines in paragraphs if lines]
    if service.markup is Markup.HTML:
        return service.gap.join(f"<p>{'<br>'.join(lines)}</p>" for lines in filled)
    return "\n\n".join("\n".join(lines) for lines in filled)
