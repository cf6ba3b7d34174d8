"""The building blocks of the config: sections, their keys, and the readers of values. Knows no section.

A reader converts a value that TOML gives. It raises ValueError with the fault and its remedy; faults of what is
inside the value it records. Its shape says in the words of JSON Schema what it accepts, as far as these can.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeAlias, TypeVar, cast

from daemon.config import secrets, values
from daemon.regions import REGIONS

T = TypeVar("T")
Place: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes that lead to a value."""


class RawFault(NamedTuple):
    """A fault before it is worded. `text` says what is wrong with a value. The others are worded by their place: a
    key is missing or unknown, something else is where a section belongs, `auth` has no known method."""

    place: Place
    kind: Literal["value", "missing", "unknown", "section", "method"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Parsing:
    """What the readers of one config share: the folder that relative paths start from, and the faults found."""

    folder: Path
    wrong: list[RawFault] = field(default_factory=list)

    def value(self, read: "Read[T]", value: object, place: Place) -> T:
        """The value. After a fault, which is recorded, there is none; the caller drops the config in the end."""
        try:
            return read(value, place, self)
        except ValueError as error:
            self.wrong.append(RawFault(place, "value", str(error)))
            return cast("T", None)


Read: TypeAlias = Callable[[object, Place, Parsing], T]
Shape: TypeAlias = dict[str, object]
_REQUIRED = object()


def reader(**shape: object) -> Callable[[Read[T]], Read[T]]:
    """Declares the shape of a reader."""
    return values.shaped(**shape)


def shape_of(read: Read[Any]) -> Shape:
    """The shape of a reader. That of a section is a reference to the definition with its class's name."""
    model = getattr(read, "__self__", None)
    if isinstance(model, type) and issubclass(model, Section):
        return {"$ref": f"#/$defs/{model.__name__}"}
    return dict(vars(read)["shape"])


class Key:
    """One key of a section: how it is read, what it does, an example in TOML, and `usual`, the docs' words for a
    default that the example does not show."""

    __slots__ = ("about", "attribute", "name", "read", "standard", "toml", "usual")

    def __init__(self, read: Read[Any], about: str, *, toml: str, standard: object, usual: str | None, name: str):
        self.read, self.about, self.toml, self.standard = read, about, toml, standard
        self.usual, self.name, self.attribute = usual, name, name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.attribute = self.name or name, name

    @property
    def required(self) -> bool:
        return self.standard is _REQUIRED

    @property
    def default(self) -> str:
        """The docs' words for its default; empty if it is required."""
        return self.usual or ("" if self.required else self.toml)


def key(
    read: Read[T],
    about: str,
    *,
    toml: str,
    default: object = _REQUIRED,
    usual: str | None = None,
    name: str = "",
) -> T:
    """Declares a documented key. `default` is written as TOML would give it, None for nothing; `name` is for names
    that are reserved in Python. A section's attribute has the value's type, so this claims to return one."""
    return cast("T", Key(read, about, toml=toml, standard=default, usual=usual, name=name))


class Section:
    """The base of all sections: no unknown keys, no silent conversions. Its `keys` are by their names in TOML."""

    keys: ClassVar[Mapping[str, Key]] = {}

    def __init_subclass__(cls) -> None:
        own = (each for each in vars(cls).values() if isinstance(each, Key))
        cls.keys = {**cls.keys, **{each.name: each for each in own}}

    def __init__(self, values: Mapping[str, object]) -> None:
        vars(self).update(values)

    @classmethod
    def read(cls, tree: object, place: Place, parsing: Parsing) -> Self:
        """The section of a raw table. Faults are recorded in the order of the keys, unknown ones last."""
        if not isinstance(tree, dict):
            parsing.wrong.append(RawFault(place, "section"))
            return cls({})
        given, found = cls.completed(tree), {}
        for name, each in cls.keys.items():
            value = given.get(name, each.standard)
            if value is _REQUIRED:
                parsing.wrong.append(RawFault((*place, name), "missing"))
            else:
                found[each.attribute] = None if value is None else parsing.value(each.read, value, (*place, name))
        parsing.wrong.extend(RawFault((*place, name), "unknown") for name in tree if name not in cls.keys)
        return cls(found)

    @classmethod
    def completed(cls, tree: Mapping[str, object]) -> Mapping[str, object]:
        """The raw table with those defaults that depend on other keys."""
        return tree

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name}: a config is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # it may hold a dict

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


S = TypeVar("S", bound=Section)


def section(model: type[S], *, default: object = _REQUIRED) -> S:
    """Declares a section within a section. It is explained by itself, so the key has no text."""
    return key(model.read, "", toml="", default=default)


def text(read: Callable[[str], T]) -> Read[T]:
    """Text that `read` converts or checks."""
    return _of_text(lambda value, _: read(value), _text_shape(read))


def in_folder(read: Callable[[str, Path], T]) -> Read[T]:
    """The same for a path that may be relative to the folder."""
    return _of_text(read, _text_shape(read))


def _text_shape(read: Callable[..., object]) -> Shape:
    return {"type": "string", **getattr(read, "shape", {})}


def _of_text(read: Callable[[str, Path], T], shape: Shape) -> Read[T]:
    @reader(**shape)
    def of_text(value: object, _place: Place, parsing: Parsing) -> T:
        if not isinstance(value, str):
            raise ValueError("write text in quotes")  # noqa: TRY004 - faults of a config are ValueErrors
        return read(value, parsing.folder)

    return of_text


@reader(type="boolean")
def flag(value: object, _place: Place, _parsing: Parsing) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("write true or false, without quotes")  # noqa: TRY004 - as above
    return value


def number(*, above: float, most: float) -> Read[float]:
    """A number greater than `above`, of at most `most`."""

    @reader(type="number", exclusiveMinimum=above, maximum=most)
    def of_number(value: object, _place: Place, _parsing: Parsing) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("write a number, without quotes")  # noqa: TRY004 - as above
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("write a number")
        if value > most:
            raise ValueError(f"write a number of at most {most:g}")
        if value <= above:
            raise ValueError(f"write a number greater than {above:g}")
        return float(value)

    return of_number


def whole(*, least: int, most: int) -> Read[int]:
    """A whole number within these bounds."""

    @reader(type="integer", minimum=least, maximum=most)
    def of_number(value: object, _place: Place, _parsing: Parsing) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("write a whole number, without quotes")  # noqa: TRY004 - as above
        if value > most:
            raise ValueError(f"write a number of at most {most:g}")
        if value < least:
            raise ValueError(f"write a number of at least {least:g}")
        return value

    return of_number


def one_of(names: Iterable[T]) -> Read[T]:
    """One of these texts."""
    known = {str(each): each for each in names}

    @reader(enum=[*known])
    def of_text(value: object, _place: Place, _parsing: Parsing) -> T:
        if isinstance(value, str) and value in known:
            return known[value]
        hint = values.suggestion(value, known) if isinstance(value, str) else f"choose one of {', '.join(known)}"
        raise ValueError(f"{values.shown(value)} is not known; {hint}")

    return of_text


def some(read: Read[T], *, least: int = 0, most: int | None = None) -> Read[tuple[T, ...]]:
    """A list of what `read` reads, with so many entries."""
    bounds = {"minItems": least} if most is None else {"minItems": least, "maxItems": most}

    @reader(type="array", items=shape_of(read), **bounds)
    def of_list(value: object, place: Place, parsing: Parsing) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("write a list in brackets")  # noqa: TRY004 - as above
        if most is not None and len(value) > most:
            raise ValueError(f"write at most {most} entries")
        if len(value) < least:
            raise ValueError("write at least one entry")
        return tuple([parsing.value(read, each, (*place, index)) for index, each in enumerate(value)])

    return of_list


def named(name: Callable[[str], str], read: Read[T]) -> Read[dict[str, T]]:
    """A table whose keys are checked by `name`, and whose values are read by `read`."""

    @reader(type="object", propertyNames=_text_shape(name), additionalProperties=shape_of(read))
    def of_table(value: object, place: Place, parsing: Parsing) -> dict[str, T]:
        if not isinstance(value, dict):
            parsing.wrong.append(RawFault(place, "section"))
            return {}
        return {
            parsing.value(text(name), each, (*place, each)): parsing.value(read, inner, (*place, each))
            for each, inner in value.items()
        }

    return of_table


@reader(**secrets.SHAPE)
def secret(value: object, _place: Place, parsing: Parsing) -> secrets.Secret:
    """A reference to a secret; see `secrets.parse`."""
    return secrets.parse(value, parsing.folder)


def duration(low: float = 0, high: float = 0, *, or_off: bool = False) -> Read[float]:
    """A duration in seconds within these bounds, or any; with `or_off` also 0, for never."""

    @values.shaped(**_text_shape(values.seconds))
    def check(raw: str) -> float:
        value = values.seconds(raw)
        if high == 0 or (or_off and value == 0):
            return value
        if value < low:
            raise ValueError(f'{values.spoken(value)} is too short; write at least "{values.spoken(low)}"')
        if value > high:
            raise ValueError(f'{values.spoken(value)} is too long; write at most "{values.spoken(high)}"')
        return value

    return text(check)


@values.shaped(minLength=1)
def path(value: str, folder: Path) -> str:
    """The path of a file, absolute."""
    if not value or "\0" in value:
        raise ValueError("the path is empty; write the path of a file")
    if "://" in value:  # not shown: as part of a path, a password in it would not be recognised
        raise ValueError("this is a URL; write the path of a file")
    return str(folder / value)


@values.shaped(minLength=1, maxLength=256)
def header(value: str) -> str:
    """What may stand in a header."""
    if not value or len(value) > 256 or not value.isascii() or not value.isprintable():
        raise ValueError("not a valid header value; write 1 to 256 printable ASCII characters")
    return value


@values.shaped(minLength=1)
def filled(value: str) -> str:
    """Any text except none."""
    if not value:
        raise ValueError("write something: it is empty")
    return value


RATES = ", ".join(f"{region.name}: {region.default_rate:g}" for region in REGIONS.values())
YEARS = 3650 * 86400.0
WORDS = some(text(str))
ENDPOINT = text(values.endpoint)
PATTERN = text(values.pattern)
WORD = text(values.word)
PATH = in_folder(path)
