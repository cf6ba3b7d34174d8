"""Config faults, and those of single values, each with its place and remedy.

`checking` reports those between keys and sections. Never shows the value of a key that holds a secret.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config import schema_keys, values
from daemon.config.keys import RawFault
from daemon.config.projects import METHODS
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


def worded(wrong: Iterable[RawFault], tree: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults that were found while reading."""
    for place, kind, text in wrong:
        match kind:
            case "value":
                yield Fault(place=spell(place), text=_example(text, place, tree))
            case "missing":
                yield _missing(place, tree)
            case "unknown":
                yield Fault(place=spell(place), text=_unknown(place, tree))
            case "section":
                yield Fault(place=spell(place), text=_section(place, tree))
            case "method":
                yield Fault(place=spell(place), text=_method(place, tree))


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


def _example(text: str, place: Place, tree: Mapping[str, Any]) -> str:
    """`text`, with the key's example if it names only a type."""
    key = schema_keys.field_at(place, tree)
    return f"{text}, such as {key.toml}" if key and text.startswith("write ") and ";" not in text else text


def _method(place: Place, tree: Mapping[str, Any]) -> str:
    wrong = schema_keys.value_at([*place, "method"], tree)
    if wrong is None:
        return 'method is missing; write method = "aksk", method = "token" or method = "password"'
    return f"no method is called {values.shown(wrong)}; {values.suggestion(str(wrong), METHODS)}"


def _section(place: Place, tree: Mapping[str, Any]) -> str:
    key = schema_keys.field_at(place, tree)
    if key is not None:
        return f"write a table, such as {key.toml}"
    if place[0] == "routes":
        return "write each route as a section [[routes]]" if len(place) == 1 else "write a section [[routes]]"
    if len(place) == 1 and place[0] in ("projects", "channels"):
        return f"write a section for each, [{place[0]}.NAME]"
    return f"write a section [{spell(place)}] with its keys"
