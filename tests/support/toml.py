"""TOML of a tree, for configs that tests make up."""

import json
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any


def dump(tree: Mapping[str, Any]) -> str:
    """A document; `tree` holds what tomllib gives."""
    return "".join(f"{_text(key)} = {_value(value)}\n" for key, value in tree.items())


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return "{" + ", ".join(f"{_text(key)} = {_value(each)}" for key, each in value.items()) + "}"
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
