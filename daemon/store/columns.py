"""Types of columns: times, lists of texts, and JSON, stored in the same form on every database; and what tables
are built of."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Integer,
    Text,
    TypeDecorator,
    false,
)

from daemon.domain.events import Json
from daemon.store.rows import from_stamp, to_stamp

# `json.dumps` would create an encoder on each call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored as microseconds since 1970 in UTC: exact, and the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_stamp(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[int | None], datetime | None]:
        return _moment  # not `process_result_value`: that is two calls more for each of the hundreds in a list


class TextList(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, stored as a compact JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        return None if value is None else to_json(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Any]:
        return _texts


class JsonText(TypeDecorator[Mapping[str, Json]]):
    """An object of JSON values, stored as text. Text that is not JSON is read as an empty object, so that one
    damaged row does not make the others unreadable."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Json] | None, dialect: Dialect) -> str | None:
        return None if value is None else to_json(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Any]:
        return _values


def _moment(stored: int | None) -> datetime | None:
    return None if stored is None else from_stamp(stored)


def _texts(stored: str | None) -> tuple[str, ...] | None:
    if stored == "[]":
        return ()
    return None if stored is None else tuple(json.loads(stored))


def _values(stored: str | None) -> Mapping[str, Json] | None:
    if stored is None:
        return None
    try:
        found = json.loads(stored)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def to_json(value: object) -> str:
    """Return compact JSON. Raises ValueError for NaN and TypeError for what JSON cannot express."""
    return _ENCODER.encode(value)


ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only if the column type is exactly INTEGER."""


def flag(name: str) -> Column[Any]:
    """A boolean that is false at first."""
    return Column(
        name, Boolean(create_constraint=True, name=f"{name}_flag"), nullable=False, server_default=false()
    )
