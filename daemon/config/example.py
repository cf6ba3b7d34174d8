"""The example config, written from the schema: what `wrapd config init` makes and config.example.toml holds.

Owns its layout. The words and values stand in schema.py.
"""

import re
import textwrap
from collections.abc import Iterator

from daemon.config import schema_keys

_WIDTH = 100
_TABLE = re.compile(r"\{[^{}]*\}")
_GLUE = "\u00a0"
"""Stands for the spaces of an inline table while lines are wrapped: none of these is broken."""
_HEAD = (
    "The config of wrapd. Every key is here; a line that begins with # and holds a key shows what can be written, "
    "with its default in words above it. `wrapd config check` names everything that is wrong with this file.\n\n"
    'A duration is written "100ms", "1s", "10m", "2h", "14d" or "1h30m". A secret (all keys, tokens, passwords '
    'and channel URLs) is written as "text", { env = "NAME" } for an environment variable, { file = "PATH" } for '
    'a file that holds it alone, or { credential = "NAME" } for systemd\'s LoadCredential=. Relative paths count '
    "from the folder of this file."
)
_ACTIVE = {
    "": set(),
    "notify": {"send_timeout", "give_up_after", "link_margin", "link_life"},
    "web": {"enabled", "listen"},
    "projects.NAME": {"region", "auth"},
    "channels.NAME": {"url", "timezone"},
    "routes[N]": {"events", "channels"},
}
"""Keys that the example sets; in the sections not named here all."""


def example() -> str:
    """The whole file."""
    return "\n\n".join([_comment(_HEAD), *("\n".join(_part(part)) for part in schema_keys.parts())]) + "\n"


def _part(part: schema_keys.SectionDoc) -> Iterator[str]:
    if part.heading:
        yield _comment(part.about)
        yield f"{'# ' if part.optional else ''}{part.heading}"
    for index, key in enumerate(part.keys):
        if index:
            yield ""
        yield _comment(_explained(key))
        if part.place == "projects.NAME" and key.name == "auth":
            yield from _methods()
        active = key.name in _ACTIVE.get(part.place, {key.name}) and not part.optional
        yield f"{'' if active else '# '}{key.name} = {key.toml}"


def _methods() -> Iterator[str]:
    for method in schema_keys.methods():
        yield _comment(f"- {method.heading}: {method.about}", indent="  ")
        for key in method.keys:
            yield _comment(f"{key.name}: {_explained(key)} Example: {key.toml}", indent="    ")


def _explained(key: schema_keys.Key) -> str:
    if key.required:
        return f"{key.about} Required."
    return key.about if key.default == key.toml else f"{key.about} Default: {key.default}."


def _comment(text: str, *, indent: str = "") -> str:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        wrapped = textwrap.wrap(
            _TABLE.sub(lambda table: table[0].replace(" ", _GLUE), paragraph),
            _WIDTH,
            initial_indent=f"# {indent}",
            subsequent_indent=f"# {indent}{'  ' if indent else ''}",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines.extend([*(["#"] if lines else []), *wrapped])
    return "\n".join(lines).replace(_GLUE, " ")
