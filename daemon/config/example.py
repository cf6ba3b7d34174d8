"""Generates the example config from the schema, for `wrapd config init` and config.example.toml.

Owns its layout; the schema owns the texts and values.
"""

import re
import textwrap
from collections.abc import Iterator

from daemon.config import json_schema, schema_keys
from daemon.config.keys import Key

_WIDTH = 100
_TABLE = re.compile(r"\{[^{}]*\}")
_GLUE = "\u00a0"
"""Replaces the spaces of an inline table during wrapping, so that no table is broken across lines."""
_HEAD = (
    "The wrapd config, with every key. A commented-out key shows an example value; the comment above it states "
    "the default. `wrapd config check` reports every fault of this file.\n\n"
    'A duration is written "100ms", "1s", "10m", "2h", "14d" or "1h30m". A secret (all keys, tokens, passwords '
    'and channel URLs) is written as "text", { env = "NAME" } for an environment variable, { file = "PATH" } for '
    'a file that contains only the secret, or { credential = "NAME" } for systemd\'s LoadCredential=. Relative '
    "paths start from this file's folder.\n\n"
    "The first line names a JSON Schema for editors, with which Taplo and Even Better TOML complete keys and mark "
    f"faults; `wrapd config schema > {json_schema.FILE_NAME}` writes it."
)
_DIRECTIVE = f"#:schema ./{json_schema.FILE_NAME}"
"""Editors look for it above everything but comments (https://taplo.tamasfe.dev/configuration/directives.html)."""
_ACTIVE = {
    "": set(),
    "notify": {"send_timeout", "give_up_after", "link_margin", "link_life"},
    "web": {"enabled", "listen"},
    "projects.NAME": {"region", "auth"},
    "channels.NAME": {"url", "timezone"},
    "routes[N]": {"events", "channels"},
}
"""Keys set in the example; sections not named here set all."""


def example() -> str:
    """The text of the file."""
    parts = ("\n".join(_part(part)) for part in schema_keys.parts())
    return "\n\n".join([f"{_DIRECTIVE}\n{_comment(_HEAD)}", *parts]) + "\n"


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


def _explained(key: Key) -> str:
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
