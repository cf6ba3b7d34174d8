"""The building blocks of config keys: their types, and `key`, which documents them. Knows no section."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
)

from daemon.config import values
from daemon.config.secrets import Secret, parse
from daemon.domain.events import Event
from daemon.domain.states import TERMINAL, State
from daemon.regions import REGIONS

T = TypeVar("T")


def text(read: Callable[[str], T]) -> Callable[[object], T]:
    def of_text(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError("write text in quotes")  # noqa: TRY004 - pydantic collects ValueError only
        return read(value)

    return of_text


def between(low: float, high: float) -> Callable[[float], float]:
    def check(value: float) -> float:
        if value < low:
            raise ValueError(f'{values.spoken(value)} is too short; write at least "{values.spoken(low)}"')
        if value > high:
            raise ValueError(f'{values.spoken(value)} is too long; write at most "{values.spoken(high)}"')
        return value

    return check


def off_or(low: float, high: float) -> Callable[[float], float]:
    """A duration within these bounds, or 0 for never."""
    check = between(low, high)

    def checked(value: float) -> float:
        return value if value == 0 else check(value)

    return checked


def folder(info: ValidationInfo) -> Path | None:
    context: Mapping[str, Path] = info.context or {}
    return context.get("folder")


def read_secret(value: object, info: ValidationInfo) -> Secret:
    return parse(value, folder(info))


def read_database(value: str, info: ValidationInfo) -> str:
    return values.database_url(value, folder(info))


def read_path(value: str, info: ValidationInfo) -> str:
    if not value or "\0" in value:
        raise ValueError("the path is empty; write the path of a file")
    if "://" in value:  # not shown: as part of a path, a password in it would not be recognised
        raise ValueError("this is a URL; write the path of a file")
    return str((folder(info) or Path()).absolute() / value)


def header(value: str) -> str:
    if not value or len(value) > 256 or not value.isascii() or not value.isprintable():
        raise ValueError("not a valid header value; write 1 to 256 printable ASCII characters")
    return value


RATES = ", ".join(f"{region.name}: {region.default_rate:g}" for region in REGIONS.values())
YEARS = 3650 * 86400.0
AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
Duration = Annotated[float, BeforeValidator(text(values.seconds))]
SecretKey = Annotated[Secret, PlainValidator(read_secret), PlainSerializer(lambda _: "***")]
Name = Annotated[str, AfterValidator(values.name)]
Words = Annotated[tuple[str, ...], AS_TUPLE]
Endpoint = Annotated[str, AfterValidator(values.endpoint)]
EventName = Annotated[Event, BeforeValidator(text(values.job_event))]
Events = Annotated[tuple[EventName, ...], AS_TUPLE]
AnyEvent = Annotated[Event, BeforeValidator(text(values.any_event))]
TemplateName = Annotated[str, BeforeValidator(text(values.template_name))]
KindName = Annotated[str, BeforeValidator(text(values.listed_kind))]
StateName = Annotated[State, BeforeValidator(text(values.state))]
Word = Annotated[str, BeforeValidator(text(values.word))]
Pattern = Annotated[str, BeforeValidator(text(values.pattern))]
HostName = Annotated[str, BeforeValidator(text(values.host_name))]
RUNNING = tuple(state for state in State if state not in TERMINAL)
"""The states of jobs that have not ended."""


def key(about: str, *, toml: str, default: Any = ..., usual: str | None = None, **limits: Any) -> Any:
    """A documented key: what it does, an example in TOML, its default, and in `usual` the docs' words for that
    default. `limits` may hold pydantic's bounds, and `alias` for a name that is reserved in Python."""
    extra: dict[str, Any] = {"toml": toml, "usual": usual}
    return Field(default, description=about, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """The base of all sections: no unknown keys, no silent conversions, no input values in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        validate_default=True,
    )
