"""Types of columns: times, lists of texts, and JSON, stored in the same form on every database; and what tables
are built of."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Index,
    Integer,
    Text,
    TypeDecorator,
    false,
    text,
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

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_stamp(value)


class TextList(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, stored as a compact JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        return None if value is None else to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(json.loads(value))


class JsonText(TypeDecorator[Mapping[str, Json]]):
    """An object of JSON values, stored as text. Text that is not JSON is read as an empty object, so that one
    damaged row does not make the others unreadable."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Json] | None, dialect: Dialect) -> str | None:
        return None if value is None else to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, Json] | None:
        if value is None:
            return None
        try:
            found = json.loads(value)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def to_json(value: object) -> str:
    """Return compact JSON. Raises ValueError for NaN and TypeError for what JSON cannot express."""
    return _ENCODER.encode(value)


ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only if the column type is exactly INTEGER."""


def within(column: str, most: int) -> CheckConstraint:
    """A text of 1 to `most` characters."""
    # Not `length(x) >= 1`: SQLite's length() stops at a NUL character.
    return CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def flag(name: str) -> Column[Any]:
    """A boolean that is false at first."""
    return Column(
        name, Boolean(create_constraint=True, name=f"{name}_flag"), nullable=False, server_default=false()
    )


def partial(name: str, *columns: str, where: str) -> Index:
    """An index of the rows that fulfil a condition."""
    # PostgreSQL's condition can be added with its engine: naming it loads that dialect, 2 MiB in each process.
    return Index(name, *columns, sqlite_where=text(where))
