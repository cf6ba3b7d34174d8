"""The templates of the pages. What is shown is escaped and on one line, whoever wrote it.

Owns the template engine. It comes with the first page: with its templates it takes 10 MiB, and many a daemon is
never looked at.
"""

import asyncio
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from daemon.domain.text import clean

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "templates"
_SOURCES = {path.name: path.read_text(encoding="utf-8") for path in _FOLDER.iterdir()}
"""Read at once: a daemon must not read them later, when the files may be those of another version."""


async def make_ready() -> None:
    """Load the engine, in a thread: it takes about 0.2 s of CPU."""
    if not _engine.cache_info().currsize:
        await asyncio.to_thread(_engine)


def render(template: str, **values: object) -> str:
    """Return the text of a template with these values."""
    return _engine().get_template(template).render(values)


@cache
def _engine() -> "Environment":
    from jinja2 import DictLoader, Environment, StrictUndefined  # noqa: PLC0415 - see above

    engine = Environment(
        loader=DictLoader(_SOURCES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.filters["coded"] = _coded
    for name in _SOURCES:
        engine.get_template(name)
    return engine


def _shown(value: object) -> object:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _coded(text: str) -> Markup:
    """A text with what is between backticks as code."""
    parts = [escape(clean(part)) for part in text.split("`")]
    return Markup().join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))
