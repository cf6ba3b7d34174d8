"""Config faults, and those of single values, each with its place and remedy.

`cross_checks` reports those between keys and sections. Never shows the value of a key that holds a secret.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daemon.config import schema_keys, values
from daemon.errors import ConfigFault

Place = Sequence[str | int]
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `text` says what is wrong and how to fix it."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


class ConfigFaults(ConfigFault):
    """All faults of one config file; `str()` lists them."""

    def __init__(self, source: Path, faults: Iterable[Fault]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        if len(self.faults) == 1:
            text = f"{source}: {self.faults[0]}"
        else:
            lines = "".join(f"\n  {fault}" for fault in self.faults)
            text = f"{source}: {len(self.faults)} faults:{lines}"
        super().__init__(text)

    @property
    def each(self) -> tuple[str, ...]:
        return tuple(map(str, self.faults))


def spell(place: Place) -> str:
    """A place in TOML notation: `projects.main.auth`, `routes[0].events[1]`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            bare = step if _BARE.fullmatch(step) else values.shown(step)
            text += f".{bare}" if text else bare
    return text


def of_values(error: ValidationError, tree: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults found by pydantic."""
    for detail in error.errors(include_input=False, include_url=False):
        kind, context = detail["type"], detail.get("ctx", {})
        place = _place(detail["loc"])
        if kind == "missing":
            yield _missing(place, tree)
        elif kind == "extra_forbidden":
            yield Fault(place=spell(place), text=_unknown(place, tree))
        elif kind == "value_error":
            yield Fault(place=spell(place), text=_example(str(context["error"]), place, tree))
        else:
            yield Fault(place=spell(place), text=_remedy(kind, context, place, tree))


def _place(loc: Place) -> Place:
    """pydantic's location without its additions: the tag of a union, the marker of a dict key."""
    place = [step for step in loc if step != "[key]"]
    if len(place) > 3 and place[0] == "projects" and place[2] == "auth":
        del place[3]
    return place


def _missing(place: Place, tree: Mapping[str, Any]) -> Fault:
    key = schema_keys.field_at(place, tree)
    example = f"; add {place[-1]} = {key.toml}" if key else ""
    return Fault(place=spell(place), text=f"the key is missing{example}")


def _unknown(place: Place, tree: Mapping[str, Any]) -> str:
    name, right = str(place[-1]), schema_keys.siblings(place, tree)
    elsewhere = [home for home in schema_keys.homes(name) if home not in ("", spell(place[:-1]))]
    if len(place) > 1 and name in schema_keys.siblings([name], tree):
        return f"{name} belongs to the top level; move it above the first section"
    near = values.nearest(name, right)
    if near is not None:
        return f"there is no such key; did you mean {near!r}?"
    if elsewhere:
        return f"there is no such key here; it belongs to {' or '.join(elsewhere)}"
    other = values.nearest(name, schema_keys.names(), cutoff=0.8)
    if other is not None:
        homes = " or ".join(schema_keys.homes(other))
        return f"there is no such key; did you mean {other!r}, which belongs to {homes}?"
    return f"there is no such key; the keys here are {', '.join(right)}"


def _remedy(kind: str, context: Mapping[str, Any], place: Place, tree: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        wrong, right = schema_keys.value_at(place, tree), re.findall(r"'([^']*)'", context["expected"])
        near = values.suggestion(wrong, right) if isinstance(wrong, str) else f"choose one of {', '.join(right)}"
        return f"{values.shown(wrong)} is not known; {near}"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _method(place, tree)
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return _section(place, tree)
    wanted = {
        "string_type": "text in quotes",
        "bool_type": "true or false, without quotes",
        "float_type": "a number, without quotes",
        "int_type": "a whole number, without quotes",
        "finite_number": "a number",
        "tuple_type": "a list in brackets",
        "greater_than": f"a number greater than {context.get('gt', 0):g}",
        "greater_than_equal": f"a number of at least {context.get('ge', 0):g}",
        "less_than_equal": f"a number of at most {context.get('le', 0):g}",
        "too_short": "at least one entry",
        "too_long": f"at most {context.get('max_length')} entries",
        "string_too_short": "something: it is empty",
    }.get(kind)
    return _example(f"write {wanted or f'another value ({kind})'}", place, tree)


def _example(text: str, place: Place, tree: Mapping[str, Any]) -> str:
    """`text`, with the key's example if it names only a type."""
    key = schema_keys.field_at(place, tree)
    return f"{text}, such as {key.toml}" if key and text.startswith("write ") and ";" not in text else text


def _method(place: Place, tree: Mapping[str, Any]) -> str:
    wrong = schema_keys.value_at([*place, "method"], tree)
    if wrong is None:
        return 'method is missing; write method = "aksk", method = "token" or method = "password"'
    return f"no method is called {values.shown(wrong)}; {values.suggestion(str(wrong), schema_keys.METHODS)}"


def _section(place: Place, tree: Mapping[str, Any]) -> str:
    key = schema_keys.field_at(place, tree)
    if key is not None:
        return f"write a table, such as {key.toml}"
    if place[0] == "routes":
        return "write each route as a section [[routes]]" if len(place) == 1 else "write a section [[routes]]"
    if len(place) == 1 and place[0] in ("projects", "channels"):
        return f"write a section for each, [{place[0]}.NAME]"
    return f"write a section [{spell(place)}] with its keys"
