"""Reads the schema's models: their keys and descriptions, for docs, the example and error messages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.config.delivery import (
    Callback,
    Channel,
    ChannelQuiet,
    Heartbeat,
    Notify,
    Retention,
    Route,
    RouteQuiet,
    Web,
)
from daemon.config.keys import Key, Section, secret
from daemon.config.projects import METHODS, Discovery, Project
from daemon.config.schema import Config, Database, Log, Polling


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionDoc:
    """One section of the config. `heading` is its TOML heading, empty for the top level."""

    place: str
    heading: str
    about: str
    model: type[Section]
    keys: tuple[Key, ...]
    optional: bool = False
    """The section enables a feature by being present, so the example shows it commented out."""


_PARTS: tuple[tuple[str, str, type[Section]], ...] = (
    ("", "", Config),
    ("database", "[database]", Database),
    ("polling", "[polling]", Polling),
    ("notify", "[notify]", Notify),
    ("web", "[web]", Web),
    ("heartbeat", "[heartbeat]", Heartbeat),
    ("retention", "[retention]", Retention),
    ("log", "[log]", Log),
    ("projects.NAME", "[projects.main]", Project),
    ("projects.NAME.discovery", "[projects.main.discovery]", Discovery),
    ("projects.NAME.callback", "[projects.main.callback]", Callback),
    ("channels.NAME", "[channels.editors]", Channel),
    ("channels.NAME.quiet", "[channels.editors.quiet]", ChannelQuiet),
    ("routes[N]", "[[routes]]", Route),
    ("routes[N].quiet", "[routes.quiet]", RouteQuiet),
)
_INNER: dict[tuple[type[Section], str], type[Section]] = {
    (Project, "discovery"): Discovery,
    (Project, "callback"): Callback,
    (Channel, "quiet"): ChannelQuiet,
    (Route, "quiet"): RouteQuiet,
}
"""Nested sections."""
_OPTIONAL = {*_INNER.values(), Heartbeat}
"""Sections that enable a feature by being present."""
_SECTIONS = {
    place.partition(".")[0].partition("[")[0]: model
    for place, _heading, model in _PARTS
    if place and model not in _INNER.values()
}
_NAMED = {"projects", "channels"}
_HIDDEN = {"env": "NOT_SHOWN"}
"""Placeholder for a secret."""
assert set(_SECTIONS) | {"operators"} == set(Config.keys), "every section is documented"


def parts() -> tuple[SectionDoc, ...]:
    """All sections, in the order of the example."""
    return tuple(
        SectionDoc(
            place=place,
            heading=heading,
            about=" ".join((model.__doc__ or "").split()),
            model=model,
            keys=keys_of(model),
            optional=model in _OPTIONAL,
        )
        for place, heading, model in _PARTS
    )


def methods() -> tuple[SectionDoc, ...]:
    """The authentication methods, each as a section."""
    return tuple(
        SectionDoc(
            place="projects.NAME.auth",
            heading=f'method = "{method}"',
            about=" ".join((model.__doc__ or "").split()),
            model=model,
            keys=tuple(key for key in keys_of(model) if key.name != "method"),
        )
        for method, model in METHODS.items()
    )


def keys_of(model: type[Section]) -> tuple[Key, ...]:
    """The keys of a section, except nested sections."""
    return tuple(each for each in model.keys.values() if each.about)


def model_at(place: Sequence[str | int], tree: object) -> type[Section] | None:
    """The model of the section at `place` (keys and list indexes); None if no section can be there. `tree` is the
    raw config, which contains the method of an `auth`."""
    if not place:
        return Config
    model, rest = _SECTIONS.get(str(place[0])), list(place[1:])
    if model is None or (model in (Project, Channel, Route) and not rest):
        return None
    if model in (Project, Channel, Route):
        rest.pop(0)
    if model is Project and rest == ["auth"]:
        auth = value_at(place, tree)
        method = auth.get("method") if isinstance(auth, dict) else None
        return METHODS.get(method) if isinstance(method, str) else None
    if len(rest) == 1:
        return _INNER.get((model, str(rest[0])))
    return None if rest else model


def field_at(place: Sequence[str | int], tree: object) -> Key | None:
    """The key at `place`; for a list item, the key of the list."""
    trimmed = list(place)
    while trimmed and isinstance(trimmed[-1], int):
        trimmed.pop()
    if not trimmed:
        return None
    model = model_at(trimmed[:-1], tree)
    return next((key for key in keys_of(model) if key.name == trimmed[-1]), None) if model else None


def without_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The raw config, which must be valid, with a placeholder for each secret."""

    def kept(value: object, place: tuple[str | int, ...]) -> object:
        if isinstance(value, list):
            return [kept(each, (*place, number)) for number, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        model = model_at(place, tree)
        keys = {} if model is None else model.keys
        return {
            name: _HIDDEN if name in keys and keys[name].read is secret else kept(each, (*place, name))
            for name, each in value.items()
        }

    return {key: kept(value, (key,)) for key, value in tree.items()}


def siblings(place: Sequence[str | int], tree: object) -> list[str]:
    """The valid keys in the section of `place`."""
    model = model_at(place[:-1], tree)
    return list(model.keys) if model else []


def homes(name: str) -> Iterator[str]:
    """The sections that have a key of this name."""
    for part in (*parts(), *methods()):
        if name in part.model.keys:
            yield f"{part.place} with {part.heading}" if part.model in METHODS.values() else part.place


def names() -> set[str]:
    """The keys of all sections."""
    return {name for part in (*parts(), *methods()) for name in part.model.keys}


def value_at(place: Sequence[str | int], tree: object) -> object:
    """The raw config's value at `place`; None if there is none."""
    for step in place:
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and isinstance(step, int) and 0 <= step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree
