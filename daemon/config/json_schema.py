"""The config's JSON Schema, for editors: made from the sections' declarations, of which it is another view.

A file that `config check` accepts fits the schema. The reverse does not hold: bounds of durations, references
between sections, secrets and files are checked by wrapd alone.
"""

import tomllib
from typing import Any

from daemon.config import schema_keys
from daemon.config.keys import Key, Section, shape_of
from daemon.config.schema import Config

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILE_NAME = "config.schema.json"
"""The name under which the example refers to the schema, next to itself."""


def json_schema() -> dict[str, Any]:
    """The schema as JSON's values."""
    sections = [part for part in (*schema_keys.parts(), *schema_keys.methods()) if part.model is not Config]
    return {
        "$schema": DRAFT,
        "title": "The config of wrapd",
        **_section(Config, "Every key is explained in docs/config.md."),
        "$defs": {part.model.__name__: _section(part.model, part.about) for part in sections},
    }


def _section(model: type[Section], about: str) -> dict[str, Any]:
    return {
        "description": about,
        "type": "object",
        "properties": {name: _property(key) for name, key in model.keys.items()},
        "required": [name for name, key in model.keys.items() if key.required],
        "additionalProperties": False,
    }


def _property(key: Key) -> dict[str, Any]:
    shape = shape_of(key.read)
    if not key.about:  # a section, which is explained by itself
        return shape
    default = {} if key.required or key.standard is None else {"default": _plain(key.standard)}
    example = tomllib.loads(f"example = {key.toml}")["example"]
    usual = f" Default: {key.usual}." if key.usual else ""
    return {"description": key.about + usual, **shape, **default, "examples": [example]}


def _plain(value: object) -> object:
    return [*value] if isinstance(value, tuple) else value
